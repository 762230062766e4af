"""Draws from the prior, weighted by the density of the filter alone: what the paper's code computes."""

from typing import TYPE_CHECKING

from featuresharing.estimators.estimator import Mixture

if TYPE_CHECKING:
    from featuresharing.estimators.variants import Variants
    from featuresharing.networks.layers import Layer


class Published(Mixture):
    """As ``prior-weighted``, with pi_s proportional to the density of the filter w_s alone.

    The paper's code sums the bias's log density over all draws, which normalisation removes. To know a filter's length,
    the bias of every draw has to be drawn, and with it all other numbers.
    """

    name = "published"
    summary = "the same mean, weighted by the density of the filter alone, as the paper's code has it"

    def variants(self, layer: "Layer", path: str, unit: int) -> "Variants":
        """Return the draws that matter by the density of their filters."""
        from featuresharing.estimators.draws import PriorDraws

        draws = PriorDraws(layer, path, unit, self.settings)
        return draws.weighted(draws.squared if layer.bias is None else draws.squared_of_filters())

    def kept_draws(self, size: int) -> float:
        """Return how many draws are not left out, on average: weights are those of the filter, without the bias."""
        from featuresharing.estimators.draw_weights import expected_draws

        return expected_draws(size - 1, self.settings.samples, self.settings.tolerance)

    def weighed_draws(self) -> int:
        """Return the number of all draws."""
        return self.settings.samples
