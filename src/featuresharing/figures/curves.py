"""Curves: sharing over the layers, and loss and accuracy over the training steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator, PercentFormatter

from featuresharing.errors import InputError
from featuresharing.figures.style import STYLE

# Okabe and Ito's palette for colour-blind readers, without its yellow, which is too light for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class SharingPoint:
    """Sharing of one layer by two tasks, in [0, 1], and the limits of its 95 % interval (NaN: none)."""

    experiment: str
    layer: str
    task_a: str
    task_b: str
    sharing: float
    low: float
    high: float


@dataclass(frozen=True)
class TrainingPoint:
    """Running training loss (nats) and accuracy (in [0, 1]) of one task at one step."""

    experiment: str
    step: int
    task: str
    loss: float
    accuracy: float


@dataclass(frozen=True)
class AccuracyPoint:
    """Held-out accuracy (in [0, 1]) of one task at one checkpoint."""

    experiment: str
    step: int
    task: str
    accuracy: float


@rc_context(STYLE)
def plot_sharing(rows: Sequence[SharingPoint], *, title: str = "How much two tasks share, layer by layer") -> Figure:
    """Draw sharing against the layer, one line for each experiment and pair of tasks, with 95 % bootstrap intervals.

    Layers stand in the order in which they first appear in ``rows``, one row for each line and layer.

    Raises :class:`InputError` if there are no rows.
    """
    if not rows:
        raise InputError("a figure of sharing has no rows; accepted: at least one")
    layers = list(dict.fromkeys(row.layer for row in rows))
    lines: dict[str, list[SharingPoint]] = {}
    for row in rows:
        lines.setdefault(f"{row.experiment}: {row.task_a} + {row.task_b}", []).append(row)

    figure = Figure(figsize=(7.2, 4.8), dpi=100, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    dodge = min(0.08, 0.5 / len(lines))
    handles = []
    for index, line in enumerate(lines.values()):
        points = sorted(line, key=lambda point: layers.index(point.layer))
        x = [layers.index(point.layer) + dodge * (index - (len(lines) - 1) / 2) for point in points]
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        sharing = [point.sharing for point in points]
        handles += axes.plot(x, sharing, color=colour, marker=marker, markersize=5, clip_on=False)
        # Around the middle of the interval, as a bootstrap interval need not contain the estimate.
        middles = [(point.low + point.high) / 2 for point in points]
        halves = [(point.high - point.low) / 2 for point in points]
        axes.errorbar(x, middles, halves, fmt="none", ecolor=colour, elinewidth=1.2, capsize=3)
    axes.set_xticks(range(len(layers)), layers)
    axes.set(xlim=(-0.5, len(layers) - 0.5), ylim=(0, 1), xlabel="Layer", ylabel="Sharing (overlap of contributions)")
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, loc="left", pad=24, fontweight="bold")
    reading = f"1: both tasks rely on the same units equally; 0: on different units. {_bars(rows)}"
    axes.text(0, 1.03, reading, transform=axes.transAxes, fontsize=9, color="0.3")
    figure.legend(handles, list(lines), loc="outside lower center", ncols=2, frameon=False)
    return figure


def _bars(rows: Sequence[SharingPoint]) -> str:
    """Say what bars are, and why some or all points have none."""
    bare = sum(math.isnan(row.low) or math.isnan(row.high) for row in rows)
    if bare == len(rows):
        return "No bars: too few images for intervals."
    return f"Bars: 95 % bootstrap intervals{' (none: too few images)' if bare else ''}."


@rc_context(STYLE)
def plot_training(curves: Sequence[TrainingPoint], accuracies: Sequence[AccuracyPoint]) -> Figure:
    """Draw loss (top) and accuracy (bottom) of every task against the training step, one column for each experiment.

    Thin lines are the running training values, lines with markers the held-out accuracy at the checkpoints. Steps are
    linear from 0 to the first checkpoint and logarithmic from there on; points must come in the order of their steps.

    Raises :class:`InputError` if there are no points at all.
    """
    points: list[TrainingPoint | AccuracyPoint] = [*curves, *accuracies]
    if not points:
        raise InputError("a figure of training has no points; accepted: at least one")
    experiments = list(dict.fromkeys(point.experiment for point in points))
    tasks = enumerate(dict.fromkeys(point.task for point in points))
    looks = {task: (COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]) for index, task in tasks}
    linear = min((point.step for point in (accuracies or curves) if point.step > 0), default=1)
    last = max(1, *(point.step for point in points))

    subs = (1, 2, 5) if last <= 200 * linear else (1,)
    ticks = [digit * 10**power for power in range(len(str(last))) for digit in subs]
    size = (1.6 + 3.2 * len(experiments), 5.6)
    figure = Figure(figsize=size, dpi=100, facecolor="white", layout="constrained")
    figure.suptitle("Loss and accuracy of every task during training")
    panels = figure.subplots(2, len(experiments), sharex=True, sharey="row", squeeze=False)
    for experiment, loss, accuracy in zip(experiments, *panels, strict=True):
        for task, (colour, marker) in looks.items():
            trained = [point for point in curves if (point.experiment, point.task) == (experiment, task)]
            held_out = [point for point in accuracies if (point.experiment, point.task) == (experiment, task)]
            steps = [point.step for point in trained]
            loss.plot(steps, [point.loss for point in trained], color=colour, linewidth=0.9)
            accuracy.plot(steps, [point.accuracy for point in trained], color=colour, linewidth=0.9, alpha=0.7)
            steps = [point.step for point in held_out]
            accuracy.plot(steps, [point.accuracy for point in held_out], color=colour, marker=marker, markersize=4)
        loss.set_title(experiment, fontweight="bold")
        accuracy.set_xlabel("Training step (logarithmic)")
    for axes in panels.flat:
        axes.grid(color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_xscale("symlog", linthresh=linear, linscale=0.3)
    panels[0, 0].xaxis.set_major_locator(FixedLocator([0, *(tick for tick in ticks if linear <= tick <= last)]))
    panels[0, 0].xaxis.set_minor_locator(NullLocator())
    panels[0, 0].xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:g}"))
    panels[0, 0].set(xlim=(0, last * 1.1), ylabel="Training loss (nats)")
    panels[0, 0].set_ylim(bottom=0)
    panels[1, 0].set(ylim=(0, 1.02), ylabel="Accuracy")
    panels[1, 0].yaxis.set_major_formatter(PercentFormatter(xmax=1))
    figure.align_ylabels()
    legend = {task: Line2D([], [], color=look[0], marker=look[1], linewidth=3) for task, look in looks.items()}
    legend["training (running mean)"] = Line2D([], [], color="0.4", linewidth=0.9)
    legend["held-out, at checkpoints"] = Line2D([], [], color="0.4", marker=".")
    columns = 2 * len(experiments)
    figure.legend(list(legend.values()), list(legend), loc="outside lower center", ncols=columns, frameon=False)
    return figure
