"""What is wrong with files of a store: are they complete, as they were written, and probabilities?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from featuresharing.errors import InputError
from featuresharing.hdf5 import DamagedError, GoneError, opened
from featuresharing.store.layer_files import WHAT, FinalFile, open_final
from featuresharing.store.progress_file import ProgressFile, read_progress


def problems_of_final(path: Path, *, whole: bool = True) -> list[str]:
    """Return what is wrong with a file of conditionals, one sentence each; ``whole`` ones must have all units.

    Nothing is wrong with a file that no longer exists.
    """
    try:
        with open_final(path, "lenient") as file:
            found = [*_wrong_units(file, whole), *_wrong_axes(file), *file.wrong_numbers()]
            found += [f"{name} is not what was written" for name in file.source.changed]
    except GoneError:
        return []
    except InputError as error:
        return [str(error)]
    return [f"{path}: {problem}." for problem in found]


def problems_of_progress(path: Path) -> list[str]:
    """Return what is wrong with a progress file; being incomplete, or gone, is not."""
    try:
        read_progress(path)
        file = ProgressFile(path, writable=False)
    except GoneError:
        return []
    except DamagedError as error:
        return [f"{path} is damaged ({error.reason}); the next run keeps what is sound."]
    except InputError as error:
        return [str(error)]
    damaged = int(file.damaged().any(axis=1).sum())
    file.close()
    if damaged:
        return [f"{path}: {damaged} of {len(file.checksums)} units are damaged; the next run computes them again."]
    return []


def is_conditionals(path: Path) -> bool:
    """Return whether a file says that it holds conditionals; raises InputError if it does not say what it holds."""
    with opened(path, "conditionals or predictions", "peek") as source:
        return "unit" in source.names or "skipped_mass" in source.names


def attributes_of(path: Path) -> dict[str, Any]:
    """Return the attributes of a file by name; nothing if it cannot be read."""
    try:
        with opened(path, WHAT, "peek") as source:
            return source.attributes
    except InputError:
        return {}


def _wrong_units(file: FinalFile, whole: bool) -> Iterator[str]:
    if whole and len(file.units) < file.layer_units:
        yield f"{len(file.units)} of {file.layer_units} units are in it"


def _wrong_axes(file: FinalFile) -> Iterator[str]:
    """Name datasets whose axes have no names; the numbers are right without."""
    for name, shape in file.shapes.items():
        if name in ("unit", "image") or name.startswith("class_"):
            continue
        dataset = file.dataset(name)
        if not all(h5py.h5ds.get_num_scales(dataset.id, axis) for axis in range(len(shape))):
            yield f"{name} has axes without names"
