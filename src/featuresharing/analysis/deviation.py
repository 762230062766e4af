"""How far accuracies are from those of units removed in random orders, by rank (paper, chapter 3)."""

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.chance import rank_p
from featuresharing.errors import InputError

Array = NDArray[np.float64]

SAME = 1e-9
"""Deviations that differ by less are equal up to rounding."""


def rank_p_values(accuracy: Array, random: Array) -> Array:
    """Return two-sided p-values of every point of curves ``accuracy`` [C, ...] by rank among ``random`` [n, C, ...].

    They are those of :func:`.chance.rank_p`, and never 0. Raises InputError for fewer than two orders.
    """
    return rank_p(*_check_orders(accuracy, random))


def corrected_p_values(accuracy: Array, random: Array) -> Array:
    """Return p-values [C, ...] of the points of curves ``accuracy``, corrected for their number by the largest of each.

    The curve and the n ``random`` [n, C, ...] ones are taken together. Every point is measured from their mean, in
    standard deviations, and every curve by the point that is farthest. p of a point is the share of curves, itself
    among them, that have a point as far: (k + 1) / (n + 1). If the curve is one more of the random ones, then some p is
    at most 5 % for at most 5 % of the curves, however its points depend on each other. A point's variance is averaged
    with that of all points: where one curve alone differs from the rest, as where few units are removed, its own would
    make that curve as far as can be. Raises InputError for fewer than two orders.
    """
    accuracy, random = _check_orders(accuracy, random)
    curves = np.concatenate([accuracy[None], random])
    variance = curves.var(axis=0)
    spread = np.sqrt((variance + variance.mean(axis=0)) / 2)
    distance = np.abs(curves - curves.mean(axis=0)) / np.where(spread > SAME, spread, 1)
    farthest = distance[1:].max(axis=1)
    as_far = farthest[:, None] >= distance[0] - SAME
    return np.asarray((1 + as_far.sum(axis=0)) / len(curves))


def _check_orders(accuracy: Array, random: Array) -> tuple[Array, Array]:
    accuracy, random = np.asarray(accuracy, np.float64), np.asarray(random, np.float64)
    if len(random) < 2 or random.shape[1:] != accuracy.shape:
        found = f"{list(random.shape)} for accuracies {list(accuracy.shape)}"
        raise InputError(f"random: found accuracies of shape {found}; accepted are two or more of their shape.")
    return accuracy, random
