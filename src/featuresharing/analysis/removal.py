"""Removing more and more units of a layer: in which orders, how many, and the table of what becomes of the accuracy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.deviation import deviation_p_values
from featuresharing.analysis.lesions import random_orders
from featuresharing.arguments import check_whole
from featuresharing.errors import InputError

COLUMNS = (
    *("experiment", "checkpoint", "layer", "order", "task", "removed", "fraction"),
    *("accuracy", "random_mean", "random_sd", "p"),
)


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
    contributions: Mapping[str, NDArray[np.floating[Any]]], *, steps: int = 20, repeats: int = 20, seed: int = 0
) -> Removal:
    """Return the orders that contributions [units] by task give, and ``repeats`` random ones to compare with.

    Curves have ``steps`` points beside that of the whole layer. Ties go by the numbers of units. Raises InputError for
    contributions that are no finite number for each unit.
    """
    check_whole("steps", steps, 1)
    check_whole("random_orders", repeats, 2)
    arrays = {task: np.asarray(values) for task, values in contributions.items()}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or not all(np.isfinite(a).all() for a in arrays.values()):
        found = " and ".join(sorted(str(list(shape)) for shape in shapes)) or "none"
        raise InputError(f"contributions: found {found}; accepted is a finite number for each unit, [units] a task.")
    units = len(next(iter(arrays.values())))
    orders = {task: np.argsort(-values, kind="stable") for task, values in arrays.items()}
    counts = np.unique(np.round(np.linspace(0, units, steps + 1)).astype(np.int64))
    return Removal(orders, random_orders(range(units), repeats, seed=seed), counts)


def removal_rows(
    place: tuple[str, str, str], removal: Removal, tasks: Sequence[str], found: Sequence[NDArray[np.float64]]
) -> Iterator[Sequence[Any]]:
    """Yield rows of COLUMNS; ``found`` are the accuracies [C, tasks] of :meth:`Removal.all_orders`.

    ``place`` is experiment, checkpoint and layer.
    """
    counts, random = removal.counts, np.stack(found[len(removal.orders) :])
    for order, accuracy in zip(removal.orders, found, strict=False):
        p_values = deviation_p_values(accuracy, random)
        for column, task in enumerate(tasks):
            for row, count in enumerate(counts):
                chances = random[:, row, column]
                numbers = (accuracy[row, column], chances.mean(), chances.std(ddof=1), p_values[row, column])
                yield (*place, order, task, int(count), f"{count / counts[-1]:.6g}", *(f"{n:.9g}" for n in numbers))
