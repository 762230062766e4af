"""Files of layers whose units contribute what a test says."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featuresharing.store import LayerConditionals


def layer_that_contributes(
    contributions: Mapping[str, ArrayLike],
    *,
    layer: str = "conv1",
    checkpoint: str = "0010",
    images: int = 3,
    **named: Any,
) -> LayerConditionals:
    """Return a layer whose contributions, as differences of probabilities, are those given by task; at most .5 each."""
    by_task = {task: np.asarray(values, np.float64) for task, values in contributions.items()}
    units = len(next(iter(by_task.values())))
    predictions: dict[str, NDArray[np.float32]] = {task: np.full(images, 0.75, np.float32) for task in by_task}
    conditionals = {
        task: np.repeat((0.75 - values)[:, None], images, axis=1).astype(np.float32) for task, values in by_task.items()
    }
    attributes = {"experiment": "demo", "alias": layer, "checkpoint": checkpoint, "step": np.int64(checkpoint)} | named
    return LayerConditionals(
        units=np.arange(units),
        classes=dict.fromkeys(by_task, 4),
        predictions=predictions,
        conditionals=conditionals,
        effective_samples=np.ones(units),
        skipped_mass=np.zeros(units),
        standard_errors={},
        attributes=attributes,
    )
