"""Curves of accuracy as units of a layer are removed, into a table: resumed at the next order after a kill."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame
from torch import Tensor

from featuresharing.analysis.guessing import chance_accuracy
from featuresharing.analysis.lesions import LesionedLayer
from featuresharing.analysis.removal import Removal, plan_removal
from featuresharing.analysis.tables import layer_contributions, lesion_table
from featuresharing.arguments import as_path, kind_of
from featuresharing.computation import Computation, ComputationSettings, computation_of
from featuresharing.data.columns import LESIONS
from featuresharing.data.table_files import write_table
from featuresharing.data.whole_tables import read_curves
from featuresharing.errors import InputError
from featuresharing.files.atomic import check_place
from featuresharing.files.identity import Identity, digest_of_bytes
from featuresharing.files.locks import holding
from featuresharing.files.second_names import keep_second_name, put_back
from featuresharing.runs.measurements import Measurements
from featuresharing.runs.stopping import Say, stoppable
from featuresharing.runs.subjects import (
    ChosenLayer,
    Network,
    Origin,
    Subject,
    check_origin,
    choose_layer,
    origin_of,
    subject_of_arrays,
)
from featuresharing.settings import Config, LesionSettings
from featuresharing.store import read_conditionals

Accuracies = NDArray[np.float64]


def lesion_curves_to_file(
    network: Network,
    layer: str,
    images: NDArray[Any] | Tensor | Iterable[Any],
    targets: Any,
    contributions: Mapping[str, NDArray[Any]] | Sequence[NDArray[Any]],
    output: Path | str,
    *,
    steps: int = LesionSettings.steps,
    random_orders: int = LesionSettings.random_orders,
    seed: int = Config.seed,
    inputs: Mapping[str, Any] | None = None,
    aliases: Mapping[str, str] | None = None,
    origin: Origin | None = None,
    wait: float = 0.0,
    say: Say = print,
    **settings: Unpack[ComputationSettings],
) -> DataFrame:
    """Remove more and more units of a layer, those that a task relies on most first, and write how accuracy falls.

    ``contributions`` [units] by task say what each unit contributes: a dict, or a list in the order of the tasks.
    ``output`` becomes a CSV table, which is returned; :func:`.tables.lesion_table` describes its columns. Curves have
    ``steps`` points beside that of the whole layer, and are compared with those of ``random_orders``. Whatever ends the
    process, the same call goes on at the next order. All else is as in :func:`featuresharing.marginalize_to_file`.

    >>> given = {"word": np.arange(6.0), "basic": np.ones(6)}
    >>> curves = lesion_curves_to_file(network, "hidden", images, targets, given, "curves.csv", steps=2)
    >>> curves["removed"].unique().tolist()
    [0, 3, 6]
    """
    path = as_path("output", output)
    computation = computation_of(settings, lesion_curves_to_file)
    subject = subject_of_arrays(network, images, targets, inputs=inputs, device=computation.device)
    chosen = choose_layer(subject.network, layer, None, aliases)
    removal = plan_removal(
        _by_task(contributions, list(subject.classes)), steps=steps, repeats=random_orders, seed=seed
    )
    named_origin = origin_of(network) if origin is None else check_origin(origin)
    measure_curves(subject, chosen, removal, path, named_origin, computation, wait=wait, say=say)
    return read_curves(path)


def _by_task(contributions: Any, tasks: Sequence[str]) -> Mapping[str, NDArray[Any]]:
    """Return contributions by task; raises InputError for those of other tasks, and for what are none."""
    if isinstance(contributions, Mapping):
        if set(contributions) != set(tasks):
            found = ", ".join(map(str, contributions)) or "none"
            raise InputError(f"contributions: found the tasks {found}; accepted are {', '.join(tasks)}.")
        return contributions
    if not isinstance(contributions, Sequence | np.ndarray):
        raise InputError(f"contributions: found {kind_of(contributions)}; accepted is an array [units] for each task.")
    if len(contributions) != len(tasks):
        found = f"{len(contributions)} arrays"
        raise InputError(f"contributions: found {found}; accepted is one for each task: {', '.join(tasks)}.")
    return dict(zip(tasks, contributions, strict=True))


def measure_curves_of_file(
    subject: Subject,
    conditionals: Path,
    output: Path,
    computation: Computation,
    *,
    method: str,
    laplace: str,
    steps: int,
    random_orders: int,
    seed: int,
    wait: float = 0.0,
    say: Say = print,
) -> None:
    """Do what :func:`lesion_curves_to_file` does for a file of conditionals, whose evidence says what units contribute.

    Raises InputError for a file of some units alone, or of a layer that the network does not have.
    """
    layer = read_conditionals(conditionals)
    units, size = len(layer.units), layer.attribute("layer_units", int)
    if units != size:
        raise InputError(f"{conditionals} has {units} of {size} units; accepted is the file of a whole layer.")
    contributions = layer_contributions(layer, method=method, laplace=laplace)
    removal = plan_removal(contributions, steps=steps, repeats=random_orders, seed=seed)
    alias, path = layer.attribute("alias", str), layer.attribute("layer", str)
    chosen = choose_layer(subject.network, alias, aliases={alias: path})
    origin = Origin(layer.attribute("experiment", str), layer.attribute("checkpoint", str), layer.replicate)
    measure_curves(subject, chosen, removal, output, origin, computation, wait=wait, say=say)


def measure_curves(
    subject: Subject,
    layer: ChosenLayer,
    removal: Removal,
    output: Path,
    origin: Origin,
    computation: Computation,
    *,
    wait: float = 0.0,
    say: Say = print,
) -> None:
    """Do what :func:`lesion_curves_to_file` does with a subject and a removal that are there.

    Raises InputError for a removal of other units than the layer has.
    """
    if len(removal.random[0]) != layer.size:
        found = f"found {len(removal.random[0])} for {layer.size} units"
        raise InputError(f"contributions to layer '{layer.name}': {found}; accepted is one for each.")
    place = (origin.experiment, origin.replicate, origin.checkpoint, layer.name)
    check_place(output)
    measured = Measurements(output, _identity(subject, layer, removal, computation).key)
    orders = {task: _name(order) for task, order in removal.orders.items()}
    values = {"measured": measured.path.name, "orders": orders, "place": place, "random": _name(removal.random)}
    key = Identity("lesions", values).key

    @cache  # once there is an order to measure
    def lesioned() -> LesionedLayer:
        given = (subject.network, layer.path, subject.images, subject.targets, computation)
        return LesionedLayer(*given, inputs=subject.inputs)

    def measure(order: NDArray[np.int64]) -> Accuracies:
        return np.asarray(lesioned().accuracy([order.tolist()], removal.counts)[0])

    total = len(removal.all_orders())
    kept = partial(_kept, measured, total)
    with stoppable(kept) as stopper, holding(output, wait=wait, say=say):
        if put_back(output, key):
            say(f"{output} is there already.")
            return
        accuracies = np.stack(_measured(measured, removal.all_orders(), measure, say))
        with stopper.deferred():
            names, tasks = list(removal.orders), list(subject.classes)
            accuracy, random = accuracies[: len(names)], accuracies[len(names) :]
            chance = chance_accuracy(subject.targets)
            table = lesion_table(place, names, tasks, removal.counts, accuracy, random, chance)
            write_table(output, table, LESIONS, key=key)
            keep_second_name(output, key)
            measured.remove()


def _identity(subject: Subject, layer: ChosenLayer, removal: Removal, computation: Computation) -> Identity:
    """Return all that the accuracies after one order depend on."""
    values: dict[str, Any] = {
        "network_sha256": subject.network_sha256,
        "images_sha256": subject.images_sha256,
        "targets": subject.targets.tolist(),
        "layer": layer.path,
        "counts": removal.counts.tolist(),
        "device": computation.device.partition(":")[0],
    }
    values |= {"dtype": computation.dtype} if computation.dtype else {}
    if computation.engine != Computation.engine:
        values |= {"engine": computation.engine, "filters": "effective"}
    return Identity("removal", values)


def _measured(
    measured: Measurements,
    orders: Sequence[NDArray[np.int64]],
    measure: Callable[[NDArray[np.int64]], Accuracies],
    say: Say,
) -> list[Accuracies]:
    """Return the accuracies of every order; those that an interrupted run measured are taken from its file."""
    done, damaged = measured.read()
    if damaged:
        say(f"{damaged} lines of {measured.path} are damaged: their orders are measured again.")
    if done:
        say(f"{len(done)} orders were measured already.")
    for order in orders:
        if (name := _name(order)) not in done:
            done[name] = measure(order)
            measured.add(name, done[name])
    return [done[_name(order)] for order in orders]


def _kept(measured: Measurements, total: int) -> str:
    done = len(measured.read()[0])
    return f"{done} of {total} orders are measured and kept" if done else ""


def _name(order: NDArray[np.int64]) -> str:
    return digest_of_bytes(np.asarray(order, "<i8").tobytes())
