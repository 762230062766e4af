"""Evidence: how much a prediction owes to a unit, from the prediction with the unit (p) and without it (q)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError

COUNT = 1e6
"""The n of the Laplace correction (paper's code)."""

LAPLACE = ("paper", "standard")

Array = NDArray[np.floating[Any]]


def weight_of_evidence(
    predictions: Array, conditionals: Array, *, laplace: str = "paper", classes: int | None = None
) -> NDArray[np.float64]:
    """Return log2 odds(p) - log2 odds(q) in bits, float64 in the shape of ``conditionals`` (docs/method.md, step 3).

    ``predictions`` [N, K] and ``conditionals`` [U, N, K]; where only the true class is kept they are [N] and [U, N] and
    ``classes`` says K. ``laplace`` corrects probabilities before odds are taken: ``paper`` = (p n + 1) / (n K), what
    the paper's code computes, or ``standard`` = (p n + 1) / (n + K). Raises InputError for another name.
    """
    count = classes or conditionals.shape[-1]
    return np.subtract(_log_odds(predictions, count, laplace), _log_odds(conditionals, count, laplace))


def probability_difference(
    predictions: Array, conditionals: Array, *, laplace: str = "paper", classes: int | None = None
) -> NDArray[np.float64]:
    """Return p - q; arguments as in :func:`weight_of_evidence`, no correction is needed."""
    return np.subtract(predictions, conditionals, dtype=np.float64)


def information_difference(
    predictions: Array, conditionals: Array, *, laplace: str = "paper", classes: int | None = None
) -> NDArray[np.float64]:
    """Return log2 p - log2 q in bits after the Laplace correction; arguments as in :func:`weight_of_evidence`."""
    count = classes or conditionals.shape[-1]
    return np.subtract(np.log2(_correct(predictions, count, laplace)), np.log2(_correct(conditionals, count, laplace)))


METHODS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "we": weight_of_evidence,
    "probdiff": probability_difference,
    "infdiff": information_difference,
}
"""The evidence measures by their short names."""


def contribution(evidence: Array) -> NDArray[np.float64]:
    """Return the contribution [U] of every unit: |mean over images| of the evidence [U, N] at the true class."""
    return np.abs(np.mean(evidence, axis=1, dtype=np.float64))


def _correct(probabilities: Array, classes: int, laplace: str) -> NDArray[np.float64]:
    p: NDArray[np.float64] = np.asarray(probabilities, np.float64)
    if laplace == "paper":
        return (p * COUNT + 1) / (COUNT * classes)
    if laplace == "standard":
        return (p * COUNT + 1) / (COUNT + classes)
    raise InputError(f"laplace: found '{laplace}'; accepted are {' and '.join(LAPLACE)}.")


def _log_odds(probabilities: Array, classes: int, laplace: str) -> NDArray[np.float64]:
    corrected = _correct(probabilities, classes, laplace)
    odds: NDArray[np.float64] = np.log2(corrected) - np.log1p(-corrected) / np.log(2)
    return odds
