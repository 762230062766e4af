"""Commands for lesions of many units together: ``lesion-curves``, ``tabulate-lesions`` and ``plot-lesions``."""

import argparse
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    say,
    whole,
)
from featuresharing.cli.setting_options import add_seed, add_settings
from featuresharing.errors import InputError
from featuresharing.runs.stopping import stoppable
from featuresharing.settings import EvidenceSettings, LesionSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from featuresharing.data.lists import ImageList
    from featuresharing.networks.opening import StoredNetwork
    from featuresharing.runs.measurements import Measurements

    Accuracies = NDArray[np.float64]


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
    import numpy as np

    from featuresharing.analysis.lesions import random_orders
    from featuresharing.analysis.tables import layer_contributions, lesion_table
    from featuresharing.data.columns import LESIONS
    from featuresharing.data.table_files import write_table
    from featuresharing.files.locks import holding
    from featuresharing.files.partial import settings_key
    from featuresharing.files.second_names import keep_second_name, put_back
    from featuresharing.networks.opening import check_fits, open_network
    from featuresharing.runs.measurements import Measurements
    from featuresharing.store import read_conditionals

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
    path = layer.attribute("layer", str)
    place = (layer.attribute("experiment", str), layer.attribute("checkpoint", str), layer.attribute("alias", str))
    measured = Measurements(options.output, _key_of_measurements(options, images, path, counts, device))
    named = {task: _name(order) for task, order in orders.items()}
    key = settings_key(
        {"measured": measured.path.name, "orders": named, "place": place, "random": _name(chance)}, "lesions"
    )
    with holding(options.output, wait=60 * options.wait, say=say), stoppable() as stopper:
        if put_back(options.output, key):
            say(f"{options.output} is there already.")
            return
        measure = _measuring(options, stored, path, images, counts, device)
        found = _measured(measured, [*orders.values(), *chance], measure)
        with stopper.deferred():
            accuracy, random = np.stack(found[: len(orders)]), np.stack(found[len(orders) :])
            table = lesion_table(place, list(orders), list(classes), counts, accuracy, random)
            write_table(options.output, table, LESIONS, key=key)
            keep_second_name(options.output, key)
            measured.remove()


def _key_of_measurements(
    options: argparse.Namespace, images: "ImageList", path: str, counts: "NDArray[np.int64]", device: str
) -> str:
    """Return what names all that the accuracy after one order depends on."""
    from featuresharing.files.atomic import file_digest
    from featuresharing.files.partial import settings_key

    return settings_key(
        {
            "network_sha256": file_digest(options.checkpoint),
            "images_sha256": file_digest(*images.paths),
            "targets": images.targets.tolist(),
            "layer": path,
            "counts": counts.tolist(),
            "device": device.partition(":")[0],
        },
        "lesions",
    )


def _measuring(
    options: argparse.Namespace,
    stored: "StoredNetwork",
    path: str,
    images: "ImageList",
    counts: "NDArray[np.int64]",
    device: str,
) -> "Callable[[Sequence[int]], Accuracies]":
    """Return what gives the accuracies [counts, tasks] as units are removed in an order."""
    from featuresharing.analysis.lesions import lesion_accuracy
    from featuresharing.data.images import read_inputs

    pixels = read_inputs(images.paths, stored.preprocessing)
    settings: dict[str, Any] = {"counts": counts, "device": device}
    if options.memory and not device.startswith("cuda"):
        settings["memory"] = options.memory * 2**20

    def measure(order: Sequence[int]) -> "Accuracies":
        _, accuracy = lesion_accuracy(stored.network, path, pixels, images.targets, [order], **settings)
        found: Accuracies = accuracy[0]
        return found

    return measure


def _measured(
    measured: "Measurements", orders: "Sequence[NDArray[Any]]", measure: "Callable[[Sequence[int]], Accuracies]"
) -> "list[Accuracies]":
    """Return the accuracies of every order; those that an interrupted run measured are taken from its file."""
    done, damaged = measured.read()
    if damaged:
        say(f"{damaged} lines of {measured.path} are damaged: their orders are measured again.")
    if done:
        say(f"{len(done)} orders were measured already.")
    for order in orders:
        if (name := _name(order)) not in done:
            done[name] = measure(order.tolist())
            measured.add(name, done[name])
    return [done[_name(order)] for order in orders]


def _name(order: "NDArray[Any]") -> str:
    import numpy as np

    return hashlib.sha256(np.asarray(order, "<i8").tobytes()).hexdigest()


def _tabulate(options: argparse.Namespace) -> None:
    from pandas import concat

    from featuresharing.data.columns import LESIONS
    from featuresharing.data.table_files import write_table
    from featuresharing.figures.lesion_curves import read_curves

    write_table(options.output, concat(map(read_curves, options.curves)), LESIONS)


def _plot(options: argparse.Namespace) -> None:
    from pandas import concat

    from featuresharing.figures.lesion_curves import plot_lesions, read_curves
    from featuresharing.figures.saving import save_figure

    save_figure(plot_lesions(concat(map(read_curves, options.curves))), options.output)
