"""Sharing: the overlap of two tasks' contributions over the units of a layer, with an interval over images."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from featuresharing.analysis.evidence import Array
from featuresharing.analysis.image_resampling import PairEvidence
from featuresharing.analysis.intervals import interval
from featuresharing.analysis.overlap import SHARING, rank_correlation, sharing
from featuresharing.analysis.pair_overlap import corrected, resampled_overlap
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, SharingSettings, check

FEW_IMAGES = 20
"""Under as many images, contributions and sharing are worth little."""


@dataclass(frozen=True)
class Sharing:
    """Overlap in [0, 1], its 95 % bootstrap interval over images, and Spearman's rank correlation in [-1, 1]."""

    sharing: float
    low: float
    high: float
    spearman: float


def estimate_sharing(
    first: Array, second: Array, *, resamples: int = SharingSettings.resamples, seed: int = Config.seed
) -> Sharing:
    """Estimate the sharing of two tasks from their evidence [U, N] at the true class of the same N images.

    An image that is not of a task is NaN there for every unit (:func:`.true_classes.at_true_classes`). The 95 %
    interval is that of the sharing on ever more such images, from ``resamples`` bootstrap samples of the images, the
    same for both tasks: images of both tasks, of the first alone and of the second alone are resampled each among
    themselves. Noise in contributions lowers their overlap, by about as much as resampling lowers it again: the
    interval lies around the estimate less that (docs/method.md, step 5), and need not contain the estimate. One image
    of a task says nothing about the spread over images: the interval is NaN. Under 20 images, a warning says that the
    result rests on few. Raises InputError for no images, different shapes, evidence that is not finite, no resamples,
    or a seed below 0.

    >>> evidence = np.random.default_rng(0).random((6, 20))
    >>> round(estimate_sharing(evidence, evidence).sharing, 2)
    1.0
    """
    check(SharingSettings, "resamples", resamples)
    check(Config, "seed", seed)
    evidence = PairEvidence(first, second)
    drawn = evidence.draw(resamples, keyed_generator(seed, "bootstrap of images"))
    samples, _ = resampled_overlap(evidence, drawn, [SHARING])
    value = sharing(*evidence.means)
    found = interval(corrected(evidence, SHARING, value, samples[SHARING], drawn), least=0, most=1)
    if sentence := few_images(evidence.images):
        warnings.warn(sentence, stacklevel=2)
    return Sharing(value, *found, rank_correlation(*evidence.means))


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
