"""All that is computed of two tasks in a layer of a network: measures of overlap, chance, and bootstrap samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.chance import Chance, excess_over, expected_sharing, mean_sharing, shuffled, unit_orders
from featuresharing.analysis.evidence import Array
from featuresharing.analysis.gradients import cosine_gradients, mean_sharing_gradients, sharing_gradients
from featuresharing.analysis.image_resampling import PairEvidence
from featuresharing.analysis.intervals import Interval, interval, mirrored
from featuresharing.analysis.overlap import COSINE, MEASURES, RANK_CORRELATION, SHARING
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, SharingSettings, check

Samples = NDArray[np.float64]

GRADIENTS = {SHARING: sharing_gradients, COSINE: cosine_gradients}
"""Derivatives of the measures that have some, those by ranks do not."""


@dataclass(frozen=True)
class PairOverlap:
    """Overlap of two tasks: by measure, what it is among what shuffled units give, and its 95 % interval over images.

    ``samples`` and ``excess_samples`` [R] are bootstrap samples of sharing and of excess sharing, corrected for the
    noise of images; there are none where images allow none. ``means`` are the tasks' mean contributions of a unit.
    """

    chances: dict[str, Chance]
    intervals: dict[str, Interval]
    samples: Samples
    excess_samples: Samples
    means: tuple[float, float]

    @property
    def excess(self) -> float:
        """The excess sharing."""
        return self.chances[SHARING].excess

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
    return Excess(chance.value, *found.intervals[SHARING], *said, found.excess, *found.excess_interval)


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
    intervals, samples = {}, np.zeros(0)
    for name in measures:
        if name in GRADIENTS:
            found = corrected(evidence, name, chances[name].value, plain[name], drawn)
            intervals[name] = interval(found, least=0, most=1)
            samples = found if name == SHARING else samples
        else:
            least = -1 if name == RANK_CORRELATION else 0
            intervals[name] = mirrored(chances[name].value, plain[name], least=least, most=1)
    excesses = _excess_samples(evidence, chances[SHARING], plain[SHARING], expected, drawn)
    return PairOverlap(chances, intervals, samples, excesses, (float(first.mean()), float(second.mean())))


def corrected(
    evidence: PairEvidence, measure: str, value: float, samples: Samples, drawn: NDArray[np.float64]
) -> Samples:
    """Return samples [R] of a measure without the bias of noise, from plain ones (:meth:`.PairEvidence.corrected`)."""
    if math.isnan(value):
        return np.full(len(samples), np.nan)
    return evidence.corrected(value, samples, drawn, evidence.influence(*GRADIENTS[measure](*evidence.means)))


def _excess_samples(
    evidence: PairEvidence, chance: Chance, samples: Samples, expected: Samples, drawn: NDArray[np.float64]
) -> Samples:
    """Return samples [R] of the excess sharing without the bias of noise, from plain ones of sharing and its mean.

    A bootstrap sample's chance is its exact mean over all orders of units, of which as much is left to 1, in
    proportion, as the median of all images leaves.
    """
    if math.isnan(chance.excess):
        return np.full(len(samples), np.nan)
    room = 1 - chance.median
    scale = room / (1 - expected_sharing(*evidence.means))
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
