"""Attributes of HDF5 files: numbers, texts of fixed length, and lists of these.

Texts of variable length would lie in a heap that has no checksums, which HDF5 may search without end if it is damaged.
"""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from featuresharing.errors import InputError
from featuresharing.replicates import FIRST, check_replicate

ATTRIBUTE_BYTES = 2**24
"""More than any attribute of ours has."""


def write_attributes(target: Any, values: Mapping[str, Any]) -> None:
    """Write attributes of a file or dataset in the order of their names, texts as UTF-8 of fixed length."""
    for name, value in sorted(values.items()):
        if isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)):
            texts = np.char.encode(np.asarray(value, np.str_), "utf-8")
            length = max(2, texts.dtype.itemsize)  # programs take texts of length 1 for characters
            target.attrs.create(name, texts, dtype=h5py.string_dtype("utf-8", length))
        else:
            target.attrs[name] = value


def read_attributes(target: Any, *, variable: bool) -> dict[str, Any]:
    """Return the attributes of a file or dataset by name: numbers, texts, and lists of texts.

    Texts of ``variable`` length are read in files of older versions. Raises ValueError for an attribute of any other
    kind, before it is read.
    """
    return {name: read_attribute(target, name, variable=variable) for name in target.attrs}


def read_attribute(target: Any, name: str, *, variable: bool) -> Any:
    """Return one attribute, as :func:`read_attributes` does; raises KeyError if it is missing."""
    found = h5py.h5a.open(target.id, name.encode())
    kind = found.get_type()
    text = isinstance(kind, h5py.h5t.TypeStringID)
    known = text or isinstance(kind, h5py.h5t.TypeIntegerID | h5py.h5t.TypeFloatID | h5py.h5t.TypeEnumID)
    if not known or found.get_space().get_simple_extent_type() == h5py.h5s.NULL or len(found.shape) > 1:
        raise ValueError(f"attribute '{name}' is neither number nor text")
    if text and kind.is_variable_str() and not variable:
        raise ValueError(f"attribute '{name}' is a text of variable length")
    if 0 in found.shape:
        raise ValueError(f"attribute '{name}' is empty")
    if found.get_storage_size() > ATTRIBUTE_BYTES:
        raise ValueError(f"attribute '{name}' has {found.get_storage_size()} bytes")
    value = target.attrs[name]
    if not text:
        return value
    texts = [each.decode() if isinstance(each, bytes) else str(each) for each in np.ravel(np.asarray(value, object))]
    return texts if found.shape else texts[0]


def whole_number(attributes: Mapping[str, Any], name: str) -> int:
    """Return an attribute that is an integer; raises ValueError if it is another, or missing."""
    found = attributes.get(name)
    if not isinstance(found, np.integer):
        raise ValueError(f"attribute '{name}' is no whole number")
    return int(found)


def replicate_attribute(replicate: int) -> dict[str, int]:
    """Return the attribute that says which replicate a file is of: none of the first, as in files of one network."""
    return {} if replicate == FIRST else {"replicate": replicate}


def replicate_of(attributes: Mapping[str, Any]) -> int:
    """Return which replicate attributes are of; raises ValueError for one that there cannot be."""
    found = attributes.get("replicate", FIRST)
    try:
        check_replicate(found)
    except InputError:
        raise ValueError(f"attribute 'replicate' is {found!r}") from None
    return int(found)
