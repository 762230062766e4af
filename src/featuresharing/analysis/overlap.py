"""Measures of how much two tasks' contributions to the units of a layer overlap.

Each measure first prepares the contributions of a task by themselves, such as by their sum, and then adds up what two
tasks have in common unit by unit. So shuffled units need no second preparation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.evidence import AXES, Array, check_all
from featuresharing.errors import InputError

Prepared = NDArray[np.float64]

TOP = 0.1
"""Which share of a layer's units are its top units."""


@dataclass(frozen=True)
class Measure:
    """A measure of overlap.

    ``prepare`` takes contributions [..., U] of one task; of two, unit by unit, the smaller or the ``product`` counts.
    It is NaN where contributions cannot be prepared, such as those of a task that relies on no unit.
    """

    prepare: Callable[[Array], Prepared]
    product: bool

    def of(self, first: Prepared, second: Prepared) -> NDArray[np.float64]:
        """Return the measure [...] of two tasks whose contributions [..., U] are prepared."""
        if self.product:
            return np.asarray(np.einsum("...u,...u->...", first, second))
        return np.asarray(np.minimum(first, second).sum(axis=-1))


def shares(contributions: Array) -> Prepared:
    """Return contributions [..., U] over their sum; NaN for a task that relies on no unit."""
    return _over(contributions, np.sum(contributions, axis=-1, keepdims=True))


def ranks(values: Array) -> Prepared:
    """Return ranks [..., U] from 0 along the last axis; ties are given the mean of theirs."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=-1) - 1)


def top_weights(values: Array) -> Prepared:
    """Return equal weights [..., U] of the top 10 % of units, which sum to 1; those of other units are 0.

    So many units are a tenth of all, rounded, and at least one. Units that are tied for the last places share them.
    """
    units = values.shape[-1]
    count = top_count(units)
    least = np.partition(values, units - count, axis=-1)[..., units - count : units - count + 1]
    above, tied = values > least, values == least
    left = count - above.sum(axis=-1, keepdims=True)
    weights: Prepared = (above + tied * (left / tied.sum(axis=-1, keepdims=True))) / count
    return weights


def top_count(units: int) -> int:
    """Return how many of ``units`` are the top 10 %."""
    return max(1, int(units * TOP + 0.5))


def _unit_length(values: Array) -> Prepared:
    return _over(values, np.sqrt(np.einsum("...u,...u->...", values, values))[..., None])


def _rank_scores(values: Array) -> Prepared:
    found = ranks(values)
    return _unit_length(found - (values.shape[-1] - 1) / 2)


def _over(values: Array, total: Array) -> Prepared:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(values / total)


SHARING, RANK_CORRELATION, COSINE, TOP_UNITS = "sharing", "rank_correlation", "cosine", "top_units"

MEASURES = {
    SHARING: Measure(shares, product=False),
    RANK_CORRELATION: Measure(_rank_scores, product=True),
    COSINE: Measure(_unit_length, product=True),
    TOP_UNITS: Measure(top_weights, product=False),
}
"""The measures by their names; the first is what excess sharing is made of."""


def measure_of(name: str) -> Measure:
    """Return the measure of a name; raises InputError for another."""
    if name not in MEASURES:
        raise InputError(f"measure: found {name!r}; accepted are {', '.join(MEASURES)}.")
    return MEASURES[name]


def sharing(first: Array, second: Array) -> float:
    """Return sum_u min(a_u / sum a, b_u / sum b) for contributions a, b [U] of two tasks.

    1: both rely on the same units in the same proportions; 0: on different units. NaN if a task relies on none.
    Raises InputError for different shapes, and for contributions that are negative or not finite.

    >>> sharing(np.array([1.0, 3.0]), np.array([3.0, 1.0]))
    0.5
    """
    return _measured(SHARING, first, second)


def sharing_error(contributions: Sequence[Array], errors: Sequence[Array]) -> float:
    """Return by how much at most the sharing of two tasks is off, whose contributions [U] are off by ``errors`` [U].

    Sharing is 1 less half of the summed differences of shares. Contributions a of sum A that are off by e in all change
    their shares by 2 e / A in all at most: sharing is off by e / A of each task at most. NaN for a task without units.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [np.sum(wrong) / np.sum(values) for values, wrong in zip(contributions, errors, strict=True)]
    return float(np.minimum(np.sum(parts), 1))


def rank_correlation(first: Array, second: Array) -> float:
    """Return Spearman's rank correlation of two tasks' contributions [U]; NaN where one is constant.

    Raises InputError as :func:`sharing`.

    >>> round(rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0])), 2)
    1.0
    """
    return _measured(RANK_CORRELATION, first, second)


def cosine(first: Array, second: Array) -> float:
    """Return the cosine of the angle between two tasks' contributions [U]; NaN if a task relies on no unit.

    Raises InputError as :func:`sharing`.

    >>> round(cosine(np.array([3.0, 4.0]), np.array([4.0, 3.0])), 2)
    0.96
    """
    return _measured(COSINE, first, second)


def top_units(first: Array, second: Array) -> float:
    """Return which share of the top 10 % of units (a tenth, rounded, at least one) two tasks [U] have in common.

    Units that are tied for the last places share them. Raises InputError as :func:`sharing`.

    >>> top_units(np.arange(20.0), np.r_[np.arange(18.0), 30, 5])
    0.5
    """
    return _measured(TOP_UNITS, first, second)


def _measured(name: str, first: Array, second: Array) -> float:
    first, second = check_contributions(first, second)
    measure = MEASURES[name]
    return float(measure.of(measure.prepare(first), measure.prepare(second)))


def check_contributions(first: Any, second: Any) -> tuple[Array, Array]:
    """Return contributions [U] of two tasks; raises InputError for other shapes, negative or not finite numbers."""
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 1 or first.shape != second.shape or len(first) == 0:
        found = f"{list(first.shape)} and {list(second.shape)}"
        raise InputError(f"contributions: found {found}; accepted are two arrays [units] of one length.")
    for name, values in (("first", first), ("second", second)):
        right = np.isfinite(values) & (values >= 0)
        check_all(f"contributions of the {name} task", values, right, "finite numbers from 0", AXES)
    return first, second
