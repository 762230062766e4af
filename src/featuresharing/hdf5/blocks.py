"""Datasets some rows at a time, and their digests."""

import hashlib
from typing import Any

import h5py
import numpy as np

BLOCK_BYTES = 2**23
"""How much of a dataset is in memory at a time."""


def cut_rows(count: int, each: int) -> list[slice]:
    """Cut ``count`` rows of ``each`` bytes into blocks of BLOCK_BYTES at most."""
    size = max(1, BLOCK_BYTES // max(1, each))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def row_blocks(dataset: h5py.Dataset) -> list[slice]:
    """Cut the rows of a dataset into blocks."""
    count = dataset.shape[0]
    return cut_rows(count, dataset.nbytes // max(1, count))


def begin_digest(dataset: h5py.Dataset) -> Any:
    """Return the SHA-256 of a dataset's shape and type, to be updated with its numbers in C order."""
    return hashlib.sha256(f"{dataset.shape} {dataset.dtype.str}".encode())


def digest_dataset(dataset: h5py.Dataset) -> str:
    """Return the SHA-256 of a dataset as hexadecimal digits."""
    digest = begin_digest(dataset)
    for part in row_blocks(dataset):
        digest.update(np.ascontiguousarray(dataset[part]))
    return str(digest.hexdigest())
