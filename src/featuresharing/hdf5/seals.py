"""The seal at the end of a file: one line with the SHA-256 of all bytes before it.

HDF5 ignores what follows the end that its own head names, so that any program opens a sealed file.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, BinaryIO

from featuresharing.files.records import Entry

MARK = b"\nFeatureSharing seal, SHA-256 of all before: "

LENGTH = len(MARK) + 64 + 1


def seal(path: Path) -> None:
    """Append its seal to a file."""
    with path.open("r+b") as file:
        digest = _digest(file, path.stat().st_size)
        file.write(MARK + digest.hexdigest().encode() + b"\n")


def has_seal(path: Path) -> bool:
    """Return whether a file ends in a seal, be it the right one or not."""
    with path.open("rb") as file:
        return _read(file, path.stat().st_size) is not None


def intact_entry(path: Path) -> Entry | None:
    """Return size and SHA-256 of a whole file that ends in the right seal, None of any other."""
    size = path.stat().st_size
    with path.open("rb") as file:
        wanted = _read(file, size)
        if wanted is None:
            return None
        file.seek(0)
        digest = _digest(file, size - LENGTH)
        if digest.hexdigest().encode() != wanted:
            return None
        digest.update(MARK + wanted + b"\n")
        return Entry(size, digest.hexdigest())


def _read(file: BinaryIO, size: int) -> bytes | None:
    if size < LENGTH:
        return None
    file.seek(size - LENGTH)
    found = re.fullmatch(re.escape(MARK) + rb"([0-9a-f]{64})\n", file.read(LENGTH))
    return found[1] if found else None


def _digest(file: BinaryIO, size: int) -> Any:
    """Return the SHA-256 of the next ``size`` bytes."""
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, 2**20))):
        digest.update(block)
        size -= len(block)
    return digest
