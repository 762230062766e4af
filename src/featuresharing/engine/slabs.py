"""A change of one unit in the values of a network: a range of one axis, outside of which nothing changes.

A unit changes one channel of its layer's output. Written as a :class:`Slab`, the change is a contiguous range of one
axis, outside of which a value equals its base value. What operators do to it: :mod:`.rules` and :mod:`.corrections`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

aten = torch.ops.aten


@dataclass(frozen=True, eq=False)
class Slab:
    """For each unit, ``starts[unit]`` to ``starts[unit] + length`` of ``axis``; ``starts`` is int64 [units]."""

    axis: int
    starts: NDArray[np.int64]
    length: int

    def same_range(self, other: "Slab") -> bool:
        """Whether the ranges are the same, whatever their axes."""
        return self.length == other.length and np.array_equal(self.starts, other.starts)

    def take(self, value: Tensor, units: NDArray[np.int64]) -> Tensor:
        """Return the ranges of ``units`` [B] out of ``value``, as [B, *shape of value with the range as its axis]."""
        index = (self.starts[units, None] + np.arange(self.length)).ravel()
        taken = value.index_select(self.axis, torch.from_numpy(index).to(value.device))
        ranges: Tensor = taken.unflatten(self.axis, (len(units), self.length))  # type: ignore[no-untyped-call]
        return ranges.movedim(self.axis, 0)


class State(Protocol):
    """What a rule computes from."""

    units: NDArray[np.int64]
    """The unit of each of the B variants."""

    def base(self, node: fx.Node) -> Tensor:
        """Return a base value."""

    def new(self, node: fx.Node) -> Any:
        """Return the new ranges of a value that has a slab: [B, *shape with the range as the slab's axis]."""


Slabs = Mapping[fx.Node, Slab]
Compute = Callable[[State], Any]
Rule = Callable[[fx.Node, Slabs], tuple[Slab, Compute] | None]


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of a node's value on the images of the trace."""
    shape: tuple[int, ...] = node.meta["shape"]
    return shape


def runs(units: NDArray[np.int64]) -> list[tuple[int, slice]]:
    """Return each unit of ``units`` [B] that follows on another, with the slice of its variants."""
    edges = [0, *(np.flatnonzero(np.diff(units)) + 1).tolist(), len(units)]
    return [(int(units[start]), slice(start, stop)) for start, stop in pairwise(edges)]
