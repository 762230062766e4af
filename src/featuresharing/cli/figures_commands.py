"""Commands for figures of units: of a layer, of all layers, over checkpoints, and of two tasks."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.cli.figure_options import add_figure, ending, read_page
from featuresharing.cli.options import CommandParser, Commands, add_command
from featuresharing.cli.setting_options import add_settings, read_settings
from featuresharing.figure_formats import ANIMATIONS
from featuresharing.settings import EvidenceSettings, FigureSettings, SharingSettings
from featuresharing.settings.fields import keys_of

if TYPE_CHECKING:
    from featuresharing.figures.layer_map import LayerFrame

TIMES = ("milliseconds", "hold")
"""Keys of figures that hold for animations alone."""

UNITS = tuple(name for name in keys_of(FigureSettings) if name not in TIMES)
"""Keys of figures that say how the units of a layer are drawn."""

LAYERS = tuple(name for name in UNITS if name not in ("layout", "columns", "numbers"))
"""Keys of figures that say how the units of all layers are drawn."""


def add_commands(commands: Commands) -> None:
    text = "plot what every unit of a layer contributes to each pair of tasks"
    parser = _add(commands, "plot-units", _plot_units, text, *UNITS)
    parser.add_argument("--conditionals", type=Path, required=True, help="file of conditionals")
    parser.add_argument(
        "--reference", type=Path, help="file of the same layer at the checkpoint that sorts units (none: this one)"
    )
    add_figure(parser, page=False)

    text = "animate what the units of a layer contribute over the checkpoints"
    parser = _add(commands, "animate-units", _animate_units, text, *UNITS, *TIMES)
    parser.add_argument(
        "--conditionals", type=Path, nargs="+", required=True, help="files of a layer, in the order of the checkpoints"
    )
    _add_gif(parser)

    text = "plot what the units of all layers contribute, side by side"
    parser = _add(commands, "plot-layers", _plot_layers, text, *LAYERS)
    parser.add_argument("--conditionals", type=Path, nargs="+", required=True, help="file of each layer")
    parser.add_argument(
        "--reference", type=Path, nargs="+", default=[], help="files of the layers at the checkpoint that sorts units"
    )
    add_figure(parser, page=False)

    text = "animate what the units of all layers contribute over the checkpoints, side by side"
    parser = _add(commands, "animate-layers", _animate_layers, text, *LAYERS, *TIMES)
    parser.add_argument(
        "--conditionals", type=Path, nargs="+", required=True, help="file of each layer and checkpoint, in their order"
    )
    _add_gif(parser)

    text = "plot contributions to one task against those to another, layer by layer"
    parser = _add(commands, "plot-tasks", _plot_tasks, text)
    parser.add_argument("--conditionals", type=Path, nargs="+", required=True, help="file of each layer")
    add_figure(parser)


def _add(commands: Commands, name: str, run: "object", text: str, *keys: str) -> CommandParser:
    parser = add_command(commands, name, run, text)  # type: ignore[arg-type]
    parser.add_argument("--sort-by", help="task that comes first and sorts the units (none: the first)")
    add_settings(parser, EvidenceSettings)
    add_settings(parser, SharingSettings, "near_zero")
    text = "say in the title which of its experiment's networks this is, also of the first"
    parser.add_argument("--one-of-several", action="store_true", help=text)
    if keys:
        add_settings(parser, FigureSettings, *keys)
    return parser


def _add_gif(parser: CommandParser) -> None:
    parser.add_argument("--output", type=ending(ANIMATIONS), required=True, help="GIF file")


def _read(options: argparse.Namespace, paths: list[Path]) -> "list[LayerFrame]":
    from featuresharing.figures.layer_map import LayerFrame
    from featuresharing.store import read_conditionals

    evidence = read_settings(options, EvidenceSettings)
    given = {"near_zero": options.near_zero, "several": options.one_of_several}
    return [LayerFrame.of(read_conditionals(path), evidence, **given) for path in paths]


def _plot_units(options: argparse.Namespace) -> None:
    from featuresharing.figures.layer_map import map_of
    from featuresharing.figures.saving import save_figure
    from featuresharing.figures.unit_map import draw_map

    style = read_settings(options, FigureSettings, *UNITS)
    frame, *reference = _read(options, [options.conditionals, *filter(None, [options.reference])])
    ordered = next(iter(reference), frame)
    save_figure(draw_map(map_of(frame, ordered, style, sort_by=options.sort_by), style), options.output)


def _animate_units(options: argparse.Namespace) -> None:
    from featuresharing.figures.animation import animate
    from featuresharing.figures.layer_map import animate_layer
    from featuresharing.figures.saving import pixels_of

    style = read_settings(options, FigureSettings, *UNITS, *TIMES)
    figures = animate_layer(_read(options, options.conditionals), style, sort_by=options.sort_by)
    animate(map(pixels_of, figures), options.output, milliseconds=style.milliseconds, hold=style.hold)


def _plot_layers(options: argparse.Namespace) -> None:
    from featuresharing.figures.all_layers import draw_layers, layers_of
    from featuresharing.figures.saving import save_figure

    style = read_settings(options, FigureSettings, *LAYERS)
    frames = _read(options, options.conditionals)
    ordered = _read(options, options.reference) or frames
    save_figure(draw_layers(layers_of(frames, ordered, style, sort_by=options.sort_by), style), options.output)


def _animate_layers(options: argparse.Namespace) -> None:
    from featuresharing.figures.all_layers import animate_layers, by_checkpoint
    from featuresharing.figures.animation import animate
    from featuresharing.figures.saving import pixels_of

    style = read_settings(options, FigureSettings, *LAYERS, *TIMES)
    checkpoints = by_checkpoint(_read(options, options.conditionals))
    figures = animate_layers(checkpoints, style, sort_by=options.sort_by)
    animate(map(pixels_of, figures), options.output, milliseconds=style.milliseconds, hold=style.hold)


def _plot_tasks(options: argparse.Namespace) -> None:
    from featuresharing.figures.layer_map import scatter_of
    from featuresharing.figures.saving import save_figure

    frames = _read(options, options.conditionals)
    save_figure(scatter_of(frames, sort_by=options.sort_by, page=read_page(options)), options.output)
