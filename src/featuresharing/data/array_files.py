"""Images in files of arrays, .npz and HDF5: what is in them, and one image by its place, ``FILE::ARRAY::INDEX``.

Nothing is unpickled, and nothing of a size is read before the size is known to be sound.
"""

import os
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.files.atomic import content_key, file_digest
from featuresharing.files.identity import digest_of_array, digest_of_bytes

NPZ, HDF5 = (".npz",), (".h5", ".hdf5", ".hdf")

PLACE = re.compile(r"(.+?)::(.+)::([0-9]{1,12})", re.DOTALL)

MOST_BYTES = 2**30
"""Bytes of the largest array that is read whole: of classes, and of images that are packed in an .npz file."""

MOST_NUMBERS = 2**28
"""Numbers of the largest image."""

LOCAL_LENGTHS = 26
"""Where a member of a zip archive says, from its own head on, how long its name and what follows are."""

ENCRYPTED = 1
"""Flag of a member that is."""

AT_A_TIME = 64
"""Images of an HDF5 file that are read together: neighbours are often packed together."""

BLOCK_BYTES = 2**28
"""Most that these may take."""


class ArrayPlace(NamedTuple):
    """Where an image is: at a ``position`` along the first axis of an array of a file."""

    file: Path
    array: str
    position: int


def is_array_file(path: Path) -> bool:
    """Return whether a file is one of arrays by its name."""
    return path.suffix.lower() in NPZ + HDF5


def place_path(file: Path, array: str, position: int) -> Path:
    """Return the path by which lists name an image of an array."""
    return Path(f"{file}::{array.strip('/')}::{position}")


def array_place(path: Path) -> ArrayPlace | None:
    """Return the place in an array that a path of a list names, None for an ordinary path."""
    found = PLACE.fullmatch(str(path))
    return ArrayPlace(Path(found[1]), found[2], int(found[3])) if found else None


def image_exists(path: Path) -> bool:
    """Return whether the file of an image, or of the array that it is in, is there."""
    return os.path.isfile(file_of(path))


def file_of(path: Path) -> Path:
    """Return the file of an image, or of the array that it is in."""
    place = array_place(path)
    return path if place is None else place.file


def digest_of_images(*paths: Path) -> str:
    """Return what stands for images in identities: of files their bytes, of places in arrays the values.

    Of files alone it is what :func:`.file_digest` gives. Raises InputError for what cannot be read.
    """
    if not any(array_place(path) for path in paths):
        return file_digest(*paths)
    parts = (content_key(path) if array_place(path) is None else digest_of_array(read_place(path)) for path in paths)
    return digest_of_bytes(*map(bytes.fromhex, parts))


def read_place(path: Path) -> NDArray[Any]:
    """Return an image of an array, as it is stored; raises InputError where ``path`` leads to none."""
    place = array_place(path)
    assert place
    shape, _ = array_header(place.file, place.array)
    if place.position >= shape[0]:
        raise InputError(f"image {path}: there is no such position; accepted are 0 to {shape[0] - 1}.")
    status = place.file.stat()
    stamp = (status.st_mtime_ns, status.st_size)
    if place.file.suffix.lower() in NPZ:
        return np.array(_whole(place.file, place.array, stamp)[place.position])
    length = max(1, min(AT_A_TIME, BLOCK_BYTES // (8 * prod(shape[1:]))))
    block = _block(place.file, place.array, stamp, place.position // length, length)
    return np.array(block[place.position % length])


def arrays_in(file: Path) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return shape and dtype of every array in a file by its name; raises InputError for other files."""
    _status(file)
    with _opened(file) as opened:
        return {name: _shape_and_type(_find(file, opened, name)) for name in _names(opened)}


def array_header(file: Path, array: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an array of images, whose first axis is the image, without reading it.

    Raises InputError for an array that is not there, or is not of numbers, of no or of absurdly large images.
    """
    status = _status(file)
    shape, dtype = _header(file, array, (status.st_mtime_ns, status.st_size))
    if dtype.kind not in "fiub" or not 0 < prod(shape[1:]) <= MOST_NUMBERS or len(shape) < 2 or not shape[0]:
        found = f"found {dtype} of {list(shape)}"
        raise InputError(f"{file}: array '{array}', {found}; accepted are numbers [images, ...] of at least one image.")
    return shape, dtype


def read_labels(file: Path, array: str) -> NDArray[Any]:
    """Return an array [N] of classes: numbers, or texts; raises InputError for others."""
    _status(file)
    with _opened(file) as opened:
        stored = _find(file, opened, array)
        shape, dtype = _shape_and_type(stored)
        if len(shape) == 2 and 1 in shape:  # a row or column, as MATLAB has vectors
            shape = (prod(shape),)
        if len(shape) != 1 or prod(shape) * max(1, dtype.itemsize) > MOST_BYTES:
            found = f"found {dtype} of {list(shape)}"
            raise InputError(f"{file}: array '{array}', {found}; accepted is one class an image.")
        values = _read(stored).reshape(-1)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind not in "fiuUT":
        raise InputError(f"{file}: array '{array}', found {values.dtype}; accepted are numbers or texts.")
    return values


def _status(file: Path) -> os.stat_result:
    if not os.path.isfile(file):
        raise InputError(f"file of arrays {file} does not exist; accepted is one that does.")
    return file.stat()


@lru_cache(maxsize=64)
def _header(file: Path, array: str, stamp: tuple[int, int]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with _opened(file) as opened:
        return _shape_and_type(_find(file, opened, array))


@lru_cache(maxsize=1)
def _whole(file: Path, array: str, stamp: tuple[int, int]) -> NDArray[Any]:
    """Return an array of an .npz file: where it is not packed, as it lies on the disk, and else read whole."""
    shape, dtype = _header(file, array, stamp)
    with _opened(file) as opened:
        stored = _find(file, opened, array)
        there: NDArray[Any] | None = stored.on_disk(file)
        if there is not None:
            return there
        if (size := prod(shape) * dtype.itemsize) > MOST_BYTES:
            found = f"array '{array}' of {size / 2**30:.0f} GiB, compressed"
            accepted = f"accepted are at most {MOST_BYTES >> 30} GiB, and any size in HDF5 or written by numpy.savez"
            raise InputError(f"{file}: {found}; {accepted}.")
        values: NDArray[Any] = stored.read()
        return values


@lru_cache(maxsize=2)
def _block(file: Path, array: str, stamp: tuple[int, int], number: int, length: int) -> NDArray[Any]:
    """Return ``length`` neighbouring images of an HDF5 file, of the last ones what is there."""
    with _opened(file) as opened:
        values: NDArray[Any] = _find(file, opened, array)[number * length : (number + 1) * length]
        return values


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """Open a file of arrays; raises InputError for what is none, also where the block comes upon that."""
    packed = file.suffix.lower() in NPZ
    try:
        if packed:
            with zipfile.ZipFile(file) as archive:
                yield archive
        else:
            import h5py

            with h5py.File(file, "r") as opened:
                yield opened
    except InputError:
        raise
    except Exception as error:  # on damaged files, readers raise nearly anything
        kind = "arrays that numpy.savez wrote, without objects" if packed else "HDF5 files"
        reason = (str(error) or type(error).__name__).partition("\n")[0].rstrip(".")
        raise InputError(f"file of arrays {file} cannot be read ({reason}); accepted are {kind}.") from None


def _find(file: Path, opened: Any, array: str) -> Any:
    """Return an array that can be read: of HDF5 its dataset, of .npz what opens its part of the archive."""
    wanted = array.strip("/")
    if isinstance(opened, zipfile.ZipFile):
        if f"{wanted}.npy" in opened.namelist():
            return _Packed(opened, f"{wanted}.npy")
    else:
        found = opened.get(wanted) if wanted else None
        if hasattr(found, "dtype"):
            return found
    there = ", ".join(_names(opened)[:20]) or "none"
    raise InputError(f"{file}: there is no array '{array}'; accepted are {there}.")


def _names(opened: Any) -> list[str]:
    if isinstance(opened, zipfile.ZipFile):
        return [name.removesuffix(".npy") for name in opened.namelist()]
    names: list[str] = []
    opened.visititems(lambda name, each: names.append(name) if hasattr(each, "dtype") else None)
    return names


class _Packed:
    """An array in an .npz file."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self.archive, self.name = archive, name
        with self._open() as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            self.shape, self.is_fortran, self.dtype = read(file)
            self._begin = file.tell()

    def _open(self) -> IO[bytes]:
        return self.archive.open(self.name)

    def on_disk(self, file: Path) -> NDArray[Any] | None:
        """Return the array as it lies in the ``file`` of the archive; None if it is compressed."""
        there = self.archive.getinfo(self.name)
        if there.compress_type != zipfile.ZIP_STORED or there.flag_bits & ENCRYPTED:
            return None
        with file.open("rb") as opened:
            opened.seek(there.header_offset + LOCAL_LENGTHS)
            name, extra = struct.unpack("<HH", opened.read(4))
        begin = there.header_offset + LOCAL_LENGTHS + 4 + name + extra + self._begin
        order: Literal["F", "C"] = "F" if self.is_fortran else "C"
        return np.memmap(file, self.dtype, "r", begin, self.shape, order)

    def read(self) -> NDArray[Any]:
        """Return the array; raises ValueError for one of objects."""
        with self._open() as file:
            values: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        return values


def _shape_and_type(stored: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return tuple(map(int, stored.shape)), stored.dtype


def _read(stored: Any) -> NDArray[Any]:
    if isinstance(stored, _Packed):
        return stored.read()
    import h5py

    return np.asarray(stored.asstr()[()], str) if h5py.check_string_dtype(stored.dtype) else np.asarray(stored[()])
