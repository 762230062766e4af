"""What an estimator is: a class that says what it draws, adds, takes and costs, and computes conditionals in pieces."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from featuresharing.estimators.result_columns import ALWAYS, STANDARD_ERROR, Column
from featuresharing.settings.block import Problem

if TYPE_CHECKING:
    from featuresharing.engine.protocol import Engine
    from featuresharing.estimators.estimation import Estimation
    from featuresharing.estimators.pieces import Done, LayerUnits, Piece
    from featuresharing.estimators.variants import Variants
    from featuresharing.networks.layers import Layer


class Numbers(Protocol):
    """Settings that :meth:`Estimator.problems` looks at: an Estimation, or the block of a config."""

    @property
    def samples(self) -> int:
        """How many draws are made for each unit."""

    @property
    def scale(self) -> float:
        """The standard deviation of the prior."""

    @property
    def tolerance(self) -> float:
        """The largest weight left out, or error."""


class Estimator(ABC):
    """An estimator with its ``settings``.

    The class itself answers without torch. ``name`` is how it is asked for, ``summary`` half a sentence on what a
    conditional is; ``idle`` are the settings that it does not look at; ``adds`` the columns that it gives beside those
    that all have, ``layers`` which layers it takes, in words (:meth:`takes` decides).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    idle: ClassVar[frozenset[str]] = frozenset()
    adds: ClassVar[tuple[Column, ...]] = ()
    layers: ClassVar[str] = "convolutions and linear layers"
    sets_outputs: ClassVar[bool] = False
    """Whether it needs an engine that sets what a unit gives (:attr:`.Engine.sets_outputs`)."""
    marginalizes: ClassVar[bool] = True
    """Whether it averages over what the unit might have been."""
    raw_scores: ClassVar[bool] = False
    """Whether it makes sense for raw scores in place of predictions."""

    def __init__(self, settings: "Estimation") -> None:
        self.settings = settings

    @classmethod
    def columns(cls) -> tuple[Column, ...]:
        """Return all columns that it gives."""
        return (*ALWAYS, *cls.adds)

    @classmethod
    def takes(cls, *, linear: bool, rows: float | None = 1) -> bool:
        """Return whether it takes a layer: whether that is ``linear``, and how many ``rows`` it takes for an image.

        ``rows`` are None where nobody knows.
        """
        return True

    @classmethod
    def problems(cls, settings: Numbers) -> Iterator[Problem]:
        """Yield what is wrong with settings for this estimator that others accept."""
        return iter(())

    def gives(self) -> tuple[Column, ...]:
        """Return all columns that it gives with its settings."""
        return self.columns()

    def recorded(self) -> dict[str, Any]:
        """Return what files say of the settings, idle ones included; conditionals with others are other ones."""
        said = asdict(self.settings)
        if self.settings.tolerance_bits is None:  # files of before know neither
            del said["tolerance_bits"], said["laplace"]
        return said

    @abstractmethod
    def kept_draws(self, size: int) -> float:
        """Return how many variants of a unit with ``size`` parameters are computed for an image, on average."""

    def weighed_draws(self) -> int:
        """Return how many draws of a unit have to be made in all their numbers only to be weighed."""
        return 0

    @abstractmethod
    def pieces(
        self, engine: "Engine", asked: "LayerUnits", *, step: int, done: "Done | None" = None, softmax: bool = True
    ) -> "Iterator[Piece]":
        """Yield conditionals of the units ``asked`` for in pieces of at most ``step`` images, but for ``done`` ones.

        Pieces have fixed edges: their bits do not depend on which others are computed. Without ``softmax``, raw scores
        take the place of predictions.
        """


class Mixture(Estimator):
    """An estimator whose conditional is the sum over variants of a unit of their predictions, each with its share.

    One that adds a standard error gives every variant the same share: the error is that of their mean.
    """

    @abstractmethod
    def variants(self, layer: "Layer", path: str, unit: int) -> "Variants":
        """Return the variants of a unit of the ``layer`` at ``path``, keyed by these and the settings alone."""

    def pieces(
        self, engine: "Engine", asked: "LayerUnits", *, step: int, done: "Done | None" = None, softmax: bool = True
    ) -> "Iterator[Piece]":
        """Yield the sums in pieces; see :meth:`Estimator.pieces`."""
        from featuresharing.estimators.mixing import mix

        variants = (self.variants(asked.layer, asked.path, unit) for unit in asked.units)
        return mix(engine, variants, step=step, done=done, spread=STANDARD_ERROR in self.adds, softmax=softmax)
