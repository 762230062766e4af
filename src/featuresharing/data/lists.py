"""Caffe style image lists: one image a line, ``path a,b``, with one 0-based class index a task, or - for none."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featuresharing.data.array_files import image_exists
from featuresharing.data.columns import CLASSES, KEPT
from featuresharing.data.table_files import frame_of, numbered_rows, write_table
from featuresharing.data.texts import UNFIT, read_lines
from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing

if TYPE_CHECKING:
    from pandas import DataFrame


MISSING = -1
"""In the place of a true class: the image is not of that task."""

NO_CLASS = "-"
"""What lists and tables have in the place of a class that is missing."""


@dataclass(frozen=True)
class ImageList:
    """Images and their classes: ``paths`` [N] and ``targets`` int64 [N, tasks], :data:`MISSING` where it has none."""

    paths: tuple[Path, ...]
    targets: NDArray[np.int64]

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> "ImageList":
        """Return the images at ``indices``, in that order."""
        return ImageList(tuple(self.paths[i] for i in indices), self.targets[np.asarray(indices, dtype=np.int64)])


def refuse_missing(images: ImageList, taker: str) -> None:
    """Raise InputError if an image has no class in a task; ``taker`` says what cannot do with that."""
    if (images.targets == MISSING).any():
        first = images.paths[int(np.argwhere(images.targets == MISSING)[0, 0])]
        raise InputError(f"{first} has no class in a task; accepted by {taker} are images with a class in every task.")


def write_image_list(output: Path, paths: Sequence[Path], targets: NDArray[np.int64]) -> None:
    """Write ``paths`` [N] and ``targets`` [N, tasks]; paths are stored relative to the list's folder.

    Names keep their bytes, UTF-8 or not. Raises InputError for a path with a control character, such as a line end.
    """
    lines = []
    for path, row in zip(paths, targets, strict=True):
        name = os.path.relpath(path, output.parent)
        if UNFIT.search(name):
            raise InputError(f"image {name!a} holds a control character; accepted are names that fit into a line.")
        lines.append(f"{_quoted(name)} {','.join(NO_CLASS if c == MISSING else str(int(c)) for c in row)}\n")
    with replacing(output) as temporary:
        temporary.write_bytes("".join(lines).encode(errors="surrogateescape"))


def _quoted(name: str) -> str:
    """Return a name in quotes if a reader of the list would otherwise take off its blanks or quotes."""
    return f'"{name}"' if name != name.strip() or _unquoted(name) != name else name


def _unquoted(name: str) -> str:
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] == '"' else name


def read_image_list(path: Path, classes: Sequence[Sequence[str]], *, check_files: bool = True) -> ImageList:
    """Read a list whose paths are relative to its folder, in quotes or without them.

    ``classes`` holds the class names of every task; they bound the indices. An image may have no class in a task, or in
    any. Raises InputError, with the number of the
    line, for a line of another form, an index without a class or (``check_files``) an image that is not there.
    """
    paths: list[Path] = []
    targets: list[list[int]] = []
    for place, name, labels in split_lines(path):
        targets.append(_parse_labels(labels, classes, place, name))
        image = path.parent / name
        if check_files and not image_exists(image):
            raise InputError(f"{place}: image {image} does not exist; accepted is one that does.")
        paths.append(image)
    if not paths:
        raise InputError(f"{path}: found no image; accepted are lines of the form 'path {_example(classes)}'.")
    return ImageList(tuple(paths), np.asarray(targets, dtype=np.int64))


def first_image(path: Path) -> Path:
    """Return the first image of a list; raises InputError for a list without any."""
    name = next((name for _, name, _ in split_lines(path)), None)
    if not name:
        raise InputError(f"{path}: found no image; accepted are lines of the form 'path a,b'.")
    return path.parent / name


def split_lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the place, the path of the image (blank if there is none) and the labels of every line of a list."""
    for number, line in read_lines(path, "image list", names=True):
        *name, labels = line.rsplit(maxsplit=1)
        yield f"{path}, line {number}", _unquoted("".join(name).strip()), labels


def _parse_labels(labels: str, classes: Sequence[Sequence[str]], place: str, name: str) -> list[int]:
    parts = labels.split(",")
    if not name or len(parts) != len(classes) or not all(re.fullmatch("[0-9]{1,18}|-", part) for part in parts):
        found = f"{name} {labels}".strip()
        accepted = f"accepted is 'path {_example(classes)}', one class index a task, or - for none"
        raise InputError(f"{place}: found '{found}'; {accepted}.")
    indices = [MISSING if part == NO_CLASS else int(part) for part in parts]
    for task, (index, names) in enumerate(zip(indices, classes, strict=True)):
        if index >= len(names):
            raise InputError(
                f"{place}: class index {index} of task {task} is out of range; accepted are 0 to {len(names) - 1}."
            )
    return indices


def _example(classes: Sequence[Sequence[str]]) -> str:
    return ",".join("abcdefghijklmnopqrstuvwxyz"[: len(classes)])


def write_classes(output: Path, classes: Mapping[str, Sequence[str]]) -> None:
    """Write the class names of every task as a table :data:`.columns.CLASSES`."""
    rows = ((task, index, name) for task, names in classes.items() for index, name in enumerate(names))
    write_table(output, frame_of(CLASSES, rows), CLASSES)


def read_classes(path: Path) -> dict[str, list[str]]:
    """Read what :func:`write_classes` wrote: the class names of every task, tasks and classes in their order.

    Raises InputError, with the number of the line, for another form, an index out of its turn, or a name that is blank
    or stands there twice.
    """
    classes: dict[str, list[str]] = {}
    seen: set[tuple[str, str]] = set()
    for line, row in numbered_rows(path, CLASSES.names, what=CLASSES.what):
        task, index, name = row["task"], row["index"], row["name"]
        if not (task and name) or index != str(len(classes.get(task, []))) or (task, name) in seen:
            raise InputError(
                f"{path}, line {line}: found '{task},{index},{name}'; accepted is a head 'task,index,name' "
                "and then every task's classes counted from 0, each name once."
            )
        seen.add((task, name))
        classes.setdefault(task, []).append(name)
    if not classes:
        raise InputError(f"{path}: found no class; accepted is at least one.")
    return classes


def kept_table(images: ImageList, kept: NDArray[np.int64], classes: Mapping[str, Sequence[str]]) -> "DataFrame":
    """Return a frame of :data:`.columns.KEPT`: of each image at the positions ``kept``, its name and its classes.

    Columns are ``index`` (int64), ``image`` and one a task of ``classes`` (texts, - for none). Bytes of names that are
    not UTF-8 stand there as escapes such as ``\\udce9``.
    """
    chosen = images.select(kept)
    rows = (
        (
            index,
            path.name.encode(errors="backslashreplace").decode(),
            *(
                NO_CLASS if target == MISSING else names[target]
                for names, target in zip(classes.values(), targets, strict=True)
            ),
        )
        for index, path, targets in zip(kept, chosen.paths, chosen.targets, strict=True)
    )
    return frame_of(KEPT, rows, rest=list(classes))


@dataclass(frozen=True)
class ListFiles:
    """The files of an image list and of the classes of its tasks."""

    images: Path
    classes: Path

    def read(self, *, check_files: bool = True) -> tuple[dict[str, list[str]], ImageList]:
        """Return the names of classes by task, and the images; raises InputError as :func:`read_image_list`."""
        classes = read_classes(self.classes)
        return classes, read_image_list(self.images, list(classes.values()), check_files=check_files)
