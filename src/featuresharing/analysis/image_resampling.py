"""Bootstrap samples of the images that two tasks were analysed on, and what an interval is made of from them."""

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.chance import BLOCK
from featuresharing.analysis.evidence import Array, check_evidence, of_task
from featuresharing.errors import InputError

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


class PairEvidence:
    """Evidence [U, N] of two tasks at the true class of the same images, NaN on images that are not of the task.

    ``means`` are the contributions [U] of both. Raises InputError for no images, different shapes, and evidence that is
    not finite otherwise.
    """

    def __init__(self, first: Array, second: Array) -> None:
        (first, of_first), (second, of_second) = check_evidence("first", first), check_evidence("second", second)
        if first.shape != second.shape:
            accepted = f"accepted is the shape {list(first.shape)} of the first"
            raise InputError(f"second: found {list(second.shape)}; {accepted}.")
        self._present = of_first, of_second
        # images along the first axis, units in rows: what is resampled comes in rows of units, which sorting wants
        self._own = tuple(
            np.ascontiguousarray(of_task(values, of).T, np.float64)
            for values, of in ((first, of_first), (second, of_second))
        )
        self._signed = self._own[0].mean(axis=0), self._own[1].mean(axis=0)
        self.means: Pair = np.abs(self._signed[0]), np.abs(self._signed[1])

    @property
    def images(self) -> int:
        """How many images the task has that has fewest."""
        return min(int(of.sum()) for of in self._present)

    @cached_property
    def groups(self) -> list[NDArray[np.bool_]]:
        """Which images [N] are of both tasks, of the first alone and of the second alone, where there are such.

        None where a task has no two images that can stand for each other: nothing can be resampled.
        """
        first, second = self._present
        groups = [group for group in (first & second, first & ~second, second & ~first) if group.any()]
        lonely = any(max(int((group & of).sum()) for group in groups) < 2 for of in self._present)
        return [] if lonely else groups

    def draw(self, resamples: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return how often each image is drawn [resamples, N], each group by itself; [0, N] without groups."""
        drawn = np.zeros((resamples if self.groups else 0, len(self._present[0])))
        for group in self.groups:
            images = int(group.sum())
            drawn[:, group] = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
        return drawn

    def resampled(self, drawn: NDArray[np.float64]) -> Iterator[Pair]:
        """Yield contributions [r, U] of both tasks with images drawn so often, ``drawn`` [R, N], in blocks."""
        weights = [of_task(drawn, of) / of.sum() for of in self._present]
        step = max(1, BLOCK // len(self.means[0]))
        for start in range(0, len(drawn), step):
            a, b = (np.abs(each[start : start + step] @ own) for each, own in zip(weights, self._own, strict=True))
            yield a, b

    def influence(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how much a number changes with the weight of each image [N], 1 a piece.

        ``first`` and ``second`` [U] are its derivatives with respect to the contributions of both tasks.
        """
        found = np.zeros(len(self._present[0]))
        for gradient, own, signed, of in zip((first, second), self._own, self._signed, self._present, strict=True):
            found[of] += (own - signed) @ (gradient * np.sign(signed)) / len(own)
        return found

    def corrected(
        self, value: float, samples: NDArray[np.float64], drawn: NDArray[np.float64], influence: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return samples [R] of 2 ``value`` - the mean of bootstrap ``samples`` [R] of images ``drawn`` [R, N].

        How much each image moves that is twice its ``influence`` [N] on the value, less the covariance of the samples
        with how often it was drawn (the infinitesimal jackknife; Efron 2014); what the few samples add to that is
        taken off. Images are then drawn as for ``samples``, so that those of several numbers belong together.
        """
        if not len(samples):
            return samples
        centred = drawn - 1
        moved = 2 * influence - centred.T @ (samples - samples.mean()) / len(samples)
        for group in self.groups:
            images = int(group.sum())
            moved[group] = (moved[group] - moved[group].mean()) * math.sqrt(images / max(1, images - 1))
        free = sum(int(group.sum()) - 1 for group in self.groups)
        spread = float(samples.var())
        wanted = max(float(moved @ moved) - free / len(samples) * spread, spread)
        deviations = centred @ moved
        found = float(deviations.var())
        scale = math.sqrt(wanted / found) if found > 0 else 0.0
        return np.asarray(2 * value - samples.mean() + (deviations - deviations.mean()) * scale)
