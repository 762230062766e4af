"""Numbers in files of weights (.caffemodel), found by the names of layers and read one array at a time."""

import mmap
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError, quoted
from featuresharing.files.record_format import open_regular
from featuresharing.networks.formats.caffe_model.caffe_definition import MOST_LAYERS
from featuresharing.networks.formats.caffe_model.caffe_files import LAYER_FIELDS, Field, fields_of
from featuresharing.networks.formats.caffe_model.caffe_messages import message_class

MOST_FIELDS = 1_000
"""Fields of a layer or of an array: a list of numbers is one, unless it is written number by number."""

MOST_AXES = 8
"""Axes of an array, beyond those of Caffe's."""


MOST_REST = 2**16
"""Bytes of an array beside its numbers."""

SINGLE, DOUBLE = 5, 8
"""The fields of an array that are its numbers, which are read where they stand."""

NUMBERS = {SINGLE: "<f4", DOUBLE: "<f8"}

LONG = (SINGLE, DOUBLE, 6, 9)
"""Those fields, and those for training."""


class Blob(NamedTuple):
    """An array of a layer: its ``shape``, whose leading ones say nothing if ``is_old``, and its numbers as float32."""

    shape: tuple[int, ...]
    is_old: bool
    values: NDArray[np.float32]


class StoredWeights:
    """The arrays of a file of weights; only where they are is kept in memory."""

    def __init__(self, path: Path) -> None:
        """Find the layers of the file at ``path``; raises InputError for a damaged one."""
        self.path = path
        self._places: dict[str, list[Field]] = {}
        try:
            with open_regular(path) as file:
                # an empty file cannot be mapped
                self._data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is empty"
            raise InputError(f"{path} cannot be read ({reason}); accepted are weights of Caffe.") from None
        layers = [field for field in self._fields(0, len(self._data), MOST_LAYERS) if field.number in LAYER_FIELDS]
        for layer in layers:
            self._find_blobs(layer)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def count(self, name: str) -> int:
        """Return how many arrays a layer has."""
        return len(self._places.get(name, ()))

    def blob(self, name: str, index: int) -> Blob:
        """Return an array of a layer; raises InputError for one that is not as its shape says."""
        place = self._places[name][index]
        fields = self._fields(place.start, place.stop, MOST_FIELDS)
        what = f"array {index} of layer {quoted(name)}"
        if any(field.number in NUMBERS and field.kind != 2 for field in fields):
            raise self._damaged(place.start, f"{what} is not one piece, as Caffe writes it")
        starts = [place.start, *(field.stop for field in fields)]
        rest = [(start, field.stop) for start, field in zip(starts, fields, strict=False) if field.number not in LONG]
        if sum(stop - start for start, stop in rest) > MOST_REST:
            raise self._damaged(place.start, f"{what} has more than {MOST_REST} bytes beside its numbers")
        try:
            stored = message_class("StoredBlob").FromString(b"".join(self._data[slice(*each)] for each in rest))
        except Exception:  # whatever arbitrary bytes lead the package to
            raise self._damaged(place.start, f"{what} is no array") from None
        shape, is_old = _shape_of(stored)
        numbers = self._numbers(fields)
        if numbers is None or len(shape) > MOST_AXES or min(shape, default=1) < 1 or prod(shape) != len(numbers):
            found = "bytes" if numbers is None else f"{len(numbers)} numbers"
            raise self._damaged(place.start, f"{what} has the sizes {_few(shape)} and {found}")
        if not (finite := np.isfinite(numbers)).all():
            raise self._damaged(place.start, f"{what} holds {numbers[~finite][0]}")
        return Blob(shape, is_old, numbers)

    def _numbers(self, fields: list[Field]) -> NDArray[np.float32] | None:
        """Return the numbers of an array, of double ones the nearest float32, which Caffe computes with.

        None stands for bytes that are no numbers.
        """
        number = DOUBLE if any(field.number == DOUBLE for field in fields) else SINGLE
        pieces = [self._data[field.start : field.stop] for field in fields if field.number == number]
        kind = NUMBERS[number]
        if any(len(piece) % np.dtype(kind).itemsize for piece in pieces):
            return None
        with np.errstate(over="ignore"):  # found as infinite
            found = [np.frombuffer(piece, kind).astype(np.float32) for piece in pieces]
        return found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.float32), *found])

    def _find_blobs(self, layer: Field) -> None:
        names, blobs = ((4, 6), (1, 7))[layer.number == LAYER_FIELDS[1]]
        name, places = "", []
        for field in self._fields(layer.start, layer.stop, MOST_FIELDS):
            if field.number == names and field.kind == 2:
                name = bytes(self._data[field.start : field.stop]).decode(errors="replace")
            elif field.number == blobs and field.kind == 2:
                places.append(field)
        self._places.setdefault(name, places)  # of layers of one name Caffe takes the first

    def _fields(self, start: int, stop: int, most: int) -> list[Field]:
        found: list[Field] = []
        try:
            for field in fields_of(self._data, start, stop):
                if field.stop > stop:
                    raise ValueError(f"{field.stop - field.start} bytes are announced where {stop - field.start} are")
                if len(found) == most:
                    raise ValueError(f"more than {most} fields follow each other")
                found.append(field)
        except ValueError as error:
            raise self._damaged(found[-1].stop if found else start, str(error)) from None
        return found

    def _damaged(self, place: int, problem: str) -> InputError:
        return InputError(
            f"{self.path} is damaged: at byte {place}, {problem}; accepted are weights as Caffe wrote them."
        )


def _shape_of(stored: Any) -> tuple[tuple[int, ...], bool]:
    """Return the sizes of an array, and whether it is of the time when each had four."""
    old = ("num", "channels", "height", "width")
    if any(stored.HasField(name) for name in old):
        return tuple(getattr(stored, name) for name in old), True
    return tuple(stored.shape.dim), False


def _few(shape: tuple[int, ...]) -> str:
    return f"{list(shape[:MOST_AXES])}{' and more' if len(shape) > MOST_AXES else ''}"
