"""Log odds of probabilities after a Laplace correction, and which error of a probability leaves them certain."""

from math import log, log1p, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNT = 1e6
"""The n of the Laplace correction (paper's code)."""

PAPER = "paper"
"""The correction (p n + 1) / (n K); the other one is (p n + 1) / (n + K)."""

Array = NDArray[np.floating[Any]]


def corrected(probabilities: Array, classes: int, laplace: str) -> NDArray[np.float64]:
    """Return probabilities after the Laplace correction of a task with so many ``classes``, float64."""
    p: NDArray[np.float64] = np.asarray(probabilities, np.float64)
    if laplace == PAPER:
        return (p * COUNT + 1) / (COUNT * classes)
    return (np.minimum(p, 1) * COUNT + 1) / (COUNT + classes)  # rounded above 1, a p would have no odds


def log_odds(probabilities: Array, classes: int, laplace: str) -> NDArray[np.float64]:
    """Return log2 odds of probabilities after the Laplace correction, float64."""
    p = corrected(probabilities, classes, laplace)
    odds: NDArray[np.float64] = np.log2(p) - np.log1p(-p) / np.log(2)
    return odds


def probability_at(odds: Array, classes: int, laplace: str) -> NDArray[np.float64]:
    """Return the probability whose :func:`log_odds` these are; it may lie outside [0, 1]."""
    total = COUNT * classes if laplace == PAPER else COUNT + classes
    found: NDArray[np.float64] = (total / (1 + np.exp2(-np.asarray(odds, np.float64))) - 1) / COUNT
    return found


def certain_mass(
    least: NDArray[np.float64], most: NDArray[np.float64], *, bits: float, classes: int, laplace: str
) -> NDArray[np.float64]:
    """Return the largest m such that log odds differ by ``bits`` at most over [q, q + m], for any q >= ``least`` with
    q + m <= ``most``.

    Log odds rise most slowly in the middle, so that an interval of length m is widest, in bits, at one of the ends.
    """
    up = probability_at(log_odds(least, classes, laplace) + bits, classes, laplace) - least
    down = most - probability_at(log_odds(most, classes, laplace) - bits, classes, laplace)
    return np.maximum(np.minimum(up, down), 0)


def possible_mass(bits: float, classes: int, laplace: str) -> float:
    """Return the largest m such that over some [q, q + m] within [0, 1] log odds differ by ``bits`` at most."""
    top = (COUNT + 1) / (COUNT * classes if laplace == PAPER else COUNT + classes)
    highest = min(log2(top) - log1p(-top) / log(2), bits / 2)
    ends = np.array([highest - bits, highest])
    low, high = np.clip(probability_at(ends, classes, laplace), 0, 1).tolist()
    return float(high - low)
