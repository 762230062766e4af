"""Commands for figures of tables: ``plot-sharing`` and ``plot-training``."""

import argparse
from pathlib import Path
from typing import Any

from featuresharing.cli.figure_options import add_figure, read_page
from featuresharing.cli.options import Commands, add_command, named_path


def add_commands(commands: Commands) -> None:
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
