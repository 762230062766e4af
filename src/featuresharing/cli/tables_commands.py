"""Commands for tables: ``tabulate-accuracy``, ``tabulate-contributions`` and ``tabulate-sharing``."""

import argparse
from pathlib import Path

from featuresharing.cli.options import MOST_SEED, Commands, add_command, add_output, say, whole


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "tabulate-accuracy", _accuracy, "tabulate the accuracy on held-out images")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="files of predictions")
    add_output(parser, "CSV file")

    for name, run, help_text in (
        ("tabulate-contributions", _contributions, "tabulate what every unit contributes to every task"),
        ("tabulate-sharing", _sharing, "tabulate how much the tasks share in every layer"),
    ):
        parser = add_command(commands, name, run, help_text)
        parser.add_argument("--conditionals", type=Path, nargs="+", required=True, help="files of conditionals")
        add_evidence(parser)
        add_output(parser, "CSV file")
        if run is _sharing:
            parser.add_argument("--resamples", type=whole(1), default=1000, help="bootstrap samples of the images")
            parser.add_argument("--seed", type=whole(0, MOST_SEED), default=0, help="seed of the bootstrap")


def add_evidence(parser: argparse.ArgumentParser) -> None:
    """Add how evidence is measured."""
    parser.add_argument("--method", choices=("we", "probdiff", "infdiff"), default="we", help="measure of evidence")
    parser.add_argument("--laplace", choices=("paper", "standard"), default="paper", help="Laplace correction")


def _accuracy(options: argparse.Namespace) -> None:
    from featuresharing.analysis.tables import accuracy_table
    from featuresharing.data.columns import ACCURACY
    from featuresharing.data.table_files import write_table
    from featuresharing.networks.predictions import read_named_predictions

    write_table(options.output, accuracy_table(map(read_named_predictions, options.predictions)), ACCURACY)


def _contributions(options: argparse.Namespace) -> None:
    from featuresharing.analysis.tables import contribution_table
    from featuresharing.data.columns import CONTRIBUTIONS
    from featuresharing.data.table_files import write_table
    from featuresharing.store import read_conditionals

    layers = map(read_conditionals, options.conditionals)
    table = contribution_table(layers, method=options.method, laplace=options.laplace, say=say)
    write_table(options.output, table, CONTRIBUTIONS)


def _sharing(options: argparse.Namespace) -> None:
    from featuresharing.analysis.tables import sharing_table
    from featuresharing.data.columns import SHARING
    from featuresharing.data.table_files import write_table
    from featuresharing.store import read_conditionals

    layers = map(read_conditionals, options.conditionals)
    settings = {name: getattr(options, name) for name in ("method", "laplace", "resamples", "seed")}
    write_table(options.output, sharing_table(layers, **settings, say=say), SHARING)
