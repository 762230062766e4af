"""Sharing: the overlap of two tasks' contributions over the units of a layer."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.evidence import AXES, check_all, check_evidence, of_task
from featuresharing.errors import InputError
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, SharingSettings, check

Array = NDArray[np.floating[Any]]


FEW_IMAGES = 20
"""Under as many images, contributions and sharing are worth little."""


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
    Raises InputError for different shapes, and for contributions that are negative or not finite.

    >>> sharing(np.array([1.0, 3.0]), np.array([3.0, 1.0]))
    0.5
    """
    first, second = _check_contributions(first, second)
    with np.errstate(invalid="ignore"):
        return float(np.minimum(first / first.sum(), second / second.sum()).sum())


def rank_correlation(first: Array, second: Array) -> float:
    """Return Spearman's rank correlation of two tasks' contributions [U]; NaN where one is constant.

    Raises InputError as :func:`sharing`.

    >>> round(rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0])), 2)
    1.0
    """
    first, second = _check_contributions(first, second)
    ranks = _ranks(first), _ranks(second)
    if min(np.ptp(ranks[0]), np.ptp(ranks[1])) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def estimate_sharing(
    first: Array, second: Array, *, resamples: int = SharingSettings.resamples, seed: int = Config.seed
) -> Sharing:
    """Estimate the sharing of two tasks from their evidence [U, N] at the true class of the same N images.

    An image that is not of a task is NaN there for every unit (:func:`.true_classes.at_true_classes`). The interval is
    that of the 2.5 and 97.5 percentiles over ``resamples`` bootstrap samples of the images, the same for both tasks:
    images of both tasks, of the first alone and of the second alone are resampled each among themselves. Noise in
    contributions lowers their overlap and resampling adds noise, so the bootstrap as a whole lies below the estimate:
    the interval is moved by the estimate's distance from the bootstrap's median. One image of a task says nothing about
    the spread over images: the interval is NaN. Under 20 images, a warning says that the result rests on few. Raises
    InputError for no images, different shapes, evidence that is not finite, no resamples, or a seed below 0.

    >>> evidence = np.random.default_rng(0).random((6, 20))
    >>> round(estimate_sharing(evidence, evidence).sharing, 2)
    1.0
    """
    found = bootstrap_sharing(first, second, resamples=resamples, seed=seed)
    counts = [int(check_evidence(name, values)[1].sum()) for name, values in (("first", first), ("second", second))]
    if sentence := few_images(min(counts)):
        warnings.warn(sentence, stacklevel=2)
    return found


def few_images(images: int) -> str | None:
    """Return a sentence that warns of so few ``images`` that contributions and sharing rest on chance, else None."""
    if images >= FEW_IMAGES:
        return None
    found = "1 image is analysed, and allows no interval" if images == 1 else f"{images} images are analysed"
    return f"only {found}: contributions and sharing say little under {FEW_IMAGES} images."


def few_images_of_tasks(place: str, counts: Mapping[str, int]) -> list[str]:
    """Return sentences that warn of few images, of which ``counts`` has how many by task; they begin with ``place``.

    One says it of all tasks if they have as many.
    """
    if len(set(counts.values())) == 1:
        counts = {"": next(iter(counts.values()))}
    few = {task: sentence for task, count in counts.items() if (sentence := few_images(count))}
    return [f"{place}, task '{task}': {sentence}" if task else f"{place}: {sentence}" for task, sentence in few.items()]


def bootstrap_sharing(first: Array, second: Array, *, resamples: int, seed: int) -> Sharing:
    """Return what :func:`estimate_sharing` does, without a warning."""
    check(SharingSettings, "resamples", resamples)
    check(Config, "seed", seed)
    (first, of_first), (second, of_second) = check_evidence("first", first), check_evidence("second", second)
    if first.shape != second.shape:
        raise InputError(f"second: found {list(second.shape)}; accepted is the shape {list(first.shape)} of the first.")
    own = of_task(first, of_first), of_task(second, of_second)
    means = np.abs(own[0].mean(axis=1)), np.abs(own[1].mean(axis=1))
    overlap, correlation = sharing(*means), rank_correlation(*means)
    groups = [group for group in (of_first & of_second, of_first & ~of_second, of_second & ~of_first) if group.any()]
    if any(max(int((group & of).sum()) for group in groups) < 2 for of in (of_first, of_second)):
        return Sharing(overlap, float("nan"), float("nan"), correlation)
    rng = keyed_generator(seed, "bootstrap")
    drawn = np.zeros((resamples, len(of_first)))
    for group in groups:
        images = int(group.sum())
        drawn[:, group] = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
    counts = [of_task(drawn, of).T / of.sum() for of in (of_first, of_second)]
    a, b = np.abs(own[0] @ counts[0]), np.abs(own[1] @ counts[1])
    with np.errstate(invalid="ignore"):
        overlaps = np.minimum(a / a.sum(axis=0), b / b.sum(axis=0)).sum(axis=0)
    low, median, high = np.percentile(overlaps, [2.5, 50, 97.5])
    interval = np.clip([overlap + low - median, overlap + high - median], 0, 1)
    return Sharing(overlap, float(interval[0]), float(interval[1]), correlation)


def _check_contributions(first: Array, second: Array) -> tuple[Array, Array]:
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 1 or first.shape != second.shape or len(first) == 0:
        found = f"{list(first.shape)} and {list(second.shape)}"
        raise InputError(f"contributions: found {found}; accepted are two arrays [units] of one length.")
    for name, values in (("first", first), ("second", second)):
        right = np.isfinite(values) & (values >= 0)
        check_all(f"contributions of the {name} task", values, right, "finite numbers from 0", AXES)
    return first, second


def _ranks(values: Array) -> NDArray[np.float64]:
    """Return ranks from 0, ties given the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts + 1) / 2)[inverse]
