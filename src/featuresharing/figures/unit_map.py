"""Unit maps: every unit of a layer as one cell, whose colour says how much each of two tasks, or one, relies on it."""

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.figures.style import STYLE
from featuresharing.settings import FigureSettings

SIZE = (7.2, 5.6)
"""Width and height of every unit map, in inches."""

# Left, bottom, width, height in inches.
MAP = (0.45, 0.2, 4.4, 4.6)
KEY = (5.5, 3.3, 1.5, 1.5)

# The grey of the lines between units.
LINE = 140


def brightness(multiples: NDArray[np.floating[Any]], style: FigureSettings) -> NDArray[np.float64]:
    """Map multiples of the average unit, of any shape, to brightness in [0, 1].

    They are dark at and below the first of the style's limits, bright at and above the second, and in between on a
    logarithmic or linear scale. Linear limits may start at 0, and (0, 4) suits most layers.
    """
    low, high = style.limits
    clipped = np.clip(np.asarray(multiples, np.float64), low, high)
    if style.colour_scale == "log":
        return np.asarray(np.log(clipped / low) / np.log(high / low))
    return np.asarray((clipped - low) / (high - low))


@rc_context(STYLE)
def plot_units(
    first: NDArray[np.floating[Any]],
    second: NDArray[np.floating[Any]] | None,
    *,
    first_name: str,
    second_name: str | None,
    title: str,
    note: str = "",
    style: FigureSettings,
) -> Figure:
    """Draw the contributions ``first`` and ``second`` [U] of a layer's units to two tasks, in bits.

    Red and green carry the first task and blue the second, each as a multiple of that task's mean over the U units:
    yellow units serve the first task only, blue ones the second, grey to white ones both, black ones neither. A task
    without any contribution is dark everywhere. Without a second task (None), units are grey, bright where the task
    relies on them. Sorting is by the first task (ties: the second, then the index), and
    rises from the top left to the bottom right, or towards the centre of a sunflower. Figures of one style are equally
    large, and each depends on its own arguments only.

    Raises :class:`InputError` if the contributions are not two equally long vectors of finite numbers from 0 on, or if
    a rectangle of U cells has more rows or columns than the map has pixels.
    """
    first = np.asarray(first, np.float64)
    second = first if second is None else np.asarray(second, np.float64)
    if first.ndim != 1 or first.shape != second.shape or not first.size:
        raise InputError(
            f"contributions to {first_name} and {second_name or first_name} have shapes {first.shape} and"
            f" {second.shape}; accepted: one number a unit, for the same units"
        )
    for name, contributions in ((first_name, first), (second_name or first_name, second)):
        invalid = int(np.sum(~(np.isfinite(contributions) & (contributions >= 0))))
        if invalid:
            raise InputError(f"contributions to {name} of {invalid} units are negative or not finite; accepted: >= 0")

    order = np.lexsort((second, first)) if style.sort else np.arange(first.size)
    levels = [brightness(task / (task.mean() or 1), style)[order] for task in (first, second)]
    colours = _colours(*levels)

    figure = Figure(figsize=SIZE, dpi=style.dpi, facecolor="white")
    _write(figure, 0.2, 5.4, title, 13, 6.8, fontweight="bold")
    _write(figure, 0.2, 5.07, note, 9, 6.8, color="0.3")
    if style.layout == "rectangle":
        _draw_rectangle(figure, colours, style)
        if style.sort:
            text = f"increasing contribution to {first_name} \N{RIGHTWARDS ARROW}"
            _write(figure, 0.2, MAP[1] + MAP[3], text, 9, MAP[3], color="0.3", rotation=270)
    else:
        _draw_sunflower(figure, colours[::-1] if style.sort else colours)
    _draw_key(figure, first_name, second_name, style)
    return figure


def _colours(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Put the brightness of two tasks (any equal shape) into RGB, on a new last axis."""
    return np.rint(255 * np.stack([first, first, second], axis=-1)).astype(np.uint8)


def _columns(units: int) -> int:
    """Choose the columns of a rectangle 0.6 to 1 times as wide as high (or nearly so), with the fewest empty cells."""

    def cost(columns: int) -> tuple[float, int, float]:
        rows = math.ceil(units / columns)
        ratio = columns / rows
        return max(0.6 - ratio, ratio - 1, 0), rows * columns - units, abs(ratio - 0.85)

    return min(range(1, math.isqrt(units) + 2), key=cost)


def _draw_rectangle(figure: Figure, colours: NDArray[np.uint8], style: FigureSettings) -> None:
    """Paint one square cell a colour [U, 3], pixel by pixel, so that all cells of a map are equally large and flat."""
    columns = style.columns or _columns(len(colours))
    rows = math.ceil(len(colours) / columns)
    left, bottom, width, height = (round(style.dpi * inches) for inches in MAP)
    line = max(1, round(style.dpi / 100))
    cell = min((width - 2 * line) // columns, (height - 2 * line) // rows)
    if cell < 1:
        raise InputError(
            f"columns of a unit map is {columns}, too few or too many for {len(colours)} units on {width} x {height}"
            " pixels; accepted: none, or more dpi"
        )
    gap = line if style.grid and cell >= 10 * line else 0
    pixels = np.full((rows * cell + 2 * line - gap, columns * cell + 2 * line - gap, 3), 255, np.uint8)
    corners = [(index // columns * cell, index % columns * cell) for index in range(len(colours))]
    # The lines first, around each unit: they also part a white unit from the white of the page.
    for y, x in corners:
        pixels[y : y + cell + 2 * line - gap, x : x + cell + 2 * line - gap] = LINE
    for (y, x), colour in zip(corners, colours, strict=True):
        pixels[y + line : y + line + cell - gap, x + line : x + line + cell - gap] = colour
    spare_x, spare_y = width - pixels.shape[1], height - pixels.shape[0]
    figure.figimage(pixels, left + spare_x // 2, bottom + spare_y, origin="upper")


def _draw_sunflower(figure: Figure, colours: NDArray[np.uint8]) -> None:
    """Draw one dot a colour [U, 3], on a Vogel spiral from the centre outwards."""
    index = np.arange(len(colours))
    radius, angle = np.sqrt(index + 0.5), index * math.pi * (3 - math.sqrt(5))
    limit = math.sqrt(len(colours)) + 1
    axes = figure.add_axes((MAP[0] / SIZE[0], MAP[1] / SIZE[1], MAP[2] / SIZE[0], MAP[3] / SIZE[1]))
    axes.set_axis_off()
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    diameter = np.full(len(colours), 1.54)  # the smallest distance between two dots
    dots = EllipseCollection(
        diameter,
        diameter,
        np.zeros(len(colours)),
        units="x",
        offsets=np.column_stack([radius * np.cos(angle), -radius * np.sin(angle)]),
        offset_transform=axes.transData,
        facecolors=colours / 255,
        edgecolors=str(LINE / 255),
        linewidths=min(0.8, 8 / limit),
    )
    axes.add_collection(dots, autolim=False)


def _draw_key(figure: Figure, first_name: str, second_name: str | None, style: FigureSettings) -> None:
    """Draw the colour key, a square with the tasks as axes or a strip for one, and how to read the map below it."""
    low, high = style.limits
    ticks = {low: f"\N{LESS-THAN OR EQUAL TO}{_multiple(low)}" if low else "0", 1: "1"}
    ticks[high] = f"\N{GREATER-THAN OR EQUAL TO}{_multiple(high)}"
    places = brightness(np.array(list(ticks)), style)
    # Steps rather than a gradient: few enough colours for the palette of an animation, and cells as in the map.
    level = np.linspace(0, 1, 9)
    height = KEY[3] if second_name else KEY[3] / 5
    axes = figure.add_axes((KEY[0] / SIZE[0], (KEY[1] + KEY[3] - height) / SIZE[1], KEY[2] / SIZE[0], height / SIZE[1]))
    extent = (-1 / 16, 17 / 16, -1 / 16, 17 / 16)
    shades = np.meshgrid(level, level) if second_name else [level[None], level[None]]
    axes.imshow(_colours(*shades), origin="lower", extent=extent, interpolation="nearest", aspect="auto")
    axes.set_xticks(places, list(ticks.values()), fontsize=8)
    axes.set_xlabel(first_name, fontsize=_fit(first_name, 9, KEY[2]), fontweight="bold")
    if second_name:
        axes.set_yticks(places, list(ticks.values()), fontsize=8)
        axes.set_ylabel(second_name, fontsize=_fit(second_name, 9, KEY[2]), fontweight="bold")
        _name_corners(axes, first_name, second_name)
    else:
        axes.set_yticks([])
    _explain(figure, first_name, style, "each task relies" if second_name else f"{first_name} relies")


def _name_corners(axes: Axes, first_name: str, second_name: str) -> None:
    corners = {
        (0, 0): ("neither", "white"),
        (1, 0): ("only\n" + textwrap.fill(first_name, 11), "black"),
        (0, 1): ("only\n" + textwrap.fill(second_name, 11), "white"),
        (1, 1): ("both", "black"),
    }
    for (x, y), (text, colour) in corners.items():
        axes.text(
            x,
            y,
            text,
            color=colour,
            fontsize=8.5,
            ha="right" if x else "left",
            va="top" if y else "bottom",
        )


def _explain(figure: Figure, first_name: str, style: FigureSettings, relying: str) -> None:
    """Write how to read the map."""
    shape, start, end = ("square", "top left", "bottom right")
    if style.layout == "sunflower":
        shape, start, end = ("dot", "centre", "edge")
    order = f"In the order of their index, from {start} to {end}."
    if style.sort:
        low_end, high_end = (start, end) if shape == "square" else (end, start)
        order = f"Sorted by contribution to {first_name}: lowest at the {low_end}, highest at the {high_end}."
    paragraphs = (
        f"Each {shape} is one unit (a filter or a row of weights).",
        f"Its colour says how much {relying} on it. In the key, 1 is the layer's average unit.",
        order,
    )
    text = "\n\n".join(textwrap.fill(paragraph, 30) for paragraph in paragraphs)
    _write(figure, 5.05, 2.6, text, 9, 2.1, color="0.2", linespacing=1.3)


def _multiple(value: float) -> str:
    """Format a multiple of the average unit, small ones as 1/16."""
    inverse = 1 / value
    return f"1/{inverse:.0f}" if inverse > 1.5 and abs(inverse - round(inverse)) < 1e-6 else f"{value:g}"


def _fit(text: str, points: float, inches: float) -> float:
    """Return the font size, at most ``points``, that fits the longest line; a letter is 0.6 as wide as high."""
    longest = max(map(len, text.split("\n")))
    return min(points, 72 * inches / (0.6 * max(1, longest)))


def _write(figure: Figure, x: float, y: float, text: str, points: float, inches: float, **options: Any) -> None:
    """Write ``text`` with its top left corner at (x, y) inches, small enough to be at most ``inches`` long."""
    figure.text(x / SIZE[0], y / SIZE[1], text, fontsize=_fit(text, points, inches), ha="left", va="top", **options)
