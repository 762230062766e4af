"""Caffe style image lists: one image a line, ``path a,b``, with one 0-based class index a task."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.files import replacing, write_table


@dataclass(frozen=True)
class ImageList:
    """Images and their classes: ``paths`` [N] and ``targets`` int64 [N, tasks]."""

    paths: tuple[Path, ...]
    targets: NDArray[np.int64]

    def select(self, indices: Sequence[int] | NDArray[np.int64]) -> "ImageList":
        """Return the images at ``indices``, in that order."""
        return ImageList(tuple(self.paths[i] for i in indices), self.targets[np.asarray(indices, dtype=np.int64)])


def write_image_list(output: Path, paths: Sequence[Path], targets: NDArray[np.int64]) -> None:
    """Write ``paths`` [N] and ``targets`` [N, tasks]; paths are stored relative to the list's folder."""
    with replacing(output) as temporary:
        lines = (
            f"{os.path.relpath(path, output.parent)} {','.join(str(int(c)) for c in row)}\n"
            for path, row in zip(paths, targets, strict=True)
        )
        temporary.write_text("".join(lines), errors="surrogateescape")


def read_image_list(path: Path, classes: Sequence[Sequence[str]], *, check_files: bool = True) -> ImageList:
    """Read a list whose paths are relative to its folder.

    ``classes`` holds the class names of every task; they bound the indices. Raises InputError, with the number of the
    line, for a line of another form, an index without a class or (``check_files``) an image that is not there.
    """
    if not path.is_file():
        raise InputError(f"image list {path} does not exist.")
    paths: list[Path] = []
    targets: list[list[int]] = []
    for number, line in enumerate(path.read_text(errors="surrogateescape").splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        name, _, labels = line.strip().rpartition(" ")
        image = path.parent / name.strip()
        targets.append(_parse_labels(labels, classes, place, line, has_name=bool(name.strip())))
        if check_files and not image.is_file():
            raise InputError(f"{place}: image {image} does not exist.")
        paths.append(image)
    if not paths:
        raise InputError(f"{path}: found no image; accepted are lines of the form 'path {_example(classes)}'.")
    return ImageList(tuple(paths), np.asarray(targets, dtype=np.int64))


def _parse_labels(labels: str, classes: Sequence[Sequence[str]], place: str, line: str, *, has_name: bool) -> list[int]:
    parts = labels.split(",")
    if not has_name or len(parts) != len(classes) or not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(
            f"{place}: found '{line.strip()}'; accepted is 'path {_example(classes)}', one class index a task."
        )
    indices = [int(part) for part in parts]
    for task, (index, names) in enumerate(zip(indices, classes, strict=True)):
        if index >= len(names):
            raise InputError(
                f"{place}: class index {index} of task {task} is out of range; accepted are 0 to {len(names) - 1}."
            )
    return indices


def _example(classes: Sequence[Sequence[str]]) -> str:
    return ",".join("abcdefghijklmnopqrstuvwxyz"[: len(classes)])


def write_classes(output: Path, classes: Mapping[str, Sequence[str]]) -> None:
    """Write the class names of every task as a table ``task,index,name``."""
    rows = ((task, index, name) for task, names in classes.items() for index, name in enumerate(names))
    write_table(output, ("task", "index", "name"), rows)


def read_classes(path: Path) -> dict[str, list[str]]:
    """Read what :func:`write_classes` wrote: the class names of every task, tasks and classes in their order.

    Raises InputError, with the number of the line, for another form or an index out of its turn.
    """
    if not path.is_file():
        raise InputError(f"table of classes {path} does not exist.")
    classes: dict[str, list[str]] = {}
    with path.open(newline="") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if number == 1 and row == ["task", "index", "name"]:
                continue
            if number == 1 or len(row) != 3 or row[1] != str(len(classes.get(row[0], []))):
                raise InputError(
                    f"{path}, line {number}: found '{','.join(row)}'; accepted is a head 'task,index,name' "
                    "and then every task's classes counted from 0."
                )
            classes.setdefault(row[0], []).append(row[2])
    if not classes:
        raise InputError(f"{path}: found no class; accepted is at least one.")
    return classes
