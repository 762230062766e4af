"""Training: loss and accuracy of every task over the steps, of one network or several an experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from featuresharing.colours.task_colours import DOTS, Look, looks_of
from featuresharing.errors import InputError
from featuresharing.figures.lettering import wrap
from featuresharing.figures.panels import Grid, balanced, below_numbers, beside_numbers, framed
from featuresharing.figures.step_axis import scale_steps, step_label
from featuresharing.figures.style import SCREEN, Page

if TYPE_CHECKING:
    from pandas import DataFrame

PANEL = 1.45
"""The least width of a panel, in inches."""


def plot_training(
    logs: "Mapping[str, DataFrame | Sequence[DataFrame]]",
    accuracy: "DataFrame",
    *,
    chance: Mapping[str, Mapping[str, float]] | None = None,
    tasks: Sequence[str] = (),
    page: Page = SCREEN,
) -> Figure:
    """Draw loss (top) and accuracy (below) of every task against the training step, a column for each experiment.

    ``logs`` are frames of :data:`.columns.TRAINING` by experiment, one or a list with one a replicate; ``accuracy`` is
    one of :data:`.columns.ACCURACY`. Thin lines are the running training values, lines with marks the held-out accuracy
    at the checkpoints; of replicates, lines are means, and faint ones single networks. Tasks have their colours among
    ``tasks``; ``chance`` is the accuracy by experiment and task of always naming the most frequent class, drawn dotted.
    Steps are linear from 0 to the first checkpoint and logarithmic from there on; rows must come in the order of steps.

    Raises :class:`InputError` if there are no points at all.
    """
    listed = {name: list(log) if isinstance(log, Sequence) else [log] for name, log in logs.items()}
    frames = [*(log for each in listed.values() for log in each), accuracy]
    if all(frame.empty for frame in frames):
        raise InputError("a figure of training has no points; accepted: at least one")
    shown = dict.fromkeys(task for frame in frames for task in frame["task"])
    looks = {task: look for task, look in looks_of([*tasks, *shown]).items() if task in shown}
    logged = [name for name, each in listed.items() if any(len(log) for log in each)]
    experiments = list(dict.fromkeys([*logged, *accuracy["experiment"]]))
    several = max([len(each) for each in listed.values()] + [accuracy["replicate"].nunique()]) > 1
    with page.drawing():
        columns = balanced(len(experiments), int((page.inches - 0.4) / PANEL))
        figure, blocks, width = _frame(page, experiments, columns, _legends(looks, several, bool(chance)))
        for experiment, (upper, lower) in zip(experiments, blocks, strict=True):
            tested = accuracy[accuracy["experiment"] == experiment]
            for task, look in looks.items():
                own = [log[log["task"] == task] for log in listed.get(experiment, [])]
                _draw_logs(upper, lower, own, look)
                _draw_tested(lower, tested[tested["task"] == task], look)
                if chance and task in chance.get(experiment, {}):
                    lower.axhline(chance[experiment][task], color=look.colour, linestyle=DOTS, linewidth=0.8)
            upper.set_title(wrap(experiment, page.font_size, width, most=1, bold=True), fontweight="bold")
            lower.set_xlabel(step_label(page, width))
        _scale([axes for pair in blocks for axes in pair], frames, page, width)
        return figure


def _frame(
    page: Page, experiments: Sequence[str], columns: int, legends: Sequence[Mapping[str, Any]]
) -> tuple[Figure, list[tuple[Axes, Axes]], float]:
    """Return a figure, panels of loss and accuracy by experiment, and the width of one."""
    rows = -(-len(experiments) // columns)
    below = below_numbers(page) + page.lines(1.3)
    titles = page.lines(1.4)
    between = [below_numbers(page) + page.lines(0.6), below + titles + 0.05] * rows
    grid = Grid(2 * rows, columns, 1.25, beside_numbers(page, "100%"), titles, below, 0.12, between[:-1])
    grid = replace(grid, height=max(grid.height, 0.35 * grid.width(page)))
    figure, panels = framed(page, grid, "Loss and accuracy of every task during training", legends, sharey="row")
    places = [(row, column) for row in range(rows) for column in range(columns)]
    blocks = [(panels[2 * row][column], panels[2 * row + 1][column]) for row, column in places]
    for row in range(rows):
        panels[2 * row][0].set_ylabel("Training loss (nats)")
        panels[2 * row + 1][0].set_ylabel("Accuracy")
    for pair in blocks[len(experiments) :]:
        for axes in pair:
            axes.set_visible(False)
    return figure, blocks[: len(experiments)], grid.width(page)


def _draw_logs(upper: Axes, lower: Axes, logs: "Sequence[DataFrame]", look: Look) -> None:
    """Draw running losses, of networks each and their mean, and the mean of running accuracies."""
    style = {"color": look.colour, "linestyle": look.dashes, "linewidth": 0.7}
    for axes, value in ((upper, "loss"), (lower, "accuracy")):
        lines = [(log["step"].to_numpy(), log[value].to_numpy()) for log in logs if len(log)]
        _draw_mean(axes, lines, style, each=value == "loss")


def _draw_tested(axes: Axes, tested: "DataFrame", look: Look) -> None:
    lines = [(each["step"].to_numpy(), each["accuracy"].to_numpy()) for _, each in tested.groupby("replicate")]
    style = {"color": look.colour, "linestyle": look.dashes, "marker": look.marker, "clip_on": False, "zorder": 3}
    _draw_mean(axes, lines, style, each=True)


def _draw_mean(axes: Axes, lines: Sequence[tuple[Any, Any]], style: Mapping[str, Any], *, each: bool) -> None:
    """Draw a line, or the mean of several over their steps and, where wanted, ``each`` of them faintly."""
    from pandas import Series, concat

    if each and len(lines) > 1:
        for steps, values in lines:
            axes.plot(steps, values, color=style["color"], linewidth=0.4, alpha=0.5)
    if lines:
        mean = concat([Series(values, index=steps) for steps, values in lines]).groupby(level=0).mean()
        axes.plot(mean.index.to_numpy(), mean.to_numpy(), **style)


def _scale(panels: Sequence[Axes], frames: "Sequence[DataFrame]", page: Page, width: float) -> None:
    accuracy = frames[-1]
    last = max(step for frame in frames for step in frame["step"])
    checked = accuracy["step"] if len(accuracy) else frames[0]["step"]
    linear = min((step for step in checked if step > 0), default=1)
    for place, axes in enumerate(panels):
        scale_steps(axes, [linear, max(last, linear)], page, width)
        axes.grid(color="0.92")
        page.tidy(axes)
        if place % 2:
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        else:
            axes.set_ylim(bottom=0)


def _legends(looks: Mapping[str, Look], several: bool, chance: bool) -> list[dict[str, Any]]:
    lines: dict[str, Any] = {
        task: Line2D([], [], color=look.colour, linestyle=look.dashes, marker=look.marker)
        for task, look in looks.items()
    }
    legend: dict[str, Any] = {}
    legend["held-out images, at checkpoints"] = Line2D([], [], color="0.4", marker="o")
    legend["training batches (running mean)"] = Line2D([], [], color="0.4", linewidth=0.7)
    if several:
        legend["faint: a single network"] = Line2D([], [], color="0.4", linewidth=0.4, alpha=0.6)
    if chance:
        legend["chance: the most frequent class"] = Line2D([], [], color="0.4", linestyle=DOTS, linewidth=0.8)
    return [lines, legend]
