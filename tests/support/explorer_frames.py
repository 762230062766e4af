"""Made-up tables of a small run with two experiments, for tests of the page to explore."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LAYERS = {"conv1": 6, "fc2": 10}
CHECKPOINTS = ("0", "50", "200")
EXPERIMENTS = {"related": ("owl", "bird"), "unrelated": ("bird", "word")}
IMAGES = 5


def amounts(experiment: str, layer: str, checkpoint: str, task: str, units: int) -> NDArray[np.float64]:
    """Return what units contribute: the first task falls with the number of the unit, the second rises with it."""
    rising = np.arange(1, units + 1) / units
    shape = rising if task == EXPERIMENTS.get(experiment, ("", task))[1] else rising[::-1]
    return shape * (0.01 + CHECKPOINTS.index(checkpoint)) * (2 if layer == "fc2" else 1)


def made_tables(
    experiments: dict[str, tuple[str, ...]] | None = None, *, replicates: int = 1
) -> dict[str, pd.DataFrame]:
    """Return all tables that a page shows."""
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in COLUMNS}
    for (name, tasks), replicate in product((experiments or EXPERIMENTS).items(), range(1, replicates + 1)):
        network = (name, replicate)
        for layer, checkpoint in product(LAYERS, CHECKPOINTS):
            place = (*network, checkpoint, layer)
            found = {task: amounts(name, layer, checkpoint, task, LAYERS[layer]) * replicate for task in tasks}
            for task, values in found.items():
                samples = 1 + np.arange(len(values)) / 10
                rows["contributions"] += [(*place, unit, task, v, samples[unit]) for unit, v in enumerate(values)]
            for pair in combinations(tasks, 2):
                near = " + ".join(task for task in pair if found[task].mean() < 0.05)
                numbers = (0.6, 0.5, 0.7, 0.4, 0.3, 0.5, 1 / 3, 0.2, 0.4)
                rows["sharing"].append((*place, *pair, *numbers, 0.02, near))
                rows["sharing_over_networks"].append((name, checkpoint, layer, *pair, *numbers, 0.02, near))
        for layer, units in LAYERS.items():
            for order, task, fraction in product(tasks, tasks, (0.0, 0.5, 1.0)):
                curve = (int(fraction * units), fraction, 1 - fraction, 0.8 - fraction / 2, 1 - fraction / 2)
                rows["lesions"].append((*network, layer, order, task, *curve, 0.1, 0.01 + fraction / 2))
            for unit, task, side, at in product(range(units), tasks, ("highest", "lowest"), range(1, 4)):
                image = (unit + at) % IMAGES
                evidence = (4.0 - at) * (1 if side == "highest" else -1)
                rows["images"].append((*network, layer, unit, task, side, at, image, f"{image}.png", evidence))
        rows["accuracy"] += [(*network, checkpoint, task, 0.9) for checkpoint, task in product(CHECKPOINTS, tasks)]
    return {name: pd.DataFrame(rows[name], columns=columns) for name, columns in COLUMNS.items()}


_PLACE = ["experiment", "replicate", "checkpoint", "layer"]
_SHARED = [*("task_a", "task_b", "sharing", "low", "high", "chance", "chance_low", "chance_high"), "excess"]
_SHARED += ["excess_low", "excess_high", "p", "near_zero"]
COLUMNS = {
    "contributions": [*_PLACE, "unit", "task", "contribution", "effective_samples"],
    "sharing": [*_PLACE, *_SHARED],
    "sharing_over_networks": ["experiment", "checkpoint", "layer", *_SHARED],
    "lesions": [
        *("experiment", "replicate", "layer", "order", "task", "removed", "fraction", "accuracy"),
        *("random_low", "random_high", "chance", "p_corrected"),
    ],
    "images": ["experiment", "replicate", "layer", "unit", "task", "side", "place", "image", "file", "evidence"],
    "accuracy": ["experiment", "replicate", "checkpoint", "task", "accuracy"],
}


def made_pictures(
    experiments: dict[str, tuple[str, ...]] | None = None,
) -> dict[tuple[str, int], list[NDArray[np.uint8]]]:
    """Return the analysed images of the first replicates: each of one colour."""
    pictures = [np.full((8, 8, 3), 40 * image, np.uint8) for image in range(IMAGES)]
    return {(name, 1): pictures for name in experiments or EXPERIMENTS}
