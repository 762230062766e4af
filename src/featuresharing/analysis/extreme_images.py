"""The images on which a unit gives a task the most evidence for the true class, and the least."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.evidence import Array, check_evidence, of_task
from featuresharing.analysis.tables import layer_evidence
from featuresharing.arguments import is_whole
from featuresharing.errors import InputError
from featuresharing.settings import EvidenceSettings

if TYPE_CHECKING:
    from featuresharing.store import LayerConditionals

HIGHEST, LOWEST = SIDES = ("highest", "lowest")
"""Ends of the images in the order of their evidence."""

COUNT = 8
"""How many images of each end are kept."""


@dataclass(frozen=True, eq=False)
class ExtremeImages:
    """Of every unit the k images at one end, the most extreme first.

    ``positions`` int64 [F, k] count the analysed images from 0, ``evidence`` float64 [F, k] is that at the true class.
    """

    positions: NDArray[np.int64]
    evidence: NDArray[np.float64]


def extreme_images(evidence: Array, *, side: str = HIGHEST, count: int = COUNT) -> ExtremeImages:
    """Return of every unit the ``count`` images with the ``highest`` or ``lowest`` evidence [F, N] of a task.

    They are fewer where the task has fewer images: those that are NaN for every unit are not of it. Of images with the
    same evidence, the first come first. Raises InputError for another side, a count below 1, and for what
    :func:`.evidence.contribution` refuses.

    >>> extreme_images(np.array([[1.0, 3.0, -2.0, 3.0]]), count=3).positions.tolist()
    [[1, 3, 0]]
    >>> extreme_images(np.array([[1.0, 3.0, -2.0, 3.0]]), side="lowest", count=2).evidence.tolist()
    [[-2.0, 1.0]]
    """
    if side not in SIDES:
        raise InputError(f"side: found {side!r}; accepted are {' and '.join(SIDES)}.")
    if not is_whole(count) or count < 1:
        raise InputError(f"count: found {count!r}; accepted is an integer from 1.")
    values, present = check_evidence("evidence", evidence)
    own = of_task(values, present)
    order = _first(-own if side == HIGHEST else own, min(count, own.shape[1]))
    found = np.take_along_axis(own, order, axis=1).astype(np.float64, copy=False)
    return ExtremeImages(np.flatnonzero(present)[order], found)


def layer_images(
    layer: "LayerConditionals",
    *,
    count: int = COUNT,
    method: str = EvidenceSettings.method,
    laplace: str = EvidenceSettings.laplace,
) -> dict[tuple[str, str], ExtremeImages]:
    """Return the extreme images of a layer's units by task and side; rows are those of ``layer.units``.

    Positions are those in the list of analysed images, ``kept.txt``, whose table is ``kept.csv``. Raises InputError as
    :func:`extreme_images`, and for conditionals that have no evidence.

    >>> found = layer_images(read_conditionals("conv5_7.h5"))
    >>> list(found), found["word", "highest"].positions.shape
    ([('word', 'highest'), ('word', 'lowest'), ('basic', 'highest'), ('basic', 'lowest')], (6, 8))
    """
    return {
        (task, side): extreme_images(values, side=side, count=count)
        for task, values in layer_evidence(layer, method=method, laplace=laplace).items()
        for side in SIDES
    }


def _first(values: Array, count: int) -> NDArray[np.int64]:
    """Return the columns [F, count] of the lowest ``values`` [F, N] in their order; of equal ones the first."""
    most = np.partition(values, count - 1, axis=1)[:, count - 1 : count]
    below, equal = values < most, values == most
    left = count - below.sum(axis=1, keepdims=True)
    chosen = below | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= left))
    columns = np.nonzero(chosen)[1].reshape(len(values), count)
    order = np.argsort(np.take_along_axis(values, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)
