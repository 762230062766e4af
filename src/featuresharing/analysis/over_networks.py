"""Means over the networks of an experiment: the hierarchical bootstrap, networks first and then images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.evidence import Array
from featuresharing.analysis.intervals import NONE, Interval, interval
from featuresharing.errors import InputError
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, check

NORMAL = 1.959963984540054
"""97.5 percentile of the normal distribution."""


@dataclass(frozen=True)
class Networks:
    """A number of each of N networks: ``values`` [N], and bootstrap ``samples`` [N, R] over images (R may be 0).

    Samples of a network lie around what its value is without the bias of noise.

    ``key`` says which networks these are: those of other keys are resampled independently.
    """

    values: NDArray[np.float64]
    samples: NDArray[np.float64]
    key: str = ""

    @property
    def known(self) -> "Networks":
        """Those networks that have a value."""
        there = np.isfinite(self.values)
        return self if there.all() else Networks(self.values[there], self.samples[there], self.key)

    @property
    def mean(self) -> float:
        """The mean over networks; NaN if there are none."""
        return float(self.values.mean()) if len(self.values) else math.nan

    @property
    def sd(self) -> float:
        """The standard deviation over networks; NaN for one."""
        return float(self.values.std(ddof=1)) if len(self.values) > 1 else math.nan


def estimate_over_networks(values: Array, samples: Array, *, seed: int = Config.seed) -> tuple[float, float, float]:
    """Return the mean of ``values`` [N] over networks with its 95 % interval, from bootstrap ``samples`` [N, R].

    The hierarchical bootstrap draws networks with replacement, and a bootstrap sample over images for each
    (docs/method.md, step 6). Networks' distances from their mean are scaled: up by sqrt(N / (N - 1)) and Student's t
    over the normal distribution, so that few networks give no interval that is too narrow, and down by what their
    images alone make them differ, which counts once. With one network, the interval is that over its images. Raises
    InputError for other shapes, and a seed below 0.

    >>> values = np.array([0.2, 0.4])
    >>> mean, low, high = estimate_over_networks(values, values[:, None] + np.zeros(100))
    >>> round(mean, 2), low < mean < high
    (0.3, True)
    """
    check(Config, "seed", seed)
    numbers, drawn = np.asarray(values, dtype=np.float64), np.asarray(samples, dtype=np.float64)
    if numbers.ndim != 1 or drawn.ndim != 2 or len(drawn) != len(numbers):
        found = f"{list(numbers.shape)} and {list(drawn.shape)}"
        raise InputError(f"values and samples: found {found}; accepted are [networks] and [networks, samples].")
    given = Networks(numbers, drawn).known
    return given.mean, *interval_over_networks([given], seed=seed)


def interval_over_networks(
    parts: Sequence[Networks], *, seed: int, least: float = -math.inf, most: float = math.inf
) -> Interval:
    """Return the 95 % interval of the mean over networks, or of the first part's less the second's."""
    if any(not len(part.values) or not part.samples.shape[1] or np.isnan(part.samples).any() for part in parts):
        return NONE
    spreads = [_spread(part) for part in parts]
    stretch = _student(spreads, [len(part.values) for part in parts]) / NORMAL
    signed = zip((1, -1), parts, spreads, strict=False)
    found = sum(sign * _resampled(part, spread, stretch, seed) for sign, part, spread in signed)
    return interval(np.asarray(found), least=least, most=most)


def mean_p(values: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Student's t test that the mean of ``values`` [N] is 0; NaN without spread."""
    from scipy.stats import t as student

    if len(values) < 2 or not (spread := values.std(ddof=1)) > 0:
        return math.nan
    return float(2 * student.sf(abs(values.mean()) / spread * math.sqrt(len(values)), len(values) - 1))


def _spread(part: Networks) -> float:
    """Return the variance over networks; 0 for one, of which nothing is known."""
    return float(part.samples.mean(axis=1).var(ddof=1)) if len(part.values) > 1 else 0.0


def _student(spreads: Sequence[float], counts: Sequence[int]) -> float:
    """Return the 97.5 percentile of Student's t for a mean over networks, or the difference of two (Welch)."""
    from scipy.stats import t as student

    shares = [spread / count for spread, count in zip(spreads, counts, strict=True)]
    squares = sum(share**2 / (count - 1) for share, count in zip(shares, counts, strict=True) if count > 1)
    return float(student.ppf(0.975, sum(shares) ** 2 / squares)) if squares > 0 else NORMAL


def _resampled(part: Networks, spread: float, stretch: float, seed: int) -> NDArray[np.float64]:
    """Return bootstrap samples [R] of the mean over networks: of networks, and of the images of each.

    Networks differ by their images too, of which they are not made to differ twice.
    """
    over_images = part.samples.mean(axis=0)
    networks, resamples = part.samples.shape
    if spread == 0:
        return np.asarray(over_images)
    centres = part.samples.mean(axis=1)
    images = float((part.samples - centres[:, None]).var(axis=0, ddof=1).mean())
    scale = math.sqrt(max(0.0, stretch**2 - images / spread) * networks / (networks - 1))
    rng = keyed_generator(seed, "bootstrap of networks", part.key)
    weights = rng.multinomial(networks, np.full(networks, 1 / networks), size=resamples) / networks
    return np.asarray(over_images + scale * (weights @ (centres - centres.mean())))
