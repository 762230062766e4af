"""Commands for figures of units: ``plot-units`` and ``animate-units``."""

import argparse
from pathlib import Path

from featuresharing.cli.figure_options import add_figure, ending
from featuresharing.cli.options import Commands, add_command
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
