"""The integral over a unit's parameters without sampling, for linear layers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from featuresharing.estimators.estimator import Estimator, Numbers
from featuresharing.estimators.result_columns import ERROR_ESTIMATE
from featuresharing.settings.block import Problem

if TYPE_CHECKING:
    from featuresharing.engine.protocol import Engine
    from featuresharing.estimators.pieces import Done, LayerUnits, Piece

INTEGRATION_POINTS = 600
"""About how many variants of a unit it takes for an image."""


class Quadrature(Estimator):
    """q = the integral of p(y | x, theta) under the prior N(theta_u, scale^2 I), solved to an error of ``tolerance``.

    A unit of a linear layer meets an image as one number (:mod:`featuresharing.estimators.integration`).
    """

    name = "quadrature"
    summary = "the integral over the prior without sampling, with an estimate of its error"
    idle = frozenset({"samples", "seed", "tolerance_bits"})
    adds = (ERROR_ESTIMATE,)
    layers = "linear layers that take one row an image"
    sets_outputs = True

    @classmethod
    def takes(cls, *, linear: bool, rows: float | None = 1) -> bool:
        """Return whether a unit of the layer meets an image as one number."""
        return linear and rows == 1

    @classmethod
    def problems(cls, settings: Numbers) -> Iterator[Problem]:
        """Yield a tolerance that no integral reaches."""
        if settings.tolerance == 0:
            yield Problem("tolerance", f": found {settings.tolerance}; accepted is a number above 0 for {cls.name}")

    def kept_draws(self, size: int) -> float:
        """Return about how many points an integral takes."""
        return INTEGRATION_POINTS

    def pieces(
        self, engine: "Engine", asked: "LayerUnits", *, step: int, done: "Done | None" = None, softmax: bool = True
    ) -> "Iterator[Piece]":
        """Yield the integrals of one unit after the other; see :meth:`.Estimator.pieces`."""
        from featuresharing.estimators.integration import integrals

        return integrals(
            engine, asked, scale=self.settings.scale, tolerance=self.settings.tolerance, step=step, done=done
        )
