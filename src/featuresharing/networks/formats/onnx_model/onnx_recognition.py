"""Whether a file is a model of ONNX, from its first bytes: ONNX has no magic number, but a strict order of fields."""

from pathlib import Path
from typing import IO

from featuresharing.files.record_format import open_regular

MOST_FIELDS = 200
"""Fields that may stand before the graph: versions, names of who wrote the file, texts."""

LATEST = 64
"""No version of the format is later; today's is 13."""

BEFORE_GRAPH = {2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 8: 2, 14: 2}
"""Fields of a model that may stand before its graph, and how protocol buffers write each."""

GRAPH = 7
IN_GRAPH = (1, 2, 5, 10, 11, 12, 13, 14, 15)
"""Fields of a graph, each of which is written as text or message."""


def is_onnx(path: Path) -> bool:
    """Return whether a file starts with a version of ONNX, and has a graph behind who wrote it."""
    with open_regular(path) as file:
        if file.read(1) != b"\x08" or not 1 <= (_varint(file) or 0) <= LATEST:
            return False
        for _ in range(MOST_FIELDS):
            key = _varint(file)
            if key == GRAPH << 3 | 2:
                size, inside = _varint(file), _varint(file)
                return bool(size) and inside is not None and inside & 7 == 2 and inside >> 3 in IN_GRAPH
            if key is None or BEFORE_GRAPH.get(key >> 3) != key & 7:
                return False
            value = _varint(file)
            if value is None or value > 2**31:
                return False
            if key & 7 == 2:
                file.seek(value, 1)
    return False


def _varint(file: IO[bytes]) -> int | None:
    """Return a number of protocol buffers: seven bits a byte, the last byte below 128; None at the end of the file."""
    value = 0
    for place in range(10):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << (7 * place)
        if byte[0] < 128:
            return value
    return None
