"""Conditionals come in pieces: of a group of units, on some of the images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from featuresharing.engine.protocol import Engine
from featuresharing.estimators.result_columns import Columned
from featuresharing.networks.layers import Layer

Array = NDArray[np.float32] | NDArray[np.float64]
"""float32, or float64 for networks in float64."""

Done = Callable[[slice, slice], bool]
"""Whether some rows (positions among the units) are there already on a slice of the images."""


def as_results(values: Array, engine: Engine) -> Array:
    """Return values in the precision of an engine's conditionals."""
    return values if engine.dtype == torch.float64 else values.astype(np.float32)


@dataclass(frozen=True, eq=False)
class LayerUnits:
    """The ``units`` of the ``layer`` at a module ``path`` that are asked for, by number.

    ``targets`` int64 [images, tasks] are the classes that will be looked at, -1 for none (None: all are).
    """

    layer: Layer
    path: str
    units: Sequence[int]
    targets: NDArray[np.int64] | None = None


@dataclass(frozen=True, eq=False)
class Piece(Columned):
    """The conditionals of the units at ``rows`` (positions among all that were asked for) on the ``images`` of a slice.

    ``probabilities`` [units, images, classes] by task, and ``columns`` by name as in
    :class:`featuresharing.Conditionals`, which has all pieces.
    """

    rows: slice
    images: slice
    probabilities: tuple[Array, ...]
    columns: Mapping[str, Any]
