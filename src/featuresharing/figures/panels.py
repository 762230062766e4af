"""Panels of a figure in rows and columns, with a title above and a legend below: sizes in inches, so nothing overlaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from numpy.typing import NDArray

from featuresharing.figures.style import GREY, Page

EDGE = 0.06
"""Inches that are left blank along the edges of a figure, and between its parts."""

_MEASURE = TextToPath()


def text_width(text: str, points: float, *, bold: bool = False) -> float:
    """Return how many inches a line of text is wide."""
    font = FontProperties(size=points, weight="bold" if bold else "normal")
    return float(_MEASURE.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def wrapped(text: str, inches: float, points: float, *, bold: bool = False) -> list[str]:
    """Return lines of ``text`` that are at most so many ``inches`` wide; words that are wider are cut."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer, points, bold=bold) <= inches:
            lines[-1] = longer
            continue
        lines += [word] if lines[-1] else []
        lines[-1] = lines[-1] or word
        while len(lines[-1]) > 1 and text_width(lines[-1], points, bold=bold) > inches:
            fits = next(n for n in range(len(lines[-1]) - 1, 0, -1) if n == 1 or _fits(lines[-1][:n], inches, points, bold))
            lines[-1:] = [lines[-1][:fits], lines[-1][fits:]]
    return lines


def _fits(text: str, inches: float, points: float, bold: bool) -> bool:
    return text_width(text, points, bold=bold) <= inches


def balanced(count: int, most: int) -> int:
    """Return how many columns ``count`` panels have, at most so many, with full rows where that is possible.

    >>> balanced(7, 4), balanced(7, 9)
    (4, 7)
    """
    rows = ceil(count / max(1, most))
    return ceil(count / rows)


@dataclass(frozen=True)
class Grid:
    """``rows`` and ``columns`` of panels of a ``height``, and the room around and between them, in inches."""

    rows: int
    columns: int
    height: float
    left: float
    above: float
    below: float
    beside: float = 0.1
    between: float = 0.1
    right: float = 0.12

    def width(self, page: Page) -> float:
        """Return how wide a panel is on a page."""
        return (page.inches - self.left - self.right - self.beside * (self.columns - 1)) / self.columns


def framed(
    page: Page, grid: Grid, title: str, legend: Mapping[str, Artist], *, note: str = "", **shared: bool | str
) -> tuple[Figure, NDArray[np.object_]]:
    """Return a figure with a title, panels [rows, columns] and a legend, which says what the names in it stand for.

    Its height is what these need; ``shared`` are matplotlib's ``sharex`` and ``sharey``.
    """
    figure = page.figure(1.0)
    room = page.inches - 2 * EDGE
    heads = [(line, page.large, True) for line in wrapped(title, room, page.large, bold=True)]
    heads += [(line, page.small, False) for line in (wrapped(note, room, page.small) if note else [])]
    head = EDGE + sum(page.lines(1, points) for _, points, _ in heads)
    foot = EDGE + _legend_below(figure, page, legend)
    panels = grid.above + grid.rows * grid.height + (grid.rows - 1) * grid.between + grid.below
    height = head + panels + foot
    figure.set_size_inches(page.inches, height)
    y = height - EDGE
    for line, points, bold in heads:
        options = {"fontweight": "bold"} if bold else {"color": GREY}
        figure.text(EDGE / page.inches, y / height, line, fontsize=points, ha="left", va="top", **options)
        y -= page.lines(1, points)
    axes = figure.subplots(grid.rows, grid.columns, squeeze=False, **shared)
    figure.subplots_adjust(
        left=grid.left / page.inches,
        right=1 - grid.right / page.inches,
        top=1 - (head + grid.above) / height,
        bottom=(foot + grid.below) / height,
        wspace=grid.beside / grid.width(page),
        hspace=grid.between / grid.height,
    )
    return figure, axes


def _legend_below(figure: Figure, page: Page, legend: Mapping[str, Artist]) -> float:
    """Write a legend at the bottom of a figure; return how many inches it is high."""
    if not legend:
        return 0.0
    room, handle = page.inches - 2 * EDGE, 3.2 * page.small / 72
    labels = ["\n".join(wrapped(name, room - handle, page.small)) for name in legend]
    widest = max(text_width(line, page.small) for label in labels for line in label.split("\n"))
    columns = balanced(len(labels), max(1, int((room + EDGE) / (widest + handle + 1.5 * EDGE))))
    made = figure.legend(
        list(legend.values()),
        labels,
        loc="lower center",
        ncols=columns,
        frameon=False,
        borderaxespad=0,
        borderpad=0.2,
        handlelength=2.2,
        columnspacing=1.2,
        handletextpad=0.6,
        labelspacing=0.35,
    )
    extent = made.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    return float(extent.height / figure.dpi) + EDGE


def name_ticks(axes: Axes, names: Sequence[str], page: Page, width: float) -> None:
    """Name places 0, 1, ... along x of axes that are ``width`` inches wide, upright where they do not fit side by side."""
    every = _every(names, page, width)
    shown = [name if place % every == 0 else "" for place, name in enumerate(names)]
    axes.set_xticks(range(len(names)), shown, rotation=90 if upright(names, page, width) else 0)


def upright(names: Sequence[str], page: Page, width: float) -> bool:
    """Return whether names along an axis of that ``width`` must stand upright."""
    return max(text_width(name, page.small) for name in names) + 0.06 > width / len(names)


def _every(names: Sequence[str], page: Page, width: float) -> int:
    """Return of how many names that stand upright one is written."""
    return max(1, ceil(len(names) * page.lines(1, page.small) * 0.8 / width))


def names_height(names: Sequence[str], page: Page, width: float) -> float:
    """Return how many inches names below an axis need."""
    line = page.lines(1, page.small)
    return max(text_width(name, page.small) for name in names) + line / 2 if upright(names, page, width) else line


def write_at(figure: Figure, x: float, y: float, text: str, **options: object) -> None:
    """Write text at inches from the left and from the bottom of a figure."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, **options)  # type: ignore[arg-type]
