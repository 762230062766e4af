"""The baseline: predictions of an intact network, and the images that it gets right in every task."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.files import replacing
from featuresharing.randomness import keyed_generator
from featuresharing.version import FORMAT


@dataclass(frozen=True)
class Predictions:
    """By task: softmax ``probabilities`` float32 [N, K], true classes ``targets`` int64 [N]; and the ``step``.

    ``images`` int64 [N] are positions in the image list, where some were skipped (None: all of them).
    """

    probabilities: Mapping[str, NDArray[np.float32]]
    targets: Mapping[str, NDArray[np.int64]]
    step: int
    images: NDArray[np.int64] | None = None

    def right(self) -> dict[str, NDArray[np.bool_]]:
        """Return by task whether the likeliest class is the true one, [N]."""
        return {task: p.argmax(axis=1) == self.targets[task] for task, p in self.probabilities.items()}


def choose_images(predictions: Predictions, *, most: int, seed: int) -> NDArray[np.int64]:
    """Return in rising order the positions in the list of at most ``most`` images that are right in every task.

    Of more, a random choice is kept, which depends on (seed, which images are right) alone. Raises InputError for none.
    """
    right = np.logical_and.reduce(list(predictions.right().values()))
    candidates = np.flatnonzero(right)
    if len(candidates) == 0:
        raise InputError(
            f"none of {len(right)} images is right in every task ({', '.join(predictions.targets)}); "
            "accepted is a network that gets at least one right: train longer or give it more images."
        )
    order = keyed_generator(seed, "images").permutation(len(right))
    chosen = np.sort(order[right[order]][:most])
    return chosen if predictions.images is None else predictions.images[chosen]


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions to HDF5: ``probability_{task}`` [N, K], ``target_{task}`` [N], ``image`` [N] if some are."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({"format_version": FORMAT, "step": predictions.step, "tasks": list(predictions.targets)})
        if predictions.images is not None:
            file.create_dataset("image", data=predictions.images)
        for task, probabilities in predictions.probabilities.items():
            file.create_dataset(f"probability_{task}", data=probabilities)
            file.create_dataset(f"target_{task}", data=predictions.targets[task])


def read_predictions(path: Path) -> Predictions:
    """Read what :func:`write_predictions` wrote; raises InputError for another file."""
    try:
        with h5py.File(path, "r") as file:
            tasks = list(file.attrs["tasks"])
            return Predictions(
                {task: file[f"probability_{task}"][:] for task in tasks},
                {task: file[f"target_{task}"][:] for task in tasks},
                int(file.attrs["step"]),
                file["image"][:] if "image" in file else None,
            )
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is no complete file of predictions ({error}).") from None
