"""The unit store: conditionals of one layer in an HDF5 file that survives a kill at any instant.

While units are computed, they go to a progress file beside the output: preallocated contiguous datasets and a ``done``
mask, so that nothing but plain data is written after its creation. Units are written, then synced to disk, then marked.
A complete store is copied to its final form, checked and renamed to its final name.

Final file, with F units, N images and K_t classes of task t (dimension scales name every axis):

==========================  ==========================  ============================================================
dataset                     shape, type                 what
==========================  ==========================  ============================================================
unit                        [F] int64                   units
image                       [N] int64                   positions of the images in their list
target_{task}               [N] int64                   true classes
prediction_{task}           [N] float32                 p at the true class, with the unit (``full``: [N, K_t])
conditional_{task}          [F, N] float32              q at the true class, without it (``full``: [F, N, K_t])
effective_samples           [F] float64                 1 / sum of squared sample weights; infinite for quadrature
skipped_mass                [F] float64                 how much too low a conditional can be
standard_error_{task}       [F, N] float32              of conditional_{task}, with monte-carlo (``full``: [F, N, K_t])
error_estimate              [F, N] float64              of all classes' conditionals, with quadrature
==========================  ==========================  ============================================================
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.files import replacing
from featuresharing.version import FORMAT

STORAGE = ("true-class", "full")

ERRORS = ("none", "standard_error", "error_estimate")
"""What may be known of the error of a conditional."""

FLUSH_SECONDS = 2.0
"""At most this much work is lost by a kill."""


@dataclass(frozen=True)
class TaskData:
    """One task on the N images: ``classes``, true classes ``targets`` int64 [N] and ``predictions`` float32 [N, K]."""

    name: str
    classes: int
    targets: NDArray[np.int64]
    predictions: NDArray[np.float32]


@dataclass(frozen=True)
class LayerConditionals:
    """What a file holds of one layer at the true classes.

    ``predictions`` float32 [N] and ``conditionals`` float32 [F, N] by task, ``classes`` by task; ``effective_samples``
    and ``skipped_mass`` float64 [F]; ``standard_errors`` float32 [F, N] by task, of the estimator that has them;
    ``attributes`` as written by :class:`UnitStore`.
    """

    units: NDArray[np.int64]
    classes: dict[str, int]
    predictions: dict[str, NDArray[np.float32]]
    conditionals: dict[str, NDArray[np.float32]]
    effective_samples: NDArray[np.float64]
    skipped_mass: NDArray[np.float64]
    standard_errors: dict[str, NDArray[np.float32]]
    attributes: dict[str, Any]


class UnitStore:
    """Conditionals of ``units`` on their way to ``output``; use it as a context manager.

    ``settings`` is everything that the numbers depend on: a progress file with other settings is not continued (the
    reason is in :attr:`restarted`). ``storage`` keeps the true class only or, with ``full``, every class; ``errors`` is
    one of ERRORS. Raises InputError if the folder is not writable or another process is computing the same file.
    """

    def __init__(
        self,
        output: Path,
        *,
        units: Sequence[int],
        tasks: Sequence[TaskData],
        settings: Mapping[str, Any],
        storage: str = "true-class",
        errors: str = "none",
    ) -> None:
        if storage not in STORAGE:
            raise InputError(f"storage: found '{storage}'; accepted are {' and '.join(STORAGE)}.")
        self.output, self.units, self.tasks = output, list(units), list(tasks)
        self.restarted = ""
        self._storage, self._errors = storage, errors
        shapes = {task.name: [task.classes, task.targets.tolist()] for task in self.tasks}
        identity = {"settings": settings, "storage": storage, "format": FORMAT, "units": self.units, "tasks": shapes}
        self._settings = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self._progress = output.with_name(f".{output.name}.progress")
        self._row = {unit: row for row, unit in enumerate(self.units)}
        self._unmarked: list[int] = []

    def __enter__(self) -> "UnitStore":
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._progress.with_suffix(".lock").open("w")
        except OSError as error:
            raise InputError(f"{self.output.parent} cannot be written to ({error.strerror}).") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise InputError(
                f"{self.output} is being computed by another process; accepted is one at a time."
            ) from None
        try:
            self._file = self._resume() or self._create()
        except BaseException:
            self._lock.close()
            raise
        self._last_flush = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        if self._file:
            self.flush()
            self._file.close()
        self._lock.close()

    def missing(self) -> list[int]:
        """Return the units that are not stored yet, in their order."""
        done = self._file["done"][:]
        return [unit for unit in self.units if not done[self._row[unit]]]

    def write(
        self,
        unit: int,
        conditionals: Sequence[NDArray[Any]],
        *,
        effective_samples: float,
        skipped_mass: float,
        standard_error: Sequence[NDArray[Any]] | None = None,
        error_estimate: NDArray[Any] | None = None,
    ) -> None:
        """Store one unit: ``conditionals`` and ``standard_error`` [N, K_t] a task, ``error_estimate`` [N]."""
        row = self._row[unit]
        for task, values in zip(self.tasks, conditionals, strict=True):
            self._file[f"conditional_{task.name}"][row] = self._stored(task, values)
        self._file["effective_samples"][row] = effective_samples
        self._file["skipped_mass"][row] = skipped_mass
        for task, values in zip(self.tasks, standard_error or (), strict=False):
            self._file[f"standard_error_{task.name}"][row] = self._stored(task, values)
        if error_estimate is not None:
            self._file["error_estimate"][row] = error_estimate
        self._unmarked.append(row)
        if time.monotonic() - self._last_flush > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Bring all written units safely to disk: data first, then the marks that say the data are there."""
        if self._unmarked:
            self._sync()
            for row in self._unmarked:
                self._file["done"][row] = True
            self._unmarked = []
            self._sync()
        self._last_flush = time.monotonic()

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Write the final file under its name and remove the progress; raises InputError for values out of [0, 1]."""
        self.flush()
        if missing := self.missing():
            raise ValueError(f"{self.output}: {len(missing)} units are missing")
        for task in self.tasks:
            values = self._file[f"conditional_{task.name}"][:]
            if not ((values >= 0) & (values <= 1 + 1e-5)).all():
                raise InputError(
                    f"{self.output}: task '{task.name}' has conditionals outside [0, 1]; the network gave NaN."
                )
        with replacing(self.output) as temporary, h5py.File(temporary, "w") as final:
            final.attrs.update({"format_version": FORMAT, "storage": self._storage, **attributes})
            self._fill(final)
        self._file.close()
        self._file = None
        self._progress.unlink()
        Path(self._lock.name).unlink()

    def _fill(self, final: h5py.File) -> None:
        full = self._storage == "full"
        images = len(self.tasks[0].targets)
        for name, values in (("unit", self.units), ("image", np.arange(images))):
            final.create_dataset(name, data=np.asarray(values, np.int64)).make_scale(name)
        for name in ("effective_samples", "skipped_mass"):
            _label(final.create_dataset(name, data=self._file[name][:]), final["unit"])
        for task in self.tasks:
            compression = {"compression": "gzip", "shuffle": True} if full else {}
            scales = [final["image"]]
            if full:
                axis = final.create_dataset(f"class_{task.name}", data=np.arange(task.classes))
                axis.make_scale(f"class_{task.name}")
                scales.append(axis)
            _label(final.create_dataset(f"target_{task.name}", data=task.targets), final["image"])
            predictions = self._stored(task, task.predictions)
            _label(final.create_dataset(f"prediction_{task.name}", data=predictions), *scales)
            name = f"conditional_{task.name}"
            _label(final.create_dataset(name, data=self._file[name][:], **compression), final["unit"], *scales)
            final[name].attrs["classes"] = task.classes
            if self._errors == "standard_error":
                name = f"standard_error_{task.name}"
                _label(final.create_dataset(name, data=self._file[name][:], **compression), final["unit"], *scales)
        if self._errors == "error_estimate":
            estimate = final.create_dataset("error_estimate", data=self._file["error_estimate"][:])
            _label(estimate, final["unit"], final["image"])

    def _stored(self, task: TaskData, values: NDArray[Any]) -> NDArray[Any]:
        if self._storage == "full":
            return values
        return values[np.arange(len(task.targets)), task.targets]

    def _resume(self) -> h5py.File | None:
        """Open the progress file if it is whole and of the same settings."""
        if not self._progress.exists():
            return None
        file = None
        try:
            file = h5py.File(self._progress, "r+")
            same = file.attrs["settings"] == self._settings
            if same and all(file[name].shape == shape for name, (shape, _) in self._layout().items()):
                return file
            self.restarted = f"{self._progress} is of other settings"
        except (OSError, KeyError, RuntimeError, ValueError):
            self.restarted = f"{self._progress} is damaged"
        if file:
            file.close()
        return None

    def _layout(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Return shape and type of every dataset of the progress file."""
        units, images = len(self.units), len(self.tasks[0].targets)
        tails = {task.name: (task.classes,) if self._storage == "full" else () for task in self.tasks}
        errors: dict[str, tuple[tuple[int, ...], Any]] = {}
        if self._errors == "standard_error":
            errors = {f"standard_error_{name}": ((units, images, *tail), np.float32) for name, tail in tails.items()}
        if self._errors == "error_estimate":
            errors = {"error_estimate": ((units, images), np.float64)}
        return {
            **errors,
            "done": ((units,), np.bool_),
            "effective_samples": ((units,), np.float64),
            "skipped_mass": ((units,), np.float64),
            **{f"conditional_{name}": ((units, images, *tail), np.float32) for name, tail in tails.items()},
        }

    def _create(self) -> h5py.File:
        """Make the progress file under a temporary name, so that a kill meanwhile leaves none."""
        with replacing(self._progress) as temporary, h5py.File(temporary, "w") as file:
            for name, (shape, dtype) in self._layout().items():
                _preallocate(file, name, shape, dtype)
            file.attrs["settings"] = self._settings
        return h5py.File(self._progress, "r+")

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.id.get_vfd_handle())


def read_conditionals(path: Path) -> LayerConditionals:
    """Read a layer's file at the true classes; raises InputError if it is missing, damaged or of a newer format."""
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            found = int(attributes.get("format_version", 0))
            if not 1 <= found <= FORMAT:
                raise InputError(f"{path} is of format {found or 'unknown'}; accepted are formats 1 to {FORMAT}.")
            tasks = [name.removeprefix("target_") for name in file if name.startswith("target_")]
            tasks.sort(key=list(attributes["tasks"]).index)
            return LayerConditionals(
                units=file["unit"][:],
                classes={task: int(file[f"conditional_{task}"].attrs["classes"]) for task in tasks},
                predictions={task: _true_class(file, f"prediction_{task}", task) for task in tasks},
                conditionals={task: _true_class(file, f"conditional_{task}", task) for task in tasks},
                effective_samples=file["effective_samples"][:],
                skipped_mass=file["skipped_mass"][:],
                standard_errors={
                    task: _true_class(file, f"standard_error_{task}", task)
                    for task in tasks
                    if f"standard_error_{task}" in file
                },
                attributes=attributes,
            )
    except (OSError, KeyError, RuntimeError) as error:
        raise InputError(f"{path} is no complete file of conditionals ({error}).") from None


def _true_class(file: h5py.File, name: str, task: str) -> NDArray[np.float32]:
    values: NDArray[np.float32] = file[name][:]
    if file.attrs["storage"] != "full":
        return values
    targets = file[f"target_{task}"][:]
    return values[..., np.arange(len(targets)), targets]


def _preallocate(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    """Make a contiguous dataset whose space exists from the start, so that later writes touch no metadata."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype), logical=True), space, properties)


def _label(dataset: h5py.Dataset, *scales: h5py.Dataset) -> None:
    for axis, scale in enumerate(scales):
        dataset.dims[axis].attach_scale(scale)
