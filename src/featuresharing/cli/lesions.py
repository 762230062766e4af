"""Commands for lesions of many units together: ``lesion-curves``, ``tabulate-lesions`` and ``plot-lesions``."""

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_list,
    add_network,
    add_output,
    choose_device,
    read_list,
    say,
    whole,
)
from featuresharing.cli.tables import add_evidence, read_table
from featuresharing.errors import InputError
from featuresharing.runs.stopping import stoppable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Accuracies = NDArray[np.float64]

COLUMNS = (
    *("experiment", "checkpoint", "layer", "order", "task", "removed", "fraction"),
    *("accuracy", "random_mean", "random_sd", "p"),
)


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands, "lesion-curves", _curves, "remove more and more units of a layer and see how accuracy falls"
    )
    parser.add_argument("--conditionals", type=Path, required=True, help="the layer's file, whose contributions order")
    add_evidence(parser)
    add_list(parser)
    add_network(parser)
    parser.add_argument("--steps", type=whole(1), default=20, help="points of a curve beside that of the whole layer")
    parser.add_argument("--random-orders", type=whole(2), default=20, help="random orders to compare with")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the random orders")
    parser.add_argument("--memory", type=whole(1), metavar="MB", help="main memory for values (none: half of the free)")
    add_device(parser)
    add_output(parser, "CSV file")

    parser = add_command(commands, "tabulate-lesions", _tabulate, "put the curves of all layers into one table")
    parser.add_argument("--curves", type=Path, nargs="+", required=True, help="CSV files of curves")
    add_output(parser, "CSV file")

    parser = add_command(commands, "plot-lesions", _plot, "plot how accuracy falls as units are removed")
    parser.add_argument("--curves", type=Path, nargs="+", required=True, help="CSV files of an experiment's layers")
    add_output(parser, "PNG file")


def _curves(options: argparse.Namespace) -> None:
    import numpy as np

    from featuresharing.data.images import read_inputs
    from featuresharing.deviation import deviation_p_values
    from featuresharing.files import file_digest, write_table
    from featuresharing.marginal.lesions import lesion_accuracy, random_orders
    from featuresharing.networks.checkpoints import check_fits, open_network
    from featuresharing.store import read_conditionals
    from featuresharing.tables import layer_contributions
    from featuresharing.version import NUMERICS

    classes, images = read_list(options)
    stored = open_network(options.checkpoint, image_size=options.image_size)
    check_fits(options.checkpoint, stored, classes)
    layer = read_conditionals(options.conditionals)
    contributions = layer_contributions(layer, method=options.method, laplace=options.laplace)
    units = len(layer.units)
    if units != (whole := layer.attribute("layer_units", int)):
        raise InputError(f"{options.conditionals} has {units} of {whole} units; accepted is the file of a whole layer.")
    # ties by the units' numbers
    orders = {task: np.argsort(-values, kind="stable") for task, values in contributions.items()}
    chance = random_orders(range(units), options.random_orders, seed=options.seed)
    counts = np.unique(np.round(np.linspace(0, units, options.steps + 1)).astype(np.int64))
    device = choose_device(options)
    pixels = read_inputs(images.paths, stored.preprocessing)
    path = layer.attribute("layer", str)

    def measure(order: Sequence[int]) -> "Accuracies":
        settings: dict[str, Any] = {"counts": counts, "device": device}
        if options.memory and not device.startswith("cuda"):
            settings["memory"] = options.memory * 2**20
        _, accuracy = lesion_accuracy(stored.network, path, pixels, images.targets, [order], **settings)
        found: Accuracies = accuracy[0]
        return found

    identity = [
        *(NUMERICS, file_digest(options.checkpoint), file_digest(*images.paths), images.targets.tolist(), path),
        *(counts.tolist(), device.partition(":")[0]),
    ]
    with stoppable():
        found = _measured(options.output, identity, [*orders.values(), *chance], measure)
    random = np.stack(found[len(orders) :])
    attributes = layer.attributes
    place = (attributes["experiment"], attributes["checkpoint"], attributes["alias"])

    def rows() -> Iterator[Sequence[Any]]:
        for order, accuracy in zip(orders, found, strict=False):
            p_values = deviation_p_values(accuracy, random)
            for column, task in enumerate(classes):
                for row, count in enumerate(counts):
                    chances = random[:, row, column]
                    numbers = (accuracy[row, column], chances.mean(), chances.std(ddof=1), p_values[row, column])
                    yield (*place, order, task, int(count), f"{count / units:.6g}", *(f"{n:.9g}" for n in numbers))

    write_table(options.output, COLUMNS, rows())
    _progress_file(options.output).unlink(missing_ok=True)


def _measured(
    output: Path,
    identity: list[Any],
    orders: "Sequence[NDArray[Any]]",
    measure: "Callable[[Sequence[int]], Accuracies]",
) -> "list[Accuracies]":
    """Return the accuracies of every order; those that an interrupted run measured are taken from its file."""
    import numpy as np

    from featuresharing.files import replacing

    path = _progress_file(output)
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    try:
        stored = json.loads(path.read_text())
        done: dict[str, Any] = stored["done"] if stored["key"] == key else {}
    except (OSError, ValueError, KeyError, TypeError):
        done = {}
    if done:
        say(f"{len(done)} orders were measured already.")
    found = []
    for order in orders:
        name = hashlib.sha256(np.asarray(order, "<i8").tobytes()).hexdigest()
        if name not in done:
            done[name] = measure(order.tolist()).tolist()
            with replacing(path) as temporary:
                temporary.write_text(json.dumps({"key": key, "done": done}))
        found.append(np.array(done[name]))
    return found


def _progress_file(output: Path) -> Path:
    return output.with_name(f".{output.name}.measured.json")


def _tabulate(options: argparse.Namespace) -> None:
    from featuresharing.files import write_table

    rows = (row for path in options.curves for row in read_table(path, COLUMNS))
    write_table(options.output, COLUMNS, ([row[name] for name in COLUMNS] for row in rows))


def _plot(options: argparse.Namespace) -> None:
    from featuresharing.figures.lesions import LesionPoint, plot_lesions
    from featuresharing.figures.saving import save_figure

    rows = [row for path in options.curves for row in read_table(path, COLUMNS)]
    figure = plot_lesions([LesionPoint(**_point(row)) for row in rows], title=_title(rows))
    save_figure(figure, options.output)


def _point(row: Mapping[str, str]) -> dict[str, Any]:
    names = ("fraction", "accuracy", "random_mean", "random_sd", "p")
    return {name: row[name] for name in ("layer", "order", "task")} | {name: float(row[name]) for name in names}


def _title(rows: Sequence[Mapping[str, str]]) -> str:
    first = rows[0] if rows else {"experiment": "", "checkpoint": ""}
    return f"{first['experiment']}: accuracy without the units that a task relies on, checkpoint {first['checkpoint']}"
