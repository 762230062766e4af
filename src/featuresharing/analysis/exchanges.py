"""Permutation tests of trends: what slopes and differences would be if places or networks were exchanged."""

import math
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.chance import is_exact, rank_p, unit_orders
from featuresharing.randomness import keyed_generator


def slope_weights(places: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the weights [m] of values at ``places`` [m] whose sum is the slope of the line of least squares."""
    centred = places - places.mean()
    return np.asarray(centred / (centred @ centred))


def places_p(values: NDArray[np.float64], places: NDArray[np.floating[Any]], *, permutations: int, seed: int) -> float:
    """Return the two-sided p-value of the mean slope of ``values`` [N, m] of N networks at the same m places.

    The null hypothesis: in each network, all orders of its values are as likely. All orders in all networks are tried
    where these are not more than ``permutations``, else so many are drawn.
    """
    networks, count = values.shape
    weights = slope_weights(places)
    observed = float((values @ weights).mean())
    if is_exact(count, permutations) and math.factorial(count) ** networks <= permutations:
        orders, _ = unit_orders(count, permutations=permutations, seed=seed)
        slopes = [(row[orders] @ weights) / networks for row in values]
        return float(rank_p(observed, reduce(np.add.outer, slopes).ravel()[1:]))
    rng = keyed_generator(seed, "permutations of places", networks, count)
    drawn = rng.permuted(np.broadcast_to(np.arange(count), (permutations, networks, count)), axis=2)
    shuffled = np.take_along_axis(np.broadcast_to(values, drawn.shape), drawn, axis=2)
    return float(rank_p(observed, (shuffled @ weights).mean(axis=1)))


def networks_p(first: NDArray[np.float64], second: NDArray[np.float64], *, permutations: int, seed: int) -> float:
    """Return the two-sided p-value of the difference of means of two sets of networks, [N] and [M].

    The null hypothesis: it is as likely that any N of all networks are the first. All choices are tried where these are
    not more than ``permutations``, else so many are drawn. NaN for one network in each set, where nothing is told.
    """
    ahead, count = len(first), len(first) + len(second)
    if min(ahead, count - ahead) < 1 or count < 3:
        return math.nan
    both = np.concatenate([first, second])
    if math.comb(count, ahead) <= permutations:
        chosen = np.array(list(combinations(range(count), ahead)), np.intp)
        values = _difference(both, chosen)
        return float(rank_p(values[0], values[1:]))
    rng = keyed_generator(seed, "permutations of networks", ahead, count)
    orders = rng.permuted(np.broadcast_to(np.arange(count), (permutations, count)), axis=1)
    observed = _difference(both, np.arange(ahead)[None])
    return float(rank_p(observed[0], _difference(both, orders[:, :ahead])))


def signs_p(differences: NDArray[np.float64], *, permutations: int, seed: int) -> float:
    """Return the two-sided p-value of the mean of ``differences`` [N] between two lines of the same networks.

    The null hypothesis: in each network, the two lines may be exchanged. All exchanges are tried where these are not
    more than ``permutations``, else so many are drawn. NaN for one network.
    """
    count = len(differences)
    if count < 2:
        return math.nan
    if 2**count <= permutations:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
        values = signs @ differences / count
        return float(rank_p(values[0], values[1:]))
    rng = keyed_generator(seed, "exchanges in networks", count)
    values = (1 - 2 * rng.integers(0, 2, size=(permutations, count))) @ differences / count
    return float(rank_p(differences.mean(), values))


def _difference(both: NDArray[np.float64], chosen: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the mean of those ``chosen`` [n, N] less the mean of the others."""
    count, ahead = len(both), chosen.shape[1]
    sums = both[chosen].sum(axis=1)
    return np.asarray(sums / ahead - (both.sum() - sums) / (count - ahead))
