"""Layers side by side: how many columns each has, and how large cells can be that are the same in all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from featuresharing.errors import InputError

COLUMNS = 8
"""Columns of a layer that has no more rows than others; the published figures have as many in all layers."""

CANDIDATES = 150
"""Numbers of rows that are tried."""


@dataclass(frozen=True)
class Shelves:
    """Where layers are, in pixels: the side of a ``cell``, and by layer its columns and upper left corner.

    Corners (x, y) count from the upper left of the whole, which is ``height`` high; labels are right above them.
    """

    cell: int
    columns: tuple[int, ...]
    corners: tuple[tuple[int, int], ...]
    height: int


def pack(
    units: Sequence[int], labels: Sequence[int], *, width: int, height: int, gap: int, label: int, largest: int
) -> Shelves:
    """Place layers with so many ``units`` on shelves, side by side in their order, with cells as large as possible.

    ``labels`` are the widths of their names, ``label`` is the height of one and ``gap`` parts layers and shelves; cells
    have at most ``largest`` pixels a side. Raises InputError if not even cells of one pixel have room.
    """
    most = max(units)
    best: Shelves | None = None
    for rows in np.unique(np.geomspace(1, most, CANDIDATES).round().astype(int)):
        columns = [max(min(COLUMNS, count), ceil(count / int(rows))) for count in units]
        low, high = best.cell - 1 if best else 0, largest
        while low < high:  # the largest cell that fits, unless it is smaller than the best so far; more rows win
            cell = (low + high + 1) // 2
            placed = _place(units, columns, labels, cell, width, gap, label)
            if placed and placed.height <= height:
                low, best = cell, placed
            else:
                high = cell - 1
    if best is None:
        raise InputError(
            f"{len(units)} layers of {sum(units)} units have no room on {width} x {height} pixels; accepted is a larger"
            " width or more dpi."
        )
    return best


def _place(
    units: Sequence[int], columns: Sequence[int], labels: Sequence[int], cell: int, width: int, gap: int, label: int
) -> Shelves | None:
    """Place layers one beside the other, on a new shelf where there is no room; None if one is too wide."""
    corners: list[tuple[int, int]] = []
    x = y = lowest = 0
    for count, wide, name in zip(units, columns, labels, strict=True):
        taken = max(wide * cell, name)
        if taken > width:
            return None
        if x and x + taken > width:
            x, y = 0, lowest + gap
        corners.append((x, y + label))
        lowest = max(lowest, y + label + ceil(count / wide) * cell)
        x += taken + gap
    return Shelves(cell, tuple(columns), tuple(corners), lowest)
