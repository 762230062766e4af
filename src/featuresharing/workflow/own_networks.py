"""Networks of one's own: what a config says of them, as definitions, and what is wrong with it before anything runs."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from featuresharing.data.array_files import is_array_file
from featuresharing.data.stimulus_sets import LabelledTask, first_image, names_or_file, read_names, read_stimulus_set
from featuresharing.errors import InputError
from featuresharing.networks.definitions import NetworkDefinition
from featuresharing.replicates import FIRST, seed_of_replicate
from featuresharing.settings import LAYERS, Config, ExperimentSettings, StimuliSettings, TaskSettings
from featuresharing.settings.block import Problem
from featuresharing.settings.experiment_settings import OwnNetworkSettings
from featuresharing.workflow.architectures import DefinedNetwork

AS_BUILT = "built"
"""The checkpoint of a network without weights of its own."""

NUMBER = "{replicate}"
"""What stands for the number of a replicate in paths of checkpoints and in arguments."""

PROBE = "probe"
"""The head of a task that a probe reads from a layer."""


def checkpoints_of(config: Config) -> list[str]:
    """Return the names of the checkpoints, which are those of every experiment."""
    network = config.experiments[0].network if config.experiments else None
    return list(network.checkpoints) or [AS_BUILT] if network else [AS_BUILT]


def tasks_of(experiment: ExperimentSettings) -> Mapping[str, TaskSettings]:
    """Return what each task is; of a list of tasks, they are the outputs in their order."""
    if isinstance(experiment.tasks, Mapping):
        return experiment.tasks
    return {task: TaskSettings(head=place) for place, task in enumerate(experiment.tasks)}


def probes_of(experiment: ExperimentSettings) -> dict[str, TaskSettings]:
    """Return the tasks of probes."""
    return {name: task for name, task in tasks_of(experiment).items() if task.head == PROBE}


def probe_options(experiment: ExperimentSettings) -> dict[str, list[str]]:
    """Return the options by which commands train an experiment's probes, and leave out the images that train them."""
    probes = probes_of(experiment).items()
    return {
        "probes": [f"{name}={task.layer}" if task.layer else name for name, task in probes],
        "shares": [f"{name}={task.share}" for name, task in probes],
    }


def network_settings(experiment: ExperimentSettings, replicate: int) -> OwnNetworkSettings:
    """Return what a config says of a replicate of an experiment's network, with its number for :data:`NUMBER`.

    An argument that is nothing else becomes the number itself.
    """
    network = experiment.network
    assert network
    checkpoints = {name: path.replace(NUMBER, str(replicate)) for name, path in network.checkpoints.items()}
    return replace(network, checkpoints=checkpoints, arguments=_numbered(network.arguments, replicate))


def _numbered(value: Any, replicate: int) -> Any:
    if isinstance(value, str):
        return replicate if value == NUMBER else value.replace(NUMBER, str(replicate))
    if isinstance(value, Mapping):
        return {name: _numbered(each, replicate) for name, each in value.items()}
    return [_numbered(each, replicate) for each in value] if isinstance(value, list | tuple) else value


def definition_of(
    experiment: ExperimentSettings, checkpoint: str, seed: int, replicate: int = FIRST
) -> NetworkDefinition:
    """Return the definition of a replicate of an experiment's network at a checkpoint, without its probes.

    ``seed`` is that of the first replicate.
    """
    network = network_settings(experiment, replicate)
    weights = network.checkpoints.get(checkpoint)
    heads = {name: head_values(task) for name, task in tasks_of(experiment).items() if task.head != PROBE}
    return NetworkDefinition(
        build=network.build,
        arguments=network.arguments,
        weights=Path(weights) if weights else None,
        strip=network.strip,
        tasks=tuple(experiment.tasks),
        heads=heads,
        seed=seed_of_replicate(seed, replicate),
        step=int(checkpoint) if checkpoint.isdecimal() else -1,
    )


def network_of(experiment: ExperimentSettings, checkpoint: str, seed: int) -> DefinedNetwork:
    """Return what is described of an experiment's network before anything runs."""

    def first() -> Path:
        images, array = images_of(experiment)
        return first_image(images, array=array)

    probes = {name: task.layer for name, task in probes_of(experiment).items()}
    return DefinedNetwork(definition_of(experiment, checkpoint, seed), experiment.preprocessing, first, probes)


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
            yield from _network_problems(experiment, place, config.replicates)
            if (found := list(experiment.network.checkpoints)) != names[0]:
                wanted = f"accepted are those of the first experiment: {', '.join(names[0]) or 'none'}"
                yield Problem(f"{place}.network.checkpoints", f": found {', '.join(found) or 'none'}; {wanted}")
        if experiment.network and experiment.network.build and experiment.preprocessing is None:
            wanted = "accepted with a network that a function builds is what is done to images, such as {size: 224}"
            yield Problem(f"{place}.preprocessing", f" is missing; {wanted}")
        yield from _image_problems(experiment, place)
        for key in ("model", "class_map", "image_list"):
            if getattr(experiment, key) is not None:
                yield Problem(f"{place}.{key}", " is there; accepted with source: archives alone")
    if config.layers == LAYERS:
        wanted = "accepted are module paths of the network by names of your own, a pattern, or all"
        yield Problem("layers", f" is missing; {wanted}")


def _network_problems(experiment: ExperimentSettings, place: str, replicates: int) -> Iterator[Problem]:
    first, second = (network_settings(experiment, replicate) for replicate in (FIRST, FIRST + 1))
    if replicates > FIRST and (first.checkpoints, first.arguments) == (second.checkpoints, second.arguments):
        found = f": found {replicates}, of which experiment '{experiment.name}' has one network"
        wanted = f"accepted is 1, or {NUMBER} in the paths of network.checkpoints or in network.arguments"
        yield Problem("replicates", f"{found}; {wanted}")
    for name in first.checkpoints:
        key = f"{place}.network.checkpoints.{name}"
        paths = (network_settings(experiment, number).checkpoints[name] for number in range(1, replicates + 1))
        for path in dict.fromkeys(paths):
            if not os.path.isfile(path):
                yield Problem(key, f": {path} does not exist; accepted is a file")
            yield from _braces(key, path)
    try:
        for source in definition_of(experiment, AS_BUILT, 0).sources():
            yield from _braces(f"{place}.network.build", source)
    except InputError as error:
        yield Problem(f"{place}.network.build", f": {str(error).removesuffix('.')}")


def _image_problems(experiment: ExperimentSettings, place: str) -> Iterator[Problem]:
    if experiment.images is None:
        wanted = "accepted with source: network are test images with their classes"
        yield Problem(f"{place}.images", f" is missing; {wanted}")
        return
    path, _ = images_of(experiment)
    if not path.exists():
        yield Problem(f"{place}.images", f": {path} does not exist; accepted is a table, a list, a folder or arrays")
    yield from _braces(f"{place}.images", path)


def _braces(key: str, path: Path | str) -> Iterator[Problem]:
    """Yield what is wrong with a path in which Snakemake would put something else for a part in braces."""
    if re.search("[{}]", str(path)):
        yield Problem(key, f": found {path}; accepted is a path without braces, which Snakemake replaces")


def images_of(experiment: ExperimentSettings) -> tuple[Path, str]:
    """Return what the images of an experiment are in, and the name of their array in a file of arrays."""
    if isinstance(experiment.images, StimuliSettings):
        return Path(experiment.images.file), experiment.images.images
    assert experiment.images
    return Path(experiment.images), StimuliSettings.images


def array_files(experiment: ExperimentSettings) -> list[str]:
    """Return the file of arrays that an experiment's images are in; none of images in files of their own."""
    images, _ = images_of(experiment)
    return [str(images)] if is_array_file(images) else []


def sizes_of_images(experiment: ExperimentSettings) -> list[str]:
    """Return a digest of the names and sizes of images in files of their own, none of arrays.

    It changes with nearly every image that is replaced, and not with a copy; contents are compared where they are read.
    Raises InputError for images that cannot be listed.
    """
    images, array = images_of(experiment)
    if is_array_file(images):
        return []
    paths = read_stimulus_set(images, {}, array=array).paths
    told = "\n".join(f"{os.path.relpath(path, images.parent)} {path.stat().st_size}" for path in paths)
    return [hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()]


def columns_of(experiment: ExperimentSettings) -> dict[str, str]:
    """Return the columns or arrays of true classes by task, of tasks that these are not called as."""
    columns = {name: task.column for name, task in tasks_of(experiment).items() if task.column}
    return columns | (dict(experiment.images.tasks) if isinstance(experiment.images, StimuliSettings) else {})


def labelled_task(experiment: ExperimentSettings, name: str, outputs: int | None) -> LabelledTask:
    """Return how images are labelled for a task with so many ``outputs`` (None: any).

    Raises InputError for a file of names that cannot be read.
    """
    task = tasks_of(experiment)[name]
    names = None if task.names is None else read_names(names_or_file(_told(task.names)))
    group = None if task.classes is None else names_or_file(_told(task.classes))
    return LabelledTask(name, columns_of(experiment).get(name), outputs, names, group)


def stimulus_options(experiment: ExperimentSettings, classes: Mapping[str, int]) -> dict[str, Any]:
    """Return the options by which a command lists an experiment's images; ``classes`` are the outputs by task."""
    tasks = tasks_of(experiment)
    images, array = images_of(experiment)
    by_task = {
        "labels": columns_of(experiment),
        "outputs": {name: str(classes[name]) for name, task in tasks.items() if task.head != PROBE},
        "names": {name: _told(task.names) for name, task in tasks.items() if task.names is not None},
        "groups": {name: _told(task.classes) for name, task in tasks.items() if task.classes is not None},
    }
    pairs = {option: [f"{task}={value}" for task, value in said.items()] for option, said in by_task.items()}
    return {"images": str(images), "array": array, "tasks": list(tasks), **pairs}


def _told(value: Any) -> str:
    """Return a list as JSON, or the path of a file as it is."""
    return value if isinstance(value, str) else json.dumps(list(value), ensure_ascii=False)
