"""The plain mean over draws from the prior, with its standard error."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from featuresharing.estimators.estimator import Mixture, Numbers
from featuresharing.estimators.result_columns import STANDARD_ERROR
from featuresharing.settings.block import Problem

if TYPE_CHECKING:
    from featuresharing.estimators.variants import Variants
    from featuresharing.networks.layers import Layer


class MonteCarlo(Mixture):
    """q = the mean of p(y | x, theta_s), which tends to the integral under the prior, theta_s ~ N(theta_u, scale^2 I).

    Every number has a standard error, which takes two draws.
    """

    name = "monte-carlo"
    summary = "the plain mean over draws from the prior, two or more, with a standard error"
    idle = frozenset({"tolerance", "tolerance_bits"})
    adds = (STANDARD_ERROR,)

    @classmethod
    def problems(cls, settings: Numbers) -> Iterator[Problem]:
        """Yield a single draw."""
        if settings.samples < 2:
            yield Problem("samples", f": found {settings.samples}; accepted is at least 2 for {cls.name}")

    def variants(self, layer: "Layer", path: str, unit: int) -> "Variants":
        """Return all draws, each with the same share."""
        from featuresharing.estimators.draws import PriorDraws

        return PriorDraws(layer, path, unit, self.settings).equal()

    def kept_draws(self, size: int) -> float:
        """Return the number of all draws: none is left out."""
        return self.settings.samples
