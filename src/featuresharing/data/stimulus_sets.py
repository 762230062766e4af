"""Images of one's own with their true classes: tables, lists, folders of classes, and files of arrays."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.data.array_files import array_header, image_exists, is_array_file, place_path, read_labels
from featuresharing.data.class_folders import list_class_folders
from featuresharing.data.class_groups import Group, group_targets, read_group
from featuresharing.data.lists import MISSING, NO_CLASS, split_lines
from featuresharing.data.table_files import numbered_rows
from featuresharing.data.texts import read_lines
from featuresharing.errors import InputError, quoted

TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
"""What separates the values of a table, by the end of its name."""

LISTS = (".txt", ".lst", ".list")

PATH_COLUMNS = ("path", "image", "file", "filename")
"""Columns that hold the paths of images, the first that is there; else it is the table's first."""

ACCEPTED = (
    "a folder with a folder for each class, a table (.csv, .tsv), an image list (.txt) or arrays (.npz, .h5, .hdf5)"
)


@dataclass(frozen=True)
class LabelledTask:
    """A task of images of one's own: its name, and the ``column`` or array that has its labels (None: called so).

    ``outputs`` and ``names`` are those of its classes, as :func:`number_labels` takes them. With a ``group`` of
    classes, images of others are not of the task.
    """

    name: str
    column: str | None = None
    outputs: int | None = None
    names: Sequence[str] | None = None
    group: Group | None = None


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
    if len(head) == 1 and ";" in head[0] and separator == ",":
        raise InputError(f"table of images {table}: found columns '{head[0]}'; accepted are commas between them.")
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
    if value == MISSING or isnan(value):
        return None
    if value != int(value) or value < 0:
        accepted = "accepted are numbers of classes from 0, -1 or nan for none, or texts"
        raise InputError(f"{file}: array '{column}', found {value} for image {index}; {accepted}.")
    return str(int(value))


def classes_and_targets(
    found: StimulusSet, tasks: Sequence[LabelledTask], *, say: Callable[[str], None] = print
) -> tuple[dict[str, list[str]], NDArray[np.int64]]:
    """Return the names of classes by task, and true classes int64 [N, tasks], MISSING where an image has none.

    Raises InputError as :func:`number_labels` and :func:`.read_group`.
    """
    classes, columns = {}, []
    for task in tasks:
        names, numbers = number_labels(task.name, found, outputs=task.outputs, names=task.names, say=say)
        if task.group is not None:
            group = read_group(task.group, names, what=f"task '{task.name}'")
            numbers = group_targets(numbers, {task.name: group})[:, 0]
        classes[task.name] = names
        columns.append(numbers)
    return classes, np.stack(columns, axis=1)


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
    place = f"{found.source}: task '{task}'"
    if not there:
        raise InputError(f"{place}: no image has a class; accepted is at least one.")
    if names is not None and outputs not in (None, len(names)):
        accepted = f"accepted are {outputs}, as outputs of the network"
        raise InputError(f"task '{task}': found {len(names)} names of classes; {accepted}.")
    if all(re.fullmatch("[0-9]{1,9}", label) for label in there) and not set(there) <= set(names or ()):
        order = _counted(place, max(map(int, there)) + 1, outputs, names)
        number = {label: int(label) for label in there}
    else:
        order = list(names) if names is not None else _sorted(place, there, outputs)
        number = {name: index for index, name in enumerate(order)}
        if other := next((label for label in there if label not in number), None):
            raise InputError(f"{place}, found class '{other}'; accepted are its names, or numbers.")
        if names is None and outputs is not None:
            say(f"task '{task}': its {outputs} outputs are taken for the classes in sorted order, {few_names(order)}.")
    return order, np.array([MISSING if label is None else number[label] for label in labels], dtype=np.int64)


def _counted(place: str, least: int, outputs: int | None, names: Sequence[str] | None) -> list[str]:
    """Return the names of classes of which the largest has the number ``least`` - 1."""
    order = list(names) if names is not None else [str(number) for number in range(outputs or least)]
    if least > len(order):
        raise InputError(f"{place}, found class {least - 1}; accepted are 0 to {len(order) - 1}, counted from 0.")
    return order


def _sorted(place: str, there: list[str], outputs: int | None) -> list[str]:
    """Return the names of classes in sorted order, if there are as many as outputs."""
    if below := next((label for label in there if re.fullmatch(r"-[0-9]+", label)), None):
        raise InputError(f"{place}, found class {below}; accepted are numbers from 0, and a blank for no class.")
    if outputs not in (None, len(there)):
        accepted = f"accepted are as many as outputs, {outputs}, or the key names of the task, in the outputs' order"
        raise InputError(f"{place}, found {len(there)} names of classes; {accepted}.")
    return there


def few_names(names: Sequence[str], most: int = 4) -> str:
    """Return names for a sentence, of more than ``most`` the first and the last."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:3])} to {names[-1]}"


def names_or_file(text: str) -> list[str] | Path:
    """Return what a text stands for: a list of names as JSON has it, ``["face", "car"]``, else the path of a file."""
    if not text.startswith("["):
        return Path(text)
    try:
        return [str(name) for name in json.loads(text)]
    except ValueError:
        raise InputError(f"found {quoted(text)}; accepted is a list as JSON has it, or the path of a file.") from None


def read_names(given: Sequence[str] | Path) -> list[str]:
    """Return names of classes, or those of a file with one a line; raises InputError for none, and for one twice."""
    names = [line for _, line in read_lines(given, "names of classes")] if isinstance(given, Path) else list(given)
    place = str(given) if isinstance(given, Path) else "names of classes"
    if double := next((name for name, count in Counter(names).items() if count > 1), None):
        raise InputError(f"{place}: found '{double}' twice; accepted are distinct names, in the order of the outputs.")
    if not names:
        raise InputError(f"{place}: found none; accepted is one name an output.")
    return names
