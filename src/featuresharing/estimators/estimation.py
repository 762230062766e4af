"""How conditionals are estimated: the settings, and the draws of a unit with what each counts.

==================  ===================================================================================================
estimator           q_t(y | x) =
==================  ===================================================================================================
``prior-weighted``  sum_s pi_s p_t(y | x, theta_s) with theta_s ~ N(theta_u, scale^2 I) and pi_s proportional to the
                    prior density of theta_s: the method as the paper's text has it. As S grows it tends to the integral
                    of p under N(theta_u, scale^2 / 2 I), since density times density has half the variance.
``published``       the same with pi_s proportional to the density of the filter w_s alone: what the paper's code
                    computes, since it sums the bias's log density over all draws, which normalisation removes.
``monte-carlo``     the mean of p_t(y | x, theta_s), which tends to the integral under the prior itself, with a standard
                    error for every number.
``quadrature``      that integral without sampling, for linear layers (:mod:`.quadrature`).
``lesion``          p_t(y | x, 0), with the unit's parameters at zero.
==================  ===================================================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featuresharing.arguments import check_whole, is_number, is_whole
from featuresharing.errors import InputError
from featuresharing.estimators.draw_weights import effective_samples, keep_largest, prior_weights
from featuresharing.estimators.draws import bias_deviations, deviations, shift_parameters, squared_lengths
from featuresharing.networks.layers import Layer, unit_size

ESTIMATORS = ("prior-weighted", "published", "monte-carlo", "quadrature", "lesion")
"""Accepted names of estimators."""

Parameters = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weights [k, *filter shape] and biases [k] of k variants of a unit."""


@dataclass(frozen=True)
class Estimation:
    """Settings of an estimate, as in :func:`featuresharing.marginalize`; raises InputError for what is not accepted."""

    estimator: str = "prior-weighted"
    samples: int = 100
    scale: float = 1.0
    tolerance: float = 1e-6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise InputError(f"estimator '{self.estimator}' is not known; accepted are {', '.join(ESTIMATORS)}.")
        least = 2 if self.estimator == "monte-carlo" else 1
        if not (is_whole(self.samples) and self.samples >= least):
            raise InputError(f"samples: found {self.samples}; accepted is at least {least} for {self.estimator}.")
        if not (is_number(self.scale) and 0 < self.scale < np.inf):
            raise InputError(f"scale: found {self.scale}; accepted is a number above 0.")
        if not (is_number(self.tolerance) and 0 <= self.tolerance < 1):
            raise InputError(f"tolerance: found {self.tolerance}; accepted is a number from 0 to below 1.")
        if self.estimator == "quadrature" and self.tolerance == 0:
            raise InputError("tolerance: found 0; accepted is a number above 0 for quadrature.")
        check_whole("seed", self.seed, 0)


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


def draw_variants(layer: Layer, path: str, unit: int, estimation: Estimation) -> Variants:
    """Return the draws of a unit that matter by their weights, all of them for ``monte-carlo``, or its lesion."""
    if estimation.estimator == "lesion":
        return _lesion(layer, unit)
    size = unit_size(layer)
    squared = squared_lengths(size, path, unit, samples=estimation.samples, seed=estimation.seed)
    if estimation.estimator == "monte-carlo":
        shares = np.full(estimation.samples, 1 / estimation.samples)
        kept, skipped = np.arange(estimation.samples), 0.0
    else:
        weighed = squared
        if estimation.estimator == "published" and layer.bias is not None:
            weighed = squared - np.square(bias_deviations(squared, size, path, unit, seed=estimation.seed))
        shares = prior_weights(weighed)
        kept, skipped = keep_largest(shares, estimation.tolerance)

    def parameters(part: slice) -> Parameters:
        drawn = deviations(squared, size, path, unit, kept[part].tolist(), seed=estimation.seed)
        return shift_parameters(layer, unit, estimation.scale * drawn)

    return Variants(unit, shares[kept], parameters, effective_samples(shares), skipped)


def _lesion(layer: Layer, unit: int) -> Variants:
    def parameters(part: slice) -> Parameters:
        count = part.stop - part.start
        return np.zeros((count, *layer.weight.shape[1:])), np.zeros(count)

    return Variants(unit, np.ones(1), parameters, effective_samples=1.0, skipped_mass=0.0)
