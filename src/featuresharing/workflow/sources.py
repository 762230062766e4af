"""Sources of images, lists and networks: files of rules, what each defines, and what its keys of the config are to be.

docs/plugins.md shows one. Nobody else asks which source a config names.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from featuresharing.errors import InputError
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.networks.descriptions import SUPPOSED_CLASSES
from featuresharing.settings import Config
from featuresharing.settings.block import Problem
from featuresharing.settings.fields import keys_of
from featuresharing.workflow.architectures import Architecture

NAMES = {
    "TEST_IMAGES": "what rules that read test images take as their input: a folder, or [] where nothing makes it",
    "TEST_STIMULI": "a list that names what test images are made of, where Snakemake cannot see it; [] where it can",
    "CHECKPOINTS": "the names of each network's checkpoints, in the order of training",
    "NETWORK": "a path such as networks/{experiment}{nth}/{checkpoint}.pt, whose file is called {checkpoint}",
    "NETWORKS": "what each experiment's network is, by the experiment's name: an Architecture or a NetworkFile",
    "IMAGE_SIZE": "options for networks whose files do not say the size of their images, such as {'image_size': 224}",
    "PREDICT_MINUTES": "the time limit of a job that predicts all test images",
    "MORE_TARGETS": "files that a run makes beside those of every source",
}
"""What a source's file defines. Its rules make, or there are, NETWORK and results/lists/{experiment}/ with test.txt and
classes.csv."""

STIMULUS_TASKS = ("subordinate", "basic", "word")
"""Tasks of the stimuli that the workflow makes itself."""

ARCHIVE_KEYS = {
    "model": "a path inside the archive of models, such as alexnet-large-objectsvstextinthewild.t7",
    "class_map": "a path inside the archive of models, such as meta.objectsvstext.t7",
    "image_list": "a path inside the archive of images, such as labels/Object+Text/test.txt",
}
"""What an experiment on archives says besides."""

EXPERIMENT_KEYS = ("name", "tasks", "sort_by")
"""What every experiment says."""


def find_source(source: str, folder: Path) -> Path:
    """Return the file of a source: of a name, in the ``folder`` of those that there are; else the file itself.

    Raises InputError where there is none, and for a file whose name is no name of a block.
    """
    known = sorted(path.stem for path in folder.glob("*.smk"))
    if source in known:
        return folder / f"{source}.smk"
    accepted = f"accepted are {', '.join(known)}, or the path of a file that ends in .smk"
    if not source.endswith(".smk") or not os.path.isfile(source):
        missing = ", which is not there" if source.endswith(".smk") else ""
        raise InputError(f"config key 'source': found '{source}'{missing}; {accepted}.")
    if (name := Path(source).stem) in keys_of(Config):
        raise InputError(
            f"config key 'source': found '{source}', called as the key '{name}'; accepted is another name."
        )
    return Path(source).absolute()


def check_source(path: Path, defined: Mapping[str, Any], *, replicates: int = Config.replicates) -> None:
    """Raise InputError unless what the file of a source defines has all of :data:`NAMES`, and NETWORK a proper form."""
    for name, meaning in NAMES.items():
        if name not in defined:
            raise InputError(f"source {path} does not define {name}; accepted is {meaning}.")
    network = Path(defined["NETWORK"])
    if network.stem != "{checkpoint}" or not any("{experiment}" in part for part in network.parent.parts):
        raise InputError(f"source {path}: found NETWORK {network}; accepted is {NAMES['NETWORK']}.")
    if replicates > 1 and "{nth}" not in str(network):
        raise InputError(
            f"config key 'replicates': found {replicates}; accepted is 1 for source {path}, whose NETWORK is without "
            "{nth}."
        )


def experiment_problems(
    config: Config, *, tasks: Collection[str] = (), keys: Mapping[str, str] | None = None
) -> Iterator[Problem]:
    """Yield what a source does not accept of experiments: other ``tasks`` than those (none: any), and other keys.

    Beside those of every experiment, each has to have ``keys``, which map to what is accepted.
    """
    for index, experiment in enumerate(config.experiments):
        place, wanted = f"experiments.{index}", keys or {}
        for key, accepted in wanted.items():
            if getattr(experiment, key) is None:
                yield Problem(f"{place}.{key}", f" is missing; accepted with source: {config.source} is {accepted}")
        for key in experiment.as_config():
            if key not in EXPERIMENT_KEYS and key not in wanted:
                accepted = ", ".join((*EXPERIMENT_KEYS, *wanted))
                yield Problem(f"{place}.{key}", f" is there; accepted with source: {config.source} are {accepted}")
        for task in experiment.tasks if tasks else ():
            if task not in tasks:
                yield Problem(f"{place}.tasks", f": found '{task}'; accepted are {', '.join(tasks)}")


def folder_problems(config: Config) -> Iterator[Problem]:
    """Yield which folders and files of the block ``folders`` are not there."""
    wanted = [experiment.name for experiment in config.experiments if "basic" in experiment.tasks]
    for key, text in config.folders.problems_on_disk(wanted):
        yield Problem(f"folders.{key}", text)


def archive_problems(config: Config) -> Iterator[Problem]:
    """Yield which archives are there and are not those of the block ``archives``."""
    for key, text in config.archives.problems_on_disk():
        yield Problem(f"archives.{key}", text)


def drawings_problems(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with a config for ``source: drawings``."""
    yield from experiment_problems(config, tasks=STIMULUS_TASKS)


def folders_problems(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with a config for ``source: folders``."""
    yield from experiment_problems(config, tasks=STIMULUS_TASKS)
    yield from folder_problems(config)


def archives_problems(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with a config for ``source: archives``."""
    if config.replicates > 1:
        yield Problem("replicates", f": found {config.replicates}; accepted with source: archives is 1")
    yield from experiment_problems(config, keys=ARCHIVE_KEYS)
    yield from archive_problems(config)


def alexnet_of(config: Config, experiment: str) -> Architecture:
    """Return the multi-task AlexNet of a config's block ``network``, with heads for the tasks of an experiment.

    Raises InputError for sizes that do not fit the images.
    """
    tasks = next(each.tasks for each in config.experiments if each.name == experiment)
    image_size = config.images.image_size
    try:
        shape = AlexNetShape(image_size, classes=(SUPPOSED_CLASSES,) * len(tasks), **config.network.sizes())
    except InputError as error:
        found = f"its sizes do not fit images of images.image_size ({str(error).rstrip('.')})"
        raise InputError(f"config key 'network': {found}.") from None
    return Architecture("featuresharing.networks.alexnet.architecture:build_from_sizes", shape.as_dict(), image_size)
