"""What a store holds: tasks, which numbers of a unit are kept, and the fingerprint of all that they depend on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.data.lists import MISSING
from featuresharing.errors import InputError
from featuresharing.estimators.result_columns import ALWAYS, COLUMNS, Column, column_of
from featuresharing.files.identity import digest_of
from featuresharing.settings import MarginalizationSettings, check
from featuresharing.settings.fields import key_of

OF_TASKS = ("prediction_", "conditional_", *(f"{column.name}_" for column in COLUMNS if column.per == "class"))
"""How names of datasets begin that have an axis of classes with full storage."""

STORAGE = key_of(MarginalizationSettings, "storage").limits.choices


@dataclass(frozen=True, eq=False)
class TaskData:
    """One task on the N images: ``classes``, true classes ``targets`` int64 [N] and ``predictions`` float32 [N, K].

    ``targets`` are MISSING for images that are not of the task.
    """

    name: str
    classes: int
    targets: NDArray[np.int64]
    predictions: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Layout:
    """The numbers that are kept of each unit: those at the true classes only or, with ``full`` storage, of all classes.

    ``columns`` are those of the estimator; without ``softmax``, numbers are raw scores. Raises InputError for another
    storage, and for predictions that are no probabilities.
    """

    tasks: Sequence[TaskData]
    storage: str = MarginalizationSettings.storage
    columns: Sequence[Column] = ALWAYS
    softmax: bool = True

    def __post_init__(self) -> None:
        check(MarginalizationSettings, "storage", self.storage)
        for task in self.tasks:
            if not task.name or "/" in task.name or "\0" in task.name:  # HDF5 has folders
                raise InputError(f"task: found the name {task.name!r}; accepted are texts without '/'.")
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
        by_class = [column for column in self.columns if column.per == "class"]
        for name, kind in (("conditional", "<f4"), *((column.name, column.kind) for column in by_class)):
            found |= {f"{name}_{task}": (task, tail, kind) for task, tail in tails.items()}
        return found | {column.name: (None, (), column.kind) for column in self.columns if column.per == "image"}

    def kept(self, task: TaskData, values: NDArray[Any], images: slice) -> NDArray[Any]:
        """Return what is kept of ``values`` [..., n, K] of a task on ``images``: NaN of those that are not of it."""
        return values if self.storage == "full" else at_targets(values, task.targets[images])

    def missing(self, dataset: str, images: slice) -> NDArray[np.bool_] | None:
        """Return which ``images`` are not of the task of a dataset that has true classes alone; else None."""
        name = None if self.storage == "full" else task_of(dataset)
        return next((task.targets[images] == MISSING for task in self.tasks if task.name == name), None)

    def fingerprint(self, settings: Mapping[str, Any]) -> str:
        """Return the SHA-256 of what the numbers depend on: ``settings`` and this layout, but not which units."""
        tasks = {task.name: [task.classes, task.targets.tolist()] for task in self.tasks}
        return fingerprint_of(settings, self.storage, self.columns, tasks)


def task_of(dataset: str) -> str | None:
    """Return the task of a dataset that has an axis of classes with full storage, None of others."""
    return next((dataset.removeprefix(prefix) for prefix in OF_TASKS if dataset.startswith(prefix)), None)


def at_targets(values: NDArray[Any], targets: NDArray[np.int64]) -> NDArray[Any]:
    """Return of ``values`` [..., n, K] those at true classes [n]; NaN of images that are MISSING."""
    kept = values[..., np.arange(len(targets)), targets]
    if (targets == MISSING).any():
        kept[..., targets == MISSING] = np.nan
    return kept


def fingerprint_of(
    settings: Mapping[str, Any], storage: str, columns: Sequence[Column], tasks: Mapping[str, Any]
) -> str:
    """Return the fingerprint of settings, storage, columns, and numbers of classes and targets by task."""
    errors = "+".join(column.name for column in columns if column not in ALWAYS) or "none"
    return digest_of({"settings": settings, "storage": storage, "errors": errors, "tasks": tasks})


def wrong_numbers(
    name: str, values: NDArray[Any], *, softmax: bool = True, missing: NDArray[np.bool_] | None = None
) -> str | None:
    """Return what is wrong with numbers of the dataset ``name``, None if nothing is.

    Without ``softmax``, predictions and conditionals are raw scores. ``missing`` [n] says of numbers at true classes
    [..., n] which images are not of the task: these are NaN, and no others.
    """
    if missing is not None and missing.any():
        if not np.isnan(values[..., missing]).all():
            return f"{name} has numbers of images that are not of its task"
        values = values[..., ~missing]
    if name.startswith(("conditional_", "prediction_")):
        if not np.isfinite(values).all():
            return f"{name} has numbers that are not finite"
        if softmax and not ((values >= 0) & (values <= 1 + 1e-5)).all():
            return f"{name} has numbers outside [0, 1]"
        return None
    column = column_of(name)
    most = column.most if column else np.inf
    if not (values >= 0).all():
        return f"{name} has numbers that are negative or NaN"
    return None if (values <= most).all() else f"{name} has numbers outside [0, {most}]"
