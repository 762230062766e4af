"""What two tasks would share by chance: the same contributions, with the units of the layer shuffled."""

import math
from dataclasses import dataclass, field
from itertools import permutations as all_orders
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.evidence import Array
from featuresharing.analysis.overlap import SHARING, Measure, Prepared, check_contributions, measure_of, shares
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, SharingSettings, check

BLOCK = 2**20
"""Numbers of an array that are worked on at a time."""

TOLERANCE = 1e-9
"""Values as near as this are equal: sums in another order are rounded differently."""


@dataclass(frozen=True)
class Chance:
    """A measure of two tasks (``value``), and what shuffled units give.

    ``median``, ``low`` and ``high`` (2.5 and 97.5 percentiles) are those of ``values`` [n]; ``p`` is the two-sided
    p-value of the value among them. ``exact`` says whether they are those of all orders of the units.
    """

    value: float
    median: float
    low: float
    high: float
    p: float
    exact: bool
    values: NDArray[np.float64] = field(repr=False, compare=False)

    @property
    def excess(self) -> float:
        """(value - median) / (1 - median): 0 at chance, and 1 if all is shared; NaN where chance is 1."""
        return float(excess_over(self.value, self.median))


def permutation_null(
    first: Array,
    second: Array,
    *,
    measure: str = SHARING,
    permutations: int = SharingSettings.permutations,
    seed: int = Config.seed,
) -> Chance:
    """Return what shuffling the units gives of a measure of two tasks' contributions [U].

    ``measure`` is sharing, rank_correlation, cosine or top_units. The null hypothesis: which unit has which
    contribution to the second task has nothing to do with the first, so that all orders of units are as likely. All
    orders are tried where these are not more than ``permutations``, which is six units by default; else so many are
    drawn, which ``seed`` and the number of units say. ``p`` is twice the smaller share of values that are as low, or
    as high, the observed one among them: (k + 1) / (n + 1), which is never 0. NaN if a task relies on no unit. Raises
    InputError as :func:`.overlap.sharing`, for another measure, no permutations, or a seed below 0.

    >>> found = permutation_null(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0]))
    >>> found.exact, found.value, round(found.median, 3), round(found.p, 3)
    (True, 1.0, 0.75, 0.333)
    """
    first, second = check_contributions(first, second)
    orders, exact = unit_orders(len(first), permutations=permutations, seed=seed)
    return shuffled(measure_of(measure), first, second, orders, exact=exact)


def expected_sharing(first: Array, second: Array) -> float:
    """Return the mean sharing over all orders of the units: sum_u sum_v min(a_u / sum a, b_v / sum b) / U.

    It is exact, in U log U steps. NaN if a task relies on no unit. Raises InputError as :func:`.overlap.sharing`.

    >>> expected_sharing(np.array([1.0, 3.0]), np.array([3.0, 1.0]))
    0.75
    """
    first, second = check_contributions(first, second)
    return float(mean_sharing(shares(first), shares(second)))


def excess_sharing(
    first: Array, second: Array, *, permutations: int = SharingSettings.permutations, seed: int = Config.seed
) -> float:
    """Return (sharing - chance) / (1 - chance) of two tasks' contributions [U].

    It is 0 at chance, the median over shuffled units, 1 if all is shared, and NaN where chance is 1, as for one unit.
    Arguments and errors are those of :func:`permutation_null`.

    >>> round(excess_sharing(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])), 3)
    0.333
    """
    return permutation_null(first, second, permutations=permutations, seed=seed).excess


def unit_orders(units: int, *, permutations: int, seed: int) -> tuple[NDArray[np.intp], bool]:
    """Return orders [n, U] of units for shuffling, and whether they are all; the first of these is the given order.

    Raises InputError for no permutations and a seed below 0.
    """
    check(SharingSettings, "permutations", permutations)
    check(Config, "seed", seed)
    if is_exact(units, permutations):
        return np.array(list(all_orders(range(units))), np.intp), True
    rng = keyed_generator(seed, "permutations of units", units)
    orders = np.broadcast_to(np.arange(units), (permutations, units))
    return rng.permuted(orders, axis=1), False


def is_exact(count: int, permutations: int) -> bool:
    """Return whether all orders of ``count`` things are not more than ``permutations``."""
    return count <= 20 and math.factorial(count) <= permutations


def shuffled(measure: Measure, first: Array, second: Array, orders: NDArray[np.intp], *, exact: bool) -> Chance:
    """Return what a measure of contributions [U] gives with the units of the second task in ``orders`` [n, U]."""
    a, b = measure.prepare(first), measure.prepare(second)
    value = float(measure.of(a, b))
    step = max(1, BLOCK // len(first))
    parts = [measure.of(a, b[orders[start : start + step]]) for start in range(0, len(orders), step)]
    return against(value, np.concatenate(parts), exact=exact)


def against(value: float, values: NDArray[np.float64], *, exact: bool) -> Chance:
    """Return a value among those [n] that chance gives; the first of all is the value's own if they are ``exact``."""
    if not math.isfinite(value) or np.isnan(values).any():
        nan = float("nan")
        return Chance(value, nan, nan, nan, nan, exact, values)
    low, median, high = map(float, np.percentile(values, [2.5, 50, 97.5]))
    p = float(rank_p(value, values[1:] if exact else values))
    return Chance(value, median, low, high, p, exact, values)


def rank_p(value: float | NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the two-sided p-value of each value [...] among those that chance gives, ``values`` [n, ...].

    k of them are as low or lower, or as high or higher, whichever are fewer: it is 2 (k + 1) / (n + 1), at most 1.
    """
    room = TOLERANCE * np.maximum(1.0, np.abs(value))
    fewer = np.minimum((values <= value + room).sum(axis=0), (values >= value - room).sum(axis=0))
    return np.asarray(np.minimum(1.0, 2 * (fewer + 1) / (len(values) + 1)))


def mean_sharing(first: Prepared, second: Prepared) -> NDArray[np.float64]:
    """Return the mean sharing [...] over all orders of units, of shares [..., U] of two tasks.

    Of the sum of min(a_u, b_v) over all pairs, min(x, y) is half of x + y - abs(x - y), and differences over all pairs
    of a set are a weighted sum of its sorted values: those between the tasks are those of both less those within each.
    """
    units = first.shape[-1]
    both = np.concatenate([first, second], axis=-1)
    between = _all_differences(both) - _all_differences(first) - _all_differences(second)
    return np.asarray((first.sum(axis=-1) + second.sum(axis=-1) - between / units) / 2)


def _all_differences(values: Prepared) -> NDArray[np.float64]:
    """Return the sum [...] of the differences of all pairs of values [..., n]."""
    count = values.shape[-1]
    weights = 2.0 * np.arange(count) - (count - 1)
    return np.asarray(np.sort(values, axis=-1) @ weights)


def excess_over(sharing: Any, chance: Any) -> Any:
    """Return (sharing - chance) / (1 - chance), NaN where chance is 1."""
    room = np.subtract(1, chance)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(room > TOLERANCE, 1 - np.subtract(1, sharing) / room, np.nan)
