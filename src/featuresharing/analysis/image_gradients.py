"""The gradient of a convolution to images, whose few channels waste most of what a processor does at once.

A block of pixels, such as 2 x 2 in 3 channels, is a single pixel of 12 channels: its gradient is one convolution of the
gradient behind the layer, with the same filters in another order. The sums are the same, in another order as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

MOST_CHANNELS = 4
"""Channels of images up to which blocks of pixels are worth it (measured: from 8 on they are not)."""


@dataclass(frozen=True)
class Axis:
    """How blocks lie along an axis.

    ``block`` is the pixels of one, ``step`` how many outputs further the next one starts, ``taps`` how many outputs a
    block takes, ``back`` how many of them lie before it.
    """

    size: int
    stride: int
    block: int
    step: int
    taps: int
    back: int

    @classmethod
    def of(cls, size: int, stride: int) -> Self:
        """Return the blocks for filters of a ``size``, moved by ``stride`` pixels: as large as that, but at least 2."""
        step = 2 if stride == 1 else 1
        back = (size - 1) // stride
        return cls(size, stride, stride * step, step, back + (stride * step - 1) // stride + 1, back)

    def places(self) -> Tensor:
        """Return for every pixel of a block and every tap the place in the filter [block, taps]; ``size`` for none."""
        found = self.stride * (self.back - torch.arange(self.taps)) + torch.arange(self.block)[:, None]
        return torch.where((found >= 0) & (found < self.size), found, self.size)

    def reach(self, pixels: int, padding: int, outputs: int) -> tuple[int, int, int, int]:
        """Return where the blocks of ``pixels`` lie: padding of the outputs, first and number of blocks, first pixel.

        The first block is counted from where the padded outputs begin; the first pixel from where that block begins.
        """
        first, last = padding // self.block, (padding + pixels - 1) // self.block
        before = self.back - self.step * first
        behind = self.step * (last - first) + self.taps - before - outputs
        enough = max(before, behind, 0)
        enough += (enough - before) % self.step
        return enough, (enough - before) // self.step, last - first + 1, padding - self.block * first


@dataclass(frozen=True, eq=False)
class ImageConvolution:
    """A convolution of images by filters [units, channels, rows, columns], with its gradient to them.

    It has no groups, and no gaps within filters. Only images get a gradient.
    """

    filters: Tensor
    bias: Tensor | None
    stride: Sequence[int]
    padding: Sequence[int]
    axes: tuple[Axis, Axis]
    turned: Tensor

    @classmethod
    def of(cls, filters: Tensor, bias: Tensor | None, stride: Sequence[int], padding: Sequence[int]) -> Self:
        """Return the convolution, with its filters in the order of blocks."""
        rows, columns = (Axis.of(size, step) for size, step in zip(filters.shape[2:], stride, strict=True))
        padded = F.pad(filters, (0, 1, 0, 1))  # what a block takes beyond the filter counts nothing
        taken = padded[:, :, rows.places()[:, :, None, None], columns.places()[None, None]]
        # [units, channels, block, taps, block, taps] to [block, block, channels, units, taps, taps]
        turned = taken.permute(2, 4, 1, 0, 3, 5).flatten(0, 2).contiguous(memory_format=torch.channels_last)
        return cls(filters, bias, tuple(stride), tuple(padding), (rows, columns), turned)

    def __call__(self, images: Tensor) -> Tensor:
        """Return what the convolution gives for images [B, channels, H, W]."""
        result: Tensor = _Convolved.apply(images, self)  # type: ignore[no-untyped-call]
        return result

    def gradient(self, behind: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the gradient to images of a ``shape`` of which that to the outputs is ``behind``."""
        channels = shape[1]
        reaches = [
            axis.reach(*each) for axis, *each in zip(self.axes, shape[2:], self.padding, behind.shape[2:], strict=True)
        ]
        (above, top, rows, y), (left, start, columns, x) = reaches
        (down, across) = self.axes
        blocks = F.conv2d(behind, self.turned, stride=(down.step, across.step), padding=(above, left))
        blocks = blocks[:, :, top : top + rows, start : start + columns].permute(0, 2, 3, 1)
        pixels = blocks.reshape(len(behind), rows, columns, down.block, across.block, channels)
        whole = pixels.transpose(2, 3).reshape(len(behind), rows * down.block, columns * across.block, channels)
        return whole[:, y : y + shape[2], x : x + shape[3]].permute(0, 3, 1, 2)


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, convolution: ImageConvolution) -> Tensor:
        ctx.convolution, ctx.shape = convolution, images.shape
        return F.conv2d(images, convolution.filters, convolution.bias, convolution.stride, convolution.padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, behind: Tensor) -> tuple[Tensor, None]:
        return ctx.convolution.gradient(behind, ctx.shape), None
