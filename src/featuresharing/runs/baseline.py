"""The baseline: what an intact network predicts on a list of images."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.data.images import check_source, prepare_stimulus, read_stimulus
from featuresharing.data.lists import ListFiles
from featuresharing.data.preprocessing import ImageSize
from featuresharing.errors import InputError
from featuresharing.files.records import ChangedError
from featuresharing.networks.opening import StoredNetwork, check_fits, open_network
from featuresharing.networks.predicting import predict
from featuresharing.networks.predictions import Predictions, write_predictions
from featuresharing.networks.task_scores import attached_to
from featuresharing.replicates import FIRST
from featuresharing.runs.stopping import Say
from featuresharing.settings.experiment_settings import SIGMOID, SIGMOID_SCORE

MANY = 20
"""Images on which raw scores hardly ever are all between 0 and 1."""

SIGMOID_OF_0, SIGMOID_OF_1 = 0.5, 0.73106

AT_A_TIME = 256
"""Images that are read and predicted at a time."""


def predict_to_file(
    checkpoint: Path,
    listed: ListFiles,
    output: Path,
    *,
    image_size: ImageSize | None = None,
    device: str = "cpu",
    skip: bool = False,
    experiment: str = "",
    name: str = "",
    replicate: int = FIRST,
    say: Say = print,
) -> None:
    """Write what the network of a file predicts on listed images, few of which are in memory at a time.

    ``experiment``, ``name`` (that of the checkpoint) and ``replicate`` are for tables. With ``skip``, images that
    cannot be decoded are left out, and ``say`` is told so, as it is of a head whose scores look like sigmoids. Raises
    InputError for such images without it, for none at all, for images that were changed, and for a network with other
    heads than the list has tasks.
    """
    classes, images = listed.read()
    network = open_network(checkpoint, image_size=image_size)
    check_fits(checkpoint, network, classes)
    read: list[int] = []
    found: list[tuple[NDArray[Any], ...]] = []
    for positions, pixels in read_parts(network, images.paths, skip, say):
        read += positions
        found.append(predict(network.network, pixels, device=device)[1])
    if skipped := len(images.paths) - len(read):
        say(f"{skipped} of {len(images.paths)} images cannot be decoded and are left out.")
    if not read:
        total = len(images.paths)
        raise InputError(f"{listed.images}: none of {total} images can be decoded; accepted is at least one.")
    if sentence := _looks_like_sigmoids(network, classes, found):
        say(sentence)
    probabilities = [np.concatenate(parts).astype(np.float32, copy=False) for parts in zip(*found, strict=True)]
    predictions = Predictions(
        dict(zip(classes, probabilities, strict=True)),
        dict(zip(classes, images.targets[read].T, strict=True)),
        network.step,
        np.array(read, dtype=np.int64) if skipped else None,
        experiment,
        name,
        replicate,
    )
    write_predictions(output, predictions)


def _looks_like_sigmoids(
    network: StoredNetwork, tasks: Iterable[str], found: Sequence[tuple[NDArray[Any], ...]]
) -> str | None:
    """Return a note on a raw score for two classes that is between 0 and 1 on all of many images, as sigmoids are."""
    attached = attached_to(network.network)
    for place, task in enumerate(tasks):
        head = attached.heads.get(task) if attached else None
        second = np.concatenate([parts[place][:, -1] for parts in found])
        if head and head.returns == SIGMOID_SCORE and len(second) >= MANY and _sigmoid_of_sigmoid(second):
            return (
                f"task '{task}': every score is between 0 and 1, as if it went through a sigmoid already; "
                f"say returns: {SIGMOID} if it did."
            )
    return None


def _sigmoid_of_sigmoid(second: NDArray[Any]) -> bool:
    return bool(second.min() >= SIGMOID_OF_0 and second.max() <= SIGMOID_OF_1)


def read_parts(
    network: StoredNetwork, paths: Sequence[Path], skip: bool, say: Say
) -> Iterator[tuple[list[int], NDArray[Any]]]:
    """Yield the positions of some images that can be decoded, and what the network takes of them."""
    check_source(network.preprocessing)
    for first in range(0, len(paths), AT_A_TIME):
        positions, inputs = [], []
        for position, path in enumerate(paths[first : first + AT_A_TIME], start=first):
            try:
                stored = read_stimulus(path, network.preprocessing)
            except InputError as error:
                if not skip or isinstance(error, ChangedError):
                    raise
                say(f"skipped: {error}")
                continue
            inputs.append(prepare_stimulus(path, stored, network.preprocessing))
            positions.append(position)
        if inputs:
            yield positions, np.stack(inputs)
