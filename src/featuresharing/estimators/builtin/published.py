"""Draws from the prior, weighted by the density of the filter alone: what the paper's code computes."""

from typing import TYPE_CHECKING

from featuresharing.estimators.weighted import Weighted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from featuresharing.estimators.draws import PriorDraws
    from featuresharing.networks.layers import Layer


class Published(Weighted):
    """As ``prior-weighted``, with pi_s proportional to the density of the filter w_s alone.

    The paper's code sums the bias's log density over all draws, which normalisation removes. To know a filter's length,
    the bias of every draw has to be drawn, and with it all other numbers.
    """

    name = "published"
    summary = "the same mean, weighted by the density of the filter alone, as the paper's code has it"

    def squared(self, layer: "Layer", draws: "PriorDraws") -> "NDArray[np.float64]":
        """Return the lengths of the filters of draws, without their biases."""
        return draws.squared if layer.bias is None else draws.squared_of_filters()

    def weighed_size(self, size: int) -> int:
        """Return the number of a filter's parameters, without the bias."""
        return size - 1

    def weighed_draws(self) -> int:
        """Return the number of all draws."""
        return self.settings.samples
