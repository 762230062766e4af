"""Tables of runs that never were, with numbers that tests choose."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import pandas as pd

from featuresharing.reports.run_tables import RunTables

LAYERS = ("conv1", "conv2", "conv3", "fc6", "fc7")
NAN = float("nan")

Chosen = Callable[..., Mapping[str, Any]]
"""Takes what a row is of; returns numbers that it has instead of the usual ones."""


def _nothing(*names: Any) -> dict[str, Any]:
    return {}


def frame(columns: str, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a frame with ``columns``, whatever else rows have."""
    return pd.DataFrame(list(rows), columns=columns.split())


CELL: dict[str, Any] = {"sharing": 0.5, "low": 0.4, "high": 0.6, "chance": 0.5, "chance_low": 0.45, "chance_high": 0.55}
CELL |= {"excess": 0.0, "excess_low": -0.1, "excess_high": 0.1, "sd": NAN, "p": 0.5, "near_zero": ""}


def cell(layer: str, *, line: Sequence[str] = ("e", "a", "b"), checkpoint: str = "9", **chosen: Any) -> dict[str, Any]:
    """Return a row of the table of sharing over networks."""
    names = dict(zip(("experiment", "task_a", "task_b"), line, strict=True))
    return {**names, "checkpoint": checkpoint, "layer": layer, "networks": 1, **CELL, **chosen}


SHARING = (
    "experiment checkpoint layer task_a task_b networks sharing low high chance chance_low chance_high excess"
    " excess_low excess_high sd p near_zero"
)
TRENDS = (
    "quantity experiment task_a task_b other_experiment other_task_a other_task_b checkpoint layer networks cells"
    " value low high p"
)


def sharing_cells(*cells: Mapping[str, Any]) -> pd.DataFrame:
    return frame(SHARING, cells)


def trend(
    quantity: str, line: Sequence[str] = ("e", "a", "b"), other: Sequence[str] = ("", "", ""), **chosen: Any
) -> Any:
    """Return a row of the table of trends."""
    columns = ("experiment", "task_a", "task_b", "other_experiment", "other_task_a", "other_task_b")
    usual = {
        "checkpoint": "9",
        "layer": "",
        "networks": 1,
        "cells": 5,
        "value": 0.1,
        "low": 0.05,
        "high": 0.15,
        "p": 0.01,
    }
    return {"quantity": quantity, **dict(zip(columns, (*line, *other), strict=True)), **usual, "p": 0.01, **chosen}


def trends(*rows: Mapping[str, Any]) -> pd.DataFrame:
    return frame(TRENDS, rows)


def made_run(
    experiments: Mapping[str, Sequence[str]],
    *,
    checkpoints: Sequence[str] = ("0", "9"),
    layers: Sequence[str] = LAYERS,
    networks: int = 1,
    images: int = 60,
    units: int = 4,
    accuracy: Chosen = _nothing,
    contribution: Chosen = _nothing,
    sharing: Chosen = _nothing,
    rows_of_trends: Sequence[Mapping[str, Any]] = (),
    **settings: Any,
) -> RunTables:
    """Return tables of a run of any shape; functions say which numbers of which row are others than usual."""
    replicates = range(1, networks + 1)
    each = [(name, replicate) for name in experiments for replicate in replicates]
    accuracies = [
        {"experiment": name, "replicate": replicate, "checkpoint": checkpoint, "task": task, "accuracy": 0.9}
        | {"images": 200, **accuracy(name, replicate, checkpoint, task)}
        for name, replicate in each
        for checkpoint, task in product(checkpoints, experiments[name])
    ]
    contributions = [
        {"experiment": name, "replicate": replicate, "checkpoint": checkpoint, "layer": layer, "unit": unit}
        | {
            "task": task,
            "contribution": 0.5,
            "effective_samples": 3.0,
            "error": 0.0,
            **contribution(name, layer, unit, task),
        }
        for name, replicate in each
        for checkpoint, layer, unit, task in product(checkpoints, layers, range(units), experiments[name])
    ]
    cells = [
        cell(layer, line=(name, *pair), checkpoint=checkpoint, networks=networks)
        | {"sd": 0.02 if networks > 1 else NAN, **sharing(name, layer, *pair)}
        for name in experiments
        for checkpoint, layer, pair in product(checkpoints, layers, combinations(experiments[name], 2))
    ]
    lesions = [
        {"experiment": name, "replicate": replicate, "checkpoint": checkpoints[-1], "layer": layer, "order": order}
        | {"task": task, "removed": removed, "fraction": removed / 4, "accuracy": 1 - removed / 4}
        | {"random_low": 0.5, "random_high": 0.75, "p_corrected": 0.01 if task == order else 1.0}
        for name, replicate in each
        for layer, order, task, removed in product(layers, experiments[name], experiments[name], range(5))
    ]
    kept = {
        name: [pd.DataFrame({task: ["x"] * images for task in tasks}) for _ in replicates]
        for name, tasks in experiments.items()
    }
    known: dict[str, Any] = {"near_zero": 0.05, "unit": "bits", "samples": 100, "seed": 0}
    return RunTables(
        accuracy=frame("experiment replicate checkpoint task accuracy images", accuracies),
        contributions=frame(
            "experiment replicate checkpoint layer unit task contribution effective_samples error", contributions
        ),
        sharing=sharing_cells(*cells),
        trends=trends(*rows_of_trends),
        lesions=frame(
            "experiment replicate checkpoint layer order task removed fraction accuracy random_low random_high"
            " p_corrected",
            lesions,
        ),
        kept=kept,
        chance={(name, task): 0.05 for name, tasks in experiments.items() for task in tasks},
        layers=layers,
        checkpoint=checkpoints[-1],
        **(known | settings),
    )
