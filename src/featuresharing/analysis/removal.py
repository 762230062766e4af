"""Removing more and more units of a layer: in which orders, and how many."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.lesions import random_orders
from featuresharing.errors import InputError
from featuresharing.settings import Config, LesionSettings, check


@dataclass(frozen=True, eq=False)
class Removal:
    """``orders`` int64 [units] by task, in which the units that it relies on most go first, and ``random`` [R, units].

    ``counts`` int64 [C] are the numbers of units that are removed together, from none to all.
    """

    orders: Mapping[str, NDArray[np.int64]]
    random: NDArray[np.int64]
    counts: NDArray[np.int64]

    def all_orders(self) -> list[NDArray[np.int64]]:
        """Return the orders of the tasks, then random ones."""
        return [*self.orders.values(), *self.random]


def plan_removal(
    contributions: Mapping[str, NDArray[np.floating[Any]]],
    *,
    steps: int = LesionSettings.steps,
    repeats: int = LesionSettings.random_orders,
    seed: int = Config.seed,
) -> Removal:
    """Return the orders that contributions [units] by task give, and ``repeats`` random ones to compare with.

    Curves have ``steps`` points beside that of the whole layer. Ties go by the numbers of units. Raises InputError for
    contributions that are no finite number for each unit.
    """
    check(LesionSettings, "steps", steps)
    check(LesionSettings, "random_orders", repeats)
    arrays = {task: np.asarray(values) for task, values in contributions.items()}
    if odd := next((array.dtype for array in arrays.values() if array.dtype.kind not in "fiu"), None):
        raise InputError(f"contributions: found {odd}; accepted is a finite number for each unit, [units] a task.")
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not all(np.isfinite(a).all() for a in arrays.values()):
        found = " and ".join(sorted(str(list(shape)) for shape in shapes)) or "none"
        raise InputError(f"contributions: found {found}; accepted is a finite number for each unit, [units] a task.")
    units = len(next(iter(arrays.values())))
    orders = {task: np.argsort(-values, kind="stable") for task, values in arrays.items()}
    counts = np.unique(np.round(np.linspace(0, units, steps + 1)).astype(np.int64))
    return Removal(orders, random_orders(range(units), repeats, seed=seed), counts)
