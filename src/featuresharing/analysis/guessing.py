"""What guessing gives, and whether as many right answers are no more than that."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featuresharing.data.lists import MISSING

GUESSED = 0.05
"""What guessing reaches with this probability is taken for chance."""


def guessing_probability(hits: int, images: int, share: float) -> float:
    """Return how probable ``hits`` or more of ``images`` are where each is guessed right with probability ``share``.

    >>> round(guessing_probability(4, 4, 0.5), 4)
    0.0625
    """
    from scipy.stats import binom

    return float(binom.sf(hits - 1, images, share))


def chance_accuracy(targets: ArrayLike) -> NDArray[np.float64]:
    """Return how accurate each task is where its most frequent class is always named: [tasks].

    ``targets`` [images, tasks] are true classes, -1 where an image is not of a task; of a task without images, it is
    NaN.

    >>> chance_accuracy([[0, 1], [0, -1], [2, 2]]).round(2).tolist()
    [0.67, 0.5]
    """
    found = []
    for column in np.asarray(targets).T:
        _, counts = np.unique(column[column != MISSING], return_counts=True)
        found.append(counts.max() / counts.sum() if len(counts) else np.nan)
    return np.array(found, np.float64)
