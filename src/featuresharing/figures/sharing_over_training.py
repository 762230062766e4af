"""Excess sharing over training: a line a layer, a panel an experiment and pair of tasks, with what chance gives."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from featuresharing.analysis.chance import excess_over
from featuresharing.colours.task_colours import MARKERS
from featuresharing.errors import InputError
from featuresharing.figures.lettering import wrap
from featuresharing.figures.panels import (
    Grid,
    balanced,
    below_numbers,
    beside_numbers,
    framed,
    name_ticks,
    names_height,
)
from featuresharing.figures.sharing_lines import CHANCE, line_names, nothing_shared, of_line
from featuresharing.figures.step_axis import scale_steps, step_label, steps_of
from featuresharing.figures.style import SCREEN, Page

if TYPE_CHECKING:
    from pandas import DataFrame

PANEL = 2.1
"""The least width of a panel, in inches."""

SIGNIFICANT = 0.05
"""p-values up to this one have large marks."""


def layer_colours(layers: Sequence[str]) -> dict[str, str]:
    """Return a colour for each of ``layers``, from dark to light in their order, also in grey.

    >>> layer_colours(["conv1", "fc7"])
    {'conv1': '#440154', 'fc7': '#7ad151'}
    """
    places = np.linspace(0, 0.8, len(layers)) if len(layers) > 1 else [0.0]
    return {layer: to_hex(colormaps["viridis"](place)) for layer, place in zip(layers, places, strict=True)}


def plot_sharing_over_training(
    table: "DataFrame", *, title: str = "How sharing differs from chance over training", page: Page = SCREEN
) -> Figure:
    """Draw excess sharing against the checkpoint: a line for each layer, a panel for each experiment and pair of tasks.

    ``table`` is a frame of :data:`.columns.SHARING` of one replicate, or of :data:`.columns.SHARING_OVER_NETWORKS`.
    Layers and checkpoints stand in the order in which they first appear; checkpoints that are called as their steps
    stand at these. The grey band holds 95 % of what chance gives, on average over the layers. Marks are
    large where p is at most 5 %, and hollow where the units contribute nearly nothing to a task. Without rows, as of
    experiments with one task each, the figure says so. Raises InputError for several replicates.
    """
    if "replicate" in table and (found := table["replicate"].nunique()) > 1:
        raise InputError(f"sharing: found {found} replicates; accepted is one, or a table over networks.")
    with page.drawing():
        return _plot(table, title, page) if len(table) else nothing_shared(page)


def _plot(table: "DataFrame", title: str, page: Page) -> Figure:
    names, layers = line_names(table), list(table["layer"].unique())
    checkpoints = list(table["checkpoint"].unique())
    columns = balanced(len(names), int(page.inches / PANEL))
    rows = -(-len(names) // columns)
    grid = Grid(rows, columns, 1.75, beside_numbers(page, "\N{MINUS SIGN}0.00"), 0, 0)
    width = grid.width(page)
    titles = {line: wrap(name, page.font_size, width) for line, name in names.items()}
    above = page.lines(max(title.count("\n") for title in titles.values()) + 1.4)
    steps = steps_of(checkpoints)
    below = page.lines(1.3) + (below_numbers(page) if steps else names_height(checkpoints, page, width))
    height = max(grid.height, 0.45 * width)
    grid = replace(grid, height=height, above=above, below=below, between=below + above)
    figure, panels = framed(page, grid, title, _legends(table, layers), sharey=True)
    places = dict(zip(checkpoints, steps or range(len(checkpoints)), strict=True))
    for axes, (line, name) in zip(panels.flat, titles.items(), strict=False):
        points = of_line(table, line)
        _draw_panel(axes, points.assign(place=points["checkpoint"].map(places)), layers)
        axes.set_title(name, loc="left")
        if steps:
            scale_steps(axes, steps, page, width)
        else:
            name_ticks(axes, checkpoints, page, width)
            axes.set_xlim(-0.3, len(checkpoints) - 0.7)
        axes.set_xlabel(step_label(page, width) if steps else "Checkpoint")
        axes.grid(color="0.92")
        page.tidy(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel("Excess sharing")
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    return figure


def _draw_panel(axes: Axes, points: "DataFrame", layers: Sequence[str]) -> None:
    axes.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    axes.fill_between(*_chance(points), color=CHANCE, alpha=0.7, linewidth=0, zorder=0)
    for index, (layer, colour) in enumerate(layer_colours(layers).items()):
        line = points[points["layer"] == layer].sort_values("place", kind="stable")
        x, y, p = (line[name].to_numpy() for name in ("place", "excess", "p"))
        near = (line["near_zero"] != "").to_numpy()
        axes.plot(x, y, color=colour, linewidth=1, zorder=2)
        marker = MARKERS[index % len(MARKERS)]
        for which, size, face in (
            (~near & (p <= SIGNIFICANT), 4.2, colour),
            (~near & ~(p <= SIGNIFICANT), 2.0, colour),
            (near, 3.4, "white"),
        ):
            style: dict[str, Any] = {"markersize": size, "markerfacecolor": face, "markeredgewidth": 0.7, "zorder": 3}
            axes.plot(x[which], y[which], marker, color=colour, clip_on=False, **style)


def _chance(points: "DataFrame") -> tuple[Any, Any, Any]:
    """Return places, and between what excess sharing 95 % of what chance gives lie there, on average over layers."""
    low, high = (excess_over(points[f"chance_{name}"], points["chance"]) for name in ("low", "high"))
    points = points.assign(low=low, high=high)
    told = points[points["near_zero"] == ""]
    band = (told if len(told) else points).groupby("place")[["low", "high"]].mean()
    return band.index.to_numpy(), band["low"].to_numpy(), band["high"].to_numpy()


def _legends(table: "DataFrame", layers: Sequence[str]) -> list[dict[str, Any]]:
    lines: dict[str, Any] = {
        layer: Line2D([], [], color=colour, marker=MARKERS[index % len(MARKERS)], markersize=3.4, linewidth=1)
        for index, (layer, colour) in enumerate(layer_colours(layers).items())
    }
    legend: dict[str, Any] = {}
    grey: dict[str, Any] = {"color": "0.4", "marker": "o", "linestyle": "none"}
    whom = " a single network" if "networks" in table and table["networks"].max() > 1 else ""
    legend[f"95 % of what chance gives{whom} (mean of the layers)"] = Patch(facecolor=CHANCE)
    legend["large: differs from chance in its layer, p \N{LESS-THAN OR EQUAL TO} .05"] = Line2D(
        [], [], markersize=4.2, **grey
    )
    if (table["near_zero"] != "").any():
        hollow = Line2D([], [], markersize=3.4, markerfacecolor="white", **grey)
        legend["hollow: units contribute nearly nothing to a task"] = hollow
    return [lines, legend]
