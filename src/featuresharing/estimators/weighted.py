"""Draws from the prior that are weighted by their density, of which most do not matter."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from featuresharing.estimators.estimator import Mixture
from featuresharing.estimators.result_columns import SKIPPED_BY_IMAGE, Column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from featuresharing.engine.protocol import Engine
    from featuresharing.estimators.draws import PriorDraws
    from featuresharing.estimators.pieces import Done, LayerUnits, Piece
    from featuresharing.estimators.variants import Variants
    from featuresharing.networks.layers import Layer


class Weighted(Mixture):
    """An estimator whose variants are draws from the prior, with their density as shares.

    With ``tolerance_bits``, each image has as many draws as its evidence takes (:mod:`.waves`); else all have those
    that ``tolerance`` keeps.
    """

    @abstractmethod
    def squared(self, layer: "Layer", draws: "PriorDraws") -> "NDArray[np.float64]":
        """Return the squared lengths [samples] at which the density of draws is taken."""

    @abstractmethod
    def weighed_size(self, size: int) -> int:
        """Return of how many numbers these are the lengths, for a unit with ``size`` parameters."""

    def gives(self) -> tuple[Column, ...]:
        """Return all columns that it gives with its settings."""
        return self.columns() if self.settings.tolerance_bits is None else (*self.columns(), SKIPPED_BY_IMAGE)

    def variants(self, layer: "Layer", path: str, unit: int) -> "Variants":
        """Return the draws that matter by their density."""
        draws = self._draws(layer, path, unit)
        return draws.weighted(self.squared(layer, draws))

    def kept_draws(self, size: int) -> float:
        """Return how many draws ``tolerance`` does not leave out, on average."""
        from featuresharing.estimators.draw_weights import expected_draws

        return expected_draws(self.weighed_size(size), self.settings.samples, self.settings.tolerance)

    def pieces(
        self, engine: "Engine", asked: "LayerUnits", *, step: int, done: "Done | None" = None, softmax: bool = True
    ) -> "Iterator[Piece]":
        """Yield the sums in pieces; see :meth:`.Estimator.pieces`."""
        if self.settings.tolerance_bits is None:
            return super().pieces(engine, asked, step=step, done=done, softmax=softmax)
        from featuresharing.estimators.waves import Certainty, mix_in_waves

        wanted = Certainty(self.settings.tolerance_bits, self.settings.laplace, asked.targets)
        variants = (self._falling(asked.layer, asked.path, unit) for unit in asked.units)
        return mix_in_waves(engine, variants, wanted, step=step, done=done)

    def _falling(self, layer: "Layer", path: str, unit: int) -> "Variants":
        draws = self._draws(layer, path, unit)
        return draws.falling(self.squared(layer, draws))

    def _draws(self, layer: "Layer", path: str, unit: int) -> "PriorDraws":
        from featuresharing.estimators.draws import PriorDraws

        return PriorDraws(layer, path, unit, self.settings)
