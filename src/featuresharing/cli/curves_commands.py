"""Commands for figures of curves: ``plot-sharing``, ``plot-excess-sharing`` and ``plot-training``."""

import argparse
from pathlib import Path
from typing import Any

from featuresharing.cli.figure_options import add_figure, add_tasks, read_page
from featuresharing.cli.options import Commands, add_command, named_path
from featuresharing.errors import InputError


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "plot-sharing", _plot_sharing, "plot sharing against layer, beside chance")
    parser.add_argument("--sharing", type=Path, required=True, help="table of sharing")
    over_networks = "table of sharing over networks, which figures of several replicates need"
    parser.add_argument("--over-networks", type=Path, help=over_networks)
    parser.add_argument("--layers", nargs="+", required=True, help="layers from left to right")
    parser.add_argument("--checkpoint", required=True, help="checkpoint to plot")
    add_tasks(parser)
    add_figure(parser)

    parser = add_command(
        commands, "plot-excess-sharing", _plot_over_training, "plot excess sharing against training step"
    )
    parser.add_argument("--over-networks", type=Path, required=True, help="table of sharing over networks")
    parser.add_argument("--layers", nargs="+", required=True, help="layers in their order")
    parser.add_argument(
        "--checkpoints",
        dest="shown_checkpoints",
        metavar="NAME",
        nargs="+",
        required=True,
        help="checkpoints in their order",
    )
    add_figure(parser)

    parser = add_command(commands, "plot-training", _plot_training, "plot loss and accuracy against training step")
    parser.add_argument(
        "--logs",
        type=named_path,
        nargs="+",
        required=True,
        metavar="EXPERIMENT=PATH",
        help="logs of training, one for each replicate",
    )
    parser.add_argument("--accuracy", type=Path, required=True, help="table of accuracy on held-out images")
    for what, text in (
        ("lists", "lists of these images, which say what chance gives"),
        ("classes", "tables of their classes"),
    ):
        parser.add_argument(f"--{what}", type=named_path, nargs="+", default=[], metavar="EXPERIMENT=PATH", help=text)
    add_tasks(parser)
    add_figure(parser)


def _plot_sharing(options: argparse.Namespace) -> None:
    from featuresharing.data.sharing_columns import SHARING_OVER_NETWORKS
    from featuresharing.data.whole_tables import read_sharing
    from featuresharing.figures.saving import save_figure
    from featuresharing.figures.sharing_lines import plot_sharing

    given: dict[str, Any] = {"checkpoints": [options.checkpoint], "layers": options.layers}
    table, means = read_sharing(options.sharing, **given), None
    if options.over_networks:
        means = read_sharing(options.over_networks, table=SHARING_OVER_NETWORKS, **given)
    title = f"How much two tasks share at checkpoint {options.checkpoint}"
    figure = plot_sharing(table, means, title=title, tasks=options.tasks, page=read_page(options))
    save_figure(figure, options.output)


def _plot_over_training(options: argparse.Namespace) -> None:
    from featuresharing.data.sharing_columns import SHARING_OVER_NETWORKS
    from featuresharing.data.whole_tables import read_sharing
    from featuresharing.figures.saving import save_figure
    from featuresharing.figures.sharing_over_training import plot_sharing_over_training

    given: dict[str, Any] = {"checkpoints": options.shown_checkpoints, "layers": options.layers}
    table = read_sharing(options.over_networks, table=SHARING_OVER_NETWORKS, **given)
    save_figure(plot_sharing_over_training(table, page=read_page(options)), options.output)


def _plot_training(options: argparse.Namespace) -> None:
    from featuresharing.data.columns import ACCURACY
    from featuresharing.data.table_files import read_table
    from featuresharing.data.whole_tables import read_log
    from featuresharing.figures.saving import save_figure
    from featuresharing.figures.training_curves import plot_training

    logs: dict[str, Any] = {}
    for experiment, path in options.logs:
        logs.setdefault(experiment, []).append(read_log(path))
    accuracy = read_table(options.accuracy, ACCURACY)
    settings: dict[str, Any] = {"tasks": options.tasks, "page": read_page(options)}
    save_figure(plot_training(logs, accuracy, chance=_chance(options), **settings), options.output)


def _chance(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return by experiment and task the accuracy of always naming the most frequent class of a list of images."""
    from featuresharing.analysis.guessing import chance_accuracy
    from featuresharing.data.lists import ListFiles

    lists, classes = dict(options.lists), dict(options.classes)
    if set(lists) != set(classes):
        raise InputError("--lists and --classes: found other experiments in one; accepted are the same in both.")
    found = {}
    for experiment, path in lists.items():
        names, images = ListFiles(path, classes[experiment]).read(check_files=False)
        found[experiment] = dict(zip(names, chance_accuracy(images.targets).tolist(), strict=True))
    return found
