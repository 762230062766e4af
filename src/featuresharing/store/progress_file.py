"""The progress file: units on their way to a final file, in a form that survives a kill at any instant.

It is an HDF5 file all of whose space is there from the start: contiguous datasets, and no metadata are written after
its creation. Numbers go straight to their places. A *cell* is one unit on ``step`` images. Its checksum is written
after its numbers and says that they are there: 0, or the CRC-32 of where the cell is and of its numbers. So numbers
that a kill, a crash or a bad disk spoilt are told from good ones, cell by cell, even where the file itself is damaged.
"""

import json
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from featuresharing.estimators.result_columns import BY_UNIT, column_of
from featuresharing.files.atomic import replacing, reserve
from featuresharing.hdf5 import Source, opened
from featuresharing.hdf5.attributes import whole_number, write_attributes
from featuresharing.hdf5.blocks import cut_rows
from featuresharing.hdf5.writing import CHECKSUMMED
from featuresharing.store.layer_files import check_units
from featuresharing.store.layout import Layout

WHAT = "progress"

LATEST = 1e11
"""A Unix time that no clock shows."""

CLOCK = ("run_started", "cells_at_start", "last_written")
"""The numbers of the dataset ``clock``: Unix times, and how many cells there were when the present run began."""


_DESCRIPTIONS = ("settings", "attributes", "conditions", "by_image")
"""Attributes that are stored as JSON."""

_COUNTS = ("images", "step", "layer_units")
"""Attributes that are stored as integers."""


@dataclass(frozen=True)
class Head:
    """What a progress file says of itself: ``units`` int64 [F] are those it is for, of ``layer_units`` of the layer.

    ``by_image`` are the datasets with a number for every unit and each of ``images``, of which ``step`` make a cell.
    ``attributes`` describe the file, ``conditions`` the run that made it.
    """

    format: int
    fingerprint: str
    settings: Mapping[str, Any]
    attributes: Mapping[str, Any]
    conditions: Mapping[str, Any]
    by_image: Sequence[str]
    images: int
    step: int
    layer_units: int
    units: NDArray[np.int64]

    @property
    def cells(self) -> int:
        """How many cells a unit has."""
        return -(-self.images // self.step)


def read_head(path: Path) -> Head:
    """Read the head of a progress file.

    Raises DamagedError if it cannot be read, GoneError if it does not exist, InputError if it is of a newer format.
    """
    with opened(path, WHAT, "growing") as source:
        return _head_of(source)


def read_progress(path: Path) -> tuple[Head, NDArray[np.bool_], dict[str, float]]:
    """Read how far a progress file got: its head, which cells are there [units, cells], and its clock.

    The file may be written to meanwhile. Raises as :func:`read_head` does.
    """
    with opened(path, WHAT, "growing") as source:
        head = _head_of(source)
        cells = source.dataset("checksum", "<u4", (len(head.units), head.cells))[:] != 0
        clock = dict(zip(CLOCK, source.dataset("clock", "<f8", (len(CLOCK),))[:].tolist(), strict=True))
        if not all(0 <= value < LATEST for value in clock.values()):
            raise ValueError("clock has no times")
        return head, cells, clock


def _head_of(source: Source) -> Head:
    attributes = source.attributes
    described: dict[str, Any] = {name: json.loads(attributes[name]) for name in _DESCRIPTIONS}
    counted: dict[str, Any] = {name: whole_number(attributes, name) for name in _COUNTS}
    by_image, fingerprint = described["by_image"], attributes["fingerprint"]
    if min(counted.values()) < 1:
        raise ValueError("its numbers of images or units are not positive")
    if not isinstance(by_image, list) or not all(isinstance(described[name], dict) for name in _DESCRIPTIONS[:3]):
        raise ValueError("its descriptions are of other types")
    kinds = [_kind_of(str(name)) for name in by_image]
    if len(set(by_image)) < len(by_image) or None in kinds:
        raise ValueError("attribute 'by_image' names other datasets")
    units = check_units(source.vector("unit", "<i8"), attributes)
    head = Head(source.format, str(fingerprint), units=units, **described, **counted)
    for name, kind in zip(by_image, kinds, strict=True):
        dataset = source.dataset(name, kind)
        if dataset.shape[:2] != (len(units), head.images) or len(dataset.shape) > 3:
            raise ValueError(f"{name} is of shape {list(dataset.shape)}")
    for name in BY_UNIT:
        source.dataset(name, "<f8", (len(units),))
    return head


def _kind_of(name: str) -> str | None:
    """Return the type of a dataset that has a number for every unit and image; None if it is none."""
    if name.startswith("conditional_"):
        return "<f4"
    column = column_of(name)
    return column.kind if column and column.per != "unit" else None


def create_progress(path: Path, layout: Layout, head: Head) -> None:
    """Make an empty progress file, under its name only when its space is there; raises InputError on a full disk."""
    units = len(head.units)
    by_image = sum(np.dtype(kind).itemsize * layout.images * prod(tail) for _, tail, kind in layout.by_image().values())
    room = 2**14 + units * (by_image + 4 * head.cells + 24)
    with replacing(path, room=room) as temporary:
        with h5py.File(temporary, "w", libver=CHECKSUMMED) as file:
            _preallocate(file, "unit", (units,), "<i8")
            _preallocate(file, "clock", (len(CLOCK),), "<f8")
            _preallocate(file, "checksum", (units, head.cells), "<u4")
            for name in BY_UNIT:
                _preallocate(file, name, (units,), "<f8")
            for name, (_, tail, kind) in layout.by_image().items():
                _preallocate(file, name, (units, layout.images, *tail), kind)
            file["unit"][:] = head.units
            described = {name: json.dumps(getattr(head, name)) for name in _DESCRIPTIONS}
            counted = {name: getattr(head, name) for name in _COUNTS}
            identity = {"format_version": head.format, "fingerprint": head.fingerprint}
            write_attributes(file, {**identity, **described, **counted})
        reserve(temporary, temporary.stat().st_size)


class ProgressFile:
    """A progress file whose numbers are read and, if ``writable``, written in place; raises as :func:`read_head`."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self.path = path
        with opened(path, WHAT, "growing") as source:
            self.head = _head_of(source)
            source.dataset("checksum", "<u4", (len(self.head.units), self.head.cells))
            source.dataset("clock", "<f8", (len(CLOCK),))
            names = ("clock", "checksum", *BY_UNIT, *self.head.by_image)
            self._places = {name: _place(source.dataset(name)) for name in names}
            self._raw = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        self.checksums: NDArray[np.uint32] = self.read("checksum", self.rows)

    @property
    def rows(self) -> slice:
        """All rows."""
        return slice(0, len(self.head.units))

    @property
    def numbers(self) -> tuple[str, ...]:
        """The datasets that hold the numbers of units."""
        return (*BY_UNIT, *self.head.by_image)

    def close(self) -> None:
        """Close the file."""
        os.close(self._raw)

    def sync(self) -> None:
        """Bring everything to disk."""
        os.fsync(self._raw)

    def read(self, name: str, rows: slice) -> NDArray[Any]:
        """Return rows of a dataset."""
        start, shape, kind = self._places[name]
        row = _size(shape[1:], kind)
        raw = os.pread(self._raw, (rows.stop - rows.start) * row, start + rows.start * row)
        return np.frombuffer(raw, kind).reshape(-1, *shape[1:]).copy()

    def write(self, rows: slice, cell: int, values: Mapping[str, NDArray[Any]]) -> None:
        """Write the numbers of some units [units, ...] in one cell: all datasets, then the checksums."""
        arrays = {name: np.ascontiguousarray(values[name], self._places[name][2]) for name in self.numbers}
        first = cell * self.head.step
        for name in BY_UNIT:
            self._put(name, rows.start, 0, arrays[name])
        for index, row in enumerate(range(rows.start, rows.stop)):
            for name in self.head.by_image:
                self._put(name, row, first, arrays[name][index])
            numbers = [arrays[name][index : index + 1] for name in BY_UNIT]
            numbers += [arrays[name][index] for name in self.head.by_image]
            self.checksums[row, cell] = self._sum(row, cell, numbers)
        self._put("checksum", rows.start, 0, self.checksums[rows])

    def take_unit(self, row: int, numbers: Mapping[str, NDArray[Any]], cells: NDArray[np.bool_]) -> None:
        """Write the numbers of one unit, a row of each dataset, in those ``cells`` that are not there yet."""
        for cell in np.flatnonzero(cells & (self.checksums[row] == 0)).tolist():
            part = slice(cell * self.head.step, (cell + 1) * self.head.step)
            values = {name: numbers[name][None] for name in BY_UNIT}
            values |= {name: numbers[name][None, part] for name in self.head.by_image}
            self.write(slice(row, row + 1), cell, values)

    def start_clock(self) -> None:
        """Say that a run begins."""
        now = time.time()
        self._clock = np.array([now, np.count_nonzero(self.checksums), now])
        self.keep_time()

    def keep_time(self) -> None:
        """Say that the run goes on."""
        self._clock[2] = time.time()
        self._put("clock", 0, 0, self._clock)

    def damaged(self) -> NDArray[np.bool_]:
        """Return which cells [units, cells] differ from their checksums."""
        row = sum(_size(shape[1:], kind) for _, shape, kind in self._places.values())
        sums = np.concatenate([self._sums(rows) for rows in cut_rows(len(self.head.units), row)])
        return np.asarray((self.checksums != 0) & (self.checksums != sums))

    def forget(self, cells: NDArray[np.bool_]) -> None:
        """Mark cells [units, cells] as missing."""
        self.checksums[cells] = 0
        self._put("checksum", 0, 0, self.checksums)

    def take_bytes_of(self, damaged: Path) -> None:
        """Fill all datasets with the bytes at their places in a file of the same layout that cannot be read itself."""
        with damaged.open("rb") as raw:
            for name in ("checksum", *self.numbers):
                start, shape, kind = self._places[name]
                raw.seek(start)
                for part in cut_rows(_size(shape, kind), 1):
                    os.pwrite(self._raw, raw.read(part.stop - part.start), start + part.start)
        self.checksums = self.read("checksum", self.rows)

    def _sums(self, rows: slice) -> NDArray[np.uint32]:
        """Return the checksums [units, cells] of what is in the file."""
        step = self.head.step
        by_unit = [self.read(name, rows) for name in BY_UNIT]
        by_image = [self.read(name, rows) for name in self.head.by_image]
        found = np.empty((rows.stop - rows.start, self.checksums.shape[1]), np.uint32)
        for index, row in enumerate(range(rows.start, rows.stop)):
            for cell in range(found.shape[1]):
                numbers = [values[index : index + 1] for values in by_unit]
                numbers += [values[index, cell * step : (cell + 1) * step] for values in by_image]
                found[index, cell] = self._sum(row, cell, numbers)
        return found

    def _sum(self, row: int, cell: int, numbers: Sequence[NDArray[Any]]) -> int:
        """Return the checksum of a cell with ``numbers``; it is never 0, which stands for a missing cell."""
        place = f"{self.head.fingerprint}:{self.head.units[row]}:{cell * self.head.step}"
        total = zlib.crc32(place.encode())
        for values in numbers:
            total = zlib.crc32(values.data, total)
        return max(total, 1)

    def _put(self, name: str, row: int, column: int, values: NDArray[Any]) -> None:
        start, shape, kind = self._places[name]
        place = start + row * _size(shape[1:], kind) + column * _size(shape[2:], kind)
        left = values.data.cast("B")
        while left:
            written = os.pwrite(self._raw, left, place)
            left, place = left[written:], place + written


def _place(dataset: h5py.Dataset) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Return where in the file a contiguous dataset begins, its shape and its type."""
    return dataset.id.get_offset(), dataset.shape, dataset.dtype


def _preallocate(file: h5py.File, name: str, shape: tuple[int, ...], kind: str) -> None:
    """Make a contiguous dataset whose space exists from the start, so that later writes touch no metadata."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(kind)), space, properties)


def _size(shape: tuple[int, ...], kind: np.dtype[Any]) -> int:
    return prod(shape) * kind.itemsize
