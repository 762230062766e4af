"""Panels in rows and columns, with a title above and a legend below: their sizes are in inches, so nothing overlaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from numpy.typing import NDArray

from featuresharing.figures.lettering import width_of, wrap
from featuresharing.figures.style import GREY, Page

EDGE = 0.06
"""Inches that are left blank along the edges of a figure, and between its parts."""

NUMBERS = 0.08
"""Inches between a panel and its numbers, where marks are, and beyond these."""


def beside_numbers(page: Page, longest: str) -> float:
    """Return the inches to the left of a panel that a label and numbers as long as the ``longest`` need."""
    return EDGE + page.lines(1) + width_of(longest, page.small) + NUMBERS


def below_numbers(page: Page) -> float:
    """Return the inches below a panel that numbers need."""
    return page.lines(1, page.small) + NUMBERS


def balanced(count: int, most: int) -> int:
    """Return how many columns ``count`` panels have, at most so many, with full rows where that is possible.

    >>> balanced(7, 4), balanced(7, 9)
    (4, 7)
    """
    rows = ceil(count / max(1, most))
    return ceil(count / rows)


@dataclass(frozen=True)
class Grid:
    """``rows`` and ``columns`` of panels of a ``height``, and the room around and between them, in inches.

    There is as much ``between`` all rows, or so much below each but the last.
    """

    rows: int
    columns: int
    height: float
    left: float
    above: float
    below: float
    beside: float = 0.1
    between: float | Sequence[float] = 0.1
    right: float = 0.12

    def width(self, page: Page) -> float:
        """Return how wide a panel is on a page."""
        return (page.inches - self.left - self.right - self.beside * (self.columns - 1)) / self.columns

    def gaps(self) -> list[float]:
        """Return the room above each row but the first, which has 0."""
        between = self.between if isinstance(self.between, Sequence) else [self.between] * (self.rows - 1)
        return [0.0, *between]


def framed(
    page: Page, grid: Grid, title: str, legends: Sequence[Mapping[str, Artist]], *, note: str = "", **shared: Any
) -> tuple[Figure, NDArray[Any]]:
    """Return a figure with a title, panels [rows, columns] and legends, each of which says what its names stand for.

    Its height is what these need; ``shared`` are matplotlib's ``sharex`` and ``sharey``.
    """
    figure = page.figure(1.0)
    room = page.inches - 2 * EDGE
    heads = [(line, page.large, True) for line in wrap(title, page.large, room, bold=True).split("\n")]
    heads += [(line, page.small, False) for line in (wrap(note, page.small, room).split("\n") if note else [])]
    head = EDGE + sum(page.lines(1, points) for _, points, _ in heads)
    foot = EDGE
    made = []
    for legend in [each for each in legends if each][::-1]:
        made.append((_legend(figure, page, legend), foot))
        foot += _height(figure, made[-1][0])
    gaps = grid.gaps()
    height = head + grid.above + grid.rows * grid.height + sum(gaps[1:]) + grid.below + foot + EDGE
    figure.set_size_inches(page.inches, height)
    for each, bottom in made:
        each.set_bbox_to_anchor((0, bottom / height, 1, 1))
    y = height - EDGE
    for line, points, bold in heads:
        options: dict[str, Any] = {"fontweight": "bold"} if bold else {"color": GREY}
        figure.text(EDGE / page.inches, y / height, line, fontsize=points, ha="left", va="top", **options)
        y -= page.lines(1, points)
    axes = figure.subplots(grid.rows, grid.columns, squeeze=False, **shared)
    width, bottom = grid.width(page), height - head - grid.above + gaps[0]
    for row, gap in zip(axes, gaps, strict=True):
        bottom -= gap + grid.height
        for column, each in enumerate(row):
            left = grid.left + column * (width + grid.beside)
            each.set_position((left / page.inches, bottom / height, width / page.inches, grid.height / height))
    return figure, axes


def _legend(figure: Figure, page: Page, legend: Mapping[str, Artist]) -> Legend:
    """Write a legend into a figure, in as many columns as fit."""
    room, handle = page.inches - 2 * EDGE, 3.2 * page.small / 72
    labels = [wrap(name, page.small, room - handle) for name in legend]
    widest = max(width_of(line, page.small) for label in labels for line in label.split("\n"))
    columns = balanced(len(labels), max(1, int((room + EDGE) / (widest + handle + 1.5 * EDGE))))
    return figure.legend(
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


def _height(figure: Figure, legend: Legend) -> float:
    """Return how many inches a legend is high."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    return float(legend.get_window_extent(renderer).height / figure.dpi)


def name_ticks(axes: Axes, names: Sequence[str], page: Page, width: float) -> None:
    """Name places 0, 1, ... along x of axes that are ``width`` inches wide, upright where they do not fit otherwise."""
    every = _every(names, page, width)
    shown = [name if place % every == 0 else "" for place, name in enumerate(names)]
    axes.set_xticks(range(len(names)), shown, rotation=90 if upright(names, page, width) else 0)


def upright(names: Sequence[str], page: Page, width: float) -> bool:
    """Return whether names along an axis of that ``width`` must stand upright."""
    return max(width_of(name, page.small) for name in names) + 0.06 > width / len(names)


def _every(names: Sequence[str], page: Page, width: float) -> int:
    """Return of how many names that stand upright one is written."""
    return max(1, ceil(len(names) * page.lines(1, page.small) * 0.8 / width))


def names_height(names: Sequence[str], page: Page, width: float) -> float:
    """Return how many inches names below an axis need."""
    if upright(names, page, width):
        return max(width_of(name, page.small) for name in names) + NUMBERS
    return below_numbers(page)


def said(page: Page, sentence: str) -> Figure:
    """Return a figure that says a sentence, where there is nothing to draw."""
    figure = page.figure(0.3 * page.inches)
    figure.text(0.5, 0.5, sentence, ha="center", va="center", color=GREY)
    return figure


def write_at(figure: Figure, x: float, y: float, text: str, **options: Any) -> None:
    """Write text at inches from the left and from the bottom of a figure."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, **options)
