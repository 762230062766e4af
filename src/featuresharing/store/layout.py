"""What a store holds: tasks, which numbers of a unit are kept, and the fingerprint of all that they depend on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.files.identity import digest_of

STORAGE = ("true-class", "full")

ERRORS = ("none", "standard_error", "error_estimate")
"""What may be known of the error of a conditional."""


@dataclass(frozen=True, eq=False)
class TaskData:
    """One task on the N images: ``classes``, true classes ``targets`` int64 [N] and ``predictions`` float32 [N, K]."""

    name: str
    classes: int
    targets: NDArray[np.int64]
    predictions: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Layout:
    """The numbers that are kept of each unit: those at the true classes only or, with ``full`` storage, of all classes.

    ``errors`` is one of ERRORS; without ``softmax``, numbers are raw scores. Raises InputError for another storage,
    and for predictions that are no probabilities.
    """

    tasks: Sequence[TaskData]
    storage: str = "true-class"
    errors: str = "none"
    softmax: bool = True

    def __post_init__(self) -> None:
        if self.storage not in STORAGE:
            raise InputError(f"storage: found '{self.storage}'; accepted are {' and '.join(STORAGE)}.")
        for task in self.tasks:
            if wrong := wrong_numbers(f"prediction_{task.name}", task.predictions, softmax=self.softmax):
                raise InputError(f"{wrong}; accepted is a network whose predictions are finite.")

    @property
    def images(self) -> int:
        """The number of images."""
        return len(self.tasks[0].targets)

    def by_image(self) -> dict[str, tuple[str | None, tuple[int, ...], str]]:
        """Return by name the datasets that have numbers for every unit and image.

        Each with its task (None for all tasks), its shape behind the axes of units and images, and its type.
        """
        tails = {task.name: (task.classes,) if self.storage == "full" else () for task in self.tasks}
        found: dict[str, tuple[str | None, tuple[int, ...], str]] = {}
        for name in ("conditional", *(["standard_error"] if self.errors == "standard_error" else [])):
            found |= {f"{name}_{task}": (task, tail, "<f4") for task, tail in tails.items()}
        return found | ({"error_estimate": (None, (), "<f8")} if self.errors == "error_estimate" else {})

    def kept(self, task: TaskData, values: NDArray[Any], images: slice) -> NDArray[Any]:
        """Return what is kept of ``values`` [..., n, K] of a task on ``images``."""
        if self.storage == "full":
            return values
        return values[..., np.arange(images.stop - images.start), task.targets[images]]

    def fingerprint(self, settings: Mapping[str, Any]) -> str:
        """Return the SHA-256 of what the numbers depend on: ``settings`` and this layout, but not which units."""
        tasks = {task.name: [task.classes, task.targets.tolist()] for task in self.tasks}
        return digest_of({"settings": settings, "storage": self.storage, "errors": self.errors, "tasks": tasks})


BY_UNIT = ("effective_samples", "skipped_mass")
"""Datasets that have one number, float64, for every unit."""


def wrong_numbers(name: str, values: NDArray[Any], *, softmax: bool = True) -> str | None:
    """Return what is wrong with numbers of the dataset ``name``, None if nothing is.

    Without ``softmax``, predictions and conditionals are raw scores.
    """
    if name.startswith(("conditional_", "prediction_")):
        if not np.isfinite(values).all():
            return f"{name} has numbers that are not finite"
        if softmax and not ((values >= 0) & (values <= 1 + 1e-5)).all():
            return f"{name} has numbers outside [0, 1]"
    elif not (values >= 0).all():
        return f"{name} has numbers that are negative or NaN"
    elif name == "skipped_mass" and not (values <= 1).all():
        return f"{name} has numbers outside [0, 1]"
    return None
