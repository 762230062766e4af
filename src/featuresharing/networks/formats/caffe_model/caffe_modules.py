"""Modules of Caffe that torch.nn lacks, and the network that runs modules in a graph."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, softplus

Step = tuple[str, tuple[int, ...], tuple[int, ...], int]
"""The name of a module, the numbers of the values that it takes and makes, and from which axis on it takes them flat
(0: as they are)."""


class CaffeNetwork(nn.Module):
    """Runs modules one after the other; each takes values that were made before, the first value are the images.

    ``outputs`` are names of tasks and the numbers of their values. One task gives a tensor, more a dict.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], steps: Sequence[Step], outputs: Sequence[tuple[str, int]]
    ) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.steps, self.outputs = tuple(steps), tuple(outputs)
        self.last_uses = _last_uses(self.steps, [value for _, value in self.outputs])

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Return scores [N, classes] for images [N, ...]; maps of scores stay maps unless they have one pixel."""
        values = {0: images}
        for (name, taken, made, axis), over in zip(self.steps, self.last_uses, strict=True):
            inputs = [values[number].flatten(axis) if axis else values[number] for number in taken]
            found = self._modules[name](*inputs)  # type: ignore[misc]
            values.update(zip(made, found if isinstance(found, tuple) else (found,), strict=True))
            for number in over:
                del values[number]
        scores = {task: _scores(values[number]) for task, number in self.outputs}
        return scores if len(scores) > 1 else next(iter(scores.values()))


def _last_uses(steps: Sequence[Step], kept: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return which values nobody needs after each step."""
    seen, found = set(kept), []
    for _, taken, made, _ in reversed(steps):
        over = {*taken, *made} - seen
        seen |= over
        found.append(tuple(sorted(over)))
    return tuple(reversed(found))


def _scores(values: Tensor) -> Tensor:
    """Return the scores of maps of one pixel, such as those of a fully convolutional network."""
    return values.flatten(1) if is_one_pixel(values.shape) else values


def is_one_pixel(shape: Sequence[int]) -> bool:
    """Return whether a shape [images, classes, ...] is of maps of one pixel."""
    return len(shape) > 2 and all(size == 1 for size in shape[2:])


class Affine(nn.Module):
    """Multiplies and adds, one number for each place along some axes, such as channels (Scale and Bias).

    ``after`` is how many axes follow those.
    """

    def __init__(self, weight: Tensor | None, bias: Tensor | None, after: int) -> None:
        super().__init__()
        self.weight = None if weight is None else nn.Parameter(weight)
        self.bias = None if bias is None else nn.Parameter(bias)
        self.after = after

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the values, scaled and shifted."""
        for parameter, operator in ((self.weight, torch.mul), (self.bias, torch.add)):
            if parameter is not None:
                inputs = operator(inputs, parameter.reshape(*parameter.shape, *(1,) * self.after))
        return inputs


class Gate(nn.Module):
    """Multiplies values by others that have only their first axes, or adds these (Scale and Bias of two blobs)."""

    def __init__(self, adds: bool) -> None:
        super().__init__()
        self.adds = adds

    def forward(self, inputs: Tensor, other: Tensor) -> Tensor:
        """Return the values, scaled or shifted."""
        other = other.reshape(*other.shape, *(1,) * (inputs.ndim - other.ndim))
        return inputs + other if self.adds else inputs * other


class Sum(nn.Module):
    """Adds blobs up, each by a factor (Eltwise SUM)."""

    def __init__(self, factors: Sequence[float]) -> None:
        super().__init__()
        self.factors = tuple(factors)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the sum."""
        terms = [value if factor == 1 else value * factor for value, factor in zip(inputs, self.factors, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class Product(nn.Module):
    """Multiplies blobs (Eltwise PROD)."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Return the product."""
        for value in others:
            first = first * value
        return first


class Maximum(nn.Module):
    """Takes the largest of blobs, place by place (Eltwise MAX)."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Return the maximum."""
        for value in others:
            first = torch.maximum(first, value)
        return first


class Joined(nn.Module):
    """Joins blobs along an axis (Concat)."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the values, joined."""
        return torch.cat(inputs, dim=self.axis)


class Pieces(nn.Module):
    """Cuts a blob along an axis into pieces of given sizes (Slice)."""

    def __init__(self, axis: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.axis, self.sizes = axis, tuple(sizes)

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the pieces."""
        starts = [sum(self.sizes[:place]) for place in range(len(self.sizes))]
        return tuple(inputs.narrow(self.axis, *cut) for cut in zip(starts, self.sizes, strict=True))


class Reshaped(nn.Module):
    """Gives the values of every image another shape (Reshape and Flatten)."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the values [N, *sizes]."""
        return inputs.reshape(len(inputs), *self.sizes)


class Power(nn.Module):
    """Gives (shift + scale x) ** power."""

    def __init__(self, power: float, scale: float, shift: float) -> None:
        super().__init__()
        self.power, self.scale, self.shift = power, scale, shift

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the powers."""
        values = inputs * self.scale + self.shift
        return values if self.power == 1 else values**self.power


class Exponential(nn.Module):
    """Gives exp(factor x + shift)."""

    def __init__(self, factor: float, shift: float) -> None:
        super().__init__()
        self.factor, self.shift = factor, shift

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the exponentials."""
        return torch.exp(inputs * self.factor + self.shift)


class Logarithm(nn.Module):
    """Gives factor * log(scale x + shift)."""

    def __init__(self, factor: float, scale: float, shift: float) -> None:
        super().__init__()
        self.factor, self.scale, self.shift = factor, scale, shift

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logarithms."""
        return torch.log(inputs * self.scale + self.shift) * self.factor


class Magnitude(nn.Module):
    """Gives the size of every number without its sign (AbsVal)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the magnitudes."""
        return inputs.abs()


class Softplus(nn.Module):
    """Gives log(1 + exp(x)) (BNLL)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logarithms."""
        return softplus(inputs, threshold=50)


class Swish(nn.Module):
    """Gives x sigmoid(beta x)."""

    def __init__(self, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the values, gated by themselves."""
        return inputs * torch.sigmoid(inputs * self.beta)


class WithinChannelNorm(nn.Module):
    """Divides by a power of one plus the mean square around each pixel of a channel (LRN within channels)."""

    def __init__(self, size: int, alpha: float, beta: float) -> None:
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the values [N, C, H, W], normalised."""
        squares = avg_pool2d(inputs * inputs, self.size, stride=1, padding=self.size // 2)
        return inputs * (1 + self.alpha * squares) ** -self.beta
