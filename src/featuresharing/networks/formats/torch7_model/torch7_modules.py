"""Modules of Torch7 that torch.nn lacks, computing what Torch7 computes at evaluation."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class Concat(nn.ModuleList):
    """Runs modules on the same input and joins what they give along an axis (nn.Concat)."""

    def __init__(self, modules: Iterable[nn.Module], axis: int) -> None:
        super().__init__(modules)
        self.axis = axis

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs, joined."""
        return torch.cat([module(inputs) for module in self], dim=self.axis)


class ConcatTable(nn.ModuleList):
    """Runs modules on the same input, such as the heads of a multi-task network (nn.ConcatTable)."""

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs beside each other."""
        return tuple(module(inputs) for module in self)


class ParallelTable(nn.ModuleList):
    """Runs each module on an input of its own (nn.ParallelTable)."""

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs beside each other."""
        return tuple(module(value) for module, value in zip(self, inputs, strict=True))


class JoinTable(nn.Module):
    """Joins inputs along an axis (nn.JoinTable); ``rank`` is how many axes an input has that the axis counts from."""

    def __init__(self, axis: int, rank: int | None) -> None:
        super().__init__()
        self.axis, self.rank = axis, rank

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the inputs, joined."""
        batch = inputs[0].ndim - self.rank if self.rank is not None else 0
        return torch.cat(tuple(inputs), dim=self.axis + batch)


class CAddTable(nn.Module):
    """Adds inputs up (nn.CAddTable)."""

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the sum."""
        total = inputs[0]
        for value in inputs[1:]:
            total = total + value
        return total


class View(nn.Module):
    """Gives every image another shape, behind the axis of images (nn.View and nn.Reshape)."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the values [N, *sizes]."""
        if -1 in self.sizes:
            return inputs.reshape(len(inputs), *self.sizes)
        return inputs.reshape(-1, *self.sizes)


class FirstDropout(nn.Module):
    """Torch7's first dropout: it scales by 1 - p at evaluation, and not in training (nn.Dropout with ``v2`` false)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the values, scaled at evaluation or with some set to zero in training."""
        if self.training:
            return nn.functional.dropout(inputs, self.p) * (1 - self.p)
        return inputs * (1 - self.p)
