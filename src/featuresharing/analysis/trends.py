"""Trends of excess sharing over layers and checkpoints, and differences of trends between experiments or pairs."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.evidence import Array
from featuresharing.analysis.exchanges import networks_p, places_p, signs_p, slope_weights
from featuresharing.analysis.over_networks import Networks, interval_over_networks
from featuresharing.errors import InputError
from featuresharing.settings import Config, SharingSettings, check

OVER_LAYERS, OVER_CHECKPOINTS, IN_LAYER = "slope over layers", "slope over checkpoints", "excess"
"""Quantities of trends."""

FEWEST = 3
"""Fewer places have no trend."""


@dataclass(frozen=True)
class Line:
    """Excess sharing of a pair of tasks in N networks of an experiment: ``values`` [N, checkpoints, layers].

    ``samples`` [N, checkpoints, layers, R] are bootstrap samples over images. ``used`` [checkpoints, layers] says which
    are there and not near zero. ``names`` are experiment and tasks.
    """

    names: tuple[str, str, str]
    replicates: tuple[int, ...]
    values: NDArray[np.float64]
    samples: NDArray[np.float64]
    used: NDArray[np.bool_]

    def at(self, index: Any, used: NDArray[np.bool_]) -> "Row":
        """Return the row of values at ``index``, a checkpoint or layer, where they are ``used``, of whole networks."""
        values = self.values[(slice(None), *index)][:, used]
        samples = self.samples[(slice(None), *index)][:, used]
        whole = np.isfinite(values).all(axis=1)
        replicates = tuple(np.array(self.replicates)[whole].tolist())
        return Row(self.names[0], replicates, values[whole], samples[whole])


@dataclass(frozen=True)
class Row:
    """Values [N, m] of N networks of an experiment at m places, and samples [N, m, R]."""

    experiment: str
    replicates: tuple[int, ...]
    values: NDArray[np.float64]
    samples: NDArray[np.float64]

    def weighted(self, weights: NDArray[np.float64]) -> Networks:
        """Return the weighted sum over places of every network."""
        samples = np.einsum("nmr,m->nr", self.samples, weights)
        return Networks(self.values @ weights, samples, self.experiment)

    def less(self, other: "Row") -> "Row | None":
        """Return the differences to another row of the same networks; None if it has no network in common."""
        both = [replicate for replicate in self.replicates if replicate in other.replicates]
        if self.experiment != other.experiment or not both:
            return None
        mine, theirs = ([row.replicates.index(each) for each in both] for row in (self, other))
        values, samples = self.values[mine] - other.values[theirs], self.samples[mine] - other.samples[theirs]
        return Row(self.experiment, tuple(both), values, samples)


@dataclass(frozen=True)
class Trend:
    """A slope of excess sharing, or a difference: how many ``networks`` and ``cells`` take part, its value and more."""

    networks: int
    cells: int
    value: float
    low: float
    high: float
    p: float

    def __neg__(self) -> "Trend":
        return Trend(self.networks, self.cells, -self.value, -self.high, -self.low, self.p)


@dataclass(frozen=True)
class Chances:
    """How trends are tested: how many permutations are drawn, and by which seed."""

    permutations: int
    seed: int


def slope_trend(
    values: Array,
    samples: Array,
    places: Sequence[float] | None = None,
    *,
    permutations: int = SharingSettings.permutations,
    seed: int = Config.seed,
) -> Trend:
    """Return the mean slope of ``values`` [N, m] of N networks at m ``places`` (None: 0, 1, 2, ...).

    Its interval is from bootstrap ``samples`` [N, m, R] (:func:`estimate_over_networks`), which are of the same
    resampled images at all places of a network. Its two-sided p-value is that of permuted places within each network:
    if nothing depends on places, all orders of a network's values are as likely, whatever their distribution. All are
    tried where these are not more than ``permutations``. Under three places, numbers are NaN. Raises InputError for
    other shapes, no permutations, or a seed below 0.

    >>> values = np.array([[0.9, 0.6, 0.5, 0.2]])
    >>> found = slope_trend(values, values[..., None] + np.zeros(10))
    >>> round(found.value, 2), round(found.p, 3)
    (-0.22, 0.083)
    """
    check(SharingSettings, "permutations", permutations)
    check(Config, "seed", seed)
    numbers, drawn = np.asarray(values, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    if numbers.ndim != 2 or drawn.ndim != 3 or drawn.shape[:2] != numbers.shape:
        found = f"{list(numbers.shape)} and {list(drawn.shape)}"
        accepted = "accepted are [networks, places] and [networks, places, samples]"
        raise InputError(f"values and samples: found {found}; {accepted}.")
    at = np.arange(numbers.shape[1], dtype=float) if places is None else np.asarray(places, np.float64)
    if at.shape != numbers.shape[1:] or not np.isfinite(at).all() or len(set(at.tolist())) < len(at):
        raise InputError(f"places: found {at.tolist()}; accepted are {numbers.shape[1]} distinct numbers.")
    return slope_of(Row("", tuple(range(len(numbers))), numbers, drawn), at, Chances(permutations, seed))


def slope_of(row: Row, places: NDArray[np.float64], chances: Chances) -> Trend:
    """Return the mean slope of a row at ``places`` [m]."""
    networks, count = row.values.shape
    if count < FEWEST or not networks:
        return Trend(networks, networks * count, math.nan, math.nan, math.nan, math.nan)
    slopes = row.weighted(slope_weights(places))
    low, high = interval_over_networks([slopes], seed=chances.seed)
    p = places_p(row.values, places, permutations=chances.permutations, seed=chances.seed)
    return Trend(networks, networks * count, slopes.mean, low, high, p)


def slope_difference(first: Row, second: Row, places: NDArray[np.float64], chances: Chances) -> Trend:
    """Return the mean slope of one row less that of another at the same ``places`` [m].

    Rows of one experiment are of the same networks: their differences are a row, which is tested as such. So are the
    differences of one network and one of another experiment: if lines are parallel, all orders of the differences over
    places are as likely. Of several networks, each has a slope, and all choices of as many networks as the first row
    has are as likely if experiments do not differ.
    """
    if (paired := first.less(second)) is not None:
        return slope_of(paired, places, chances)
    count, networks = len(places), len(first.values) + len(second.values)
    if count < FEWEST or not len(first.values) or not len(second.values):
        return Trend(networks, networks * count, math.nan, math.nan, math.nan, math.nan)
    weights = slope_weights(places)
    slopes = [row.weighted(weights) for row in (first, second)]
    settings = {"permutations": chances.permutations, "seed": chances.seed}
    if networks == 2:
        p = places_p(first.values - second.values, places, **settings)
    else:
        p = networks_p(slopes[0].values, slopes[1].values, **settings)
    low, high = interval_over_networks(slopes, seed=chances.seed)
    return Trend(networks, networks * count, slopes[0].mean - slopes[1].mean, low, high, p)


def excess_difference(first: Row, second: Row, chances: Chances) -> Trend:
    """Return how far the mean excess of one row of one place lies from another's.

    Rows of one experiment are of the same networks, in which they may be exchanged if they do not differ; else all
    choices of networks are as likely. Nothing can be exchanged with one network each: p is NaN.
    """
    networks = len(first.values) + len(second.values)
    if not first.values.size or not second.values.size:
        return Trend(networks, 0, math.nan, math.nan, math.nan, math.nan)
    settings = {"permutations": chances.permutations, "seed": chances.seed}
    one = np.ones(1)
    if (paired := first.less(second)) is not None:
        parts = [paired.weighted(one)]
        p = signs_p(parts[0].values, **settings)
        value, networks = parts[0].mean, len(paired.values)
    else:
        parts = [first.weighted(one), second.weighted(one)]
        p = networks_p(parts[0].values, parts[1].values, **settings)
        value = parts[0].mean - parts[1].mean
    return Trend(networks, networks, value, *interval_over_networks(parts, seed=chances.seed), p)


Found = tuple[str, Line, Line | None, int | None, int | None, Trend]
"""A quantity, its line, the other line, its checkpoint and its layer by number, and the trend."""


def trends_of(lines: Sequence[Line], chances: Chances, *, differ: bool = True) -> Iterator[Found]:
    """Yield the trends of every line over layers and over checkpoints and, if they ``differ``, of each two lines."""
    for line in lines:
        for quantity, index, checkpoint, layer in _rows_of(line):
            used = line.used[index]
            yield quantity, line, None, checkpoint, layer, slope_of(line.at(index, used), _places(used), chances)
    for first, second in combinations(lines, 2) if differ else ():
        yield from differences_of(first, second, chances)


def differences_of(first: Line, second: Line, chances: Chances) -> Iterator[Found]:
    """Yield the differences of two lines: of slopes, and in each layer at the last checkpoint.

    They are computed in the order of the lines' names, so that the order of lines changes their signs and no more.
    """
    if second.names < first.names:
        for quantity, _, _, checkpoint, layer, found in differences_of(second, first, chances):
            yield quantity, first, second, checkpoint, layer, -found
        return
    used = first.used & second.used
    for quantity, index, checkpoint, layer in _rows_of(first):
        rows = first.at(index, used[index]), second.at(index, used[index])
        found = slope_difference(*rows, _places(used[index]), chances)
        yield quantity, first, second, checkpoint, layer, found
    last = used.shape[0] - 1
    for layer in range(used.shape[1]):
        there = used[last, layer : layer + 1]
        index = last, slice(layer, layer + 1)
        found = excess_difference(first.at(index, there), second.at(index, there), chances)
        yield IN_LAYER, first, second, last, layer, found


def _rows_of(line: Line) -> Iterator[tuple[str, Any, int | None, int | None]]:
    checkpoints, layers = line.used.shape
    for checkpoint in range(checkpoints):
        yield OVER_LAYERS, (checkpoint, slice(None)), checkpoint, None
    for layer in range(layers):
        yield OVER_CHECKPOINTS, (slice(None), layer), None, layer


def _places(used: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.flatnonzero(used).astype(np.float64)
