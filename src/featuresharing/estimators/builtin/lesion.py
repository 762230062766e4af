"""The unit's parameters set to zero."""

from typing import TYPE_CHECKING, Any

from featuresharing.estimators.estimator import Mixture

if TYPE_CHECKING:
    from featuresharing.estimators.variants import Parameters, Variants
    from featuresharing.networks.layers import Layer


class Lesion(Mixture):
    """q = p(y | x, 0): the prediction, or the raw scores, of the network without the unit."""

    name = "lesion"
    summary = "the prediction with the unit's parameters set to zero"
    idle = frozenset({"samples", "scale", "tolerance", "tolerance_bits", "seed"})
    marginalizes = False
    raw_scores = True

    def recorded(self) -> dict[str, Any]:
        """Return the name alone."""
        return {"estimator": self.name}

    def variants(self, layer: "Layer", path: str, unit: int) -> "Variants":
        """Return a single variant, of zeros."""
        import numpy as np

        from featuresharing.estimators.variants import Variants

        def parameters(part: slice) -> "Parameters":
            count = part.stop - part.start
            return np.zeros((count, *layer.weight.shape[1:])), np.zeros(count)

        return Variants(unit, np.ones(1), parameters, effective_samples=1.0, skipped_mass=0.0)

    def kept_draws(self, size: int) -> float:
        """Return one."""
        return 1
