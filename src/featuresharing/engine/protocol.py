"""What every engine does: scores of a network under variants of a layer's units, on all images."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.engine.memory import BatchSizes
from featuresharing.networks.layers import Layer

Scores = tuple[slice, slice, tuple[Tensor, ...]]
"""A slice of the images, a slice of the variants, and the raw scores [variants, images, classes] of every task."""


class Engine(Protocol):
    """What estimators work with.

    The ``layer`` around whose parameters draws are made, names and shapes ``[classes]`` of the ``tasks``, the precision
    and the device of values, how work is cut into ``batches``, and how many ``images`` there are.
    """

    name: ClassVar[str]
    sets_outputs: ClassVar[bool]
    """Whether :meth:`chunks` works: the engine can set what a unit gives, whatever parameters would give it."""

    layer: Layer
    tasks: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype
    device: str
    batches: BatchSizes
    images: int

    @property
    def layer_rows(self) -> float | None:
        """How many rows of numbers, or whole pictures of a convolution, the layer takes for an image.

        None if the engine does not know.
        """

    def scores(
        self, images: slice, units: NDArray[np.int64], weights: Tensor, biases: Tensor, *, times: int = 1
    ) -> Iterator[Scores]:
        """Yield scores on ``images`` with ``units`` [B] set to ``weights`` [B, *filter shape] and ``biases`` [B].

        Of few images, so many ``times`` more variants than usual may be in work at a time.
        """

    def removed_scores(self, removed: Sequence[Sequence[int]]) -> Iterator[Scores]:
        """Yield scores on all images without each set of units [B], all removed together."""

    def base_scores(self, images: slice) -> tuple[Tensor, ...]:
        """Return the raw scores [images, classes] of every task of the network as it is, on the CPU."""

    def chunks(self, images: slice) -> "Iterator[Chunk]":
        """Yield ``images`` in chunks on which outputs of units can be set; only if the engine ``sets_outputs``."""

    def shrink(self) -> bool:
        """Work on half as much at a time from now on; return False if that is not possible."""


class Chunk(Protocol):
    """Some images of an engine, on which outputs of units can be set."""

    @property
    def images(self) -> slice:
        """Which images."""

    @property
    def inputs(self) -> Tensor | None:
        """What the layer takes, [images, ...]; None of a layer that no output depends on."""

    @property
    def scores(self) -> tuple[Tensor, ...]:
        """The raw scores [images, classes] of every task of the network as it is."""

    def scores_of(self, units: NDArray[np.int64], outputs: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Yield raw scores [variants, images, classes] of every task with ``units`` [B] of a linear layer set.

        They give ``outputs`` [B, images, 1]; some variants come at a time.
        """
