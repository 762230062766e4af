"""Commands for tables and arrays: ``tabulate-accuracy``, ``-contributions``, ``-sharing``, ``-images``; ``export``."""

import argparse
from pathlib import Path

from featuresharing.cli.options import Commands, add_command, add_output, say
from featuresharing.cli.setting_options import add_seed, add_settings
from featuresharing.settings import EvidenceSettings, SharingSettings


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
        add_settings(parser, EvidenceSettings)
        add_output(parser, "CSV file")
        if run is _sharing:
            _add_sharing(parser)

    parser = add_command(commands, "tabulate-images", _images, "tabulate on which images every unit matters most")
    parser.add_argument("--conditionals", type=Path, nargs="+", required=True, help="files of conditionals")
    parser.add_argument(
        "--kept",
        type=Path,
        nargs="+",
        required=True,
        help="kept.csv of their images: one for all, or one for each network in the order of the conditionals",
    )
    add_settings(parser, EvidenceSettings)
    add_output(parser, "CSV file")

    parser = add_command(commands, "export", _export, "write numbers of layers as arrays for other tools")
    parser.add_argument("--conditionals", type=Path, nargs="+", required=True, help="files of conditionals")
    parser.add_argument("--what", default="evidence", help="evidence, contributions or conditionals")
    add_settings(parser, EvidenceSettings)
    parser.add_argument(
        "--output",
        type=Path,
        dest="exported",
        metavar="OUTPUT",
        required=True,
        help="a file .npz or .mat, or else a folder, which gets a .npy for each array",
    )


def _add_sharing(parser: argparse.ArgumentParser) -> None:
    for name, what in (
        ("--overlap", "other measures of overlap"),
        ("--over-networks", "means over networks"),
        ("--trends", "trends over layers and checkpoints, and their differences"),
    ):
        dest = f"output{name[1:].replace('-', '_')}"
        parser.add_argument(name, type=Path, dest=dest, metavar="OUTPUT", help=f"CSV file of {what}")
    for what in ("layer", "checkpoint"):
        help_text = f"{what}s in the order that trends follow (none: that of the conditionals)"
        parser.add_argument(f"--{what}s", dest=f"{what}_order", metavar="NAME", nargs="+", default=(), help=help_text)
    add_settings(parser, SharingSettings)
    add_seed(parser, "the bootstrap and the permutations")


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
    from featuresharing.analysis.sharing_tables import sharing_tables
    from featuresharing.data import sharing_columns as columns
    from featuresharing.data.table_files import write_table
    from featuresharing.files.atomic import check_place
    from featuresharing.store import read_conditionals

    outputs = {
        "sharing": (options.output, columns.SHARING),
        "overlap": (options.output_overlap, columns.OVERLAP),
        "over_networks": (options.output_over_networks, columns.SHARING_OVER_NETWORKS),
        "trends": (options.output_trends, columns.TRENDS),
    }
    wanted = {name: (path, table) for name, (path, table) in outputs.items() if path is not None}
    for path, _ in wanted.values():
        check_place(path)
    names = ("layer_order", "checkpoint_order", "method", "laplace", "resamples", "permutations", "near_zero", "seed")
    settings = {name: getattr(options, name) for name in names}
    found = sharing_tables(map(read_conditionals, options.conditionals), **settings, say=say)
    for name, (path, table) in wanted.items():
        write_table(path, getattr(found, name), table)


def _images(options: argparse.Namespace) -> None:
    from featuresharing.analysis.image_table import image_table
    from featuresharing.data.columns import EXTREMES, KEPT
    from featuresharing.data.table_files import read_table, write_table
    from featuresharing.store import read_conditionals

    tables = [read_table(path, KEPT) for path in options.kept]
    kept = tables[0] if len(tables) == 1 else tables
    layers = map(read_conditionals, options.conditionals)
    table = image_table(layers, kept, method=options.method, laplace=options.laplace)
    write_table(options.output, table, EXTREMES)


def _export(options: argparse.Namespace) -> None:
    from featuresharing.analysis.array_export import export_arrays, layer_arrays
    from featuresharing.store import read_conditionals

    layers = map(read_conditionals, options.conditionals)
    arrays = layer_arrays(layers, options.what, method=options.method, laplace=options.laplace)
    say(f"{export_arrays(arrays, options.exported)} holds {', '.join(arrays)}.")
