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

from featuresharing.errors import InputError
from featuresharing.files import replacing, reserve
from featuresharing.store.layout import BY_UNIT, CHECKSUMMED, Layout, cut_rows
from featuresharing.version import FORMAT

CLOCK = ("run_started", "cells_at_start", "last_written")
"""The numbers of the dataset ``clock``: Unix times, and how many cells there were when the present run began."""


_DESCRIPTIONS = ("settings", "attributes", "conditions", "by_image")
"""Attributes that are stored as JSON."""

_COUNTS = ("images", "step", "layer_units")
"""Attributes that are stored as integers."""


class DamagedError(Exception):
    """A file cannot be read as HDF5, or is not what its name says."""


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


def read_format(path: Path) -> int:
    """Return the format of a progress file; raises DamagedError if it cannot be read."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return int(file.attrs["format_version"])
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise DamagedError(str(error)) from None


def read_head(path: Path) -> Head:
    """Read the head of a progress file; raises DamagedError if it cannot be read."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            attributes = file.attrs
            described: dict[str, Any] = {name: json.loads(attributes[name]) for name in _DESCRIPTIONS}
            counted: dict[str, Any] = {name: int(attributes[name]) for name in _COUNTS}
            fingerprint, units = attributes["fingerprint"].decode(), file["unit"][:]
            if not ((units >= 0) & (units < counted["layer_units"])).all():
                raise ValueError("units are out of range")
            return Head(int(attributes["format_version"]), fingerprint, units=units, **described, **counted)
    except (OSError, KeyError, RuntimeError, ValueError, AttributeError, TypeError) as error:
        raise DamagedError(str(error)) from None


def read_progress(path: Path) -> tuple[Head, NDArray[np.bool_], dict[str, float]]:
    """Read how far a progress file got: its head, which cells are there [units, cells], and its clock.

    The file may be written to meanwhile. Raises DamagedError if it cannot be read.
    """
    head = read_head(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            return head, file["checksum"][:] != 0, dict(zip(CLOCK, file["clock"][:].tolist(), strict=True))
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise DamagedError(str(error)) from None


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
            file.attrs.update(
                {
                    "format_version": head.format,
                    "fingerprint": np.bytes_(head.fingerprint),
                    **{name: np.bytes_(json.dumps(getattr(head, name))) for name in _DESCRIPTIONS},
                    **{name: getattr(head, name) for name in _COUNTS},
                }
            )
        reserve(temporary, temporary.stat().st_size)


class ProgressFile:
    """A progress file whose numbers are read and, if ``writable``, written in place; raises DamagedError."""

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self.path, self.head = path, read_head(path)
        try:
            with h5py.File(path, "r", locking=False) as file:
                names = ("clock", "checksum", *BY_UNIT, *self.head.by_image)
                self._places = {
                    name: (file[name].id.get_offset(), file[name].shape, file[name].dtype) for name in names
                }
        except (OSError, KeyError, RuntimeError) as error:
            raise DamagedError(str(error)) from None
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


def refuse_newer(path: Path, found: int) -> None:
    """Raise InputError if a file is of a newer format than this version writes."""
    if found > FORMAT:
        raise InputError(
            f"{path} is of format {found}, of a newer FeatureSharing; accepted are formats 1 to {FORMAT}. It is left as"
            " it is: update FeatureSharing, or move the file away."
        )


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
