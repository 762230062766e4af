"""Opening HDF5 files of ours: what is damaged, or of another kind, is refused before it is read, in one sentence."""

import json
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.files.atomic import is_full
from featuresharing.files.records import recorded_entry, refuse_changed
from featuresharing.hdf5.attributes import read_attribute, read_attributes, whole_number
from featuresharing.hdf5.blocks import digest_dataset, row_blocks
from featuresharing.hdf5.seals import has_seal, intact_entry
from featuresharing.hdf5.trials import Trial, try_reading
from featuresharing.version import FORMAT

SEALED_SINCE = 3
"""From this format on, files have seals and texts of fixed length."""

CHUNK_BYTES = 2**26
"""More than any chunk of ours has when it is unpacked."""

MOST_PACKED = 1100
"""No chunk is packed to less than this part of it: zlib's own limit."""

FILTERS = frozenset({h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})

SIGNATURE = b"\x89HDF\r\n\x1a\n"

Mode = Literal["whole", "lenient", "peek", "growing"]

OBJECTS = 10_000
"""More than any file of ours has."""

BROKEN = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    BufferError,
    AssertionError,
    EOFError,
    SystemError,
    struct.error,
    zlib.error,
)
"""What reading a damaged file may raise."""


class DamagedError(InputError):
    """A file is damaged, or of another kind; ``reason`` says how."""

    advice = "; if a run made it, delete it and run again"

    def __init__(self, path: Path, what: str, reason: str) -> None:
        super().__init__(f"{path} is no complete file of {what} ({reason}){self.advice}.")
        self.reason = reason


class GoneError(DamagedError):
    """There is no such file, or there no longer is."""

    advice = ""


class ReplacedError(DamagedError):
    """A file is not the one that its record names."""

    def __init__(self, error: InputError) -> None:
        InputError.__init__(self, str(error))
        self.reason = str(error)


class Source:
    """An open file whose parts are checked before they are read.

    ``names`` are its datasets, ``attributes`` its own, ``format`` is the format that it says it is of, and ``changed``
    names what differs from what was written. Texts of variable length are read in files that are not ``sealed`` alone,
    ``chunks`` where they are expected.
    """

    def __init__(
        self, path: Path, file: h5py.File, *, sealed: bool = False, chunks: bool = True, changed: Sequence[str] = ()
    ) -> None:
        self.path, self.sealed, self.changed = path, sealed, list(changed)
        self._file, self._size, self._chunks = file, path.stat().st_size, chunks
        if len(file) > OBJECTS:
            raise ValueError(f"it has {len(file)} datasets")
        self.names = [name.decode() for name in file.id]
        self.format = read_format(file)
        self.attributes = read_attributes(file, variable=not sealed)

    def dataset(self, name: str, kind: str | None = None, shape: tuple[int, ...] | None = None) -> h5py.Dataset:
        """Return a dataset, of a ``kind`` such as "<f4" and a ``shape``; raises ValueError if it is not as it must be.

        That is: here, in this file, contiguous or in chunks, all of it, numbers without a type or filter of others.
        """
        if name not in self.names:
            raise ValueError(f"{name} is missing")
        if self._file.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{name} is a link")
        found = h5py.h5o.open(self._file.id, name.encode())
        if not isinstance(found, h5py.h5d.DatasetID):
            raise ValueError(f"{name} is no dataset")
        if problem := _wrong_storage(found, self._size, self._chunks):
            raise ValueError(f"{name} {problem}")
        dataset = h5py.Dataset(found)
        if kind is not None and not found.get_type().equal(h5py.h5t.py_create(np.dtype(kind))):
            raise ValueError(f"{name} is of type {dataset.dtype}; accepted is {np.dtype(kind)}")
        if shape is not None and dataset.shape != shape:
            raise ValueError(f"{name} is of shape {list(dataset.shape)}; accepted is {list(shape)}")
        return dataset

    def number_at(self, dataset: h5py.Dataset, name: str) -> int:
        """Return a dataset's attribute that is a whole number."""
        return whole_number({name: read_attribute(dataset, name, variable=False)}, name)

    def vector(self, name: str, kind: str) -> NDArray[Any]:
        """Return the numbers of a dataset with one axis."""
        dataset = self.dataset(name, kind)
        if len(dataset.shape) != 1:
            raise ValueError(f"{name} is of shape {list(dataset.shape)}; accepted is one axis")
        return np.asarray(dataset[:])

    def digests(self) -> dict[str, str]:
        """Return by name the digests that the file has of its datasets; none in old files."""
        found = json.loads(self.attributes.get("sha256", "{}"))
        if not isinstance(found, dict):
            raise ValueError("attribute 'sha256' has no digests")
        return found

    def differing(self) -> list[str]:
        """Return the datasets that differ from their digests, also those that have none while others have."""
        wanted = self.digests()
        names = sorted({*wanted, *self.names}) if wanted else []
        return [name for name in names if name not in self.names or _digest(self, name) != wanted.get(name)]


@contextmanager
def opened(path: Path, what: str, mode: Mode = "whole") -> Iterator[Source]:
    """Open a file of ours, which holds ``what``, once it is known to be as it was written.

    Modes: ``whole`` compares everything, and the file with its record. ``lenient`` opens files that were changed as
    well if they can be read. ``peek`` is for the attributes and small datasets of large files, without reading the
    rest: who peeks compares the digests of these datasets. ``growing`` is for files without a seal that are being
    written to.

    Whatever fails inside, but for a disk that is full, is raised as DamagedError; GoneError if the file does not exist;
    InputError if it is of a newer format.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is no regular file")
        sealed = _check_head(path) if mode == "growing" else has_seal(path)
        changed = [] if mode == "growing" or (mode == "peek" and sealed) else _find_changes(path, what, mode, sealed)
        with h5py.File(path, "r", locking=False) as file:
            _refuse_formats(path, what, read_format(file))
            chunks = mode in ("whole", "lenient") or not sealed
            yield Source(path, file, sealed=sealed, chunks=chunks, changed=changed)
    except InputError:
        raise
    except BROKEN as error:
        if is_full(error):  # what is done with the numbers inside
            raise
        gone = isinstance(error, FileNotFoundError) or not path.exists()
        reason = "there is no such file" if gone else one_line(error)
        raise (GoneError if gone else DamagedError)(path, what, reason) from None


def examine(path: Path) -> Trial:
    """Read a file from end to end, with all that is in it; say what is found."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            found = read_format(file)
            if not 1 <= found <= FORMAT:
                return Trial(format=found)
            source = Source(path, file)
            for name in source.names:
                dataset = source.dataset(name)
                for attribute in dataset.attrs:
                    dataset.attrs[attribute]
                for axis in range(len(dataset.shape)):
                    h5py.h5ds.get_num_scales(dataset.id, axis)
                for part in row_blocks(dataset):
                    dataset[part]
            return Trial(None, found, source.differing())
    except BROKEN as error:
        return Trial(one_line(error))


def one_line(error: object) -> str:
    """Return what an error says without control characters and of bounded length."""
    text = " ".join("".join(each if each.isprintable() else " " for each in str(error)).split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def read_format(file: h5py.File) -> int:
    """Return the format that a file says it is of, 0 if it does not say."""
    if "format_version" not in file.attrs:
        return 0
    return whole_number({"format_version": read_attribute(file, "format_version", variable=False)}, "format_version")


def refuse_newer(path: Path, found: int) -> None:
    """Raise InputError if a file is of a format that this version does not know."""
    if found > FORMAT:
        raise InputError(
            f"{path} is of format {found}, of a newer FeatureSharing; accepted are formats 1 to {FORMAT}. It is left as"
            " it is: update FeatureSharing, or move the file away."
        )


def _refuse_formats(path: Path, what: str, found: int) -> None:
    refuse_newer(path, found)
    if found < 1:
        raise DamagedError(path, what, f"it is of format {found or 'unknown'}; accepted are formats 1 to {FORMAT}")


def _check_head(path: Path) -> bool:
    """Raise ValueError if a file is no HDF5 whose descriptions have checksums."""
    with path.open("rb") as file:
        head = file.read(9)
    if len(head) < 9 or head[:8] != SIGNATURE or head[8] < 2:
        raise ValueError("it does not begin like one")
    return True


def _find_changes(path: Path, what: str, mode: Mode, sealed: bool) -> list[str]:
    """Return what was changed in a file, nothing if it is intact; raise InputError if it cannot be opened."""
    if sealed and (entry := intact_entry(path)):
        if mode == "whole" and recorded_entry(path) != entry:
            _refuse_replaced(path)
        return []
    trial = try_reading(path)
    if trial.reason is not None:
        raise DamagedError(path, what, trial.reason)
    _refuse_formats(path, what, trial.format)
    names = trial.changed
    if not names and trial.format >= SEALED_SINCE:
        names = ["its description" if sealed else "its seal"]
    if names and mode != "lenient":
        raise DamagedError(path, what, f"{', '.join(names)} was changed since it was written")
    if mode == "whole":
        _refuse_replaced(path)
    return names


def _refuse_replaced(path: Path) -> None:
    try:
        refuse_changed(path)
    except InputError as error:
        raise ReplacedError(error) from None


def _digest(source: Source, name: str) -> str:
    return digest_dataset(source.dataset(name))


def _wrong_storage(dataset: h5py.h5d.DatasetID, size: int, chunks: bool) -> str | None:
    """Return what is wrong with how a dataset is stored in a file of ``size`` bytes, None if nothing is."""
    kind, properties, shape = dataset.get_type(), dataset.get_create_plist(), dataset.shape
    filters = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
    problem = None
    if kind.committed() or not isinstance(kind, h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID):
        problem = "has no plain numbers"
    elif properties.get_external_count():
        problem = "is stored in other files"
    elif not filters <= FILTERS:
        problem = f"has filters {sorted(filters - FILTERS)}"
    elif not shape or not all(shape):
        problem = f"is of shape {list(shape)}"
    elif properties.get_layout() == h5py.h5d.CONTIGUOUS:
        start = dataset.get_offset()
        if start is None or start + prod(shape) * kind.get_size() > size:
            problem = "is longer than the file"
    elif properties.get_layout() != h5py.h5d.CHUNKED or not chunks:
        problem = f"is not {'contiguous or in chunks' if chunks else 'contiguous'}"
    else:
        problem = _wrong_chunks(dataset, properties.get_chunk(), size)
    return problem


def _wrong_chunks(dataset: h5py.h5d.DatasetID, chunk: tuple[int, ...], size: int) -> str | None:
    each = dataset.get_type().get_size()
    if prod(chunk) * each > CHUNK_BYTES or prod(dataset.shape) * each > MOST_PACKED * size:
        return "is longer than the file can hold"
    count = prod(-(-length // step) for length, step in zip(dataset.shape, chunk, strict=True))
    return None if dataset.get_num_chunks() == count else "lacks some of its chunks"
