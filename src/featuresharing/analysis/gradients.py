"""How sharing, and its mean over all orders of units, change with each contribution."""

import numpy as np
from numpy.typing import NDArray

Gradients = tuple[NDArray[np.float64], NDArray[np.float64]]


def sharing_gradients(first: NDArray[np.float64], second: NDArray[np.float64]) -> Gradients:
    """Return the derivatives [U] of the sharing of two tasks with respect to the contributions [U] of each.

    A unit counts by the smaller of its shares, of equal ones by half of each.
    """
    a, b = first / first.sum(), second / second.sum()
    smaller = (a < b) + (a == b) / 2
    return _of_contributions(smaller, a, first), _of_contributions(1 - smaller, b, second)


def mean_sharing_gradients(first: NDArray[np.float64], second: NDArray[np.float64]) -> Gradients:
    """Return the derivatives [U] of the mean sharing over all orders of units with respect to contributions [U].

    A unit counts for each of the other task's shares that is larger than its own, of equal ones by half.
    """
    a, b = first / first.sum(), second / second.sum()
    return _of_contributions(_larger(a, b), a, first), _of_contributions(_larger(b, a), b, second)


def _larger(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of the ``others`` is larger than each value."""
    ordered = np.sort(others)
    places = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right")
    return np.asarray(1 - places / 2 / len(ordered))


def _of_contributions(
    counts: NDArray[np.float64], shares: NDArray[np.float64], contributions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return derivatives with respect to contributions from those with respect to their shares of the sum."""
    return np.asarray((counts - counts @ shares) / contributions.sum())


def cosine_gradients(first: NDArray[np.float64], second: NDArray[np.float64]) -> Gradients:
    """Return the derivatives [U] of the cosine of two tasks with respect to the contributions [U] of each."""
    lengths = np.sqrt(first @ first), np.sqrt(second @ second)
    a, b = first / lengths[0], second / lengths[1]
    cosine = a @ b
    return (b - cosine * a) / lengths[0], (a - cosine * b) / lengths[1]
