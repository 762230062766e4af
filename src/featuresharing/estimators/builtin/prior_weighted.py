"""Draws from the prior, weighted by their density: the method as the paper's text has it."""

from typing import TYPE_CHECKING

from featuresharing.estimators.estimator import Mixture

if TYPE_CHECKING:
    from featuresharing.estimators.variants import Variants
    from featuresharing.networks.layers import Layer


class PriorWeighted(Mixture):
    """q = sum_s pi_s p(y | x, theta_s), theta_s ~ N(theta_u, scale^2 I), pi_s proportional to their prior density.

    As the number of draws grows it tends to the integral of p under N(theta_u, scale^2 / 2 I), since density times
    density has half the variance. Draws with a total weight of ``tolerance`` are left out. There is no standard error:
    weights leave about one draw, and thus no spread to estimate an error from.
    """

    name = "prior-weighted"
    summary = "the mean over draws from the prior, weighted by their density, as the paper's text has it"

    def variants(self, layer: "Layer", path: str, unit: int) -> "Variants":
        """Return the draws that matter by their density."""
        from featuresharing.estimators.draws import PriorDraws

        draws = PriorDraws(layer, path, unit, self.settings)
        return draws.weighted(draws.squared)

    def kept_draws(self, size: int) -> float:
        """Return how many draws are not left out, on average."""
        from featuresharing.estimators.draw_weights import expected_draws

        return expected_draws(size, self.settings.samples, self.settings.tolerance)
