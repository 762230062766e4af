"""Draws from the prior, weighted by their density: the method as the paper's text has it."""

from typing import TYPE_CHECKING

from featuresharing.estimators.weighted import Weighted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from featuresharing.estimators.draws import PriorDraws
    from featuresharing.networks.layers import Layer


class PriorWeighted(Weighted):
    """q = sum_s pi_s p(y | x, theta_s), theta_s ~ N(theta_u, scale^2 I), pi_s proportional to their prior density.

    As the number of draws grows it tends to the integral of p under N(theta_u, scale^2 / 2 I), since density times
    density has half the variance. Draws with a total weight of ``tolerance`` are left out. There is no standard error:
    weights leave about one draw, and thus no spread to estimate an error from.
    """

    name = "prior-weighted"
    summary = "the mean over draws from the prior, weighted by their density, as the paper's text has it"

    def squared(self, layer: "Layer", draws: "PriorDraws") -> "NDArray[np.float64]":
        """Return the lengths of whole draws."""
        return draws.squared

    def weighed_size(self, size: int) -> int:
        """Return the number of all parameters."""
        return size
