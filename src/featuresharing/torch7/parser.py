"""Read Torch7 files (``torch.save``) as values of Python and numpy, without running anything they contain.

The format is Torch7's ``File:writeObject``: a type, then the value; tables and objects have an index, by which they
are named when they come again. A file is refused with one sentence wherever it says something impossible.
"""

from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from featuresharing.errors import InputError, quoted
from featuresharing.files.record_format import open_regular
from featuresharing.torch7.encodings import AsciiSource, BinarySource, FormatError, Source
from featuresharing.torch7.values import Function, Table, TorchObject

NIL, NUMBER, TEXT, TABLE, OBJECT, BOOLEAN, FUNCTION, OLD_FUNCTION, INDEXED_FUNCTION = range(9)
"""Types of values."""

DEEPEST = 200
"""How deep values may be nested; networks take about three levels a module."""

KINDS = {
    "Byte": "u1",
    "Char": "i1",
    "Short": "i2",
    "Int": "i4",
    "Long": "long",
    "Half": "f2",
    "Float": "f4",
    "Double": "f8",
    "Cuda": "f4",
    "CudaByte": "u1",
    "CudaChar": "i1",
    "CudaShort": "i2",
    "CudaInt": "i4",
    "CudaLong": "long",
    "CudaHalf": "f2",
    "CudaDouble": "f8",
}
"""Element types by the names of Torch7's storages and tensors."""


def is_torch7(path: Path) -> bool:
    """Return whether a file starts as Torch7 files do: with a small integer, binary or ascii."""
    with open_regular(path) as file:
        start = file.read(4)
    return _is_binary(start) or start[:2] in (b"3\n", b"4\n")


def read_torch7(path: Path) -> Any:
    """Return the first value of a Torch7 file, binary (longs of 8 or 4 bytes, which is found out) or ascii.

    nil, numbers, texts and booleans are None, float, str and bool; tables are :class:`.Table`; tensors and storages
    are read-only numpy arrays of their type, tensors of one storage share its memory; other objects are
    :class:`.TorchObject`. Raises InputError for a file that is damaged, truncated or none.
    """
    try:
        with open_regular(path) as file:
            data = file.read()
    except OSError as error:
        raise InputError(f"Torch7 file {path} cannot be read ({error.strerror}); accepted is a file to read.") from None
    if not _is_binary(data[:4]):
        return _read(path, AsciiSource(data))
    try:
        return _read(path, BinarySource(data, 8))
    except InputError as error:
        try:
            return _read(path, BinarySource(data, 4))
        except InputError:
            raise error from None


def _is_binary(start: bytes) -> bool:
    return len(start) == 4 and start[0] < 9 and start[1:] == b"\0\0\0"


def _read(path: Path, source: Source) -> Any:
    reader = _Reader(source)
    try:
        return reader.value(0)
    except FormatError as error:
        raise InputError(
            f"{path} is no complete Torch7 file: at byte {source.position}, {error}; accepted are files as torch.save "
            "of Torch7 writes them."
        ) from None


class _Reader:
    """Reads values from a source; ``_known`` are tables and objects by their index."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._known: dict[int, Any] = {}

    def value(self, depth: int) -> Any:  # noqa: PLR0911 one for each type
        """Return the next value."""
        if depth > DEEPEST:
            raise FormatError(f"values are nested more than {DEEPEST} deep")
        source, kind = self._source, self._source.integer()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return source.number()
        if kind == BOOLEAN:
            return bool(source.integer())
        if kind == TEXT:
            return self._text()
        if kind == FUNCTION:
            return self._function(None, depth)
        if kind not in (TABLE, OBJECT, OLD_FUNCTION, INDEXED_FUNCTION):
            raise FormatError(f"a value has type {kind}")
        index = source.integer()
        if index in self._known:
            return self._known[index]
        if kind == TABLE:
            return self._table(index, depth)
        if kind == OBJECT:
            return self._object(index, depth)
        return self._function(index, depth)

    def _text(self) -> str:
        return self._source.raw(self._source.integer()).decode("utf-8", "surrogateescape")

    def _table(self, index: int | None, depth: int) -> Table:
        table = Table()
        if index is not None:
            self._known[index] = table
        size = self._source.integer()
        if size < 0 or size * 2 * self._source.least_object > self._source.left:
            raise FormatError(f"a table of {size} entries is declared and {self._source.left} bytes are left")
        for _ in range(size):
            key = self.value(depth + 1)
            if key is None or (isinstance(key, float) and isnan(key)):
                raise FormatError(f"a table has the key {key}")
            table.add(key, self.value(depth + 1))
        return table

    def _function(self, index: int | None, depth: int) -> Function:
        function = Function(self._source.raw(self._source.integer()))
        if index is not None:
            self._known[index] = function
        function.upvalues = self.value(depth + 1)
        return function

    def _object(self, index: int, depth: int) -> Any:
        version = self._text()
        # files older than versions have the class in this place
        name = self._text() if version.startswith("V ") else version
        kind = name.removeprefix("torch.").removesuffix("Storage").removesuffix("Tensor")
        found: Any
        if name.startswith("torch.") and kind in KINDS:
            found = self._storage(KINDS[kind]) if name.endswith("Storage") else self._tensor(KINDS[kind], depth)
            self._known[index] = found
            return found
        found = self._known[index] = TorchObject(name)
        fields = self.value(depth + 1)
        if not isinstance(fields, Table):
            raise FormatError(f"an object of class {quoted(name)} has no table of fields")
        found.fields = fields
        return found

    def _storage(self, kind: str) -> NDArray[Any]:
        (count,) = self._source.longs(1)
        return self._source.array(kind, count)

    def _tensor(self, kind: str, depth: int) -> NDArray[Any]:
        rank = self._source.integer()
        if not 0 <= rank <= 32:
            raise FormatError(f"a tensor of {rank} dimensions is declared")
        sizes, strides = self._source.longs(rank), self._source.longs(rank)
        (offset,) = self._source.longs(1)
        storage = self.value(depth + 1)
        dtype = np.dtype(np.int64 if kind == "long" else kind)
        if rank == 0 or 0 in sizes:
            if not all(0 <= size < 2**31 for size in sizes):
                self._refuse(sizes)
            try:
                return np.zeros(sizes if rank else 0, dtype)
            except ValueError:  # sizes beside the 0 whose product is none that numpy has
                return self._refuse(sizes)
        if not isinstance(storage, np.ndarray) or storage.ndim != 1 or storage.dtype.kind != dtype.kind:
            raise FormatError("a tensor has no storage of its type")
        last = offset - 1 + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        if min(sizes) < 0 or min(strides) < 0 or offset < 1 or last >= len(storage):
            self._refuse(sizes, f" and strides {strides} from {offset} on, in a storage of {len(storage)},")
        steps = [stride * storage.itemsize for stride in strides]
        try:
            return as_strided(storage[offset - 1 :], sizes, steps, writeable=False)
        except ValueError:
            return self._refuse(sizes)

    def _refuse(self, sizes: list[int], more: str = "") -> NDArray[Any]:
        raise FormatError(f"a tensor of sizes {sizes}{more} is declared")
