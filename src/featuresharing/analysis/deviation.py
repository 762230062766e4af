"""How far an accuracy is from those of units removed in random orders (paper, chapter 3)."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from featuresharing.errors import InputError


def deviation_p_values(accuracy: NDArray[np.float64], random: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return two-sided p-values, in the shape of ``accuracy``, that it is one more of the ``random`` [orders, ...].

    Those are taken to be normal with unknown mean and deviation, so that (y - m) / (s sqrt(1 + 1/n)) has Student's t
    distribution with n - 1 degrees of freedom. The paper's code compares the *density* of a normal distribution with
    its threshold, which depends on the unit of measurement (docs/fidelity.md). Where all random orders agree, p is 1
    for the same value and 0 for any other. Raises InputError for fewer than two orders.
    """
    count = len(random)
    if count < 2 or random.shape[1:] != accuracy.shape:
        found = f"{list(random.shape)} for accuracies {list(accuracy.shape)}"
        raise InputError(f"random: found accuracies of shape {found}; accepted are two or more of their shape.")
    spread = random.std(axis=0, ddof=1) * np.sqrt(1 + 1 / count)
    distance = np.abs(accuracy - random.mean(axis=0))
    # sums of equal numbers are equal up to rounding
    same = distance < 1e-12
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * student.sf(distance / spread, count - 1)
    return np.where(same, 1.0, np.where(spread < 1e-12, 0.0, p_values))
