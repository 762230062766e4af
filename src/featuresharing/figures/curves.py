"""Curves: sharing over the layers, and loss and accuracy over the training steps."""

from collections.abc import Mapping
from math import ceil
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.figures.style import GREY, SCREEN, Page

if TYPE_CHECKING:
    from pandas import DataFrame

# Okabe and Ito's palette for colour-blind readers, without its yellow, which is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = "osD^vPX*"


def plot_sharing(
    table: "DataFrame", *, title: str = "How much two tasks share, layer by layer", page: Page = SCREEN
) -> Figure:
    """Draw sharing against the layer, one line for each experiment and pair of tasks, with 95 % bootstrap intervals.

    ``table`` is a frame of :data:`.columns.SHARING` at one checkpoint. Layers stand in the order in which they first
    appear, one row for each line and layer. Without rows, as of experiments with one task each, the figure says so.
    """
    with page.drawing():
        return _plot_sharing(table, title, page) if len(table) else _nothing_shared(page)


def _plot_sharing(table: "DataFrame", title: str, page: Page) -> Figure:
    layers = list(table["layer"].unique())
    lines = {
        f"{experiment}: {first} + {second}": points
        for (experiment, first, second), points in table.groupby(["experiment", "task_a", "task_b"], sort=False)
    }

    taller = page.lines(max(0, ceil(len(lines) / 2) - 3))  # the legend's rows beyond the third
    figure = page.figure(0.66 * page.inches + taller, layout="constrained")
    axes = figure.add_subplot()
    dodge = min(0.08, 0.5 / len(lines))
    handles = []
    for index, line in enumerate(lines.values()):
        points = line.sort_values("layer", key=lambda names: names.map(layers.index), kind="stable")
        x = [layers.index(layer) + dodge * (index - (len(lines) - 1) / 2) for layer in points["layer"]]
        turn, place = divmod(index, len(COLOURS))
        colour, marker = COLOURS[place], MARKERS[(place + turn) % len(MARKERS)]
        handles += axes.plot(x, points["sharing"].to_numpy(), color=colour, marker=marker, clip_on=False)
        # Around the middle of the interval, as a bootstrap interval need not contain the estimate.
        middles, halves = (points["low"] + points["high"]) / 2, (points["high"] - points["low"]) / 2
        axes.errorbar(x, middles.to_numpy(), halves.to_numpy(), fmt="none", ecolor=colour, elinewidth=1.2, capsize=3)
    axes.set_xticks(range(len(layers)), layers)
    axes.set(xlim=(-0.5, len(layers) - 0.5), ylim=(0, 1), xlabel="Layer", ylabel="Sharing (overlap of contributions)")
    axes.grid(axis="y", color="0.9")
    page.tidy(axes)
    axes.set_title(title, loc="left", pad=20, fontweight="bold", fontsize=page.large)
    reading = f"1: both tasks rely on the same units equally; 0: on different units. {_bars(table)}"
    axes.text(0, 1.03, reading, transform=axes.transAxes, fontsize=page.small, color=GREY)
    figure.legend(handles, list(lines), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _nothing_shared(page: Page) -> Figure:
    figure = page.figure(0.66 * page.inches)
    sentence = "Nothing is shared: every experiment has one task."
    figure.text(0.5, 0.5, sentence, ha="center", va="center", color=GREY)
    return figure


def _bars(table: "DataFrame") -> str:
    """Say what bars are, and why some or all points have none."""
    bare = table[["low", "high"]].isna().any(axis=1)
    if bare.all():
        return "No bars: too few images for intervals."
    return f"Bars: 95 % bootstrap intervals{' (none: too few images)' if bare.any() else ''}."


def plot_training(logs: "Mapping[str, DataFrame]", accuracy: "DataFrame", *, page: Page = SCREEN) -> Figure:
    """Draw loss (top) and accuracy (bottom) of every task against the training step, one column for each experiment.

    ``logs`` are frames of :data:`.columns.TRAINING` by experiment, ``accuracy`` one of :data:`.columns.ACCURACY`. Thin
    lines are the running training values, lines with markers the held-out accuracy at the checkpoints. Steps are linear
    from 0 to the first checkpoint and logarithmic from there on; rows must come in the order of their steps.

    Raises :class:`InputError` if there are no points at all.
    """
    if all(frame.empty for frame in (*logs.values(), accuracy)):
        raise InputError("a figure of training has no points; accepted: at least one")
    with page.drawing():
        return _plot_training(logs, accuracy, page)


def _plot_training(logs: "Mapping[str, DataFrame]", accuracy: "DataFrame", page: Page) -> Figure:
    frames = [*logs.values(), accuracy]
    experiments = list(dict.fromkeys([*(name for name, log in logs.items() if len(log)), *accuracy["experiment"]]))
    tasks = enumerate(dict.fromkeys(task for frame in frames for task in frame["task"]))
    looks = {task: (COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]) for index, task in tasks}
    steps = [step for frame in frames for step in frame["step"]]
    checked = accuracy["step"] if len(accuracy) else steps
    linear = min((step for step in checked if step > 0), default=1)
    last = max(1, *steps)

    figure = page.figure(0.7 * page.inches, layout="constrained")
    figure.suptitle("Loss and accuracy of every task during training")
    panels = figure.subplots(2, len(experiments), sharex=True, sharey="row", squeeze=False)
    for experiment, upper, lower in zip(experiments, *panels, strict=True):
        log, tested = logs.get(experiment), accuracy[accuracy["experiment"] == experiment]
        for task, (colour, marker) in looks.items():
            if log is not None:
                _draw_log(upper, lower, log[log["task"] == task], colour)
            held_out = tested[tested["task"] == task]
            steps, values = held_out["step"].to_numpy(), held_out["accuracy"].to_numpy()
            lower.plot(steps, values, color=colour, marker=marker)
        upper.set_title(experiment, fontweight="bold")
        lower.set_xlabel("Training step (logarithmic)")
    _scale_training(panels, linear, last)
    for axes in panels.flat:
        page.tidy(axes)
    figure.align_ylabels()
    legend = {task: Line2D([], [], color=look[0], marker=look[1], linewidth=3) for task, look in looks.items()}
    legend["training (running mean)"] = Line2D([], [], color="0.4", linewidth=0.9)
    legend["held-out, at checkpoints"] = Line2D([], [], color="0.4", marker=".")
    columns = max(2, int(page.inches / 1.8))
    figure.legend(list(legend.values()), list(legend), loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _draw_log(upper: Axes, lower: Axes, log: "DataFrame", colour: str) -> None:
    steps = log["step"].to_numpy()
    upper.plot(steps, log["loss"].to_numpy(), color=colour, linewidth=0.9)
    lower.plot(steps, log["accuracy"].to_numpy(), color=colour, linewidth=0.9, alpha=0.7)


def _scale_training(panels: NDArray[Any], linear: int, last: int) -> None:
    """Scale panels of losses (top) and accuracies (bottom): linear up to a step, logarithmic up to the ``last``."""
    subs = (1, 2, 5) if last <= 200 * linear else (1,)
    ticks = [digit * 10**power for power in range(len(str(last))) for digit in subs]
    for axes in panels.flat:
        axes.grid(color="0.92")
    first = panels[0, 0]
    first.set_xscale("symlog", linthresh=linear, linscale=0.3)
    first.xaxis.set_major_locator(FixedLocator([0, *(tick for tick in ticks if linear <= tick <= last)]))
    first.xaxis.set_minor_locator(NullLocator())
    first.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:g}"))
    first.set(xlim=(0, last * 1.1), ylabel="Training loss (nats)")
    first.set_ylim(bottom=0)
    panels[1, 0].set(ylim=(0, 1.02), ylabel="Accuracy")
    panels[1, 0].yaxis.set_major_formatter(PercentFormatter(xmax=1))
