"""Commands for figures: ``plot-units``, ``animate-units``, ``plot-sharing`` and ``plot-training``."""

import argparse
from pathlib import Path
from typing import Any

from featuresharing.cli.figure_options import add_figure, ending, read_page
from featuresharing.cli.options import Commands, add_command, named_path
from featuresharing.cli.setting_options import add_settings, read_settings
from featuresharing.figure_formats import ANIMATIONS
from featuresharing.settings import EvidenceSettings, FigureSettings
from featuresharing.settings.fields import keys_of

STYLE = tuple(name for name in keys_of(FigureSettings) if name != "milliseconds")
"""Keys of figures that say how units are drawn."""


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands, "plot-units", _plot_units, "plot what every unit of a layer contributes to two tasks"
    )
    parser.add_argument("--conditionals", type=Path, required=True, help="file of conditionals")
    parser.add_argument("--sort-by", help="task in red and green that sorts the units (none: the first)")
    add_settings(parser, EvidenceSettings)
    add_settings(parser, FigureSettings, *STYLE)
    add_figure(parser, page=False)

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
    parser.add_argument(
        "--logs", type=named_path, nargs="+", required=True, metavar="EXPERIMENT=PATH", help="logs of training"
    )
    parser.add_argument("--accuracy", type=Path, required=True, help="table of accuracy on held-out images")
    add_figure(parser)


def _plot_units(options: argparse.Namespace) -> None:
    from featuresharing.figures.layer_map import plot_layer
    from featuresharing.figures.saving import save_figure
    from featuresharing.store import read_conditionals

    settings = read_settings(options, EvidenceSettings), read_settings(options, FigureSettings, *STYLE)
    layer = read_conditionals(options.conditionals)
    save_figure(plot_layer(layer, *settings, sort_by=options.sort_by), options.output)


def _animate_units(options: argparse.Namespace) -> None:
    from featuresharing.figures.animation import animate

    animate(options.frames, options.output, milliseconds=options.milliseconds)


def _plot_sharing(options: argparse.Namespace) -> None:
    from featuresharing.data.whole_tables import read_sharing
    from featuresharing.figures.curves import plot_sharing
    from featuresharing.figures.saving import save_figure

    table = read_sharing(options.sharing, checkpoint=options.checkpoint, layers=options.layers)
    title = f"How much two tasks share at checkpoint {options.checkpoint}"
    save_figure(plot_sharing(table, title=title, page=read_page(options)), options.output)


def _plot_training(options: argparse.Namespace) -> None:
    from featuresharing.data.columns import ACCURACY
    from featuresharing.data.table_files import read_table
    from featuresharing.data.whole_tables import read_log
    from featuresharing.figures.curves import plot_training
    from featuresharing.figures.saving import save_figure

    logs: dict[str, Any] = {}
    for experiment, path in options.logs:
        logs.setdefault(experiment, []).append(read_log(path))
    single = {experiment: read[0] if len(read) == 1 else read for experiment, read in logs.items()}
    figure = plot_training(single, read_table(options.accuracy, ACCURACY), page=read_page(options))
    save_figure(figure, options.output)
