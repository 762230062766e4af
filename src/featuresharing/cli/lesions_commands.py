"""Commands for lesions of many units together: ``lesion-curves``, ``tabulate-lesions`` and ``plot-lesions``."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_figure,
    add_list,
    add_network,
    add_output,
    add_wait,
    choose_device,
    read_list,
    read_memory,
    say,
    whole,
)
from featuresharing.cli.setting_options import add_seed, add_settings
from featuresharing.errors import InputError
from featuresharing.files.atomic import write_table
from featuresharing.settings import EvidenceSettings, LesionSettings


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands, "lesion-curves", _curves, "remove more and more units of a layer and see how accuracy falls"
    )
    parser.add_argument("--conditionals", type=Path, required=True, help="the layer's file, whose contributions order")
    add_settings(parser, EvidenceSettings)
    add_list(parser)
    add_network(parser)
    add_settings(parser, LesionSettings, "steps", "random_orders")
    add_seed(parser, "the random orders")
    parser.add_argument("--memory", type=whole(1), metavar="MB", help="main memory for values (none: half of the free)")
    add_wait(parser)
    add_device(parser)
    add_output(parser, "CSV file")

    parser = add_command(commands, "tabulate-lesions", _tabulate, "put the curves of all layers into one table")
    parser.add_argument("--curves", type=Path, nargs="+", required=True, help="CSV files of curves")
    add_output(parser, "CSV file")

    parser = add_command(commands, "plot-lesions", _plot, "plot how accuracy falls as units are removed")
    parser.add_argument("--curves", type=Path, nargs="+", required=True, help="CSV files of an experiment's layers")
    add_figure(parser)


def _curves(options: argparse.Namespace) -> None:
    from featuresharing.computation import Computation
    from featuresharing.runs.lesioning import measure_curves_of_file
    from featuresharing.runs.subjects import subject_of_files

    subject = subject_of_files(options.checkpoint, *read_list(options), image_size=options.image_size)
    device = choose_device(options)
    measure_curves_of_file(
        subject,
        options.conditionals,
        options.output,
        Computation(device, memory=read_memory(options, device)),
        method=options.method,
        laplace=options.laplace,
        steps=options.steps,
        random_orders=options.random_orders,
        seed=options.seed,
        wait=60 * options.wait,
        say=say,
    )


def _read_curves(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the rows of tables of curves; raises InputError for one that is not whole."""
    from featuresharing.analysis.removal import COLUMNS
    from featuresharing.data.number_tables import SHARE, Number, check_whole, read_numbers

    kinds = dict.fromkeys(("fraction", "accuracy", "random_mean", "p"), SHARE)
    kinds |= {"removed": Number(0, whole=True), "random_sd": Number(0)}
    found = []
    for path in paths:
        rows = read_numbers(path, {name: kinds.get(name) for name in COLUMNS})
        check_whole(path, rows, of=("experiment", "checkpoint", "layer", "order", "task"), along="removed")
        if missing := {row["task"] for row in rows} ^ {row["order"] for row in rows}:
            raise InputError(f"table {path}: the curves of '{min(missing)}' are missing; accepted is a whole table.")
        found += rows
    return found


def _tabulate(options: argparse.Namespace) -> None:
    from featuresharing.analysis.removal import COLUMNS
    from featuresharing.data.texts import read_rows

    _read_curves(options.curves)
    rows = (row for path in options.curves for row in read_rows(path, COLUMNS))
    write_table(options.output, COLUMNS, ([row[name] for name in COLUMNS] for row in rows))


def _plot(options: argparse.Namespace) -> None:
    from dataclasses import fields

    from featuresharing.figures.lesion_curves import LesionPoint, plot_lesions
    from featuresharing.figures.saving import save_figure

    rows = _read_curves(options.curves)
    names = [field.name for field in fields(LesionPoint)]
    points = [LesionPoint(**{name: row[name] for name in names}) for row in rows]
    save_figure(plot_lesions(points, title=_title(rows)), options.output)


def _title(rows: Sequence[Mapping[str, Any]]) -> str:
    first = rows[0]
    return f"{first['experiment']}: accuracy without the units that a task relies on, checkpoint {first['checkpoint']}"
