"""Sharing: the overlap of two tasks' contributions over the units of a layer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.randomness import keyed_generator

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Sharing:
    """Overlap in [0, 1], its 95 % bootstrap interval over images, and Spearman's rank correlation in [-1, 1]."""

    sharing: float
    low: float
    high: float
    spearman: float


def sharing(first: Array, second: Array) -> float:
    """Return sum_u min(a_u / sum a, b_u / sum b) for contributions a, b [U] of two tasks.

    1: both rely on the same units in the same proportions; 0: on different units. NaN if a task relies on none.
    """
    with np.errstate(invalid="ignore"):
        return float(np.minimum(first / first.sum(), second / second.sum()).sum())


def rank_correlation(first: Array, second: Array) -> float:
    """Return Spearman's rank correlation of two tasks' contributions [U]; NaN where one is constant."""
    ranks = _ranks(first), _ranks(second)
    if min(np.ptp(ranks[0]), np.ptp(ranks[1])) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def estimate_sharing(first: Array, second: Array, *, resamples: int = 1000, seed: int = 0) -> Sharing:
    """Estimate the sharing of two tasks from their evidence [U, N] at the true class of the same N images.

    The interval is that of the 2.5 and 97.5 percentiles over ``resamples`` bootstrap samples of the images, the same
    for both tasks. Noise in contributions lowers their overlap and resampling adds noise, so the bootstrap as a whole
    lies below the estimate: the interval is moved by the estimate's distance from the bootstrap's median.
    One image says nothing about the spread over images: its interval is NaN.
    """
    means = np.abs(first.mean(axis=1)), np.abs(second.mean(axis=1))
    overlap, correlation = sharing(*means), rank_correlation(*means)
    images = first.shape[1]
    if images < 2:
        return Sharing(overlap, float("nan"), float("nan"), correlation)
    rng = keyed_generator(seed, "bootstrap")
    counts = rng.multinomial(images, np.full(images, 1 / images), size=resamples).T / images
    a, b = np.abs(first @ counts), np.abs(second @ counts)
    with np.errstate(invalid="ignore"):
        overlaps = np.minimum(a / a.sum(axis=0), b / b.sum(axis=0)).sum(axis=0)
    low, median, high = np.percentile(overlaps, [2.5, 50, 97.5])
    interval = np.clip([overlap + low - median, overlap + high - median], 0, 1)
    return Sharing(overlap, float(interval[0]), float(interval[1]), correlation)


def _ranks(values: Array) -> NDArray[np.float64]:
    """Return ranks from 0, ties given the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts + 1) / 2)[inverse]
