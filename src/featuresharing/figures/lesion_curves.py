"""Curves of lesions: accuracy against how many units of a layer are removed."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from featuresharing.errors import InputError
from featuresharing.figures.style import SCREEN, Page
from featuresharing.figures.task_colours import colours_of
from featuresharing.settings import LesionSettings

if TYPE_CHECKING:
    from pandas import DataFrame

ENTRY = 1.6
"""Inches of an entry of the legend."""


def plot_lesions(
    curves: "DataFrame",
    *,
    title: str | None = None,
    tasks: Sequence[str] = (),
    threshold: float = LesionSettings.threshold,
    page: Page = SCREEN,
) -> Figure:
    """Draw accuracy against the fraction of units removed: one row for each order, one column for each layer.

    ``curves`` is a frame of :data:`.columns.LESIONS` of one experiment and checkpoint. Lines are the tasks, whose
    colours are theirs among ``tasks``; bands hold 95 % of the random orders, and dots above mark corrected p-values of
    at most ``threshold``. Layers and orders stand as they first appear. Raises InputError if there are none.
    """
    if curves.empty:
        raise InputError("a figure of lesions has no points; accepted: at least one")
    with page.drawing():
        return _plot_lesions(curves, title or _title(curves), tasks, threshold, page)


def _plot_lesions(curves: "DataFrame", title: str, tasks: Sequence[str], threshold: float, page: Page) -> Figure:
    layers, orders, shown = (list(curves[name].unique()) for name in ("layer", "order", "task"))
    entries = len(shown) + 2
    columns = max(1, min(entries, int(page.inches / ENTRY)))
    legend = page.lines(ceil(entries / columns) - 1)
    figure = page.figure(1.3 + 1.4 * len(orders) + legend)
    panels = figure.subplots(len(orders), len(layers), sharex=True, sharey=True, squeeze=False)
    colours = colours_of([*tasks, *shown])
    colours = {task: colours[task] for task in shown}
    for row, order in enumerate(orders):
        for column, layer in enumerate(layers):
            panel = curves[(curves["layer"] == layer) & (curves["order"] == order)]
            axes = panels[row][column]
            for height, task in enumerate(shown):
                line = panel[panel["task"] == task].sort_values("fraction", kind="stable")
                _draw_line(axes, line, colours[task], 1.05 + 0.06 * height, threshold)
            axes.set(xlim=(0, 1), ylim=(0, 1.1 + 0.06 * len(shown)))
            axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
            axes.set_yticks([0, 0.5, 1])
            axes.grid(color="0.92")
            page.tidy(axes)
            if row == 0:
                axes.set_title(layer)
        panels[row][0].set_ylabel(f"Accuracy,\n{order} units first")
    _arrange(figure, legend)
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    panels[-1][len(layers) // 2].set_xlabel("Fraction of the layer's units removed")
    _write_legend(figure, colours, columns, threshold)
    return figure


def _arrange(figure: Figure, legend: float) -> None:
    """Place panels between the title and a legend that is so many inches higher than one row."""
    width, height = figure.get_size_inches()
    left, bottom, top = 0.85 / width, (0.85 + legend) / height, 1 - 0.65 / height
    figure.subplots_adjust(left=left, right=1 - 0.2 / width, bottom=bottom, top=top, wspace=0.12, hspace=0.2)


def _title(curves: "DataFrame") -> str:
    first = curves.iloc[0]
    return f"{first['experiment']}: accuracy without the units that a task relies on, checkpoint {first['checkpoint']}"


def _draw_line(axes: "object", line: "DataFrame", colour: str, height: float, threshold: float) -> None:
    x, y, low, high, p = (
        line[name].to_numpy() for name in ("fraction", "accuracy", "random_low", "random_high", "p_corrected")
    )
    axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)  # type: ignore[attr-defined]
    axes.plot(x, y, color=colour, clip_on=False)  # type: ignore[attr-defined]
    marked = x[p <= threshold]
    axes.plot(marked, [height] * len(marked), ".", color=colour, markersize=3.5, clip_on=False)  # type: ignore[attr-defined]


def _write_legend(figure: Figure, colours: Mapping[str, str], columns: int, threshold: float) -> None:
    handles: list[Line2D | Patch] = [Line2D([], [], color=colour, linewidth=2) for colour in colours.values()]
    handles += [Patch(color="0.7"), Line2D([], [], color="0.4", marker=".", linestyle="none")]
    labels = [
        *(f"accuracy of {task}" for task in colours),
        "95 % of random orders",
        f"differs, p \N{LESS-THAN OR EQUAL TO} {threshold:g}",
    ]
    figure.legend(handles, labels, loc="lower center", ncols=columns, frameon=False)
