"""Contributions to one task against those to another: a panel a layer, a row or more a pair of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from featuresharing.errors import InputError
from featuresharing.figures.arrangement import EDGE, write_line, write_lines
from featuresharing.figures.lettering import shorten, width_of, wrap
from featuresharing.figures.panels import said
from featuresharing.figures.style import GREY, SCREEN, Box, Page
from featuresharing.figures.unit_map import Pair

ROOMY, TIGHT = 1.35, 0.95
"""Least inches of a panel of one pair, and of one of several, whose layers should stand in one row."""

DECADES = 3
"""Powers of ten below that of the largest contribution that are shown; what is less, zero included, is on the edge."""

BETWEEN = 0.12
"""Inches between panels."""

MARGIN = 1.4
"""Factor by which axes reach beyond what they show."""

EDGE_AT = 0.6
"""Decades below the smallest shown contribution at which those stand that are less."""


@dataclass(frozen=True)
class _Scale:
    """Axes that all panels share: from 10 ** ``low`` to ``most``, and the edge for what is ``less`` below them."""

    low: int
    most: float
    less: bool

    @property
    def high(self) -> int:
        """The largest power of ten that is shown."""
        return floor(log10(self.most))

    @property
    def edge(self) -> float:
        return float(10 ** (self.low - EDGE_AT))

    @property
    def limits(self) -> tuple[float, float]:
        return (self.edge if self.less else 10.0**self.low) / MARGIN, self.most * MARGIN

    @classmethod
    def of(cls, values: np.ndarray) -> "_Scale":
        positive = values[values > 0]
        if not len(positive):
            return cls(-1, 1.0, True)
        high = floor(log10(positive.max()))
        low = min(max(high - DECADES, floor(log10(positive.min()))), high - 1)
        return cls(low, float(positive.max()), bool((values < 10.0**low).any()))


def plot_tasks(
    layers: Mapping[str, Sequence[Pair]],
    *,
    title: str = "What units contribute to two tasks",
    unit: str = "bits",
    page: Page = SCREEN,
) -> Figure:
    """Draw what every unit contributes to two tasks, one against the other: a panel a layer for each pair of tasks.

    ``layers`` have the same pairs of tasks by the name of each layer. All axes are equal and logarithmic; units that
    contribute nothing, or less than the axes show, stand on their lower edge. Layers with a task near zero are grey,
    with hollow dots. Without any pair of two tasks, the figure says so.

    Raises InputError for no layers, and for contributions that are no finite numbers from 0 on.
    """
    if not layers:
        raise InputError("a figure of contributions has no layers; accepted: at least one")
    checked = {
        name: [pair.checked(np.arange(np.size(pair.first))) for pair in pairs if pair.second is not None]
        for name, pairs in layers.items()
    }
    with page.drawing():
        if not next(iter(checked.values())):
            return said(page, "One task: there is nothing to compare.")
        return _plot(checked, title, unit, page)


def _plot(layers: Mapping[str, Sequence[Pair]], title: str, unit: str, page: Page) -> Figure:
    pairs = list(zip(*layers.values(), strict=True))
    scale = _Scale.of(np.concatenate([v for row in pairs for pair in row for v in (pair.first, pair.second)]))
    wide = page.inches - 2 * EDGE
    numbers = max(width_of(_number(10.0**power), page.small) for power in range(scale.low, scale.high + 1))
    left, below, above = page.lines(1.3) + numbers + 0.08, page.lines(3.2), page.lines(1.2) + 0.1
    least = ROOMY if len(pairs) == 1 else TIGHT
    columns = min(len(layers), max(1, int((wide - left) / least)))
    rows = ceil(len(layers) / columns)
    columns = ceil(len(layers) / rows)
    step = min((wide - left) / columns, 2.4)
    side = step - BETWEEN
    words = _words(scale, unit, any(pair.near_zero for row in pairs for pair in row))
    said = wrap(words, page.small, wide).count("\n") + 1
    heading = wrap(title, page.large, wide, bold=True)
    titled = page.lines(heading.count("\n") + 1.2, page.large)
    head = titled + page.lines(said + 0.4, page.small)
    block = rows * (side + above) + below
    figure = page.figure(head + len(pairs) * block + 2 * EDGE)
    height = figure.get_size_inches()[1]
    top = height - EDGE - titled
    write_lines(figure, Box(EDGE, top, wide, titled), heading, page.large, fontweight="bold")
    write_lines(
        figure,
        Box(EDGE, top - page.lines(said, page.small), wide, page.lines(said, page.small)),
        words,
        page.small,
        color=GREY,
    )
    for number, row in enumerate(pairs):
        start = height - EDGE - head - number * block
        for index, (name, pair) in enumerate(zip(layers, row, strict=True)):
            across, down = index % columns, index // columns
            box = Box(EDGE + left + across * step, start - down * (side + above) - above - side, side, side)
            axes = figure.add_axes(box.within(figure))
            _draw_panel(axes, pair, scale, page)
            lowest = index + columns >= len(layers)
            axes.tick_params(labelleft=across == 0, labelbottom=lowest)
            title_box = Box(box.left, box.top, side, page.lines(1.2))
            _title(figure, title_box, name, len(pair.first), page)
        taken = left + columns * step - BETWEEN
        _name_axes(figure, row[0], Box(EDGE, start - block + below, taken, rows * (side + above)), left, unit, page)
    return figure


def _draw_panel(axes: Axes, pair: Pair, scale: _Scale, page: Page) -> None:
    assert pair.second is not None
    smallest = 10.0**scale.low
    x, y = (np.where(values < smallest, scale.edge, values) for values in (pair.first, pair.second))
    low, high = scale.limits
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    axes.plot([smallest, scale.most], [smallest, scale.most], color="0.6", linewidth=0.6, zorder=1)
    size = float(np.clip(40 / np.sqrt(len(x)), 1.2, 3.5))
    faces = "none" if pair.near_zero else "0.15"
    alpha = 1.0 if len(x) <= 64 else 0.6 if len(x) <= 600 else 0.3
    axes.plot(
        x,
        y,
        linestyle="none",
        marker="o",
        markersize=size,
        markerfacecolor=faces,
        markeredgecolor="0.15" if pair.near_zero else "none",
        markeredgewidth=0.4,
        alpha=alpha,
        clip_on=False,
        zorder=2,
    )
    if pair.near_zero:
        axes.set_facecolor("0.92")
    every = 2 if axes.get_position().width * axes.figure.get_figwidth() < 1.3 else 1  # type: ignore[union-attr]
    shown = [10.0**power for power in range(scale.low, scale.high + 1)][::-every]
    places = [scale.edge, *shown] if scale.less else shown
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(places))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: "<" if value < smallest else _number(value)))
    page.tidy(axes)


def _number(value: float) -> str:
    """Return a power of ten as axes have it, short ones in full."""
    return f"{value:g}" if 1e-3 <= value < 1e4 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")


def _title(figure: Figure, box: Box, name: str, units: int, page: Page) -> None:
    count = f"{units:,} units" if units > 1 else "1 unit"
    write_line(figure, Box(box.left, box.bottom, 0.5 * box.width, box.height), name, page.font_size, fontweight="bold")
    points = page.small
    shown = shorten(count, points, 0.48 * box.width)
    figure.text(
        box.right, box.top, shown, ha="right", va="top", fontsize=points, color=GREY, transform=figure.dpi_scale_trans
    )


def _name_axes(figure: Figure, pair: Pair, box: Box, left: float, unit: str, page: Page) -> None:
    """Write what the axes of a pair's panels are, left of them and below."""
    names = [f"contribution to {name} ({unit})" if unit else f"contribution to {name}" for name in pair.names]
    middle = (box.left + left + box.right) / 2
    options: dict[str, Any] = {"transform": figure.dpi_scale_trans, "fontsize": page.font_size, "ha": "center"}
    first = shorten(names[0], page.font_size, box.width - left)
    second = shorten(names[1], page.font_size, box.height)
    figure.text(middle, box.bottom - page.lines(1.5), first, va="top", **options)
    figure.text(box.left, box.bottom + box.height / 2, second, va="center", rotation=90, **options | {"ha": "left"})


def _words(scale: _Scale, unit: str, low: bool) -> str:
    words = "Each dot is one unit; on the line it contributes as much to both tasks. Axes are logarithmic"
    less = _number(10.0**scale.low)
    words += f", with units below {less} {unit}, zero included, at <." if scale.less else "."
    return words + (" Grey panels with hollow dots: near zero, which says little." if low else "")
