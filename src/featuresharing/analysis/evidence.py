"""Evidence: how much a prediction owes to a unit, from the prediction with the unit (p) and without it (q)."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.estimators.log_odds import corrected, log_odds
from featuresharing.settings import EvidenceSettings, check

AXES = ("unit", "image", "class")
"""Axes of conditionals, and of evidence; predictions have no units."""

ROUNDING = 1e-5
"""How far above 1 rounding may take a probability: sums of float32."""

Array = NDArray[np.floating[Any]]


def weight_of_evidence(
    predictions: Array, conditionals: Array, *, laplace: str = EvidenceSettings.laplace, classes: int | None = None
) -> NDArray[np.float64]:
    """Return log2 odds(p) - log2 odds(q) in bits, float64 in the shape of ``conditionals`` (docs/method.md, step 3).

    ``predictions`` [N, K] and ``conditionals`` [U, N, K]; where only the true class is kept they are [N] and [U, N] and
    ``classes`` says K. ``laplace`` corrects probabilities before odds are taken: ``paper`` = (p n + 1) / (n K), what
    the paper's code computes, or ``standard`` = (p n + 1) / (n + K). Raises InputError for another name, for what is no
    probability (NaN included), for shapes that do not belong together, and where K is not said or below 2.

    >>> p, q = np.array([[0.8, 0.2]]), np.array([[[0.5, 0.5]]])
    >>> weight_of_evidence(p, q, laplace="standard").round(3).tolist()
    [[[2.0, -2.0]]]
    """
    p, q, count = _check_pair(predictions, conditionals, classes)
    return np.subtract(_log_odds(p, count, laplace), _log_odds(q, count, laplace))


def probability_difference(
    predictions: Array, conditionals: Array, *, laplace: str = EvidenceSettings.laplace, classes: int | None = None
) -> NDArray[np.float64]:
    """Return p - q; arguments as in :func:`weight_of_evidence`, no correction is needed, and raw scores will do.

    Raises InputError for values that are not finite and for shapes that do not belong together.

    >>> probability_difference(np.array([[0.5, 0.5]]), np.array([[[0.25, 0.75]]])).tolist()
    [[[0.25, -0.25]]]
    """
    p, q = _check_shapes(predictions, conditionals)
    for name, values, axes in (("predictions", p, AXES[1:]), ("conditionals", q, AXES)):
        check_all(name, values, np.isfinite(values), "finite numbers", axes)
    return np.subtract(p, q, dtype=np.float64)


def information_difference(
    predictions: Array, conditionals: Array, *, laplace: str = EvidenceSettings.laplace, classes: int | None = None
) -> NDArray[np.float64]:
    """Return log2 p - log2 q in bits after the Laplace correction.

    Arguments, shapes and errors are those of :func:`weight_of_evidence`.

    >>> information_difference(np.array([[0.5, 0.5]]), np.array([[[0.25, 0.75]]])).round(3).tolist()
    [[[1.0, -0.585]]]
    """
    p, q, count = _check_pair(predictions, conditionals, classes)
    return np.subtract(np.log2(_correct(p, count, laplace)), np.log2(_correct(q, count, laplace)))


METHODS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "we": weight_of_evidence,
    "probdiff": probability_difference,
    "infdiff": information_difference,
}
"""The evidence measures by their short names."""


def contribution(evidence: Array) -> NDArray[np.float64]:
    """Return the contribution [U] of every unit: |mean over images| of the evidence [U, N] at the true class.

    Images that are NaN for every unit are not of the task, and left out (:func:`.true_classes.at_true_classes`). Raises
    InputError for evidence that is not finite otherwise or of another shape, or for no images.

    >>> contribution(np.array([[1.0, 3.0], [-2.0, 0.0]])).tolist()
    [2.0, 1.0]
    """
    values, present = check_evidence("evidence", evidence)
    return np.abs(np.mean(of_task(values, present), axis=1, dtype=np.float64))


def check_evidence(name: str, evidence: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return evidence [U, N] of one task, and which images are of the task [N]: those that are not NaN for every unit.

    Raises InputError for another shape, no images, or what is not finite otherwise.
    """
    values = np.asarray(evidence)
    present: NDArray[np.bool_] = np.zeros(0, np.bool_)
    if values.ndim == 2:
        present = np.asarray(~np.isnan(values).all(axis=0)) if len(values) else np.ones(values.shape[1], np.bool_)
    if not present.any():
        found = f"{list(values.shape)}{', all NaN' if values.size and values.ndim == 2 else ''}"
        raise InputError(f"{name}: found {found}; accepted is [units, images], with one image or more.")
    check_all(name, values, np.isfinite(values) | ~present, "finite numbers", AXES)
    return values, present


def of_task(values: Array, present: NDArray[np.bool_]) -> Array:
    """Return ``values`` [..., N] of the images that are ``present``; the array itself if all are."""
    return values if present.all() else np.ascontiguousarray(values[..., present])


def check_all(name: str, values: Array, right: NDArray[np.bool_], accepted: str, axes: Sequence[str]) -> None:
    """Raise InputError that names the place of the first value which is not ``right``, by position along ``axes``."""
    if right.all():
        return
    wrong = np.argwhere(~right)[0]
    place = ", ".join(f"{axis} {index}" for axis, index in zip(axes, wrong, strict=False))
    raise InputError(f"{name}: found {values[tuple(wrong)]} at {place} (counted from 0); accepted are {accepted}.")


def _check_shapes(predictions: Array, conditionals: Array) -> tuple[Array, Array]:
    p, q = np.asarray(predictions), np.asarray(conditionals)
    if p.ndim > q.ndim or q.shape[q.ndim - p.ndim :] != p.shape:
        raise InputError(
            f"conditionals: found {list(q.shape)} for predictions {list(p.shape)}; "
            "accepted are [units, images, classes] for [images, classes], or [units, images] for [images]."
        )
    return p, q


def _check_pair(predictions: Array, conditionals: Array, classes: int | None) -> tuple[Array, Array, int]:
    """Return probabilities that belong together, and the number K of classes."""
    p, q = _check_shapes(predictions, conditionals)
    if classes is None and p.ndim < 2:
        raise InputError("classes: found none for predictions [images]; accepted is the task's number of classes.")
    count = p.shape[-1] if classes is None else classes
    if count < 2:
        raise InputError(f"classes: found {count}; accepted are two or more: one class has no odds.")
    for name, values, axes in (("predictions", p, AXES[1:]), ("conditionals", q, AXES)):
        check_all(name, values, (values >= 0) & (values <= 1 + ROUNDING), "probabilities from 0 to 1", axes)
    return p, q, count


def _correct(probabilities: Array, classes: int, laplace: str) -> NDArray[np.float64]:
    check(EvidenceSettings, "laplace", laplace)
    return corrected(probabilities, classes, laplace)


def _log_odds(probabilities: Array, classes: int, laplace: str) -> NDArray[np.float64]:
    check(EvidenceSettings, "laplace", laplace)
    return log_odds(probabilities, classes, laplace)
