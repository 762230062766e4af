"""Images of one's own with their true classes: tables, lists, folders of classes, and files of arrays."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.data.array_files import array_header, image_exists, is_array_file, place_path, read_labels
from featuresharing.data.class_folders import list_class_folders
from featuresharing.data.lists import MISSING, NO_CLASS, split_lines
from featuresharing.data.table_files import numbered_rows
from featuresharing.errors import InputError

TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
"""What separates the values of a table, by the end of its name."""

LISTS = (".txt", ".lst", ".list")

PATH_COLUMNS = ("path", "image", "file", "filename")
"""Columns that hold the paths of images, the first that is there; else it is the table's first."""

ACCEPTED = (
    "a folder with a folder for each class, a table (.csv, .tsv), an image list (.txt) or arrays (.npz, .h5, .hdf5)"
)


@dataclass(frozen=True)
class StimulusSet:
    """Images: ``paths`` [N], and by task their ``labels`` [N], names or numbers of classes; None: not of that task.

    ``source`` is where labels are from, for sentences.
    """

    paths: tuple[Path, ...]
    labels: Mapping[str, tuple[str | None, ...]]
    source: Path


def read_stimulus_set(images: Path, columns: Mapping[str, str], *, array: str = "images") -> StimulusSet:
    """Read images of one's own and, for each task, the labels in the column or array that ``columns`` names.

    In a table, one column has paths, relative to its folder, and a cell without a label says that the image is not of
    that task. In an image list, tasks are in their order. In a folder of class folders, the label is the folder. In a
    file of arrays, ``array`` holds the images along its first axis. Raises InputError, with the place, for what is not
    there or of another form.
    """
    if images.is_dir():
        return _from_folder(images, columns)
    if images.suffix.lower() in TABLES:
        return _from_table(images, columns, TABLES[images.suffix.lower()])
    if images.suffix.lower() in LISTS:
        return _from_list(images, columns)
    if is_array_file(images):
        return _from_arrays(images, columns, array)
    if not images.exists():
        raise InputError(f"images: {images} does not exist; accepted is {ACCEPTED}.")
    raise InputError(f"images: found {images}; accepted is {ACCEPTED}.")


def first_image(images: Path, *, array: str = "images") -> Path:
    """Return the first image of a set, whatever its classes; raises InputError as :func:`read_stimulus_set`."""
    return read_stimulus_set(images, {}, array=array).paths[0]


def _from_folder(folder: Path, columns: Mapping[str, str]) -> StimulusSet:
    classes = list_class_folders(folder)
    paths = tuple(folder / name for names in classes.values() for name in names)
    labels = tuple(label for label, names in classes.items() for _ in names)
    return StimulusSet(paths, dict.fromkeys(columns, labels), folder)


def _from_table(table: Path, columns: Mapping[str, str], separator: str) -> StimulusSet:
    rows = numbered_rows(table, tuple(columns.values()), what="table of images", separator=separator)
    if not rows:
        raise InputError(f"table of images {table}: found no image; accepted is at least one row.")
    head = list(rows[0][1])
    name = next((column for column in PATH_COLUMNS if column in head), head[0])
    paths = [table.parent / row[name] for _, row in rows]
    for (line, row), path in zip(rows, paths, strict=True):
        _check_there(f"table of images {table}, line {line}", row[name], path)
    labels = {task: tuple(row[column] or None for _, row in rows) for task, column in columns.items()}
    return StimulusSet(tuple(paths), labels, table)


def _from_list(listed: Path, columns: Mapping[str, str]) -> StimulusSet:
    paths: list[Path] = []
    found: list[list[str]] = []
    for place, name, labels in split_lines(listed):
        values = labels.split(",")
        if columns and len(values) != len(columns):
            raise InputError(f"{place}: found '{name} {labels}'; accepted are a path and {len(columns)} classes.")
        _check_there(place, name, listed.parent / name)
        paths.append(listed.parent / name)
        found.append(values)
    if not paths:
        raise InputError(f"{listed}: found no image; accepted is at least one.")
    labels_of = {
        task: tuple(None if values[place] in ("", NO_CLASS) else values[place] for values in found)
        for place, task in enumerate(columns)
    }
    return StimulusSet(tuple(paths), labels_of, listed)


def _check_there(place: str, name: str, path: Path) -> None:
    if not name or not image_exists(path):
        missing = f"image {path} does not exist" if name else "the path of an image is blank"
        raise InputError(f"{place}: {missing}; accepted is one that does, relative to the file.")


def _from_arrays(file: Path, columns: Mapping[str, str], array: str) -> StimulusSet:
    (count, *_), _ = array_header(file, array)
    labels = {}
    for task, column in columns.items():
        values = read_labels(file, column)
        if len(values) != count:
            found = f"array '{column}' has {len(values)} classes"
            raise InputError(f"{file}: {found}; accepted are {count}, one for each image of '{array}'.")
        labels[task] = tuple(_label(file, column, index, value) for index, value in enumerate(values.tolist()))
    return StimulusSet(tuple(place_path(file, array, index) for index in range(count)), labels, file)


def _label(file: Path, column: str, index: int, value: Any) -> str | None:
    """Return the label that an array has: none for blanks, nan and -1."""
    if isinstance(value, str):
        return value.strip() or None
    if value in (-1, MISSING) or value != value:
        return None
    if value != int(value) or value < 0:
        accepted = "accepted are numbers of classes from 0, -1 or nan for none, or texts"
        raise InputError(f"{file}: array '{column}', found {value} for image {index}; {accepted}.")
    return str(int(value))


def number_labels(
    task: str,
    found: StimulusSet,
    *,
    outputs: int | None = None,
    names: Sequence[str] | None = None,
    say: Callable[[str], None] = print,
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of a task's classes, and the class of every image int64 [N], MISSING where it has none.

    ``names`` are those of the ``outputs`` in their order. Labels that are among them count by name, and else whole
    numbers are taken as they are. Without ``names``, other labels are sorted, if there are as many as outputs, which
    ``say`` is told; without ``outputs`` too, as for a classifier that is yet to be trained. Raises InputError for
    labels that are none of these.
    """
    labels = found.labels[task]
    there = sorted({label for label in labels if label is not None})
    if not there:
        raise InputError(f"{found.source}: no image has a class of task '{task}'; accepted is at least one.")
    if names is not None and outputs not in (None, len(names)):
        accepted = f"accepted are {outputs}, as outputs of the network"
        raise InputError(f"task '{task}': found {len(names)} names of classes; {accepted}.")
    count = len(names) if names is not None else outputs
    whole = [label for label in there if re.fullmatch("[0-9]{1,9}", label)]
    if names is not None and set(there) <= set(names):
        pass
    elif len(whole) == len(there):
        count = count or max(map(int, whole)) + 1
        if (largest := max(map(int, whole))) >= count:
            accepted = f"accepted are 0 to {count - 1}, counted from 0"
            raise InputError(f"{found.source}: task '{task}', found class {largest}; {accepted}.")
        numbers = [MISSING if label is None else int(label) for label in labels]
        return list(names) if names is not None else [str(index) for index in range(count)], np.array(numbers)
    elif names is not None:
        other = next(label for label in there if label not in names)
        raise InputError(f"{found.source}: task '{task}', found class '{other}'; accepted are its names, or numbers.")
    elif any(re.fullmatch(r"-[0-9.]+", label) for label in there) and len(whole) == len(there) - 1:
        raise InputError(f"{found.source}: task '{task}', found a class below 0; accepted is a blank for no class.")
    elif outputs not in (None, len(there)):
        accepted = f"accepted without names are as many as outputs, {outputs}, or the key names of the task"
        raise InputError(f"{found.source}: task '{task}', found {len(there)} names of classes; {accepted}.")
    elif outputs is not None:
        say(f"task '{task}': its {outputs} outputs are taken for the classes in sorted order, {_few(there)}.")
    order = list(names) if names is not None else there
    place = {name: index for index, name in enumerate(order)}
    return order, np.array([MISSING if label is None else place[label] for label in labels], dtype=np.int64)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} to {names[-1]}"
