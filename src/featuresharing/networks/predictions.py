"""The baseline: predictions of an intact network, and the images that it gets right in every task that they have."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from featuresharing.arguments import as_path
from featuresharing.data.lists import MISSING
from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.hdf5 import Source, opened
from featuresharing.hdf5.attributes import replicate_attribute, replicate_of, whole_number
from featuresharing.hdf5.writing import put, write_sealed
from featuresharing.randomness import keyed_generator
from featuresharing.replicates import FIRST

SUM_TOLERANCE = 1e-4
"""How far the sum of predictions over classes may be from 1 by rounding."""


@dataclass(frozen=True)
class Predictions:
    """By task: softmax ``probabilities`` float32 [N, K], true classes ``targets`` int64 [N]; and the ``step``.

    An image that is not of a task has :data:`.lists.MISSING` there. ``images`` int64 [N] are positions in the image
    list, where some were skipped (None: all of them). ``experiment``, ``checkpoint`` and ``replicate`` say which
    network predicted them; names are blank where nobody said them.
    """

    probabilities: Mapping[str, NDArray[np.float32]]
    targets: Mapping[str, NDArray[np.int64]]
    step: int
    images: NDArray[np.int64] | None = None
    experiment: str = ""
    checkpoint: str = ""
    replicate: int = FIRST

    def right(self) -> dict[str, NDArray[np.bool_]]:
        """Return by task whether the likeliest class is the true one, [N]; false for images that are not of it."""
        return {task: p.argmax(axis=1) == self.targets[task] for task, p in self.probabilities.items()}

    def present(self) -> dict[str, NDArray[np.bool_]]:
        """Return by task which images are of it, [N]."""
        return {task: targets != MISSING for task, targets in self.targets.items()}


def choose_images(predictions: Predictions, *, most: int, seed: int) -> NDArray[np.int64]:
    """Return in rising order the positions in the list of at most ``most`` images that are right in all their tasks.

    That is in every task that an image has, and it has one. Of more, a random choice is kept, which depends on (seed,
    which images are right and of which tasks) alone, and is balanced over tasks: images are taken one by one in a
    random order, each time the next one that is of the task with the fewest so far. Raises InputError for a task
    without any.
    """
    present, right = predictions.present(), predictions.right()
    fitting = np.logical_and.reduce([right[task] | ~present[task] for task in right])
    fitting &= np.logical_or.reduce(list(present.values()))
    if not fitting.any():
        raise InputError(
            f"none of {len(fitting)} images is right in every task ({', '.join(predictions.targets)}); "
            "accepted is a network that gets at least one right: train longer or give it more images."
        )
    order = keyed_generator(seed, "images").permutation(len(fitting))
    chosen = _balanced(order[fitting[order]], np.stack(list(present.values())), most)
    if empty := next((task for task, of in present.items() if not of[chosen].any()), None):
        raise InputError(
            f"of task '{empty}', none of {int(present[empty].sum())} images is right in every task that it has, "
            f"or kept among {most}; accepted is at least one image of each task."
        )
    return chosen if predictions.images is None else predictions.images[chosen]


def _balanced(candidates: NDArray[np.int64], present: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """Return at most ``most`` of ``candidates`` in rising order, balanced over tasks; ``present`` is [tasks, N]."""
    waiting = [iter(candidates[of[candidates]].tolist()) for of in present]
    open_tasks, counts = list(range(len(present))), np.zeros(len(present), np.int64)
    chosen: set[int] = set()
    while len(chosen) < most and open_tasks:
        task = min(open_tasks, key=lambda each: counts[each])
        image = next((image for image in waiting[task] if image not in chosen), None)
        if image is None:
            open_tasks.remove(task)
            continue
        chosen.add(image)
        counts += present[:, image]
    return np.array(sorted(chosen), dtype=np.int64)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions to HDF5: ``probability_{task}`` [N, K], ``target_{task}`` [N], ``image`` [N] if some are.

    Raises InputError if they are no probabilities.
    """
    probabilities = {task: np.asarray(values, np.float32) for task, values in predictions.probabilities.items()}
    for task, values in probabilities.items():
        if wrong := _wrong_probabilities(values):
            raise InputError(
                f"{path}: predictions of task '{task}' {wrong}; accepted is a network whose predictions are finite."
            )

    def fill(file: h5py.File) -> Iterator[tuple[str, str]]:
        if predictions.images is not None:
            yield put(file, "image", np.asarray(predictions.images, np.int64))
        for task, values in probabilities.items():
            yield put(file, f"probability_{task}", values)
            yield put(file, f"target_{task}", np.asarray(predictions.targets[task], np.int64))

    with replacing(path) as temporary:
        write_sealed(temporary, fill, _attributes(predictions))


def _attributes(predictions: Predictions) -> dict[str, Any]:
    names = {"experiment": predictions.experiment, "checkpoint": predictions.checkpoint}
    said = {name: value for name, value in names.items() if value} | replicate_attribute(predictions.replicate)
    return {"step": predictions.step, "tasks": list(predictions.targets)} | said


def read_predictions(path: Path | str) -> Predictions:
    """Read what :func:`write_predictions` wrote.

    Raises InputError if it is missing, damaged, of another kind or of a newer format.

    >>> read_predictions("4500.h5").probabilities["word"].tolist()
    [[0.25, 0.75]]
    """
    with opened(as_path("path", path), "predictions") as source:
        tasks, step = source.attributes.get("tasks"), whole_number(source.attributes, "step")
        if not isinstance(tasks, list) or not tasks or len(set(tasks)) < len(tasks):
            raise ValueError("attribute 'tasks' names no tasks")
        targets = {task: source.vector(f"target_{task}", "<i8") for task in tasks}
        images = source.vector("image", "<i8") if "image" in source.names else None
        count = len(targets[tasks[0]])
        probabilities = {task: _read_probabilities(source, task, targets[task], count) for task in tasks}
        if images is not None and (len(images) != count or images[0] < 0 or (np.diff(images) <= 0).any()):
            raise ValueError("image has no rising positions, one for every image")
        known = {*(f"{name}_{task}" for name in ("probability", "target") for task in tasks), "image"}
        if unknown := sorted({*source.names} - known):
            raise ValueError(f"{unknown[0]} is no dataset of such a file")
        experiment, checkpoint = (str(source.attributes.get(name, "")) for name in ("experiment", "checkpoint"))
        replicate = replicate_of(source.attributes)
        return Predictions(probabilities, targets, step, images, experiment, checkpoint, replicate)


def read_named_predictions(path: Path) -> Predictions:
    """Read predictions that say what predicted them; raises InputError for others, and as :func:`read_predictions`."""
    found = read_predictions(path)
    if not (found.experiment and found.checkpoint):
        raise InputError(
            f"{path} does not say of which experiment and checkpoint it is, as files of earlier versions; accepted are "
            "predictions that were made with --experiment and --checkpoint-name."
        )
    return found


def _read_probabilities(source: Source, task: str, targets: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    dataset = source.dataset(f"probability_{task}", "<f4")
    if len(dataset.shape) != 2 or len(dataset) != count or len(targets) != count:
        raise ValueError(f"probability_{task} is of shape {list(dataset.shape)}; there are {count} images")
    if ((targets < MISSING) | (targets >= dataset.shape[1])).any():
        raise ValueError(f"target_{task} has classes outside 0 to {dataset.shape[1] - 1}, of which -1 stands for none")
    values: NDArray[np.float32] = dataset[:]
    if wrong := _wrong_probabilities(values):
        raise ValueError(f"probability_{task}: they {wrong}")
    return values


def _wrong_probabilities(values: NDArray[np.float32]) -> str | None:
    """Return what is wrong with probabilities [N, K], None if nothing is."""
    if not np.isfinite(values).all():
        return "are not finite"
    if values.min() < 0 or np.abs(values.sum(axis=1, dtype=np.float64) - 1).max() > SUM_TOLERANCE:
        return "are no probabilities that sum to 1"
    return None
