"""The key of a unit map: a square with two tasks as its axes, or a strip for one, and what it says in words."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from featuresharing.colours.palettes import brightness, colours, lightness
from featuresharing.figures.lettering import fit, shorten, width_of, wrap
from featuresharing.figures.style import SMALLEST, Box, Page
from featuresharing.figures.unit_cells import WHITE_ON
from featuresharing.settings import FigureSettings

STEPS = 9
"""Shades along a side: few enough for the palette of an animation, and cells as in the map."""

STRIP = 0.2
"""Height of the strip for one task, as a part of its width."""

AT_MOST, AT_LEAST = "\N{LESS-THAN OR EQUAL TO}", "\N{GREATER-THAN OR EQUAL TO}"


def ticks_of(style: FigureSettings) -> dict[float, str]:
    """Return multiples of the average unit that the key names, with what it calls them.

    On the log scale they are the limits and 1; on the linear one, round numbers between the limits too.
    """
    low, high = style.darkest_and_brightest
    values = [1.0]
    if style.colour_scale == "linear":
        values += [value for value in MaxNLocator(4).tick_values(low, high) if low < value < high]
    named = {value: _multiple(value) for value in sorted(set(values))}
    return {low: f"{AT_MOST}{_multiple(low)}" if low else "0"} | named | {high: f"{AT_LEAST}{_multiple(high)}"}


def _multiple(value: float) -> str:
    """Format a multiple of the average unit, small ones as 1/16."""
    inverse = 1 / value
    return f"1/{inverse:.0f}" if inverse > 1.5 and abs(inverse - round(inverse)) < 1e-6 else f"{value:g}"


def margins_of(page: Page) -> tuple[float, float]:
    """Return the inches that numbers and names take left of a key and below it."""
    return page.lines(1) + page.lines(2.2, page.small), page.lines(1.1) + page.lines(1, page.small)


def draw_key(figure: Figure, box: Box, names: tuple[str, str | None], style: FigureSettings, page: Page) -> None:
    """Draw the key of the tasks ``names`` (the second None: of one task) into a box; its numbers stand outside."""
    first, second = names
    if second is None:
        box = Box(box.left, box.top - STRIP * box.width, box.width, STRIP * box.width)
    axes = figure.add_axes(box.within(figure))
    level = np.linspace(0, 1, STEPS)
    shades = np.meshgrid(level, level) if second is not None else [level[None], level[None]]
    edge = 0.5 / (STEPS - 1)
    extent = (-edge, 1 + edge, -edge, 1 + edge)
    shown = colours(style.palette, *shades)
    axes.imshow(shown, origin="lower", extent=extent, interpolation="nearest", aspect="auto")
    ticks = ticks_of(style)
    places = brightness(np.array(list(ticks)), style)
    axes.set_xticks(places, list(ticks.values()))
    _label(axes.set_xlabel, first, box.width, page)
    if second is None:
        axes.set_yticks([])
    else:
        axes.set_yticks(places, list(ticks.values()))
        _label(axes.set_ylabel, second, box.width, page)
        _name_corners(axes, (first, second), shown, box.width, page)
    axes.tick_params(labelsize=page.small, pad=1.5, length=2)


def _label(write: "object", name: str, inches: float, page: Page) -> None:
    points = fit(name, page.font_size, 1.3 * inches, bold=True)
    shown = shorten(name, points, 1.3 * inches, bold=True)
    write(shown, fontsize=points, fontweight="bold", labelpad=1)  # type: ignore[operator]


def _name_corners(axes: Axes, names: tuple[str, str], shown: NDArray[np.uint8], inches: float, page: Page) -> None:
    """Write into the corners of a key what units there do."""
    points = page.small if inches > 1.3 else SMALLEST
    # beside each stands a short word: a name may reach beyond the middle, and no further than its own shades
    beside = [width_of(word, points) + 0.09 for word in ("neither", "both")]
    room = [min(0.6 * inches, inches - taken) for taken in beside]
    only = ["only\n" + wrap(name, points, wide, most=2) for name, wide in zip(names, room, strict=True)]
    for (x, y), text in {(0, 0): "neither", (1, 0): only[0], (0, 1): only[1], (1, 1): "both"}.items():
        light = float(lightness(shown[-y, -x]))
        axes.text(
            x,
            y,
            text,
            color="white" if light < WHITE_ON else "black",
            fontsize=points,
            linespacing=1.1,
            ha="right" if x else "left",
            va="top" if y else "bottom",
        )


def explanation(layout: str, names: tuple[str, str | None], sorting: str) -> tuple[str, ...]:
    """Return sentences on how to read a map; ``sorting`` says by what units are sorted (blank: they are not)."""
    shape, start, end = ("dot", "centre", "edge") if layout == "sunflower" else ("square", "top left", "bottom right")
    relying = f"{names[0]} relies" if names[1] is None else "each task relies"
    order = f"In the order of their index, from {start} to {end}."
    if sorting:
        low_end, high_end = (end, start) if layout == "sunflower" else (start, end)
        order = f"Sorted by contribution to {sorting}: lowest at the {low_end}, highest at the {high_end}."
    return (
        f"Each {shape} is one unit (a filter or a row of weights).",
        f"Its colour says how much {relying} on it. In the key, 1 is the layer's average unit.",
        order,
    )
