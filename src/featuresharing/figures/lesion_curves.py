"""Curves of lesions: accuracy against how many units of a layer are removed, beside random orders and chance."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from featuresharing.colours.task_colours import DOTS, Look, looks_of
from featuresharing.errors import InputError
from featuresharing.figures.lettering import shorten, width_of
from featuresharing.figures.panels import EDGE, Grid, balanced, below_numbers, beside_numbers, framed, write_at
from featuresharing.figures.style import SCREEN, Page
from featuresharing.settings import LesionSettings

if TYPE_CHECKING:
    from pandas import DataFrame

PANEL = 0.66
"""The least width of a panel, in inches."""

SIDES: tuple[Literal["left", "center", "right"], ...] = ("left", "center", "right")
"""Where the numbers below a panel stand, so that those of two panels do not touch."""

STEP = 0.08
"""Distance of the rows of marks above a panel, in shares of accuracy."""


def plot_lesions(
    curves: "DataFrame",
    *,
    title: str | None = None,
    tasks: Sequence[str] = (),
    threshold: float = LesionSettings.threshold,
    page: Page = SCREEN,
) -> Figure:
    """Draw accuracy against the fraction of units removed: a block of rows for each order, a panel for each layer.

    ``curves`` is a frame of :data:`.columns.LESIONS` of one experiment and checkpoint. Lines are the tasks, whose
    colours are theirs among ``tasks``; bands hold 95 % of the random orders, dotted lines are chance, and dots above
    mark corrected p-values of at most ``threshold``. Of several replicates, lines and bands are means, thin lines the
    single networks, and dots mark where every network differs in the same direction. Layers and orders stand as they
    first appear. Raises InputError if there are none.
    """
    if curves.empty:
        raise InputError("a figure of lesions has no points; accepted: at least one")
    layers, orders, shown = (list(curves[name].unique()) for name in ("layer", "order", "task"))
    looks = {task: look for task, look in looks_of([*tasks, *shown]).items() if task in shown}
    several = curves["replicate"].nunique() > 1
    with page.drawing():
        legends = _legends(looks, several, threshold)
        blocks, figure, width = _frame(layers, orders, legends, title or _title(curves), page)
        for (order, layer), axes in blocks.items():
            panel = curves[(curves["layer"] == layer) & (curves["order"] == order)]
            for height, (task, look) in enumerate(looks.items()):
                _draw_task(axes, panel[panel["task"] == task], look, 1.04 + STEP * (height + 1), threshold)
            axes.set(xlim=(0, 1), ylim=(0, 1.06 + STEP * (len(shown) + 0.5)))
            axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
            for tick, side in zip(axes.xaxis.get_major_ticks(), SIDES, strict=True):
                tick.label1.set_horizontalalignment(side)
            axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.grid(color="0.92")
            page.tidy(axes)
            axes.set_title(shorten(layer, page.font_size, width))
        return figure


def _frame(
    layers: Sequence[str], orders: Sequence[str], legends: Sequence[Mapping[str, Any]], title: str, page: Page
) -> tuple[dict[tuple[str, str], Axes], Figure, float]:
    """Return the panels of each order and layer, the figure, and the width of a panel."""
    left, beside = beside_numbers(page, ".5"), 0.09
    columns = balanced(len(layers), int((page.inches - left) / (PANEL + beside)))
    wraps = -(-len(layers) // columns)
    names, ticks = page.lines(1.1), below_numbers(page)
    above = names + page.lines(1.6)
    between = [ticks + (above if row % wraps == 0 else names) for row in range(1, wraps * len(orders))]
    grid = Grid(wraps * len(orders), columns, 0.82, left, above, ticks + page.lines(1.2), beside, between)
    grid = replace(grid, height=max(grid.height, 0.8 * grid.width(page)))
    figure, panels = framed(page, grid, title, legends, sharey=True)
    height = figure.get_size_inches()[1]
    blocks: dict[tuple[str, str], Axes] = {}
    for block, order in enumerate(orders):
        rows = panels[block * wraps : (block + 1) * wraps]
        blocks |= {(order, layer): axes for layer, axes in zip(layers, rows.flat, strict=False)}
        top = rows[0][0].get_position().y1 * height + above - page.lines(0.3)
        room = page.inches - 2 * EDGE
        line = f"Units removed first: those that {order} relies on most"
        if width_of(line, page.font_size, bold=True) > room:
            line = shorten(f"Units of {order} removed first", page.font_size, room, bold=True)
        write_at(figure, EDGE, top, line, va="top", fontweight="bold", color="0.25")
        _hide(rows, len(layers))
        for row in rows:
            row[0].set_ylabel("Accuracy")
    below = min(axes.get_position().y0 for axes in panels.flat) * height - ticks
    name = "Fraction of the layer's units removed"
    write_at(figure, page.inches / 2, below, name, va="top", ha="center")
    return blocks, figure, grid.width(page)


def _hide(rows: "NDArray[Any]", used: int) -> None:
    """Hide the panels of a block that are not used, and number those that have none below them."""
    for axes in rows.flat[used:]:
        axes.set_visible(False)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        for column, axes in enumerate(row):
            axes.tick_params(labelbottom=following is None or not following[column].get_visible())


def _title(curves: "DataFrame") -> str:
    first = curves.iloc[0]
    return f"{first['experiment']}, checkpoint {first['checkpoint']}: accuracy without a layer's most relied-on units"


def _draw_task(axes: Axes, curves: "DataFrame", look: Look, height: float, threshold: float) -> None:
    """Draw the curve of a task, the band of random orders, chance, and marks of what differs at a ``height``."""
    networks = [each.sort_values("fraction", kind="stable") for _, each in curves.groupby("replicate")]
    means = curves.groupby("fraction")[["accuracy", "random_low", "random_high", "chance"]].mean()
    x = means.index.to_numpy()
    axes.fill_between(x, means["random_low"], means["random_high"], color=look.colour, alpha=0.2, linewidth=0)
    if len(networks) > 1:
        for each in networks:
            axes.plot(each["fraction"], each["accuracy"], color=look.colour, linewidth=0.35, alpha=0.7)
    axes.axhline(means["chance"].mean(), color=look.colour, linestyle=DOTS, linewidth=0.8)
    axes.plot(x, means["accuracy"].to_numpy(), color=look.colour, linestyle=look.dashes, linewidth=1.2, clip_on=False)
    marked = _differs(curves, threshold)
    marks: dict[str, Any] = {"markersize": 1.9, "markeredgewidth": 0, "clip_on": False}
    axes.plot(marked, [height] * len(marked), look.marker, color=look.colour, **marks)


def _differs(curves: "DataFrame", threshold: float) -> "NDArray[Any]":
    """Return the fractions at which every network differs from its random orders, all in the same direction."""
    side = (curves["accuracy"] > curves["random_mean"]).astype(int)
    told = curves.assign(marked=curves["p_corrected"] <= threshold, side=side).groupby("fraction")
    agreeing = told["marked"].all() & (told["side"].nunique() == 1)
    return np.asarray(agreeing.index[agreeing])


def _legends(looks: Mapping[str, Look], several: bool, threshold: float) -> list[dict[str, Any]]:
    lines: dict[str, Any] = {
        f"accuracy of {task}": Line2D([], [], color=look.colour, linestyle=look.dashes, linewidth=1.2)
        for task, look in looks.items()
    }
    legend: dict[str, Any] = {}
    if several:
        legend["thin: a single network"] = Line2D([], [], color="0.4", linewidth=0.35)
    legend["95 % of random orders"] = Patch(color="0.8")
    legend["chance: the most frequent class"] = Line2D([], [], color="0.4", linestyle=DOTS, linewidth=0.8)
    who = "every network differs" if several else "differs"
    dot = Line2D([], [], color="0.4", marker="o", markersize=1.9, linestyle="none")
    legend[f"{who} from random orders, p \N{LESS-THAN OR EQUAL TO} {f'{threshold:g}'.removeprefix('0')}"] = dot
    return [lines, legend]
