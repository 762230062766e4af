"""Units as cells: squares in rows, or dots from the centre outwards, with numbers, and hatched if they say little."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.collections import EllipseCollection, LineCollection, PolyCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from featuresharing.colours.palettes import lightness
from featuresharing.errors import InputError
from featuresharing.figures.lettering import width_of
from featuresharing.figures.style import SMALLEST, Box
from featuresharing.settings import FigureSettings

LINE = 140
"""Grey of the lines between units."""

DENSE = 10
"""Widths of a line under which a cell has no line around it."""

HATCH = 0.13
"""Inches between two lines of a hatch."""

WHITE_ON = 55
"""Lightness under which letters on a colour are white."""


@dataclass(frozen=True)
class Cells:
    """Where units were drawn: within ``box``, as squares that fill ``blocks``, or as dots around ``middles`` [U, 2]."""

    box: Box
    blocks: Sequence[Box] = ()
    middles: NDArray[np.float64] | None = None
    radius: float = 0.0


def columns_of(units: int) -> int:
    """Choose the columns of a rectangle 0.6 to 1 times as wide as high (or nearly so), with the fewest empty cells."""

    def cost(columns: int) -> tuple[float, int, float]:
        rows = math.ceil(units / columns)
        ratio = columns / rows
        return max(0.6 - ratio, ratio - 1, 0), rows * columns - units, abs(ratio - 0.85)

    return min(range(1, math.isqrt(units) + 2), key=cost)


def draw_cells(
    figure: Figure, box: Box, colours: NDArray[np.uint8], style: FigureSettings, numbers: NDArray[np.integer] | None
) -> tuple[Cells, bool]:
    """Draw one cell a colour [U, 3] into a box, in the style's layout, with ``numbers`` [U] on them if not None.

    Returns where the cells are in the box, and whether there was room for the numbers. Raises InputError if a rectangle
    has more rows or columns than the box has pixels.
    """
    if style.layout == "sunflower":
        return draw_dots(figure, box, colours, numbers)
    columns = style.columns or columns_of(len(colours))
    cell = _largest_cell(box, len(colours), columns, style)
    taken = draw_squares(figure, (box.left, box.top), colours, columns, cell, style, middle_of=box.width)
    room = numbers is None or _write(figure, _middles(taken.box, len(colours), columns, cell), cell, numbers, colours)
    return taken, room


def _largest_cell(box: Box, units: int, columns: int, style: FigureSettings) -> float:
    """Return the side of a cell in inches: a whole number of pixels."""
    rows, line = math.ceil(units / columns), line_of(style)
    width, height = (round(style.dpi * side) - 2 * line for side in (box.width, box.height))
    cell = min(width // columns, height // rows)
    if cell < 1:
        raise InputError(
            f"columns of a unit map is {columns}, too few or too many for {units} units on {width} x {height}"
            " pixels; accepted: none, or more dpi"
        )
    return cell / style.dpi


def line_of(style: FigureSettings) -> int:
    """Return the pixels of a line between units."""
    return max(1, round(style.dpi / 150))


def draw_squares(
    figure: Figure,
    corner: tuple[float, float],
    colours: NDArray[np.uint8],
    columns: int,
    cell: float,
    style: FigureSettings,
    *,
    middle_of: float = 0,
) -> Cells:
    """Draw squares of ``cell`` inches, a whole number of pixels, row by row from an upper left ``corner`` in inches.

    Their edges are edges of pixels, so that all are equally large and flat; in vector formats they are squares too.
    In a box that is wider than they are, ``middle_of``, they stand in the middle. Returns where they are.
    """
    dpi, line, side = style.dpi, line_of(style), round(style.dpi * cell)
    rows, gap = math.ceil(len(colours) / columns), line if style.grid and side >= DENSE * line else 0
    width, height = columns * side + 2 * line - gap, rows * side + 2 * line - gap
    left = round(dpi * corner[0]) + max(0, round(dpi * middle_of) - width) // 2
    bottom = round(dpi * corner[1]) - height
    index = np.arange(len(colours))
    x, y = left + index % columns * side, bottom + height - index // columns * side
    # The lines first, around each unit: they also part a white unit from the white of the page.
    edges = _squares(x, y, side + 2 * line - gap)
    inner = _squares(x + line, y - line, side - gap)
    for squares, shades in ((edges, str(LINE / 255)), (inner, colours / 255)):
        drawn = PolyCollection(list(squares / dpi), facecolors=shades, edgecolors="none", antialiased=False, snap=False)
        drawn.set_transform(figure.dpi_scale_trans)
        figure.add_artist(drawn)
    box = Box(left / dpi, bottom / dpi, width / dpi, height / dpi)
    whole, rest = divmod(len(colours), columns)
    upper = (whole * side + 2 * line - gap) / dpi if whole else 0.0
    blocks = [box._replace(bottom=box.top - upper, height=upper)] if whole else []
    if rest:
        blocks.append(Box(box.left, box.bottom, (rest * side + 2 * line - gap) / dpi, box.height - upper))
    return Cells(box, blocks)


def _squares(x: NDArray[np.int64], y: NDArray[np.int64], side: int) -> NDArray[np.float64]:
    """Return the corners [U, 4, 2] of squares whose upper left corners are (x, y)."""
    across, down = np.array([0, side, side, 0]), np.array([0, 0, side, side])
    return np.stack([x[:, None] + across, y[:, None] - down], axis=-1).astype(np.float64)


def _middles(taken: Box, units: int, columns: int, cell: float) -> NDArray[np.float64]:
    index = np.arange(units)
    return np.stack([taken.left + (index % columns + 0.5) * cell, taken.top - (index // columns + 0.5) * cell], axis=-1)


def draw_dots(
    figure: Figure, box: Box, colours: NDArray[np.uint8], numbers: NDArray[np.integer] | None = None
) -> tuple[Cells, bool]:
    """Draw one dot a colour [U, 3] in a box, on a Vogel spiral from the centre outwards; with ``numbers`` on them.

    Returns where the dots are, and whether there was room for the numbers.
    """
    index = np.arange(len(colours))
    radius, angle = np.sqrt(index + 0.5), index * math.pi * (3 - math.sqrt(5))
    limit = math.sqrt(len(colours)) + 1
    scale = min(box.width, box.height) / (2 * limit)
    centre = np.array([box.left + box.width / 2, box.bottom + box.height / 2])
    middles = centre + scale * np.column_stack([radius * np.cos(angle), -radius * np.sin(angle)])
    diameter = np.full(len(colours), 1.54 * scale * 72)  # the smallest distance between two dots, in points
    dots = EllipseCollection(
        diameter,
        diameter,
        np.zeros(len(colours)),
        units="points",
        offsets=middles,
        offset_transform=figure.dpi_scale_trans,
        facecolors=colours / 255,
        edgecolors=str(LINE / 255),
        linewidths=min(0.6, 6 / limit),
    )
    figure.add_artist(dots)
    room = numbers is None or _write(figure, middles, 1.1 * scale, numbers, colours)
    return Cells(box, middles=middles, radius=0.77 * scale), room


def _write(
    figure: Figure,
    middles: NDArray[np.float64],
    room: float,
    numbers: NDArray[np.integer],
    colours: NDArray[np.uint8],
) -> bool:
    """Write numbers at ``middles`` [U, 2] in inches if they have ``room`` in their cells; return whether they have."""
    widest = max(map(str, numbers), key=len)
    points = min(8.0, SMALLEST * 0.85 * room / width_of(widest, SMALLEST))
    if points < SMALLEST:
        return False
    for (x, y), number, light in zip(middles, numbers, lightness(colours), strict=True):
        colour = "white" if light < WHITE_ON else "black"
        figure.text(
            x,
            y,
            str(number),
            transform=figure.dpi_scale_trans,
            fontsize=points,
            color=colour,
            ha="center",
            va="center_baseline",
        )
    return True


def hatch(figure: Figure, cells: Cells) -> None:
    """Draw slanted lines over units, and nothing but units: what they show says little."""
    box = cells.box
    # a line is where x - y is constant
    constants = np.arange(box.left - box.height + HATCH, box.right, HATCH) - box.bottom
    parts = list(_within(cells, constants))
    lines = np.concatenate(parts) if parts else np.empty((0, 4))
    for colour, wide in (("white", 1.2), ("0.25", 0.5)):  # seen on dark and on light units
        drawn = LineCollection(
            list(lines.reshape(-1, 2, 2)), colors=colour, linewidths=wide, antialiased=False, capstyle="butt"
        )
        drawn.set_transform(figure.dpi_scale_trans)
        figure.add_artist(drawn)


def _within(cells: Cells, constants: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield the parts [lines, 4] of slanted lines that are within squares or dots: both ends, x and y."""
    for block in cells.blocks:
        starts = constants + block.bottom
        lower, upper = np.maximum(starts, block.left), np.minimum(starts + block.height, block.right)
        lines = np.stack([lower, block.bottom + lower - starts, upper, block.bottom + upper - starts], axis=-1)
        yield lines[lower < upper]
    if cells.middles is not None:
        x, y = cells.middles.T
        for constant in constants:
            off = (x - y - constant) / math.sqrt(2)
            crossed = abs(off) < cells.radius
            half = np.sqrt(cells.radius**2 - off[crossed] ** 2) / math.sqrt(2)
            across, up = (x - off / math.sqrt(2))[crossed], (y + off / math.sqrt(2))[crossed]
            yield np.stack([across - half, up - half, across + half, up + half], axis=-1)
