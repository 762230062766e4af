"""Made frames of sharing, training and lesions, of as many tasks, layers, checkpoints and networks as wanted."""

from itertools import combinations
from typing import Any

import numpy as np
from pandas import DataFrame, concat

from featuresharing.analysis.tables import lesion_table
from featuresharing.data.columns import ACCURACY, TRAINING
from featuresharing.data.sharing_columns import SHARING, SHARING_OVER_NETWORKS
from featuresharing.data.table_files import frame_of

TASKS = ("subordinate", "basic", "word", "colour")


def names_of(what: str, count: int) -> list[str]:
    """Return names such as conv1, conv2, ..."""
    return [f"{what}{number}" for number in range(1, count + 1)]


def steps_of(count: int) -> list[str]:
    """Return the names of checkpoints: 0 and powers of two."""
    return ["0000000", *(f"{2**power:07d}" for power in range(5, 4 + count))][:count]


def made_sharing(
    tasks: int = 2, layers: int = 3, checkpoints: int = 1, networks: int = 1, *, experiments: int = 2, near: Any = None
) -> tuple[DataFrame, DataFrame]:
    """Return frames of sharing and of sharing over networks; ``near`` says what tasks are near zero in a cell."""
    rng = np.random.default_rng([tasks, layers, checkpoints, networks])
    rows, means = [], []
    pairs = list(combinations(TASKS[:tasks], 2))
    for experiment in names_of("experiment_", experiments):
        for checkpoint in steps_of(checkpoints):
            for layer in names_of("conv", layers):
                for pair in pairs:
                    chance = rng.uniform(0.3, 0.7)
                    zero = near(checkpoint, layer) if near else ""
                    own = np.array([_cell(rng, chance) for _ in range(networks)])
                    for number, cell in enumerate(own.tolist(), 1):
                        rows.append((experiment, number, checkpoint, layer, *pair, *cell, zero, 0.001))
                    mean = own.mean(axis=0).tolist()
                    over = (*mean[:6], *mean[7:], 0.1, mean[6], zero)
                    means.append((experiment, checkpoint, layer, *pair, networks, *over))
    return frame_of(SHARING, rows), frame_of(SHARING_OVER_NETWORKS, means)


def _cell(rng: np.random.Generator, chance: float) -> list[float]:
    shared = rng.uniform(0.2, 0.8)
    excess = [(value - chance) / (1 - chance) for value in (shared, shared - 0.05, shared + 0.06)]
    return [shared, shared - 0.05, shared + 0.06, chance, chance - 0.1, chance + 0.1, rng.uniform(0.01, 0.1), *excess]


def made_lesions(tasks: int = 2, layers: int = 3, networks: int = 1, *, prefix: str = "conv") -> DataFrame:
    """Return lesion curves of an experiment."""
    rng = np.random.default_rng([tasks, layers, networks])
    removed, names = np.arange(0, 41, 4), list(TASKS[:tasks])
    frames = []
    for layer in names_of(prefix, layers):
        for network in range(1, networks + 1):
            falls = np.linspace(1, 0, 11)[:, None] ** rng.uniform(0.6, 1.6, size=(20, 1, tasks))
            own = np.linspace(1, 0, 11)[:, None] ** rng.uniform(0.1, 6, size=(tasks, 1, tasks))
            place = ("demo", network, "0100", layer)
            frames.append(lesion_table(place, names, names, removed, own, falls, [0.1 * (t + 1) for t in range(tasks)]))
    return concat(frames)


def made_training(
    tasks: int = 2, checkpoints: int = 4, networks: int = 1, *, experiments: int = 2
) -> tuple[dict[str, list[DataFrame]], DataFrame]:
    """Return logs by experiment, one a network, and accuracies on held-out images."""
    rng = np.random.default_rng([tasks, checkpoints, networks])
    logs: dict[str, list[DataFrame]] = {}
    rows = []
    for experiment in names_of("experiment_", experiments):
        for network in range(1, networks + 1):
            drift = rng.uniform(0.8, 1.2)
            values = [
                (step, task, 3 * drift / (1 + step / 9), 0.5) for step in range(5, 130, 5) for task in TASKS[:tasks]
            ]
            logs.setdefault(experiment, []).append(frame_of(TRAINING, values))
            for name in steps_of(checkpoints):
                numbers = [(task, min(1.0, drift * int(name) / (50 + int(name)) / 1.3), 9) for task in TASKS[:tasks]]
                rows += [(experiment, network, name, int(name), *number) for number in numbers]
    return logs, frame_of(ACCURACY, rows)
