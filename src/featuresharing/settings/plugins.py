"""What a config says to plug-ins: names that estimators, sources and networks accept, and what each of them needs."""

from collections.abc import Iterator

from featuresharing.errors import InputError
from featuresharing.settings.block import Problem
from featuresharing.settings.config import Config
from featuresharing.settings.sentences import listed, shown

SOURCES = ("drawings", "archives", "folders")
"""Names of the sources of images and networks."""

STIMULUS_TASKS = ("subordinate", "basic", "word")
"""Tasks of the stimuli that the workflow makes itself."""

ARCHIVE_KEYS = {
    "model": "a path inside the archive of models, such as alexnet-large-objectsvstextinthewild.t7",
    "class_map": "a path inside the archive of models, such as meta.objectsvstext.t7",
    "image_list": "a path inside the archive of images, such as labels/Object+Text/test.txt",
}
"""What an experiment on archives says besides."""


def plugin_problems(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with a config for the source, the estimator and the network that it names."""
    yield from _source_problems(config)
    yield from _estimator_problems(config)
    yield from _layer_problems(config)
    yield from _size_problems(config)


def _source_problems(config: Config) -> Iterator[Problem]:
    if config.source not in SOURCES:
        yield Problem("source", f": found {shown(config.source)}; accepted is {listed(SOURCES)}")
        return
    is_archives = config.source == "archives"
    for index, experiment in enumerate(config.experiments):
        place = f"experiments.{index}"
        for key, accepted in ARCHIVE_KEYS.items():
            there = getattr(experiment, key) is not None
            if is_archives and not there:
                yield Problem(f"{place}.{key}", f" is missing; accepted with source: archives is {accepted}")
            if not is_archives and there:
                yield Problem(f"{place}.{key}", " is there; accepted is it with source: archives only")
        for task in () if is_archives else experiment.tasks:
            if task not in STIMULUS_TASKS:
                yield Problem(f"{place}.tasks", f": found '{task}'; accepted are {', '.join(STIMULUS_TASKS)}")
    if config.source == "folders":
        wanted = [experiment.name for experiment in config.experiments if "basic" in experiment.tasks]
        for key, text in config.folders.problems_on_disk(wanted):
            yield Problem(f"folders.{key}", text)
    if is_archives:
        for key, text in config.archives.problems_on_disk():
            yield Problem(f"archives.{key}", text)


def _estimator_problems(config: Config) -> Iterator[Problem]:
    from featuresharing.estimators.registry import find_estimator, is_estimator, marginalizing_names
    from featuresharing.networks.alexnet.names import LAYERS, LINEAR_LAYERS

    settings = config.marginalization
    try:
        kind = find_estimator(settings.estimator) if is_estimator(settings.estimator) else None
    except InputError as error:
        yield Problem("marginalization.estimator", f": {str(error).removesuffix('.')}")
        return
    if kind is None or not kind.marginalizes:
        found = f": found {shown(settings.estimator)}; accepted is {listed(marginalizing_names())}"
        yield Problem("marginalization.estimator", found)
        return
    for key, text in kind.problems(settings):
        yield Problem(f"marginalization.{key}", text)
    taken = [path for path in LAYERS.values() if kind.takes(linear=path in LINEAR_LAYERS)]
    for alias, path in config.layers.items():
        if path in LAYERS.values() and path not in taken:
            accepted = f"with {kind.name} are {kind.layers}: {', '.join(taken)}"
            yield Problem(f"layers.{alias}", f": found {shown(path)}; accepted {accepted}")


def _layer_problems(config: Config) -> Iterator[Problem]:
    from featuresharing.settings.network_settings import LAYERS

    for alias, path in config.layers.items():
        if path not in LAYERS.values():
            accepted = ", ".join(f"{known} ({name})" for name, known in LAYERS.items())
            yield Problem(f"layers.{alias}", f": the network has no layer {shown(path)}; accepted are {accepted}")


def _size_problems(config: Config) -> Iterator[Problem]:
    """See whether images of the config pass through its network."""
    from featuresharing.networks.alexnet.sizes import AlexNetShape

    try:
        AlexNetShape(config.images.image_size, classes=(2, 2), **config.network.sizes())
    except InputError as error:
        found = f": its sizes do not fit images of images.image_size ({str(error).rstrip('.')})"
        yield Problem("network", found)
