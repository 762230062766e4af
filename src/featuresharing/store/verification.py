"""What is wrong with files of a store: are they complete, as they were written, and probabilities?"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from featuresharing.errors import InputError
from featuresharing.store.final import changed_datasets, refuse_other_formats, task_names
from featuresharing.store.layout import BY_UNIT, digest_of
from featuresharing.store.progress import DamagedError, ProgressFile, read_progress, refuse_newer

SUM_TOLERANCE = 1e-4
"""How far the sum of predictions over classes may be from 1 by rounding."""


def problems_of_final(path: Path, *, whole: bool = True) -> list[str]:
    """Return what is wrong with a file of conditionals, one sentence each; ``whole`` ones must have all units."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            refuse_other_formats(path, file)
            found = [*_wrong_units(file, whole), *_wrong_origin(path, file), *_wrong_values(file)]
    except InputError as error:
        return [str(error)]
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        return [f"{path} is no complete file of conditionals ({error})."]
    return [f"{path}: {problem}." for problem in found]


def problems_of_progress(path: Path) -> list[str]:
    """Return what is wrong with a progress file; that it is not complete is not."""
    try:
        head, cells, _ = read_progress(path)
        refuse_newer(path, head.format)
        file = ProgressFile(path, writable=False)
        damaged = int(file.damaged().any(axis=1).sum())
        file.close()
    except InputError as error:
        return [str(error)]
    except DamagedError as error:
        return [f"{path} is damaged ({error}); the next run keeps what is sound."]
    if damaged:
        return [f"{path}: {damaged} of {len(cells)} units are damaged; the next run computes them again."]
    return []


def _wrong_units(file: h5py.File, whole: bool) -> Iterator[str]:
    units = file["unit"][:].tolist()
    count = int(file.attrs.get("layer_units", len(units)))
    if len(set(units)) < len(units):
        yield "a unit is in it twice"
    if whole and len(set(units)) < count:
        yield f"{len(set(units))} of {count} units are in it"
    for name, dataset in file.items():
        axes = {"unit": len(units), "image": len(file["image"])}
        for axis, size in zip(dataset.dims, dataset.shape, strict=True):
            if any(axes.get(Path(scale.name).name, size) != size for scale in axis.values()):
                yield f"{name} is of shape {list(dataset.shape)}"


def _wrong_origin(path: Path, file: h5py.File) -> Iterator[str]:
    """Compare digests with what they are of, where the file has them: those of older versions do not."""
    if "fingerprint" not in file.attrs:
        return
    tasks = {
        task: [int(file[f"conditional_{task}"].attrs["classes"]), file[f"target_{task}"][:].tolist()]
        for task in task_names(file)
    }
    standard = any(name.startswith("standard_error_") for name in file)
    errors = "standard_error" if standard else "error_estimate" if "error_estimate" in file else "none"
    settings = json.loads(file.attrs["settings"])
    identity = {"settings": settings, "storage": file.attrs["storage"], "errors": errors, "tasks": tasks}
    if digest_of(identity) != file.attrs["fingerprint"]:
        yield "its fingerprint is not that of its settings"
    for name in changed_datasets(path):
        yield f"{name} is not what was written"


def _wrong_values(file: h5py.File) -> Iterator[str]:
    full = file.attrs["storage"] == "full"
    raw = not file.attrs.get("softmax", True)
    skipped = file["skipped_mass"][:]
    for task in task_names(file):
        for name, missing in ((f"prediction_{task}", np.zeros(1)), (f"conditional_{task}", skipped)):
            for start in range(0, len(file[name]), 64):
                values = file[name][start : start + 64].astype(np.float64)
                if not np.isfinite(values).all():
                    yield f"{name} has numbers that are not finite"
                    break
                if raw:
                    continue
                if values.min() < 0 or values.max() > 1 + 1e-5:
                    yield f"{name} has numbers outside [0, 1]"
                    break
                lacking = missing if len(missing) == 1 else missing[start : start + 64, None]
                if full and np.abs(values.sum(axis=-1) - (1 - lacking)).max() > SUM_TOLERANCE:
                    yield f"{name} does not sum to 1 over classes"
                    break
    for name in [*BY_UNIT, *(each for each in file if each.startswith(("standard_error", "error_estimate")))]:
        values = file[name][:]
        if np.isnan(values).any() or (values < 0).any():
            yield f"{name} has negative numbers or none"


def is_conditionals(path: Path) -> bool:
    """Return whether a file says that it holds conditionals; also if it cannot be read."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return "unit" in file or "skipped_mass" in file
    except OSError:
        return True


def attributes_of(path: Path) -> dict[str, Any]:
    """Return the attributes of a file by name; nothing if it cannot be read."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return dict(file.attrs)
    except OSError:
        return {}
