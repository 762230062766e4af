"""Networks of one's own: what a config says of them, as definitions, and what is wrong with it before anything runs."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from featuresharing.errors import InputError
from featuresharing.networks.definitions import NetworkDefinition
from featuresharing.settings import LAYERS, Config, ExperimentSettings, TaskSettings
from featuresharing.settings.block import Problem

AS_BUILT = "built"
"""The checkpoint of a network without weights of its own."""

PROBE = "probe"
"""The head of a task that a probe reads from a layer."""


def checkpoints_of(config: Config) -> list[str]:
    """Return the names of the checkpoints, which are those of every experiment."""
    network = config.experiments[0].network
    return list(network.checkpoints) or [AS_BUILT] if network else [AS_BUILT]


def tasks_of(experiment: ExperimentSettings) -> Mapping[str, TaskSettings]:
    """Return what each task is; of a list of tasks, they are the outputs in their order."""
    if isinstance(experiment.tasks, Mapping):
        return experiment.tasks
    return {task: TaskSettings(head=place) for place, task in enumerate(experiment.tasks)}


def probes_of(experiment: ExperimentSettings) -> list[str]:
    """Return the tasks that probes read."""
    return [name for name, task in tasks_of(experiment).items() if task.head == PROBE]


def definition_of(experiment: ExperimentSettings, checkpoint: str, seed: int) -> NetworkDefinition:
    """Return the definition of an experiment's network at a checkpoint, without its probes."""
    network = experiment.network
    assert network
    weights = network.checkpoints.get(checkpoint)
    heads = {name: head_values(task) for name, task in tasks_of(experiment).items() if task.head != PROBE}
    return NetworkDefinition(
        build=network.build,
        arguments=network.arguments,
        weights=Path(weights) if weights else None,
        strip=network.strip,
        tasks=tuple(experiment.tasks),
        heads=heads,
        seed=seed,
        step=int(checkpoint) if checkpoint.isdecimal() else -1,
    )


def head_values(task: TaskSettings) -> dict[str, Any]:
    """Return the plain values of a task's head."""
    values = {"output": task.head, "columns": task.columns, "returns": task.returns, "reduce": task.reduce}
    kept = {name: value for name, value in values.items() if value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}


def own_problems(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the experiments of ``source: network``: what they lack, and files that are not there."""
    names = [list(each.network.checkpoints) for each in config.experiments if each.network]
    for index, experiment in enumerate(config.experiments):
        place = f"experiments.{index}"
        if experiment.network is None:
            yield Problem(f"{place}.network", " is missing; accepted with source: network is what the network is")
        else:
            yield from _network_problems(experiment, place)
            if (found := list(experiment.network.checkpoints)) != names[0]:
                wanted = f"accepted are those of the first experiment: {', '.join(names[0]) or 'none'}"
                yield Problem(f"{place}.network.checkpoints", f": found {', '.join(found) or 'none'}; {wanted}")
        yield from _image_problems(experiment, place)
        for key in ("model", "class_map", "image_list"):
            if getattr(experiment, key) is not None:
                yield Problem(f"{place}.{key}", " is there; accepted with source: archives alone")
    if config.layers == LAYERS:
        wanted = "accepted are module paths of the network by names of your own, a pattern, or all"
        yield Problem("layers", f" is missing; {wanted}")


def _network_problems(experiment: ExperimentSettings, place: str) -> Iterator[Problem]:
    network = experiment.network
    assert network
    for name, path in network.checkpoints.items():
        if not os.path.isfile(path):
            yield Problem(f"{place}.network.checkpoints.{name}", f": {path} does not exist; accepted is a file")
    try:
        list(definition_of(experiment, AS_BUILT, 0).sources())
    except InputError as error:
        yield Problem(f"{place}.network.build", f": {str(error).removesuffix('.')}")


def _image_problems(experiment: ExperimentSettings, place: str) -> Iterator[Problem]:
    if experiment.images is None:
        wanted = "accepted with source: network are test images with their classes"
        yield Problem(f"{place}.images", f" is missing; {wanted}")
        return
    path = experiment.images if isinstance(experiment.images, str) else experiment.images.file
    if not os.path.exists(path):
        yield Problem(f"{place}.images", f": {path} does not exist; accepted is a table, a list, a folder or arrays")
