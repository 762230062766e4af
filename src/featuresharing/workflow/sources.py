"""Sources of images, lists and networks: files of rules, what each defines, and what its keys of the config are to be.

docs/plugins.md shows one. Nobody else asks which source a config names.
"""

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from featuresharing.errors import InputError
from featuresharing.files.records import record_of
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.workflow.architectures import Architecture

NAMES = {
    "TEST_IMAGES": "what rules that read test images take as their input: a folder, or [] where nothing makes it",
    "TEST_STIMULI": "a list that names what test images are made of, where Snakemake cannot see it; [] where it can",
    "CHECKPOINTS": "the names of each network's checkpoints, in the order of training",
    "NETWORK": "the path of a network, with {experiment} and {checkpoint}",
    "NETWORKS": "what each experiment's network is, by the experiment's name: an Architecture or a NetworkFile",
    "IMAGE_SIZE": "options for networks whose files do not say the size of their images, such as {'image_size': 224}",
    "PREDICT_MINUTES": "the time limit of a job that predicts all test images",
    "MORE_TARGETS": "files that a run makes beside those of every source",
}
"""What a source's file defines. Its rules make, or there are, NETWORK and results/lists/{experiment}/ with test.txt and
classes.csv."""

STIMULUS_TASKS = ("subordinate", "basic", "word")
"""Tasks of the stimuli that the workflow makes itself."""

SUPPOSED_CLASSES = 100
"""Classes of a task before images are listed; they hardly matter to what jobs take."""

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
    return Path(source).absolute()


def check_source(path: Path, defined: Collection[str]) -> None:
    """Raise InputError unless what the file of a source defines has all of :data:`NAMES`."""
    for name, meaning in NAMES.items():
        if name not in defined:
            raise InputError(f"source {path} does not define {name}; accepted is {meaning}.")


def experiment_problems(
    source: str,
    experiments: Sequence[Mapping[str, Any]],
    *,
    tasks: Collection[str] = (),
    keys: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """Yield what a source does not accept of experiments: other ``tasks`` than those (none: any), and other keys.

    Beside those of every experiment, each has to have ``keys``, which map to what is accepted.
    """
    for index, experiment in enumerate(experiments):
        place = f"config key 'experiments.{index}"
        for key, accepted in (keys or {}).items():
            if experiment.get(key) is None:
                yield f"{place}.{key}' is missing; accepted with source: {source} is {accepted}."
        for key in experiment:
            if key not in EXPERIMENT_KEYS and key not in (keys or ()) and experiment[key] is not None:
                yield f"{place}.{key}' is there; accepted with source: {source} are {', '.join(EXPERIMENT_KEYS)}."
        for task in experiment["tasks"] if tasks else ():
            if task not in tasks:
                yield f"{place}.tasks': found '{task}'; accepted are {', '.join(tasks)}."


def folder_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield which folders and files of the block ``folders`` are not there."""
    folders = config["folders"]
    for key in ("train", "test"):
        if folders[key] is None or not os.path.isdir(folders[key]):
            accepted = "a folder with a folder for each class"
            yield f"config key 'folders.{key}': found {_shown(folders[key])}; accepted is {accepted}."
    for key in ("hierarchy", "words", "font"):
        if folders[key] is not None and not os.path.isfile(folders[key]):
            found = f"found {_shown(folders[key])}, which is no file"
            yield f"config key 'folders.{key}': {found}; accepted is a file, or null."
    wanted = [experiment["name"] for experiment in config["experiments"] if "basic" in experiment["tasks"]]
    if wanted and folders["hierarchy"] is None:
        yield f"config key 'folders.hierarchy': found null; accepted is a table, for the task basic of {wanted[0]}."


def archive_problems(archives: Mapping[str, Any]) -> Iterator[str]:
    """Compare archives that are there with what the config says: once they are extracted, nothing else does."""
    for part, archive in archives["files"].items():
        path = Path(archives["folder"]) / archive["file"]
        if not os.path.isfile(path):
            continue
        there: dict[str, Any] = {"size": path.stat().st_size}
        for record in (record_of(path), path.with_name(f"{path.name}.sha256")):
            if os.path.isfile(record) and os.access(record, os.R_OK):
                digest = re.search(r"\b[0-9a-f]{64}\b", record.read_text(errors="replace").lower())
                there["sha256"] = digest and digest[0]
        for key, found in there.items():
            said = str(archive[key]).lower() if key == "sha256" and archive[key] else archive[key]
            if None not in (said, found) and said != found:
                accepted = f"that of {path}, which is {found}, or null, or a folder without this file"
                yield f"config key 'archives.files.{part}.{key}': found {said}; accepted is {accepted}."


def alexnet_of(config: Mapping[str, Any], tasks: int) -> Architecture:
    """Return the multi-task AlexNet of a config's block ``network`` with a head for each of so many ``tasks``.

    Raises InputError for sizes that do not fit the images.
    """
    names = ("stride", "channels", "kernels", "hidden", "pool", "padding")
    sizes: dict[str, Any] = {
        name: tuple(value) if isinstance(value := config["network"][name], list) else value for name in names
    }
    image_size = config["images"]["image_size"]
    try:
        shape = AlexNetShape(image_size, classes=(SUPPOSED_CLASSES,) * tasks, **sizes)
    except InputError as error:
        reason = str(error).rstrip(".")
        raise InputError(
            f"config key 'network': its sizes do not fit images of images.image_size ({reason})."
        ) from None
    return Architecture("featuresharing.networks.alexnet.architecture:build_from_sizes", shape.as_dict(), image_size)


def _shown(value: str | None) -> str:
    return "null" if value is None else repr(value)
