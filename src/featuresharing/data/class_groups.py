"""Groups of classes: tasks that are the images of some classes of one head, such as faces and cars."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featuresharing.arguments import is_whole, kind_of
from featuresharing.data.lists import MISSING
from featuresharing.data.texts import read_lines
from featuresharing.errors import InputError

Group = Sequence[int | str] | Path
"""Classes by number or name, or a file with one a line."""


def read_group(given: Group, names: Sequence[str], *, what: str = "group") -> tuple[int, ...]:
    """Return the numbers of a group's classes in rising order; ``names`` are those of all classes of the head.

    A text is the name of a class, or else its number. Raises InputError, which begins with ``what`` or the place in the
    file, for a class that is not there or stands there twice, and for none.

    >>> read_group(["face", 0], ["owl", "car", "face"])
    (0, 2)
    """
    if isinstance(given, Path):
        listed: list[tuple[str, int | str]] = [
            (f"{given}, line {number}", line.strip()) for number, line in read_lines(given, "group of classes")
        ]
    elif isinstance(given, str) or not isinstance(given, Sequence):
        raise InputError(f"{what}: found {kind_of(given)}; accepted is a list of classes, or a file with one a line.")
    else:
        listed = [(what, each) for each in given]
    found: list[int] = []
    for place, each in listed:
        number = _number(place, each, names)
        if number in found:
            raise InputError(f"{place}: found class '{each}' twice; accepted is each class once.")
        found.append(number)
    if not found:
        raise InputError(f"{given if isinstance(given, Path) else what}: found no class; accepted is at least one.")
    return tuple(sorted(found))


def _number(place: str, given: int | str, names: Sequence[str]) -> int:
    if isinstance(given, str) and given in names:
        return names.index(given)
    text = str(given)
    if (is_whole(given) or (isinstance(given, str) and text.isdecimal() and len(text) < 10)) and int(text) in range(
        len(names)
    ):
        return int(text)
    near = get_close_matches(text, names, n=1)
    meant = f", such as '{near[0]}'" if near else ""
    raise InputError(f"{place}: found class '{given}'; accepted are 0 to {len(names) - 1}, or names{meant}.")


def group_targets(truth: NDArray[np.int64], groups: Mapping[str, Sequence[int]]) -> NDArray[np.int64]:
    """Return true classes int64 [N, groups]: those of ``truth`` [N] in each group, and MISSING outside of it.

    Groups may overlap: an image of a class that is in two is of both tasks. One of no group is of no task.

    >>> group_targets(np.array([4, 0, 7]), {"faces": [0, 4], "cars": [7]}).tolist()
    [[4, -1], [0, -1], [-1, 7]]
    """
    columns = [np.where(np.isin(truth, list(classes)), truth, MISSING) for classes in groups.values()]
    return np.stack(columns, axis=1).astype(np.int64)
