"""Variants of a unit: other parameters, and what each counts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Parameters = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weights [k, *filter shape] and biases [k] of k variants of a unit."""


@dataclass(frozen=True, eq=False)
class Variants:
    """Other parameters of one unit: ``shares`` [k] say what each counts, ``parameters`` makes those of a slice.

    ``effective_samples`` and ``skipped_mass`` say how many draws count and how much the shares lack of 1.
    """

    unit: int
    shares: NDArray[np.float64]
    parameters: Callable[[slice], Parameters]
    effective_samples: float
    skipped_mass: float
