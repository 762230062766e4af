"""Class maps of the paper's models: which output of a head stands for which class of the image lists."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from featuresharing.data.lists import MISSING, NO_CLASS, ImageList, split_lines
from featuresharing.errors import InputError
from featuresharing.torch7 import Table, read_torch7

ClassMap = Mapping[str, Mapping[int, int]]
"""By task: the class numbers of image lists, and the positions from 0 of their outputs."""


def read_class_map(path: Path, tasks: Sequence[str]) -> ClassMap:
    """Read the ``classToIdx`` of a Torch7 file ``meta.*.t7``: one table a task, in the order of the heads.

    Its outputs count from 1, as Lua does; ours from 0. Raises InputError for another file, another number of tasks, or
    outputs that are not 1, 2, 3, ... in some order.
    """
    content = read_torch7(path)
    tables = _maps(content)
    if tables is None:
        raise InputError(f"{path} holds no class map; accepted is a table with classToIdx at [1]['train'].")
    if len(tables) != len(tasks):
        raise InputError(
            f"{path} maps the classes of {len(tables)} tasks; accepted are {len(tasks)}: {', '.join(tasks)}."
        )
    maps: dict[str, dict[int, int]] = {}
    for task, table in zip(tasks, tables, strict=True):
        pairs = table.entries
        whole = all(isinstance(number, float) and number.is_integer() for pair in pairs for number in pair)
        if not whole or sorted(int(output) for _, output in pairs) != list(range(1, len(pairs) + 1)) or not pairs:
            raise InputError(f"{path}: the outputs of task '{task}' are not 1 to {len(pairs)}; accepted is each once.")
        maps[task] = {int(key): int(output) - 1 for key, output in pairs}
        if len(maps[task]) < len(pairs):
            raise InputError(f"{path}: task '{task}' has a class number twice; accepted is each once.")
    return maps


def _maps(content: object) -> list[Table] | None:
    for key in (1, "train", "classToIdx"):
        if not isinstance(content, Table):
            return None
        content = content.get(key)
    tables = list(content.sequence()) if isinstance(content, Table) else []
    return tables if tables and all(isinstance(table, Table) for table in tables) else None


def class_names(class_map: ClassMap) -> dict[str, list[str]]:
    """Return by task the class numbers as names, in the order of the outputs."""
    return {task: [str(key) for key in sorted(outputs, key=outputs.__getitem__)] for task, outputs in class_map.items()}


def read_numbered_list(path: Path, images: Path, class_map: ClassMap) -> ImageList:
    """Read a list ``path a,b`` whose paths are relative to the folder ``images`` and whose classes are in the map.

    Returns targets as positions of outputs, MISSING for -. Raises InputError, with the number of the line, for a line
    of another form, a class that the map lacks, or a path that leads out of the folder; files themselves are not looked
    at.
    """
    paths, targets = [], []
    tasks = list(class_map)
    for place, name, labels in split_lines(path):
        parts = labels.split(",")
        if not name or len(parts) != len(tasks) or not all(re.fullmatch("-?[0-9]{1,18}|-", part) for part in parts):
            found = f"{name} {labels}".strip()
            raise InputError(
                f"{place}: found '{found}'; accepted is 'path a,b', one class number a task, or - for none."
            )
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise InputError(f"{place}: image '{name}' leads out of {images}; accepted are paths inside.")
        for task, part in zip(tasks, parts, strict=True):
            if part != NO_CLASS and int(part) not in class_map[task]:
                known = sorted(class_map[task])
                accepted = f"accepted are its {len(known)} classes, from {known[0]} to {known[-1]}"
                raise InputError(f"{place}: class {part} of task '{task}' is not in the class map; {accepted}.")
        paths.append(images / name)
        targets.append(
            [
                MISSING if part == NO_CLASS else class_map[task][int(part)]
                for task, part in zip(tasks, parts, strict=True)
            ]
        )
    if not paths:
        raise InputError(f"{path}: found no image; accepted are lines of the form 'path a,b'.")
    return ImageList(tuple(paths), np.array(targets, dtype=np.int64))
