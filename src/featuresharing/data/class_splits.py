"""Which images train a probe, and which are left over: a share of those of each class."""

import numpy as np
from numpy.typing import NDArray

from featuresharing.arguments import is_number
from featuresharing.data.lists import MISSING
from featuresharing.errors import InputError
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, check

Classes = NDArray[np.int64]


def split_for_probe(targets: Classes, *, share: float, seed: int, task: str) -> Classes:
    """Return true classes [N] of a random ``share`` of the images of each class, which train a probe; else MISSING.

    The number is rounded, but at least two images of a class train, and one is left over if there are three. The choice
    depends on (seed, task, and which images have which class) alone.

    >>> chosen = split_for_probe(np.array([0, 0, 1, 1, 0, 0, 1, 1, -1]), share=0.5, seed=0, task="word")
    >>> np.bincount(chosen[chosen >= 0]).tolist()
    [2, 2]
    """
    check(Config, "seed", seed)
    if not (is_number(share) and 0 < share < 1):
        raise InputError(f"share: found {share!r}; accepted is a number above 0 and below 1.")
    chosen = np.full(len(targets), MISSING)
    for number in np.unique(targets[targets != MISSING]).tolist():
        images = np.flatnonzero(targets == number)
        most = max(len(images) - 1, 2)
        size = min(max(round(share * len(images)), 2), most)
        drawn = keyed_generator(seed, "probe", task, number).permutation(len(images))[:size]
        chosen[images[drawn]] = number
    return chosen
