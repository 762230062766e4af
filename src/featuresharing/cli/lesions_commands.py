"""Commands for lesions of many units together: ``lesion-curves``, ``tabulate-lesions`` and ``plot-lesions``."""

import argparse
from pathlib import Path

from featuresharing.cli.figure_options import add_figure, add_tasks, read_page
from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_list,
    add_network,
    add_output,
    add_wait,
    choose_device,
    list_files,
    read_memory,
    say,
    whole,
)
from featuresharing.cli.setting_options import add_seed, add_settings
from featuresharing.settings import EvidenceSettings, LesionSettings, MarginalizationSettings


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands,
        "lesion-curves",
        _curves,
        "remove more and more units of a layer and see how accuracy falls",
        torch=True,
    )
    parser.add_argument("--conditionals", type=Path, required=True, help="the layer's file, whose contributions order")
    add_settings(parser, EvidenceSettings)
    add_list(parser)
    add_network(parser)
    add_settings(parser, LesionSettings, "steps", "random_orders")
    add_seed(parser, "the random orders")
    add_settings(parser, MarginalizationSettings, "engine")
    parser.add_argument("--memory", type=whole(1), metavar="MB", help="main memory for values (none: half of the free)")
    add_wait(parser)
    add_device(parser)
    add_output(parser, "CSV file")

    parser = add_command(commands, "tabulate-lesions", _tabulate, "put the curves of all layers into one table")
    parser.add_argument("--curves", type=Path, nargs="+", required=True, help="CSV files of curves")
    add_output(parser, "CSV file")

    parser = add_command(commands, "plot-lesions", _plot, "plot how accuracy falls as units are removed")
    parser.add_argument("--curves", type=Path, nargs="+", required=True, help="CSV files of an experiment's layers")
    add_settings(parser, LesionSettings, "threshold")
    add_tasks(parser)
    add_figure(parser)


def _curves(options: argparse.Namespace) -> None:
    from featuresharing.computation import Computation
    from featuresharing.runs.lesioning import measure_curves_of_file
    from featuresharing.runs.subjects import subject_of_files

    subject = subject_of_files(options.checkpoint, list_files(options), image_size=options.image_size)
    device = choose_device(options)
    measure_curves_of_file(
        subject,
        options.conditionals,
        options.output,
        Computation(device, memory=read_memory(options, device), engine=options.engine),
        method=options.method,
        laplace=options.laplace,
        steps=options.steps,
        random_orders=options.random_orders,
        seed=options.seed,
        wait=60 * options.wait,
        say=say,
    )


def _tabulate(options: argparse.Namespace) -> None:
    from pandas import concat

    from featuresharing.data.columns import LESIONS
    from featuresharing.data.table_files import write_table
    from featuresharing.data.whole_tables import read_curves

    write_table(options.output, concat(map(read_curves, options.curves)), LESIONS)


def _plot(options: argparse.Namespace) -> None:
    from pandas import concat

    from featuresharing.data.whole_tables import read_curves
    from featuresharing.figures.lesion_curves import plot_lesions
    from featuresharing.figures.saving import save_figure

    curves = concat(map(read_curves, options.curves))
    figure = plot_lesions(curves, tasks=options.tasks, threshold=options.threshold, page=read_page(options))
    save_figure(figure, options.output)
