"""Bootstrap samples of the images that two tasks were analysed on."""

from collections.abc import Iterator
from typing import Any

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
        self.means: Pair = np.abs(self._own[0].mean(axis=0)), np.abs(self._own[1].mean(axis=0))

    @property
    def images(self) -> int:
        """How many images the task has that has fewest."""
        return min(int(of.sum()) for of in self._present)

    def resampled(self, resamples: int, rng: np.random.Generator) -> Iterator[Pair]:
        """Yield contributions [r, U] of both tasks with resampled images, ``resamples`` in all, in blocks.

        Images of both tasks, of the first alone and of the second alone are resampled each among themselves. Nothing
        is yielded where a task has no two images that can stand for each other.
        """
        first, second = self._present
        groups = [group for group in (first & second, first & ~second, second & ~first) if group.any()]
        if any(max(int((group & of).sum()) for group in groups) < 2 for of in self._present):
            return
        drawn: NDArray[Any] = np.zeros((resamples, len(first)))
        for group in groups:
            images = int(group.sum())
            drawn[:, group] = rng.multinomial(images, np.full(images, 1 / images), size=resamples)
        weights = [of_task(drawn, of) / of.sum() for of in self._present]
        step = max(1, BLOCK // len(self.means[0]))
        for start in range(0, resamples, step):
            a, b = (np.abs(each[start : start + step] @ own) for each, own in zip(weights, self._own, strict=True))
            yield a, b
