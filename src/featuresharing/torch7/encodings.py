"""The two encodings of Torch7 files: how integers, numbers, texts and arrays are written.

Every declared size is compared with what is left of the file before anything is allocated.
"""

import struct
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import quoted


class FormatError(Exception):
    """What is wrong at the present position of a file, in words."""


class Source(Protocol):
    """Reads a file from its start; each method moves on, and raises FormatError if the file has something else."""

    position: int
    least_object: int

    @property
    def left(self) -> int:
        """Return how many bytes are left."""
        ...

    def integer(self) -> int:
        """Return a C int."""
        ...

    def longs(self, count: int) -> list[int]:
        """Return C longs."""
        ...

    def number(self) -> float:
        """Return a double."""
        ...

    def raw(self, count: int) -> bytes:
        """Return the bytes of a text or of a function."""
        ...

    def array(self, kind: str, count: int) -> NDArray[Any]:
        """Return the values of a storage, whose type is a numpy type or ``long``."""
        ...


def _check_count(count: int, least: int, left: int, what: str) -> None:
    if count < 0:
        raise FormatError(f"{count} {what} are declared")
    if count * least > left:
        raise FormatError(f"{count} {what} are declared and {left} bytes are left")


class BinarySource:
    """Little-endian binary files, with longs of ``long_size`` bytes."""

    least_object = 4

    def __init__(self, data: bytes, long_size: int) -> None:
        self._data, self._long = data, np.dtype(f"<i{long_size}")
        self.position = 0

    @property
    def left(self) -> int:
        """Return how many bytes are left."""
        return len(self._data) - self.position

    def integer(self) -> int:
        """Return a C int."""
        return int(self._unpack("<i"))

    def longs(self, count: int) -> list[int]:
        """Return C longs."""
        found: list[int] = self.array("long", count).tolist()
        return found

    def number(self) -> float:
        """Return a double."""
        return float(self._unpack("<d"))

    def raw(self, count: int) -> bytes:
        """Return the bytes of a text or of a function."""
        _check_count(count, 1, self.left, "characters")
        self.position += count
        return self._data[self.position - count : self.position]

    def array(self, kind: str, count: int) -> NDArray[Any]:
        """Return the values of a storage, without a copy."""
        dtype = self._long if kind == "long" else np.dtype(kind).newbyteorder("<")
        _check_count(count, dtype.itemsize, self.left, "numbers")
        values: NDArray[Any] = np.frombuffer(self._data, dtype, count, self.position) if count else np.zeros(0, dtype)
        self.position += count * dtype.itemsize
        return values

    def _unpack(self, layout: str) -> Any:
        size = struct.calcsize(layout)
        _check_count(1, size, self.left, "number")
        (value,) = struct.unpack_from(layout, self._data, self.position)
        self.position += size
        return value


class AsciiSource:
    """Text files: numbers on lines, characters as they are."""

    least_object = 2

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    @property
    def left(self) -> int:
        """Return how many bytes are left."""
        return len(self._data) - self.position

    def integer(self) -> int:
        """Return a C int."""
        return self.longs(1)[0]

    def longs(self, count: int) -> list[int]:
        """Return C longs."""
        found: list[int] = self._line(np.dtype(np.int64), count).tolist()
        return found

    def number(self) -> float:
        """Return a double."""
        return float(self._line(np.dtype(np.float64), 1)[0])

    def raw(self, count: int) -> bytes:
        """Return the bytes of a text or of a function."""
        _check_count(count, 1, self.left, "characters")
        found = self._data[self.position : self.position + count]
        self.position += count
        if count and self._data[self.position : self.position + 1] == b"\n":
            self.position += 1
        return found

    def array(self, kind: str, count: int) -> NDArray[Any]:
        """Return the values of a storage; those of single bytes are written as characters."""
        dtype = np.dtype(np.int64 if kind == "long" else kind)
        if dtype.itemsize == 1:
            return np.frombuffer(self.raw(count), dtype)
        return self._line(dtype, count)

    def _line(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        """Return the numbers on a line, which are as many as declared."""
        _check_count(count, 2, self.left + 1, "numbers")
        if count == 0:
            return np.zeros(0, dtype)
        end = self._data.find(b"\n", self.position)
        end = len(self._data) if end < 0 else end
        if end - self.position > 64 * count:
            raise FormatError(f"a line of {end - self.position} characters stands for {count} numbers")
        words = self._data[self.position : end].split()
        if len(words) != count:
            raise FormatError(f"a line has {len(words)} numbers where {count} are declared")
        try:
            numbers = [int(word) for word in words] if dtype.kind in "iu" else [float(word) for word in words]
            with np.errstate(over="ignore"):  # what is too large becomes infinite
                values = np.array(numbers, np.float64 if dtype.kind == "f" else dtype).astype(dtype)
        except (ValueError, OverflowError):
            first = quoted(words[0].decode("ascii", "replace"))
            raise FormatError(f"{first} and so on are no {dtype.name} numbers") from None
        self.position = end + 1
        return values
