"""Commands for figures: ``plot-units``, ``animate-units``, ``plot-sharing`` and ``plot-training``."""

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.cli.options import Commands, add_command, add_figure, ending
from featuresharing.cli.setting_options import add_settings
from featuresharing.errors import InputError
from featuresharing.figure_formats import ANIMATIONS
from featuresharing.settings import EvidenceSettings, FigureSettings

if TYPE_CHECKING:
    from featuresharing.analysis.evidence import Array
    from featuresharing.store import LayerConditionals


STYLE = ("layout", "colour_scale", "limits", "sort", "grid", "columns", "dpi")
"""Keys of figures that say how units are drawn."""


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands, "plot-units", _plot_units, "plot what every unit of a layer contributes to two tasks"
    )
    parser.add_argument("--conditionals", type=Path, required=True, help="file of conditionals")
    parser.add_argument("--sort-by", help="task in red and green that sorts the units (none: the first)")
    add_settings(parser, EvidenceSettings)
    add_settings(parser, FigureSettings, *STYLE)
    add_figure(parser)

    parser = add_command(commands, "animate-units", _animate_units, "animate plots of units over checkpoints")
    parser.add_argument("--frames", type=Path, nargs="+", required=True, help="PNG files in their order")
    add_settings(parser, FigureSettings, "milliseconds")
    parser.add_argument("--output", type=ending(ANIMATIONS), required=True, help="GIF file")

    parser = add_command(commands, "plot-sharing", _plot_sharing, "plot sharing against layer")
    parser.add_argument("--sharing", type=Path, required=True, help="table of sharing")
    parser.add_argument("--layers", nargs="+", required=True, help="layers from left to right")
    parser.add_argument("--checkpoint", required=True, help="checkpoint to plot")
    add_figure(parser)

    parser = add_command(commands, "plot-training", _plot_training, "plot loss and accuracy against training step")
    parser.add_argument("--logs", type=Path, nargs="+", required=True, help="EXPERIMENT/training.csv files")
    parser.add_argument("--accuracy", type=Path, required=True, help="table of accuracy on held-out images")
    add_figure(parser)


def _plot_units(options: argparse.Namespace) -> None:
    from featuresharing.analysis.sharing import sharing
    from featuresharing.analysis.tables import layer_contributions
    from featuresharing.figures.saving import save_figure
    from featuresharing.figures.unit_map import UnitMapStyle, plot_units
    from featuresharing.store import read_conditionals

    style = UnitMapStyle(
        layout=options.layout,
        scale=options.colour_scale,
        limits=tuple(options.limits),
        sort=options.sort,
        grid=options.grid,
        columns=options.columns,
        dpi=options.dpi,
    )
    layer = read_conditionals(options.conditionals)
    contributions = layer_contributions(layer, method=options.method, laplace=options.laplace)
    first_name = options.sort_by or next(iter(contributions))
    if first_name not in contributions:
        raise InputError(f"--sort-by: found '{first_name}'; accepted are the tasks {', '.join(contributions)}.")
    unit = "" if options.method == "probdiff" else " bits"
    averages = ", ".join(f"{task} {values.mean():.2g}{unit}" for task, values in contributions.items())
    first = contributions.pop(first_name)
    second_name, second = _join(contributions)
    shared = f"Sharing {sharing(first, second):.2f}.  " if len(contributions) == 1 else ""
    images = len(next(iter(layer.predictions.values())))
    counted = f"{_count(len(first), 'unit')}, {_count(images, 'image')}"
    note = f"{counted}.  {shared}Average unit: {averages}."
    figure = plot_units(
        first, second, first_name=first_name, second_name=second_name, title=_title(layer), note=note, style=style
    )
    save_figure(figure, options.output)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _join(contributions: "dict[str, Array]") -> "tuple[str, Array]":
    """Take the other task as it is; of several, each unit's largest contribution in multiples of the average unit."""
    import numpy as np

    if len(contributions) == 1:
        return next(iter(contributions.items()))
    relative = [values / (values.mean() or 1) for values in contributions.values()]
    return " or ".join(contributions), np.max(relative, axis=0)


def _title(layer: "LayerConditionals") -> str:
    values = layer.attributes
    step = layer.attribute("step", int)
    when = f" after {step} training steps" if step >= 0 else ""
    return f"{values['experiment']}: {values['alias']}{when}"


def _animate_units(options: argparse.Namespace) -> None:
    from featuresharing.figures.animation import animate

    animate(options.frames, options.output, milliseconds=options.milliseconds)


def _plot_sharing(options: argparse.Namespace) -> None:
    from featuresharing.analysis.tables import SHARING_COLUMNS
    from featuresharing.data.number_tables import Number, read_numbers
    from featuresharing.figures.curves import SharingPoint, plot_sharing
    from featuresharing.figures.saving import save_figure

    # nan: a task relies on no unit, one image has no interval, a constant has no ranks
    kinds = dict.fromkeys(("sharing", "low", "high"), Number(0, 1, none=True)) | {"spearman": Number(-1, 1, none=True)}
    table = read_numbers(options.sharing, {name: kinds.get(name) for name in SHARING_COLUMNS})
    rows = [row for row in table if row["checkpoint"] == options.checkpoint]
    if missing := [name for name in options.layers if name not in {row["layer"] for row in rows}]:
        raise InputError(f"{options.sharing}: checkpoint '{options.checkpoint}' has no layer '{missing[0]}'.")
    names = [field.name for field in fields(SharingPoint)]
    points = [
        SharingPoint(**{each: row[each] for each in names})
        for name in options.layers
        for row in rows
        if row["layer"] == name
    ]
    title = f"How much two tasks share at checkpoint {options.checkpoint}"
    save_figure(plot_sharing(points, title=title), options.output)


def _plot_training(options: argparse.Namespace) -> None:
    from featuresharing.data.number_tables import SHARE, Number, check_whole, read_numbers
    from featuresharing.figures.curves import AccuracyPoint, TrainingPoint, plot_training
    from featuresharing.figures.saving import save_figure

    step = Number(-1, whole=True)
    curves = []
    for path in options.logs:
        rows = read_numbers(path, {"step": step, "task": None, "loss": Number(0), "accuracy": SHARE})
        check_whole(path, rows, of=("task",), along="step")
        curves += [TrainingPoint(experiment=path.parent.name, **row) for row in rows]
    columns = {"experiment": None, "step": step, "task": None, "accuracy": SHARE}
    accuracies = [AccuracyPoint(**row) for row in read_numbers(options.accuracy, columns)]
    save_figure(plot_training(curves, accuracies), options.output)
