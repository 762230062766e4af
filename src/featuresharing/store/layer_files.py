"""Reading final files: what a file says of itself must be consistent, and its numbers probabilities."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from featuresharing.arguments import as_path
from featuresharing.data.lists import MISSING
from featuresharing.errors import InputError
from featuresharing.estimators.labelled_arrays import IMAGE, UNIT, Variables, column_variables, dataset_of
from featuresharing.estimators.result_columns import (
    ALWAYS,
    COLUMNS,
    ERROR_ESTIMATE,
    SKIPPED_BY_IMAGE,
    SKIPPED_MASS,
    STANDARD_ERROR,
    Column,
    column_of,
)
from featuresharing.hdf5 import DamagedError, Source, opened
from featuresharing.hdf5.attributes import replicate_of, whole_number
from featuresharing.hdf5.blocks import digest_dataset, row_blocks
from featuresharing.hdf5.reading import Mode
from featuresharing.networks.predictions import SUM_TOLERANCE
from featuresharing.store.layout import STORAGE, at_targets, fingerprint_of, task_of, wrong_numbers

if TYPE_CHECKING:
    from xarray import Dataset

WHAT = "conditionals"

NAMED = ("experiment", "alias", "checkpoint")
"""Attributes that say of which layer of which network a file is."""


@dataclass(frozen=True)
class LayerConditionals:
    """What a file holds of one layer at the true classes.

    ``predictions`` float32 [N] and ``conditionals`` float32 [F, N] by task, NaN on images that are not of the task;
    ``classes`` by task; ``effective_samples``
    and ``skipped_mass`` float64 [F]. Estimators that give such have ``standard_errors`` float32 [F, N] by task (others:
    none), and ``error_estimate`` float64 [F, N] (others: None). ``skipped_mass_by_image`` float64 [F, N] is there where
    every image has draws of its own (else: None). ``attributes`` are the file's.
    """

    units: NDArray[np.int64]
    classes: dict[str, int]
    predictions: dict[str, NDArray[np.float32]]
    conditionals: dict[str, NDArray[np.float32]]
    effective_samples: NDArray[np.float64]
    skipped_mass: NDArray[np.float64]
    standard_errors: dict[str, NDArray[np.float32]]
    attributes: dict[str, Any]
    error_estimate: NDArray[np.float64] | None = None
    skipped_mass_by_image: NDArray[np.float64] | None = None

    @property
    def skipped(self) -> NDArray[np.float64]:
        """Float64 [F, N], or [F, 1] if it is the same for all images: how much a conditional is too low at most."""
        return self.skipped_mass[:, None] if self.skipped_mass_by_image is None else self.skipped_mass_by_image

    def image_counts(self) -> dict[str, int]:
        """Return by task how many images are of it."""
        return {task: int((~np.isnan(values)).sum()) for task, values in self.predictions.items()}

    def to_xarray(self, *, images: Sequence[Any] | None = None) -> "Dataset":
        """Return a Dataset of xarray with the names that files have: ``conditional_{task}`` [unit, image] and so on.

        Numbers are those at the true classes. ``images`` are names of the images (None: numbers); attributes are the
        file's. Raises InputError where xarray is not installed, and for names of another number.

        >>> layer = read_conditionals("conv5_7.h5").to_xarray()
        >>> layer["conditional_word"].sel(unit=8).dims, layer.attrs["alias"]
        (('image',), 'conv5')
        """
        count = len(next(iter(self.predictions.values())))
        named = {"conditional": self.conditionals, STANDARD_ERROR.name: self.standard_errors}
        variables: Variables = {f"prediction_{task}": ((IMAGE,), values) for task, values in self.predictions.items()}
        variables |= {
            f"{name}_{task}": ((UNIT, IMAGE), values) for name, each in named.items() for task, values in each.items()
        }
        columns = {"effective_samples": self.effective_samples, "skipped_mass": self.skipped_mass}
        by_image = {ERROR_ESTIMATE.name: self.error_estimate, SKIPPED_BY_IMAGE.name: self.skipped_mass_by_image}
        columns |= {name: values for name, values in by_image.items() if values is not None}
        variables |= column_variables(columns, list(self.classes))
        coordinates = {UNIT: self.units, IMAGE: range(count) if images is None else images}
        return dataset_of(variables, coordinates=coordinates, attributes=self.attributes)

    @property
    def replicate(self) -> int:
        """Which of its experiment's networks the layer is of, from 1."""
        return replicate_of(self.attributes)

    @property
    def softmax(self) -> bool:
        """Whether conditionals are probabilities, and no raw scores."""
        return bool(self.attributes.get("softmax", True))

    @property
    def place(self) -> tuple[str, int, str, str]:
        """Experiment, replicate, checkpoint and layer, as tables have them."""
        experiment, alias, checkpoint = (str(self.attributes[name]) for name in NAMED)
        return experiment, self.replicate, checkpoint, alias

    def attribute(self, name: str, kind: type) -> Any:
        """Return an attribute of a ``kind``, int or str; raises InputError if the file has none such."""
        found = self.attributes.get(name)
        if not isinstance(found, np.integer if kind is int else kind):
            raise InputError(f"conditionals have no attribute '{name}'; accepted are files that marginalize wrote.")
        return kind(found)


class FinalFile:
    """An open final file whose datasets fit together; raises ValueError if they do not.

    ``units`` int64 [F], ``targets`` int64 [N] and ``classes`` by task, in the order of the tasks. ``shapes`` and
    ``kinds`` are those of all datasets.
    """

    def __init__(self, source: Source) -> None:
        self.source, self.attributes = source, source.attributes
        check_names(self.attributes)
        tasks = self.attributes.get("tasks")
        if not isinstance(tasks, list) or not tasks or len(set(tasks)) < len(tasks):
            raise ValueError("attribute 'tasks' names no tasks")
        self.storage = str(self.attributes.get("storage"))
        if self.storage not in STORAGE:
            raise ValueError(f"attribute 'storage' is '{self.storage}'; accepted are {' and '.join(STORAGE)}")
        self.softmax = bool(self.attributes.get("softmax", True))
        self.units = check_units(source.vector("unit", "<i8"), self.attributes)
        self.layer_units = layer_units_of(self.attributes, len(self.units))
        self.images = len(source.vector("image", "<i8"))
        conditionals = {task: source.dataset(f"conditional_{task}", "<f4") for task in tasks}
        self.classes = {task: source.number_at(dataset, "classes") for task, dataset in conditionals.items()}
        self.kinds, self.shapes = _expected(source.names, self.classes, self.storage, len(self.units), self.images)
        for name in sorted({*source.names, *self.shapes}):
            if name not in self.shapes:
                raise ValueError(f"{name} is no dataset of such a file")
            source.dataset(name, self.kinds[name], self.shapes[name])
        self.targets = {task: source.vector(f"target_{task}", "<i8") for task in tasks}
        for task, targets in self.targets.items():
            if ((targets < MISSING) | (targets >= self.classes[task])).any():
                outside = f"outside 0 to {self.classes[task] - 1}, of which -1 stands for none"
                raise ValueError(f"target_{task} has classes {outside}")
        for name in [name for name in self.shapes if name == "image" or name.startswith("class_")]:
            if (self.dataset(name)[:] != np.arange(*self.shapes[name])).any():
                raise ValueError(f"{name} does not count from 0")
        self._check_origin()

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint; None in a file of format 1."""
        found = self.attributes.get("fingerprint")
        return None if found is None else str(found)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it has."""
        return columns_in(self.shapes)

    def dataset(self, name: str) -> h5py.Dataset:
        """Return a dataset."""
        return self.source.dataset(name, self.kinds[name], self.shapes[name])

    def numbers(self, name: str) -> NDArray[Any]:
        """Return all numbers of a dataset, at the true classes; raises ValueError if they are not what they must be."""
        dataset, task = self.dataset(name), task_of(name)
        if self.storage != "full" or task is None:
            values = np.asarray(dataset[:])
        else:
            blocks = [slice(0, self.images)] if name.startswith("prediction_") else row_blocks(dataset)
            values = np.concatenate([at_targets(np.asarray(dataset[part]), self.targets[task]) for part in blocks])
        if wrong := wrong_numbers(name, values, softmax=self.softmax, missing=self._missing(task)):
            raise ValueError(wrong)
        return values

    def _missing(self, task: str | None) -> NDArray[np.bool_] | None:
        """Return which images are not of a task; None for no task."""
        return None if task is None else self.targets[task] == MISSING

    def wrong_numbers(self) -> Iterator[str]:
        """Yield what is wrong with numbers of any class, once a dataset at most."""
        skipped = self.dataset(SKIPPED_BY_IMAGE.name if SKIPPED_BY_IMAGE in self.columns else SKIPPED_MASS.name)
        for name in self.shapes:
            if name in ("unit", "image") or name.startswith(("class_", "target_")):
                continue
            dataset = self.dataset(name)
            missing = None if self.storage == "full" else self._missing(task_of(name))
            summed = self.storage == "full" and self.softmax and name.startswith(("conditional_", "prediction_"))
            for part in row_blocks(dataset):
                values = np.asarray(dataset[part], np.float64)
                absent = missing[part] if missing is not None and name.startswith("prediction_") else missing
                if wrong := wrong_numbers(name, values, softmax=self.softmax, missing=absent):
                    yield wrong
                    break
                lacking: Any = 0
                if summed and name.startswith("conditional_"):
                    lacking = np.asarray(skipped[part]).reshape(len(values), -1)
                if summed and np.abs(values.sum(axis=-1) - (1 - lacking)).max() > SUM_TOLERANCE:
                    yield f"{name} does not sum to 1 over classes"
                    break

    def _check_origin(self) -> None:
        """Compare the fingerprint and the settings with what they are of: files of format 1 have none."""
        if self.fingerprint is None:
            return
        tasks = {task: [self.classes[task], self.targets[task].tolist()] for task in self.classes}
        settings = json.loads(self.attributes["settings"])
        if fingerprint_of(settings, self.storage, self.columns, tasks) != self.fingerprint:
            raise ValueError("its fingerprint is not that of its settings")
        for name, value in settings.items():
            if name in self.attributes and self.attributes[name] != value:
                raise ValueError(f"attribute '{name}' is not that of its settings")


def check_names(attributes: Mapping[str, Any]) -> None:
    """Raise ValueError unless attributes say of which layer they are."""
    for name in NAMED:
        if not isinstance(attributes.get(name), str):
            raise ValueError(f"attribute '{name}' is missing")
    replicate_of(attributes)


def check_units(units: NDArray[np.int64], attributes: Mapping[str, Any]) -> NDArray[np.int64]:
    """Return the units of a file; raises ValueError if one is in it twice, or the layer does not have it."""
    if len(np.unique(units)) < len(units):
        raise ValueError("unit: a unit is in it twice")
    if units.min() < 0 or units.max() >= layer_units_of(attributes, 2**62):
        raise ValueError("unit has units that the layer does not have")
    return units


def layer_units_of(attributes: Mapping[str, Any], otherwise: int) -> int:
    """Return how many units the layer of a file has, ``otherwise`` for files of format 1, which do not say."""
    return whole_number(attributes, "layer_units") if "layer_units" in attributes else otherwise


@contextmanager
def open_final(path: Path, mode: Mode = "whole") -> Iterator[FinalFile]:
    """Open a final file that is as it was written (see :func:`featuresharing.hdf5.opened`)."""
    with opened(path, WHAT, mode) as source:
        file = FinalFile(source)
        if mode == "whole" and not source.sealed and (wrong := next(file.wrong_numbers(), None)):
            raise ValueError(wrong)
        yield file


def read_conditionals(path: Path | str) -> LayerConditionals:
    """Read a layer's file at the true classes.

    Raises InputError if it is missing, damaged, of another kind or of a newer format.

    >>> layer = read_conditionals("conv5_7.h5")
    >>> layer.units.tolist(), layer.conditionals["word"].shape
    ([0, 1, 2, 3, 5, 8], (6, 24))
    """
    with open_final(as_path("path", path)) as file:
        tasks = list(file.classes)
        return LayerConditionals(
            units=file.units,
            classes=file.classes,
            predictions={task: file.numbers(f"prediction_{task}") for task in tasks},
            conditionals={task: file.numbers(f"conditional_{task}") for task in tasks},
            effective_samples=file.numbers("effective_samples"),
            skipped_mass=file.numbers("skipped_mass"),
            standard_errors=_by_task(file, STANDARD_ERROR),
            attributes=file.attributes,
            error_estimate=_by_image(file, ERROR_ESTIMATE),
            skipped_mass_by_image=_by_image(file, SKIPPED_BY_IMAGE),
        )


def _by_task(file: FinalFile, column: Column) -> dict[str, NDArray[Any]]:
    """Return a column's numbers by task; nothing if the file has it not."""
    return {task: file.numbers(f"{column.name}_{task}") for task in file.classes if column in file.columns}


def _by_image(file: FinalFile, column: Column) -> NDArray[np.float64] | None:
    """Return a column's numbers [units, images]; None if the file has it not."""
    return file.numbers(column.name) if column in file.columns else None


def read_fingerprint(path: Path) -> tuple[str, list[int]] | None:
    """Return the fingerprint and the units of a final file that is as it was written, None of format 1.

    Raises DamagedError if there is none, InputError if it is of a newer format.
    """
    with open_final(path) as file:
        return (file.fingerprint, file.units.tolist()) if file.fingerprint else None


def peek_final(path: Path) -> tuple[dict[str, Any], NDArray[np.int64]] | None:
    """Return the attributes and units of a final file without reading the rest, None if it holds something else.

    Raises DamagedError if it cannot be read, InputError if it is of a newer format.
    """
    with opened(path, WHAT, "peek") as source:
        if "unit" not in source.names:
            return None
        check_names(source.attributes)
        units = check_units(source.vector("unit", "<i8"), source.attributes)
        if (digests := source.digests()) and digests.get("unit") != digest_dataset(source.dataset("unit")):
            raise DamagedError(path, WHAT, "unit was changed since it was written")
        return source.attributes, units


def _expected(
    names: Collection[str], classes: Mapping[str, int], storage: str, units: int, images: int
) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """Return the type and the shape of every dataset, by name."""
    columns = columns_in(names)
    kinds = {"unit": "<i8", "image": "<i8"} | {column.name: column.kind for column in columns if column.per != "class"}
    shapes: dict[str, tuple[int, ...]] = {"unit": (units,), "image": (images,)}
    shapes |= {column.name: (units,) for column in columns if column.per == "unit"}
    shapes |= {column.name: (units, images) for column in columns if column.per == "image"}
    by_class = {"conditional": "<f4"} | {column.name: column.kind for column in columns if column.per == "class"}
    for task, count in classes.items():
        tail = (count,) if storage == "full" else ()
        if tail:
            kinds[f"class_{task}"], shapes[f"class_{task}"] = "<i8", tail
        kinds[f"target_{task}"], shapes[f"target_{task}"] = "<i8", (images,)
        kinds[f"prediction_{task}"], shapes[f"prediction_{task}"] = "<f4", (images, *tail)
        for name, kind in by_class.items():
            kinds[f"{name}_{task}"], shapes[f"{name}_{task}"] = kind, (units, images, *tail)
    return kinds, shapes


def columns_in(names: Collection[str]) -> tuple[Column, ...]:
    """Return the columns that datasets of these ``names`` make, and those that every file has."""
    there = {column_of(name) for name in names}
    return tuple(column for column in COLUMNS if column in ALWAYS or column in there)
