"""A small layer, six units of nine on five images, whose numbers are known, and stores that hold some of it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from featuresharing.estimators.result_columns import ALWAYS, ERROR_ESTIMATE, STANDARD_ERROR
from featuresharing.hdf5.blocks import cut_rows
from featuresharing.store import LayerConditionals, Layout, TaskData, UnitStore

UNITS, IMAGES, STEP, CLASSES = [0, 1, 2, 3, 5, 8], 5, 2, {"word": 3, "basic": 2}
CELLS = [slice(0, 2), slice(2, 4), slice(4, 5)]
SETTINGS = {"samples": 100, "scale": 1.0, "layer": "0.0.10"}
ATTRIBUTES = {"tasks": list(CLASSES), "experiment": "object_text", "alias": "conv5", "checkpoint": "7", "step": 7}
ERRORS = {"none": (), "standard_error": (STANDARD_ERROR,), "error_estimate": (ERROR_ESTIMATE,)}
"""Columns that a layer may have beside those that all have."""


def tasks(images: int = IMAGES, **targets: list[int]) -> list[TaskData]:
    rng = np.random.default_rng(0)
    return [
        TaskData(
            name,
            count,
            np.array(targets.get(name, rng.integers(count, size=images).tolist())),
            rng.dirichlet(np.ones(count), images).astype(np.float32),
        )
        for name, count in CLASSES.items()
    ]


def numbers(unit: int, images: int = IMAGES) -> dict[str, Any]:
    """Return what is written of a unit: conditionals and standard errors by task, and the rest."""
    rng = np.random.default_rng(100 + unit)
    return {
        "conditionals": [rng.dirichlet(np.ones(count), images).astype(np.float32) for count in CLASSES.values()],
        "standard_error": [rng.random((images, count), np.float32) for count in CLASSES.values()],
        "error_estimate": rng.random(images),
        "effective_samples": 1 + unit / 10,
        "skipped_mass": unit / 1e6,
    }


def open_store(output: Path, *, storage: str = "true-class", errors: str = "none", **changes: Any) -> UnitStore:
    layout = Layout(changes.pop("tasks", tasks()), storage, (*ALWAYS, *ERRORS[errors]))
    given: dict[str, Any] = {
        "units": UNITS,
        "layer_units": 9,
        "settings": SETTINGS,
        "attributes": ATTRIBUTES,
        "say": lambda _: None,
    }
    return UnitStore(output, layout, **given | changes)


def write(store: UnitStore, rows: slice, images: slice, *, errors: str = "none") -> None:
    count = store.layout.images
    found = [numbers(unit, count) for unit in store.units[rows]]
    given: dict[str, Any] = {
        "effective_samples": np.array([each["effective_samples"] for each in found]),
        "skipped_mass": np.array([each["skipped_mass"] for each in found]),
    }
    if errors == "standard_error":
        given[errors] = [np.stack([each[errors][task][images] for each in found]) for task in range(2)]
    if errors == "error_estimate":
        given[errors] = np.stack([each[errors][images] for each in found])
    conditionals = [np.stack([each["conditionals"][task][images] for each in found]) for task in range(2)]
    store.write(rows, images, conditionals, given)


def compute(output: Path, *, errors: str = "none", step: int = STEP, **changes: Any) -> list[tuple[slice, slice]]:
    """Write what is missing in pieces of two units and ``step`` images, and finish; return the pieces."""
    with open_store(output, errors=errors, **changes) as store:
        store.begin(step=step, conditions={"memory": 1})
        cells = cut_rows(store.layout.images, 2**23 // step)
        pieces = [(rows, images) for rows in row_pairs(store) for images in cells if not store.is_done(rows, images)]
        for rows, images in pieces:
            write(store, rows, images, errors=errors)
        store.finish()
    return pieces


def row_pairs(store: UnitStore) -> Iterator[slice]:
    for start in range(0, len(store.units), 2):
        yield slice(start, min(start + 2, len(store.units)))


def start(output: Path, pieces: list[tuple[int, int]], **changes: Any) -> Path:
    """Write some pieces (pair of units, cell) and stop; return the progress file."""
    with suppress(KeyboardInterrupt), open_store(output, **changes) as store:
        store.begin(step=STEP, conditions={"memory": 1})
        for pair, cell in pieces:
            write(store, slice(2 * pair, 2 * pair + 2), CELLS[cell])
        raise KeyboardInterrupt
    (progress,) = output.parent.glob(f".{output.name}.*.progress")
    return progress


def said(output: Path, **changes: Any) -> tuple[list[str], list[tuple[slice, slice]]]:
    """Compute the rest; return what the store said, and the pieces that were computed."""
    sentences: list[str] = []
    pieces = compute(output, say=sentences.append, **changes)
    return sentences, pieces


def visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name[0] != "."}


def check(found: LayerConditionals) -> None:
    assert found.units.tolist() == UNITS
    assert found.classes == CLASSES
    assert list(found.conditionals) == list(found.predictions) == list(CLASSES)
    assert found.effective_samples.tolist() == [1 + unit / 10 for unit in UNITS]
    assert found.skipped_mass.tolist() == [unit / 1e6 for unit in UNITS]
    for index, task in enumerate(tasks()):
        assert found.conditionals[task.name].dtype == np.float32
        assert np.array_equal(found.predictions[task.name], task.predictions[range(IMAGES), task.targets])
        wanted = [numbers(unit)["conditionals"][index][range(IMAGES), task.targets] for unit in UNITS]
        assert np.array_equal(found.conditionals[task.name], wanted)
