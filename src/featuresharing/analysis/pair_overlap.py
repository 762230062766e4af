"""All that is computed of two tasks in a layer of a network: measures of overlap, chance, and bootstrap samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.chance import Chance, excess_over, expected_sharing, mean_sharing, shuffled, unit_orders
from featuresharing.analysis.evidence import Array
from featuresharing.analysis.gradients import mean_sharing_gradients, sharing_gradients
from featuresharing.analysis.image_resampling import PairEvidence
from featuresharing.analysis.intervals import Interval, interval
from featuresharing.analysis.overlap import MEASURES, SHARING, sharing
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, SharingSettings, check

Samples = NDArray[np.float64]

RANGES = {name: (-1.0 if measure.product else 0.0, 1.0) for name, measure in MEASURES.items()}
"""The least and most of each measure."""


@dataclass(frozen=True)
class PairOverlap:
    """Overlap of two tasks: each measure among what shuffled units give, and bootstrap samples [R] by its name.

    Samples are corrected for what noise lowers; ``excess_samples`` [R] are those of the excess sharing. There are none
    where images allow none. ``means`` are the tasks' mean contributions of a unit.
    """

    chances: dict[str, Chance]
    samples: dict[str, Samples]
    excess_samples: Samples
    means: tuple[float, float]

    @property
    def excess(self) -> float:
        """The excess sharing."""
        return self.chances[SHARING].excess

    def interval(self, measure: str) -> Interval:
        """Return the 95 % interval of a measure."""
        least, most = RANGES[measure]
        return interval(self.samples[measure], least=least, most=most)

    @property
    def excess_interval(self) -> Interval:
        """The 95 % interval of the excess sharing."""
        return interval(self.excess_samples, most=1)


@dataclass(frozen=True)
class Excess:
    """Sharing of two tasks with its 95 % interval, what chance gives, and excess sharing with its 95 % interval."""

    sharing: float
    low: float
    high: float
    chance: float
    chance_low: float
    chance_high: float
    p: float
    excess: float
    excess_low: float
    excess_high: float


def estimate_excess(
    first: Array,
    second: Array,
    *,
    resamples: int = SharingSettings.resamples,
    permutations: int = SharingSettings.permutations,
    seed: int = Config.seed,
) -> Excess:
    """Estimate how much more two tasks share than by chance, from their evidence [U, N] as :func:`estimate_sharing`.

    ``chance`` is the median of what shuffled units give (:func:`permutation_null`), ``chance_low`` and ``chance_high``
    its 2.5 and 97.5 percentiles, ``p`` the two-sided p-value; ``excess`` is (sharing - chance) / (1 - chance). Each
    bootstrap sample has a chance of its own: its mean over all orders of units is exact, and what it leaves to 1
    is scaled as that of the median of all images. Raises InputError as :func:`estimate_sharing` and
    :func:`permutation_null`.

    >>> first = np.random.default_rng(0).random((6, 20))
    >>> found = estimate_excess(first, first)
    >>> found.excess, found.chance < 1
    (1.0, True)
    """
    given = PairEvidence(first, second)
    check(SharingSettings, "resamples", resamples)
    orders, exact = unit_orders(len(given.means[0]), permutations=permutations, seed=seed)
    rng = keyed_generator(seed, "bootstrap of images")
    found = overlap_of_pair(given, orders, exact=exact, resamples=resamples, rng=rng, measures=[SHARING])
    return excess_of(found)


def excess_of(found: PairOverlap) -> Excess:
    """Return the numbers of sharing and of excess sharing."""
    chance = found.chances[SHARING]
    said = chance.median, chance.low, chance.high, chance.p
    return Excess(chance.value, *found.interval(SHARING), *said, found.excess, *found.excess_interval)


def overlap_of_pair(
    evidence: PairEvidence,
    orders: NDArray[np.intp],
    *,
    exact: bool,
    resamples: int,
    rng: np.random.Generator,
    measures: Sequence[str] = tuple(MEASURES),
) -> PairOverlap:
    """Return the overlap of two tasks, with units shuffled in ``orders`` [n, U] (:func:`.chance.unit_orders`)."""
    first, second = evidence.means
    chances = {name: shuffled(MEASURES[name], first, second, orders, exact=exact) for name in measures}
    drawn = evidence.draw(resamples, rng)
    plain, expected = resampled_overlap(evidence, drawn, measures)
    samples = {
        name: corrected_sharing(evidence, plain[name], drawn)
        if name == SHARING
        else plain[name] - plain[name].mean() + 2 * chances[name].value - plain[name].mean()
        for name in measures
        if len(drawn)
    }
    excess = _excess_samples(evidence, chances[SHARING], plain[SHARING], expected, drawn)
    none = np.zeros(0)
    return PairOverlap(
        chances,
        {name: samples.get(name, none) for name in measures},
        excess,
        (float(first.mean()), float(second.mean())),
    )


def corrected_sharing(evidence: PairEvidence, samples: Samples, drawn: NDArray[np.float64]) -> Samples:
    """Return samples [R] of the sharing from plain ones, corrected (:meth:`.PairEvidence.corrected`)."""
    value = sharing(*evidence.means)
    if math.isnan(value):
        return np.full(len(samples), np.nan)
    return evidence.corrected(value, samples, drawn, evidence.influence(*sharing_gradients(*evidence.means)))


def _excess_samples(
    evidence: PairEvidence, chance: Chance, samples: Samples, expected: Samples, drawn: NDArray[np.float64]
) -> Samples:
    """Return samples [R] of the excess sharing, corrected by the bootstrap, from plain ones of sharing and its mean.

    A bootstrap sample's chance is its exact mean over all orders of units, scaled as the median of all images is.
    """
    if math.isnan(chance.excess):
        return np.full(len(samples), np.nan)
    mean = expected_sharing(*evidence.means)
    scale = (1 - chance.median) / (1 - mean)
    room = (1 - mean) * scale
    plain = excess_over(samples, 1 - (1 - expected) * scale)
    slopes = zip(sharing_gradients(*evidence.means), mean_sharing_gradients(*evidence.means), strict=True)
    first, second = (own / room - (1 - chance.value) * scale / room**2 * mean for own, mean in slopes)
    return evidence.corrected(chance.excess, plain, drawn, evidence.influence(first, second))


def resampled_overlap(
    evidence: PairEvidence, drawn: NDArray[np.float64], measures: Sequence[str]
) -> tuple[dict[str, Samples], Samples]:
    """Return bootstrap samples [R] of measures by their names, and of the exact mean sharing with units shuffled."""
    blocks: dict[str, list[Samples]] = {name: [] for name in measures}
    expected: list[Samples] = []
    for first, second in evidence.resampled(drawn):
        for name in measures:
            measure = MEASURES[name]
            a, b = measure.prepare(first), measure.prepare(second)
            blocks[name].append(measure.of(a, b))
            if name == SHARING:
                expected.append(mean_sharing(a, b))
    none = np.zeros(0)
    return {name: np.concatenate([none, *values]) for name, values in blocks.items()}, np.concatenate([none, *expected])
