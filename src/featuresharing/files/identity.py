"""What an output depends on, and the names that stand for it: in records, in final files, and of work in progress."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.version import NUMERICS


class Identity:
    """All that the numbers of an output depend on: ``values`` by name, and the version of the code of its ``stage``.

    Values are settings and the digests of what is read: numbers, texts, and lists and dicts of them.

    >>> Identity("lesions", {"steps": 20, "seed": 0}).key == Identity("lesions", {"seed": 0, "steps": 20}).key
    True
    """

    def __init__(self, stage: str, values: Mapping[str, Any]) -> None:
        self._given, self._numerics = dict(values), NUMERICS[stage]

    @property
    def values(self) -> dict[str, Any]:
        """The values as JSON gives them back, with the version as ``numerics``."""
        found: dict[str, Any] = json.loads(json.dumps(self._given | {"numerics": self._numerics}))
        return found

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of :attr:`values`, as hexadecimal digits."""
        return digest_of(self.values)

    @property
    def key(self) -> str:
        """The short name in records and hidden names."""
        return digest_of([self._given, self._numerics])[:16]


def digest_of(values: Any) -> str:
    """Return the SHA-256 of plain values as JSON, whatever the order of the keys of dicts."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def digest_of_bytes(*contents: bytes) -> str:
    """Return the SHA-256 of bytes, one after the other."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def digest_of_array(array: NDArray[Any]) -> str:
    """Return the SHA-256 of an array: its shape, its type and its numbers in C order."""
    kind = array.dtype.newbyteorder("<")
    head = f"{list(array.shape)} {kind.str}\n".encode()
    return digest_of_bytes(head, np.ascontiguousarray(array, kind).tobytes())


def key_of_units(fingerprint: str, units: Sequence[int]) -> str:
    """Return what stands for a fingerprint and some units of a layer in hidden names."""
    return digest_of_bytes(f"{fingerprint}:{list(units)}".encode())[:12]


def differing_names(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return the names of values that differ; of dicts, those inside by their own names."""
    names = []
    for name in sorted({*found, *wanted}):
        one, other = found.get(name), wanted.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            names += differing_names(one, other)
        elif one != other:
            names.append(name)
    return names
