"""Files that tests compare and damage."""

import csv
from collections.abc import Mapping
from pathlib import Path

import h5py


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table by column."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rows_where(path: Path, wanted: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the rows of a table whose columns hold what is wanted."""
    return [row for row in rows(path) if wanted.items() <= row.items()]


def contents(folder: Path) -> dict[str, bytes]:
    """Return what all files below a folder hold, by their paths in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def flip_bit(path: Path, place: int | None = None) -> None:
    """Flip a bit of the byte of a file at a place, by default in its middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 64
    path.write_bytes(content)


def assert_same_datasets(found: Path, wanted: Path, *, attributes: bool = False) -> None:
    """Compare two HDF5 files bit by bit: names, types and numbers, with attributes if asked for."""
    with h5py.File(found) as one, h5py.File(wanted) as other:
        assert set(one) == set(other)
        for name in other:
            assert one[name].dtype == other[name].dtype, name
            assert one[name][:].tobytes() == other[name][:].tobytes(), name
        if attributes:
            ours, theirs = ({key: str(value) for key, value in each.attrs.items()} for each in (one, other))
            assert ours == theirs
