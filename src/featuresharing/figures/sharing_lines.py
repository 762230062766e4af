"""Sharing against layer: what two tasks share beside what chance gives, and how much more or less that is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from featuresharing.analysis.chance import excess_over
from featuresharing.colours.task_colours import Look, looks_of
from featuresharing.errors import InputError
from featuresharing.figures.lettering import wrap
from featuresharing.figures.panels import Grid, beside_numbers, framed, name_ticks, names_height, said
from featuresharing.figures.style import SCREEN, Page

if TYPE_CHECKING:
    from pandas import DataFrame

LINE = ["experiment", "task_a", "task_b"]
"""Columns that say which line a cell is of."""

WIDE = 5.0
"""Inches from which the two panels stand side by side."""

TITLES = ("Overlap of contributions, beside chance", "More (+) or less (\N{MINUS SIGN}) than chance")
"""Titles of the two panels."""

MOST = 30
"""Most marks of a panel that stands beside another."""

CHANCE = "0.82"
"""Grey that stands for what chance gives."""


def plot_sharing(
    table: "DataFrame",
    over_networks: "DataFrame | None" = None,
    *,
    title: str = "How much two tasks share, layer by layer",
    tasks: Sequence[str] = (),
    page: Page = SCREEN,
) -> Figure:
    """Draw sharing against the layer, a line for each experiment and pair of tasks, and excess sharing beside or below.

    ``table`` is a frame of :data:`.columns.SHARING` at one checkpoint. Layers stand in the order in which they first
    appear. Marks have 95 % intervals; upright pale bars are 95 % of what chance gives, with its median. Marks are
    hollow where the units contribute nearly nothing to a task. With several replicates, ``over_networks``, a frame of
    :data:`.columns.SHARING_OVER_NETWORKS` at that checkpoint, has the means, which are drawn with small dots for the
    single networks. Colours are none of the ``tasks`` of a run, as long as there are others. Without rows, as of
    experiments with one task each, the figure says so. Raises InputError for replicates without ``over_networks``.
    """
    with page.drawing():
        if table.empty:
            return nothing_shared(page)
        several = table["replicate"].nunique() > 1
        if several and over_networks is None:
            found = f"{table['replicate'].nunique()} replicates"
            raise InputError(f"sharing: found {found}; accepted is one, or a table over networks beside it.")
        means = over_networks if several and over_networks is not None else table
        return _plot_sharing(means, table if several else None, title, tasks, page)


def nothing_shared(page: Page) -> Figure:
    """Return a figure that says that nothing is shared."""
    return said(page, "Nothing is shared: every experiment has one task.")


def line_names(table: "DataFrame") -> dict[tuple[str, str, str], str]:
    """Return what each line of a table is called, by experiment and tasks."""
    lines = table[LINE].drop_duplicates().itertuples(index=False, name=None)
    return {line: "{}: {} + {}".format(*line) for line in lines}


def _plot_sharing(
    means: "DataFrame", single: "DataFrame | None", title: str, tasks: Sequence[str], page: Page
) -> Figure:
    layers, names = list(means["layer"].unique()), line_names(means)
    used = len(dict.fromkeys([*tasks, *means["task_a"], *means["task_b"]]))
    looks = dict(zip(names, looks_of(list(names.values()), other_than=used).values(), strict=True))
    columns = 2 if page.inches >= WIDE and len(layers) * len(names) <= MOST else 1
    beside = beside_numbers(page, "\N{MINUS SIGN}0.00") + page.lines(0.5)
    grid = Grid(3 - columns, columns, 1.75, beside_numbers(page, "\N{MINUS SIGN}0.00"), 0, 0, beside)
    width = grid.width(page)
    below = names_height(layers, page, width) + page.lines(1.6)
    titles = [wrap(text, page.font_size, width).split("\n") for text in TITLES]
    above = page.lines(max(map(len, titles)) + 0.4)
    height = max(grid.height, 0.45 * width)
    grid = replace(grid, height=height, above=above, below=below, between=below + above)
    bare = means[["low", "high"]].isna().any(axis=1)
    note = "No intervals: too few images." if bare.all() else ""
    figure, panels = framed(page, grid, title, _legends(means, single, names, looks), note=note)
    upper, lower = panels.flat
    dodge = 0.7 / len(names)
    for index, (line, look) in enumerate(looks.items()):
        shift = dodge * (index - (len(names) - 1) / 2)
        for axes, value in ((upper, "sharing"), (lower, "excess")):
            if single is not None:
                _draw_networks(axes, of_line(single, line), layers, shift, value, look)
            _draw_line(axes, of_line(means, line), layers, shift, dodge, value, look)
    for axes in (upper, lower):
        name_ticks(axes, layers, page, width)
        axes.set(xlim=(-0.5, len(layers) - 0.5), xlabel="Layer")
        axes.grid(axis="y", color="0.92")
        page.tidy(axes)
    upper.set(ylim=(0, 1), ylabel="Sharing")
    for axes, lines in zip((upper, lower), titles, strict=True):
        axes.set_title("\n".join(lines), loc="left")
    lower.set_ylabel("Excess sharing")
    lower.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    _limit_excess(lower)
    return figure


def of_line(table: "DataFrame", line: tuple[str, str, str]) -> "DataFrame":
    """Return the rows of a line."""
    return table[(table[LINE] == list(line)).all(axis=1)]


def _draw_line(
    axes: Axes, points: "DataFrame", layers: list[str], shift: float, dodge: float, value: str, look: Look
) -> None:
    points = points.sort_values("layer", key=lambda names: names.map(layers.index), kind="stable")
    x = np.array([layers.index(layer) + shift for layer in points["layer"]])
    low, high = ("low", "high") if value == "sharing" else ("excess_low", "excess_high")
    y, low, high = (points[name].to_numpy() for name in (value, low, high))
    chance = {name: points[name].to_numpy() for name in ("chance", "chance_low", "chance_high")}
    if value == "excess":
        chance = {name: excess_over(values, chance["chance"]) for name, values in chance.items()}
    bar = 0.8 * dodge
    bottom, height = chance["chance_low"], chance["chance_high"] - chance["chance_low"]
    axes.use_sticky_edges = False
    axes.bar(x, height, bar, bottom, color=look.colour, alpha=0.22, linewidth=0, zorder=1)
    if value == "sharing":
        axes.hlines(chance["chance"], x - bar / 2, x + bar / 2, color=look.colour, linewidth=0.9, alpha=0.7, zorder=2)
    axes.plot(x, y, color=look.colour, linestyle=look.dashes, linewidth=0.9, zorder=3)
    # Around the middle of the interval, as a bootstrap interval need not contain the estimate.
    axes.errorbar(x, (low + high) / 2, (high - low) / 2, fmt="none", ecolor=look.colour, elinewidth=0.9, zorder=3)
    near = (points["near_zero"] != "").to_numpy()
    for which, face in ((~near, look.colour), (near, "white")):
        axes.plot(x[which], y[which], look.marker, color=look.colour, markerfacecolor=face, clip_on=False, zorder=4)


def _draw_networks(axes: Axes, points: "DataFrame", layers: list[str], shift: float, value: str, look: Look) -> None:
    x = [layers.index(layer) + shift for layer in points["layer"]]
    axes.plot(x, points[value].to_numpy(), ".", color=look.colour, markersize=2.2, alpha=0.6, zorder=3)


def _limit_excess(axes: Axes) -> None:
    """Show chance and all marks, and no more than what sharing can be."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -1.05), min(max(high, 0.1), 1.0))


def _legends(
    means: "DataFrame",
    single: "DataFrame | None",
    names: Mapping[tuple[str, str, str], str],
    looks: Mapping[tuple[str, str, str], Look],
) -> list[dict[str, Artist]]:
    lines: dict[str, Any] = {
        names[line]: Line2D([], [], color=look.colour, linestyle=look.dashes, marker=look.marker)
        for line, look in looks.items()
    }
    legend: dict[str, Any] = {}
    bar = Line2D([], [], color="0.4", marker="|", markersize=7, linestyle="none")
    bare = means[["low", "high"]].isna().any(axis=1)
    if single is not None:
        legend["a single network"] = Line2D([], [], color="0.4", marker=".", markersize=2.2, linestyle="none")
    if not bare.all():
        over = "" if single is None else " over networks and images"
        legend[f"95 % interval{over}{' (none: too few images)' if bare.any() else ''}"] = bar
    whom = "" if single is None else " a single network"
    legend[f"95 % of what chance gives{whom}, and its median"] = Patch(facecolor=CHANCE)
    if (means["near_zero"] != "").any():
        hollow = Line2D([], [], color="0.4", marker="o", markerfacecolor="white", linestyle="none")
        legend["hollow: units contribute nearly nothing to a task"] = hollow
    return [lines, legend]
