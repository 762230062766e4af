"""Writing HDF5 files of ours: datasets some rows at a time, their digests, attributes and the seal."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from featuresharing.hdf5.attributes import write_attributes
from featuresharing.hdf5.blocks import begin_digest, digest_dataset, row_blocks
from featuresharing.hdf5.seals import seal
from featuresharing.version import FORMAT

CHECKSUMMED = ("v108", "v108")
"""Versions of HDF5's own format: from 1.8 on, its descriptions of data have checksums."""


def write_sealed(
    path: Path, fill: Callable[[h5py.File], Iterator[tuple[str, str]]], attributes: Mapping[str, Any]
) -> None:
    """Write a file, compare its datasets with what was to be written, and seal it.

    ``fill`` writes the datasets and yields the name and the digest of each. Raises OSError if they do not come back.
    """
    with h5py.File(path, "w", libver=CHECKSUMMED) as file:
        digests = dict(fill(file))
        described = {**attributes, "format_version": FORMAT, "sha256": json.dumps(digests)}
        write_attributes(file, described)
    with h5py.File(path, "r", locking=False) as file:
        if any(digest_dataset(file[name]) != digest for name, digest in digests.items()):
            raise OSError("the disk does not give back what was written")
    seal(path)


def put_rows(
    file: h5py.File,
    name: str,
    shape: tuple[int, ...],
    kind: Any,
    rows: Callable[[slice], NDArray[Any]],
    **options: Any,
) -> tuple[str, str]:
    """Write a dataset some rows at a time; return its name and its digest."""
    dataset = file.create_dataset(name, shape, kind, **options)
    digest = begin_digest(dataset)
    for part in row_blocks(dataset):
        values = np.ascontiguousarray(rows(part), dataset.dtype)
        dataset[part] = values
        digest.update(values)
    return name, str(digest.hexdigest())


def put(file: h5py.File, name: str, values: NDArray[Any]) -> tuple[str, str]:
    """Write an array as a dataset; return its name and its digest."""
    return put_rows(file, name, values.shape, values.dtype, lambda part: values[part])
