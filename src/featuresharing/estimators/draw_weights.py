"""Weights of draws: the prior density of each, normalised to sum to one over the draws.

The density of a draw depends on its distance from the unit's own parameters alone (or, as the paper's code has it, from
its filter alone). In many dimensions the weights
collapse: nearly all the mass lies on the one or two draws that are closest. :func:`effective_samples` says how many
draws count, and :func:`keep_largest` leaves out the draws that cannot matter, with the mass left out as a bound on the
error.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def prior_weights(squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pi [S]: the density of N(0, I) at draws with ``squared`` lengths [S], normalised in logs to sum to 1."""
    log_density = -0.5 * squared
    density = np.exp(log_density - log_density.max())
    weights: NDArray[np.float64] = density / density.sum()
    return weights


def effective_samples(weights: NDArray[np.float64]) -> float:
    """Return 1 / sum of pi^2: S for equal weights, 1 when a single draw has all the mass."""
    return float(1 / np.square(weights).sum())


def keep_largest(weights: NDArray[np.float64], tolerance: float) -> tuple[NDArray[np.intp], float]:
    """Leave out as many draws as a total weight of ``tolerance`` allows, the lightest first.

    Returns the kept indices in rising order and the mass left out. Predictions lie in [0, 1], so leaving these draws
    out lowers a conditional by at most that mass. ``tolerance=0`` keeps every draw.
    """
    order = np.argsort(weights, kind="stable")
    mass = np.cumsum(weights[order])
    left_out = int(np.searchsorted(mass, tolerance, side="right")) if tolerance > 0 else 0
    left_out = min(left_out, len(weights) - 1)
    return np.sort(order[left_out:]), float(mass[left_out - 1]) if left_out else 0.0


@lru_cache
def expected_draws(size: int, samples: int, tolerance: float) -> float:
    """Return how many draws of a vector of ``size`` numbers :func:`keep_largest` keeps of ``samples``, on average."""
    squared = np.random.default_rng(0).chisquare(size, (64, samples))
    return float(np.mean([len(keep_largest(prior_weights(each), tolerance)[0]) for each in squared]))
