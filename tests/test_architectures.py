"""The one-channel engine gives the numbers of the plain loop on every kind of network."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing import Conditionals, InputError, marginalize, prior_draws
from featuresharing.engine.one_channel import OneChannelEngine
from featuresharing.networks.alexnet.names import LAYERS
from featuresharing.networks.formats.torch7_model.torch7_modules import ConcatTable
from tests.support.naive import marginalize_naively, sample_shares

torch.set_num_threads(1)  # more only wait for each other on networks this small

Array = NDArray[np.floating[Any]]
Make = Callable[[], nn.Module]

SAMPLES = 3
IMAGE = (3, 12, 12)
DTYPES = (torch.float64, torch.float32)
CLOSENESS = {torch.float64: (1e-12, 1e-15), torch.float32: (1e-5, 1e-7)}
"""Relative and absolute difference from the plain loop that counts as rounding: the larger of the two."""


class Apply(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: Tensor) -> Any:
        return self.function(*values)


def normed(inputs: int, outputs: int, kernel: int | tuple[int, int] = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding="same", bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Basic(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        y += self.shortcut(x)
        return self.relu(y)


class Bottleneck(Basic):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, stride)
        width = outputs // 2
        self.conv1, self.norm1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.norm3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.norm1(self.conv1(x)))
        y = self.norm3(self.conv3(self.relu(self.norm2(self.conv2(y)))))
        y += self.shortcut(x)
        return self.relu(y)


def resnet() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        Basic(4, 4, 1),
        Basic(4, 6, 2),
        Bottleneck(6, 8, 2),
        Bottleneck(8, 8, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


class InceptionBlock(nn.Module):
    """Branches of one, of two and of forked convolutions, and a pooled one."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.one = normed(inputs, 2)
        self.three = nn.Sequential(normed(inputs, 3), normed(3, 2, 3))
        self.stem, self.wide, self.tall = normed(inputs, 3), normed(3, 2, (1, 3)), normed(3, 2, (3, 1))
        self.pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), normed(inputs, 2))

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        forked = torch.cat([self.wide(stem), self.tall(stem)], 1)
        return torch.cat([self.one(x), self.three(x), forked, self.pool(x)], 1)


def inception() -> nn.Sequential:
    return nn.Sequential(
        InceptionBlock(3), nn.AvgPool2d(2), InceptionBlock(10), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(10, 4)
    )


def depthwise(inputs: int, multiplier: int, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, inputs * multiplier, 3, groups=inputs, padding=1, **options)


def separable() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU6(inplace=True)),
        *(depthwise(4, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)),
        depthwise(8, 1, stride=2),
        *(nn.Conv2d(8, 5, 1), nn.BatchNorm2d(5), nn.Hardswish(inplace=True)),
        *(depthwise(5, 1), depthwise(5, 3), nn.ReLU6()),
        nn.Conv2d(15, 4, 1, groups=1),
        *(nn.Flatten(), nn.Linear(36, 3)),
    )


class DenseNet(nn.Module):
    """Every layer takes the outputs of all before it, normalised together."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        widths = (4, 7, 10)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.layers = nn.ModuleList(nn.Conv2d(width, 3, 3, padding=1, bias=False) for width in widths)
        self.squeeze, self.head = nn.Conv2d(13, 5, 1), nn.Linear(5 * 36, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            features.append(layer(F.relu(norm(torch.cat(features, 1)))))
        return self.head(F.avg_pool2d(self.squeeze(torch.cat(features, 1)), 2).flatten(1))


class SqueezeAndExcitation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 3)
        self.squeeze, self.excite = nn.Conv2d(6, 2, 1), nn.Linear(2, 6)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.conv1(x))
        gate = F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1))).flatten(1)
        x = x * torch.sigmoid(self.excite(gate))[:, :, None, None]
        return self.head(F.relu(self.conv2(x)).mean((2, 3)))


class SpatialAttention(nn.Module):
    """One channel that all others are multiplied by."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mask = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 1, 5, padding=2)
        self.inner, self.head = nn.Conv2d(2, 1, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.conv(x)) * torch.sigmoid(self.mask(x).expand(-1, 4, -1, -1))
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return self.head((x * self.inner(pooled)).mean((2, 3)))


def shuffle(x: Tensor, groups: int) -> Tensor:
    images, channels, height, width = x.shape
    x = x.view(images, groups, channels // groups, height, width)
    return x.transpose(1, 2).contiguous().view(images, channels, height, width)


class ShuffleNet(nn.Module):
    """A grouped block, and one that lets half of the channels pass."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 1, groups=3)
        self.depthwise, self.conv3 = depthwise(6, 1), nn.Conv2d(6, 6, 1, groups=2)
        self.right, self.head = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = x + self.conv3(self.depthwise(shuffle(F.relu(self.conv2(x)), 3)))
        passed, changed = x.chunk(2, 1)
        x = shuffle(torch.cat([passed, F.relu(self.right(changed))], 1), 2)
        return self.head(x.relu().mean((2, 3)))


class ConvNext(nn.Module):
    """Channels last between two permutations, and a scale for each of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 2, stride=2), nn.GroupNorm(1, 6)
        self.depthwise, self.norm1 = nn.Conv2d(6, 6, 5, padding=2, groups=6), nn.LayerNorm(6)
        self.up, self.down, self.scale = nn.Linear(6, 12), nn.Linear(12, 6), nn.Parameter(torch.ones(6, 1, 1))
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        y = self.norm1(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.down(F.gelu(self.up(y))).permute(0, 3, 1, 2)
        return self.head((x + self.scale * y).mean([-2, -1]))


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.join, self.head = nn.Conv2d(8, 3, 3), nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        left = F.relu(self.down1(x))
        right = self.up(F.relu(self.down2(F.max_pool2d(left, 2))))
        return self.head(F.elu(self.join(torch.cat([left, right], 1))).mean((2, 3)))


class Encoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 12), nn.GELU(), nn.Dropout(0.1), nn.Linear(12, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    def __init__(self, *encoders: nn.Module) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token, self.places = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 10, 8))
        self.encoders = nn.Sequential(*encoders)
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.encoders(x))[:, 0])


class PixelAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.queries, self.keys, self.values = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = (layer(x).flatten(2).transpose(1, 2) for layer in (self.queries, self.keys, self.values))
        return x + F.scaled_dot_product_attention(*parts).transpose(1, 2).unflatten(2, x.shape[2:])


class Recurrent(nn.Module):
    """Reads the columns of a map one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.reader, self.head = (
            nn.Conv2d(3, 4, 3, stride=2),
            nn.GRU(20, 6, batch_first=True),
            nn.Linear(6, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        columns = self.conv(x).flatten(1, 2).transpose(1, 2)
        return self.head(self.reader(columns)[0][:, -1])


class ViewsAndMeans(nn.Module):
    """View in place of flatten, a branch on a shape, a tensor that is no buffer, and sizes worked out in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3, stride=2), nn.Linear(20, 3)
        self.mean = torch.tensor([0.3, -0.2, 0.1]).view(3, 1, 1)
        self.gains = torch.tensor([1.5, 0.5, -1.0, 2.0])

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x - self.mean)) * self.gains[:, None, None]
        if x.shape[-1] > 4:
            x = F.max_pool2d(x, 2)
        x = torch.tanh(self.conv2(x))
        return self.head(x.view(x.size(0), -1))


class SliceWriting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(6, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        y = x.new_zeros(len(x), 6, *x.shape[2:])
        y[:, 1:5] = x
        x[:, :, 0] = 0.5
        x[:, 2] *= 2
        y[:, ::2] += self.conv2(x)[:, :3]
        y[:, 5].copy_(x[:, 1])
        return self.head(torch.tanh(self.conv3(y)).mean((2, 3)))


class Counting(nn.Module):
    """Counts its calls, and keeps numbers in a buffer that it takes them from again."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head, self.shift = nn.Linear(4, 6), nn.Linear(6, 3), nn.Parameter(torch.zeros(6))
        self.register_buffer("calls", torch.tensor(0))
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = torch.tanh(self.hidden(x))
        self.mean.copy_(self.shift.sin())
        return self.head(x - 0.5 * self.mean)


class Remembering(nn.Module):
    """Its scores depend on what it saw in its last pass."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 6), nn.Linear(6, 3)
        self.register_buffer("last", torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.hidden(x))
        scores = self.head(x - 0.5 * self.last)
        self.last.copy_(x.mean(0))
        return scores


class Tokens(nn.Module):
    """Takes tokens apart, with a product that is scaled."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.hidden, self.head = nn.Linear(4, 6), nn.Linear(18, 5), nn.Linear(7, 3)
        self.shift, self.matrix = nn.Parameter(torch.zeros(7)), nn.Parameter(torch.zeros(5, 7))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.embed(x))
        x = torch.sigmoid(self.hidden(torch.cat([x[:, -1], x.mean(1), x[:, :2].amax(1)], 1)))
        return self.head(torch.addmm(self.shift, x, self.matrix, beta=0.5, alpha=2))


class WideProducts(nn.Module):
    """Matrices large enough to be packed: with and without bias, as they are, transposed and computed; on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 600)
        self.third, self.fourth = nn.Linear(600, 500, bias=False), nn.Parameter(torch.zeros(500, 600))
        self.fifth, self.sixth = nn.Linear(600, 450), nn.Parameter(torch.zeros(450, 600))
        self.head = nn.Linear(600, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(F.relu(self.first(x))))
        x = F.relu(F.relu(self.third(x)) @ self.fourth)
        return self.head(F.relu(self.fifth(x)).mean(1) @ self.sixth.sin())


class InputWriting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x.relu_()
        y = F.relu(self.conv(x))
        x[:, 1] -= 0.25
        return self.head(torch.cat([y.mean((2, 3)), x.mean((2, 3))], 1))


class InputAdding(InputWriting):
    """Writes what the layer gives into its input."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.conv(x))
        x[:, 1:, 1:-1, 1:-1] += y[:, :2]
        return self.head(torch.cat([y.mean((2, 3)), x.square().mean((2, 3))], 1))


class Outputs(nn.Module):
    """A network of hidden layers and heads; ``give`` makes the output of the heads' scores."""

    def __init__(self, classes: Sequence[int], give: Callable[[list[Tensor]], Any]) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(100, 6), nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(6, count) for count in classes)
        self.give = give

    def forward(self, x: Tensor) -> Any:
        x = self.trunk(x)
        return self.give([head(x) for head in self.heads])


def perceptron() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Linear(6, 8), nn.ReLU()),
        *(nn.Linear(8, 7, bias=False), nn.BatchNorm1d(7), nn.Tanh(), nn.Dropout(0.5)),
        *(nn.Linear(7, 5), nn.Sigmoid(), nn.Linear(5, 4)),
    )


def encoders() -> list[nn.Module]:
    ready_made = {"dim_feedforward": 12, "batch_first": True}
    return [
        nn.TransformerEncoderLayer(8, 2, **ready_made),
        nn.TransformerEncoderLayer(8, 4, norm_first=True, **ready_made),
    ]


def weight_normed() -> nn.Sequential:
    first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=2)
    return nn.Sequential(first, nn.utils.parametrizations.weight_norm(second), nn.ReLU(), *pooled(4))


def pooled(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * channels, 3)]


def other_channels(x: Tensor) -> Tensor:
    return torch.linspace(-1, 1, 12, dtype=x.dtype).expand(len(x), 2, 12, 12)


def pairwise_differences(x: Tensor) -> Tensor:
    return (x[:, :, None] - x[:, None, :])[..., None]


def cut_channels(parts: int) -> Apply:
    return Apply(lambda x: x.reshape(len(x), 8 * parts, 12 // math.isqrt(parts), 12 // math.isqrt(parts)))


def in_last_axis(module: nn.Module) -> nn.Sequential:
    return nn.Sequential(Apply(lambda x: x.movedim(1, -1)), module, Apply(lambda x: x.movedim(-1, 1)))


NETWORKS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "residual": (resnet, IMAGE),
    "inception": (inception, IMAGE),
    "depthwise separable": (separable, IMAGE),
    "perceptron": (perceptron, (6,)),
    "three heads": (lambda: Outputs((3, 2, 5), tuple), IMAGE),
    "dict of heads": (lambda: Outputs((3, 2), lambda scores: {"b": scores[1], "a": scores[0]}), IMAGE),
    "dense": (DenseNet, IMAGE),
    "squeeze and excitation": (SqueezeAndExcitation, IMAGE),
    "spatial attention": (SpatialAttention, IMAGE),
    "channel shuffle": (ShuffleNet, IMAGE),
    "channels last": (ConvNext, IMAGE),
    "u-shaped": (UNet, IMAGE),
    "vision transformer": (lambda: VisionTransformer(Encoder(8), Encoder(8)), IMAGE),
    "ready-made encoders": (lambda: VisionTransformer(*encoders()), IMAGE),
    "recurrent": (Recurrent, IMAGE),
    "views and means": (ViewsAndMeans, IMAGE),
    "writing into slices": (SliceWriting, IMAGE),
    "writing into its input": (InputWriting, IMAGE),
    "adding to its input": (InputAdding, IMAGE),
    "counting": (Counting, (4,)),
    "tokens": (Tokens, (3, 4)),
    "wide products": (WideProducts, (3, 4)),
    "weight norm elsewhere": (weight_normed, IMAGE),
    "one unit each": (
        lambda: nn.Sequential(nn.Conv2d(3, 1, 3), nn.Tanh(), nn.Conv2d(1, 1, 3), nn.Tanh(), *pooled(1)),
        IMAGE,
    ),
}

OPERATORS: dict[str, Make] = {
    "local response norm": lambda: nn.LocalResponseNorm(3, alpha=0.5, beta=0.75, k=1.5),
    "group norm": lambda: nn.GroupNorm(4, 8),
    "group norm of single channels": lambda: nn.GroupNorm(8, 8),
    "layer norm": lambda: nn.LayerNorm([8, 12, 12]),
    "layer norm along the width": lambda: nn.LayerNorm(12),
    "instance norm": lambda: nn.InstanceNorm2d(8, affine=True),
    "instance norm with statistics": lambda: nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
    "batch norm without parameters": lambda: nn.BatchNorm2d(8, affine=False),
    "slope for each channel": lambda: nn.PReLU(8),
    "slope": nn.PReLU,
    "gated linear unit": lambda: nn.GLU(1),
    "softmax over channels": lambda: nn.Softmax(1),
    "softmax over columns": lambda: nn.Softmax(3),
    "log softmax over channels": lambda: nn.LogSoftmax(1),
    "hard swish": nn.Hardswish,
    "log sigmoid": nn.LogSigmoid,
    "randomised slope": nn.RReLU,
    "clamping": lambda: nn.Hardtanh(-0.5, 0.7, inplace=True),
    "shrinkage": lambda: nn.Softshrink(0.3),
    "dropout of channels": nn.Dropout2d,
    "transposed convolution": lambda: nn.ConvTranspose2d(8, 5, 3, stride=2, padding=1, output_padding=1),
    "grouped transposed convolution": lambda: nn.ConvTranspose2d(8, 6, 3, groups=2, dilation=2),
    "pixel shuffle": lambda: nn.PixelShuffle(2),
    "pixel unshuffle": lambda: nn.PixelUnshuffle(3),
    "nearest upsampling": lambda: nn.Upsample(scale_factor=2),
    "uneven nearest upsampling": lambda: nn.Upsample(size=(17, 9)),
    "bilinear upsampling": lambda: nn.Upsample(scale_factor=1.5, mode="bilinear"),
    "bilinear upsampling of corners": lambda: nn.Upsample(size=(7, 20), mode="bilinear", align_corners=True),
    "bicubic upsampling": lambda: nn.Upsample(scale_factor=2, mode="bicubic"),
    "average pooling": lambda: nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
    "adaptive average pooling": lambda: nn.AdaptiveAvgPool2d((5, 7)),
    "adaptive max pooling": lambda: nn.AdaptiveMaxPool2d((7, 5)),
    "power-average pooling": lambda: nn.Sequential(nn.Softplus(), nn.LPPool2d(3, 2)),
    "overlapping max pooling": lambda: nn.MaxPool2d(3, stride=2, padding=1),
    "max pooling in ceil mode": lambda: nn.MaxPool2d(3, stride=2, ceil_mode=True),
    "dilated max pooling": lambda: nn.MaxPool2d(3, stride=1, dilation=2),
    "reflection padding": lambda: nn.ReflectionPad2d((1, 2, 3, 0)),
    "replication padding": lambda: nn.ReplicationPad2d((2, 1, 0, 3)),
    "constant padding": lambda: nn.ConstantPad2d((1, 0, 2, 1), 0.7),
    "circular padding": lambda: nn.CircularPad2d((1, 2, 2, 0)),
    "cropping": lambda: nn.ZeroPad2d((-1, -2, 1, -3)),
    "more channels": lambda: Apply(lambda x: F.pad(x, (0, 0, 0, 0, 2, 1), value=0.4)),
    "fewer channels": lambda: Apply(lambda x: F.pad(x, (0, 0, 0, 0, -1, -2))),
    "shuffled channels": lambda: nn.ChannelShuffle(4),
    "unfolding": lambda: nn.Sequential(nn.Unfold(3, stride=2), nn.Unflatten(1, (8, 9))),
    "sums along channels": lambda: Apply(lambda x: x.cumsum(1)),
    "sums along rows": lambda: Apply(lambda x: x.cumsum(2) / 5),
    "reversed channels": lambda: Apply(lambda x: x.flip(1)),
    "rolled channels": lambda: Apply(lambda x: x.roll(3, 1)),
    "sorted channels": lambda: Apply(lambda x: x.sort(1).values),
    "three largest channels": lambda: Apply(lambda x: x.topk(3, 1).values),
    "every other channel": lambda: Apply(lambda x: torch.cat([x[:, ::2], x[:, 1::2] ** 2], 1)),
    "chosen channels": lambda: Apply(lambda x: x[:, [5, 0, 7, 7, 1, 2, 3, 4, 6]]),
    "repeated channels": lambda: Apply(lambda x: x.repeat(1, 2, 1, 1) * 0.5),
    "channels repeated one by one": lambda: Apply(lambda x: x.repeat_interleave(2, 1)),
    "stacked channels": lambda: Apply(lambda x: torch.stack([x, x.tanh(), x.sin()], 2).flatten(1, 2)),
    "channels as rows": lambda: Apply(lambda x: x.transpose(1, 2)),
    "channels as columns": lambda: Apply(lambda x: x.permute(0, 3, 2, 1)),
    "channels in pairs": lambda: Apply(lambda x: x.view(len(x), 4, 24, 12)),
    "channels cut in two": lambda: Apply(lambda x: x.reshape(len(x), 16, 6, 12)),
    "rows of channels": lambda: Apply(lambda x: x.permute(0, 2, 3, 1).reshape(len(x), 24, 6, 8)),
    "channels less their mean": lambda: Apply(lambda x: x - x.mean(1, keepdim=True)),
    "channels less their own mean": lambda: Apply(lambda x: x - x.mean((2, 3), keepdim=True)),
    "channels of unit length": lambda: Apply(lambda x: F.normalize(x, dim=1)),
    "channels over their spread": lambda: Apply(lambda x: x / (x.std((2, 3), keepdim=True) + x.var(1, keepdim=True))),
    "largest channel and all": lambda: Apply(lambda x: torch.cat([x, x.amax(1, keepdim=True)], 1)),
    "halves multiplied": lambda: Apply(lambda x: x[:, :4] * x[:, 4:]),
    "neighbours added": lambda: Apply(lambda x: x[:, 1:] + x[:, :-1]),
    "maps beside each other": lambda: Apply(lambda x: torch.cat([x, x.square().neg(), torch.ones_like(x)], 3)),
    "other maps beside it": lambda: Apply(lambda x: torch.cat([torch.cos(x), x[:, :, :2] * 0 + 1], 2)),
    "rows of a gram matrix": lambda: Apply(lambda x: torch.einsum("nchw,ndhw->ncd", x, x)[:, None] / 50),
    "largest and where": lambda: Apply(
        lambda x: torch.maximum(*x.max(1, keepdim=True)) / 4 + torch.where(x > 0, x, -2)
    ),
    "powers of itself": lambda: Apply(lambda x: x * x + torch.exp(-x.abs()) * x.masked_fill(x < 0, 0.1)),
    "scaled exponential in place": lambda: nn.SELU(inplace=True),
    "every other activation": lambda: nn.Sequential(
        *(nn.Mish(inplace=True), nn.CELU(), nn.Hardsigmoid(), nn.Hardshrink(0.2), nn.Softsign(), nn.GELU("tanh")),
        *(nn.Threshold(0.1, 0.3, inplace=True), nn.AlphaDropout(), nn.FeatureAlphaDropout()),
    ),
    "antialiased downsampling": lambda: Apply(lambda x: F.interpolate(x, size=(5, 7), mode="bilinear", antialias=True)),
    "downsampling by area": lambda: Apply(lambda x: F.interpolate(x, size=(5, 7), mode="area")),
    "trilinear upsampling over channels": lambda: Apply(
        lambda x: F.interpolate(x[:, None], size=(5, 13, 13), mode="trilinear").squeeze(1)
    ),
    "pooling over channels": lambda: Apply(lambda x: F.max_pool2d(x.flatten(2), 3, 1, 1).view_as(x)),
    "pooling over channels, rows and columns": lambda: nn.MaxPool3d(3, stride=1, padding=1),
    "pooling of columns of pixels": lambda: nn.Sequential(nn.Flatten(2), nn.MaxPool1d(2), nn.Unflatten(2, (8, 9))),
    "unpooling": lambda: Apply(lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)),
    "folding": lambda: Apply(lambda x: F.fold(F.unfold(x, 3, stride=2, padding=1), (11, 11), 3, stride=2, padding=1)),
    "sampling where it says": lambda: Apply(
        lambda x: F.grid_sample(x, torch.tanh(x[:, :2]).permute(0, 2, 3, 1), align_corners=False)
    ),
    "padding of channels by their neighbours": lambda: nn.ReplicationPad3d((1, 0, 0, 2, 1, 2)),
    "linear along columns": lambda: nn.Linear(12, 10),
    "linear along channels": lambda: in_last_axis(nn.Linear(8, 6)),
    "root mean square norm along channels": lambda: in_last_axis(nn.RMSNorm(8)),
    "convolution over pixels in a row": lambda: nn.Sequential(
        nn.Flatten(2), nn.Conv1d(8, 4, 3, padding=1), nn.BatchNorm1d(4), nn.Unflatten(2, (12, 12))
    ),
    "convolution over groups of channels": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 4)), nn.Conv3d(2, 3, 3, padding=1, bias=False), nn.BatchNorm3d(3), nn.Flatten(1, 2)
    ),
    "convolution of channels as images": lambda: nn.Sequential(
        Apply(lambda x: x.reshape(-1, 4, 12, 12)),
        *(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)),
        Apply(lambda x: x.reshape(-1, 8, 12, 12)),
    ),
    "convolution with filters of its own": lambda: Apply(
        lambda x: torch.cat([F.conv2d(y[None], y[:, None, :3, :3].expand(8, 8, 3, 3) / 4, padding=1) for y in x])
    ),
    "grouped convolutions in a row": lambda: nn.Sequential(
        nn.Conv2d(8, 12, 3, groups=4), nn.ReLU(), nn.Conv2d(12, 6, 3, groups=2), nn.Conv2d(6, 6, 1, groups=3)
    ),
    "grouped convolutions of shuffled channels": lambda: nn.Sequential(
        nn.Conv2d(8, 12, 1, groups=4), nn.ChannelShuffle(4), nn.Conv2d(12, 8, 1, groups=2), depthwise(8, 1)
    ),
    "ranges of several groups": lambda: nn.Sequential(
        cut_channels(9), nn.Conv2d(72, 24, 1, groups=24), nn.Conv2d(24, 12, 1, groups=6)
    ),
    "ranges across groups": lambda: nn.Sequential(
        cut_channels(4),
        Apply(lambda x: torch.cat([x.new_ones(len(x), 1, 6, 6), x, x.new_ones(len(x), 3, 6, 6)], 1)),
        *(nn.Conv2d(36, 18, 1, groups=6), nn.BatchNorm2d(18)),
    ),
    "grouped convolution over rows": lambda: nn.Sequential(
        Apply(lambda x: x.transpose(1, 2)), nn.Conv2d(12, 6, 3, padding=1, groups=3)
    ),
    "ranges normalised": lambda: nn.Sequential(cut_channels(4), nn.BatchNorm2d(32), nn.PReLU(32)),
    "rows normalised": lambda: nn.Sequential(
        Apply(lambda x: x.transpose(1, 2)), nn.BatchNorm2d(12), nn.PReLU(12), nn.GLU(2)
    ),
    "pairs of channels normalised": lambda: nn.Sequential(
        nn.Unflatten(1, (4, 2)), nn.GroupNorm(2, 4), nn.Flatten(1, 2)
    ),
    "attention between rows": lambda: Apply(lambda x: F.scaled_dot_product_attention(x, x.flip(1), x.sin())),
    "attention between channels": lambda: Apply(
        lambda x: F.scaled_dot_product_attention(x.flatten(2), x.flatten(2), x.flatten(2)).view_as(x)
    ),
    "attention between pixels": PixelAttention,
    "long short-term memory": lambda: nn.Sequential(
        *(nn.Flatten(2), nn.LSTM(144, 9, 2, batch_first=True, bidirectional=True)),
        Apply(lambda outputs: outputs[0].unflatten(2, (6, 3))),
    ),
    "rotated pairs": lambda: Apply(
        lambda x: torch.view_as_real(torch.view_as_complex(x.reshape(-1, 8, 12, 6, 2)) * 1j).flatten(3)
    ),
    "spectrum of rows": lambda: Apply(lambda x: torch.fft.rfft2(x).abs() / 10),
    "spectrum of channels": lambda: Apply(lambda x: torch.fft.fft(x, dim=1).real / 5),
    "overlapping windows of channels": lambda: Apply(lambda x: x.unfold(1, 3, 2).mean(-1)),
    "overlapping windows of rows": lambda: Apply(lambda x: x.unfold(2, 3, 2).flatten(3)),
    "windows by strides": lambda: Apply(
        lambda x: x.contiguous().as_strided((len(x), 8, 10, 10), (8 * 144, 144, 12, 1), 13)
    ),
    "largest channel gathered": lambda: Apply(lambda x: x.gather(1, x.argmax(1, keepdim=True)) + x),
    "channels scattered by rank": lambda: Apply(lambda x: torch.zeros_like(x).scatter(1, x.argsort(1), x)),
    "median channel": lambda: Apply(lambda x: x.median(1, keepdim=True).values + x.median(2, keepdim=True).values),
    "multiplied by its mean elsewhere": lambda: Apply(lambda x: x + x.mean((2, 3))[:, None, :, None].mean(2, True)),
    "rows by columns": lambda: Apply(lambda x: (x.mean(3)[..., None] * x.mean(2)[:, :, None] * 3 + x @ x / 3).tril(2)),
    "channels mixed by a product": lambda: Apply(
        lambda x: torch.tensordot(x, 0.2 * torch.ones(8, 4).to(x), ([1], [0]))
    ),
    "channels in parts": lambda: Apply(
        lambda x: torch.cat([part * (i + 1) for i, part in enumerate(x.split([1, 3, 4], 1))], 1)
    ),
    "channels one by one": lambda: Apply(lambda x: torch.stack([channel.tanh() for channel in x.unbind(1)], 1)),
    "halves exchanged": lambda: Apply(lambda x: torch.cat([x[:, 4:], x[:, :4]], 1)),
    "channels behind and before others": lambda: Apply(
        lambda x: torch.cat([x, other_channels(x)], 1) * torch.cat([other_channels(x), x], 1)
    ),
    "maps of other channels beside each other": lambda: Apply(
        lambda x: torch.cat([torch.cat([x, other_channels(x)], 1), torch.cat([other_channels(x), x], 1)], 2)
    ),
    "channels against channels": lambda: Apply(lambda x: pairwise_differences(x.mean((2, 3)))),
    "twice the same": lambda: Apply(lambda x: torch.cat([x, x], 1)),
    "beside coordinates": lambda: Apply(
        lambda x: torch.cat([x, torch.linspace(-1, 1, 12).to(x).expand(len(x), 1, 12, 12)], 1)
    ),
    "numbers for channels": lambda: Apply(lambda x: x + 0.1 * torch.arange(8).view(1, 8, 1, 1)),
    "written through a view": lambda: Apply(lambda x: (x.view(len(x), -1).relu_(), x)[1]),
    "written through slices": lambda: Apply(
        lambda x: (x[:, 2:5].mul_(2), x[:, :, 2:5].tanh_(), x.transpose(1, 2)[:, 1].zero_(), x)[3]
    ),
    "written by mask and index": lambda: Apply(
        lambda x: x.masked_fill_(x < -1, 0.2).index_fill_(1, torch.tensor([3]), 1)
    ),
    "images one by one": lambda: Apply(lambda x: torch.stack([F.max_pool2d(image, 2) for image in x.unbind(0)])),
}
"""What may happen to the 8 channels of a 12 x 12 map between two convolutions."""


def between_convolutions(operator: Make) -> Make:
    return lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), operator(), nn.LazyConv2d(4, 3, padding=1), nn.ReLU(), *pooled(4)
    )


COMPARED = {**NETWORKS, **{name: (between_convolutions(make), IMAGE) for name, make in OPERATORS.items()}}
CASES = {**COMPARED, "remembering": (Remembering, (4,))}


def build(name: str, dtype: torch.dtype = torch.float64, images: int = 2) -> tuple[nn.Module, Tensor]:
    make, shape = CASES[name]
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = make().train()
        with torch.no_grad():
            network(torch.randn(8, *shape))
            enliven(network)
            for _ in range(20):  # batch norms come to know what they normalise
                network(torch.randn(8, *shape))
        return network.eval().to(dtype), torch.randn(images, *shape).to(dtype)


def enliven(network: nn.Module) -> None:
    """Keep signals alive through many layers, and make parameters of channels differ."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            nn.init.kaiming_normal_(parameter)
        else:
            parameter.add_(0.3 * torch.randn_like(parameter))


def layers(network: nn.Module) -> Iterator[tuple[str, int]]:
    for path, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and not hasattr(module, "parametrizations"):
            yield path, len(module.weight)


def assert_close(found: Array, wanted: Array, relative: float, absolute: float, label: str = "") -> None:
    error = np.abs(found - wanted)
    excess = (error / np.maximum(relative * np.abs(wanted), absolute)).max()
    assert excess <= 1, f"{label}: off by up to {error.max()}, {excess:.3g} times what is accepted"


def predict_every_draw(network: nn.Module, path: str, images: Tensor, unit: int) -> list[Array]:
    """Return the plain loop's predictions [draws, images, classes] of every task."""
    weights, biases = prior_draws(network, path, unit, samples=SAMPLES)
    draws = [(weights[[draw]], biases[[draw]]) for draw in range(SAMPLES)]
    return marginalize_naively(network, path, images, [unit] * SAMPLES, draws)


ONE, BOTH = ("monte-carlo",), ("prior-weighted", "monte-carlo")


def assert_conditionals_of_the_plain_loop(
    network: nn.Module,
    path: str,
    images: Tensor,
    units: list[int],
    closeness: tuple[float, float],
    *,
    estimators: tuple[str, ...] = ONE,
    **options: Any,
) -> float:
    """Compare plain means, to which all draws add, or sums by the draws' weights; return the largest effect."""
    layer = network.get_submodule(path)
    own = images.clone()
    every = [predict_every_draw(network, path, images, unit) for unit in units]
    shares = [sample_shares(layer, unit, prior_draws(network, path, unit, samples=SAMPLES)) for unit in units]
    for estimator in estimators:
        parts = shares if estimator == "prior-weighted" else np.full_like(shares, 1 / SAMPLES)
        estimation = {"units": units, "samples": SAMPLES, "tolerance": 0, "estimator": estimator}
        found = marginalize(network, path, images, **estimation, **options)
        for row, (unit, tasks) in enumerate(zip(units, every, strict=True)):
            for task, predictions in zip(found, tasks, strict=True):
                wanted = np.tensordot(parts[row], predictions, 1)
                assert_close(task[row], wanted, *closeness, f"unit {unit} of layer {path}, {estimator}")
        assert torch.equal(images, own), "the caller's images have changed"
    return max(float(np.ptp(predictions, axis=0).max()) for tasks in every for predictions in tasks)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", COMPARED)
def test_conditionals_of_every_layer_are_those_of_the_plain_loop(name: str, dtype: torch.dtype) -> None:
    network, images = build(name, dtype)
    every = 1 if dtype == torch.float64 else 3  # single precision only rounds otherwise
    for number, (path, count) in list(enumerate(layers(network)))[::every]:
        units = [(number + 1) * 5 % count, count // 2]
        effect = assert_conditionals_of_the_plain_loop(network, path, images, units, CLOSENESS[dtype])
        assert effect > 1e-3, f"no draw for units {units} of layer {path} makes a difference"


@pytest.fixture(scope="module")
def paper_alexnet() -> nn.Sequential:
    def relu() -> nn.ReLU:
        return nn.ReLU(inplace=True)

    with torch.random.fork_rng():
        torch.manual_seed(7)
        features = nn.Sequential(
            *(nn.Conv2d(3, 96, 11, stride=4, padding=2), relu(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(96, 256, 5, padding=2), relu(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(256, 384, 3, padding=1), relu()),
            *(nn.Conv2d(384, 384, 3, padding=1), relu()),
            *(nn.Conv2d(384, 256, 3, padding=1), relu(), nn.MaxPool2d(3, 2)),
        )
        hidden = (nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), relu(), nn.Dropout(), nn.Linear(4096, 4096), relu())
        heads = ConcatTable([nn.Linear(4096, 500), nn.Linear(4096, 100)])
        network = nn.Sequential(nn.Sequential(features), nn.Sequential(nn.Flatten(), *hidden, heads))
        with torch.no_grad():
            enliven(network)
            for head in heads:  # for large scores, rounding of the plain loop itself passes what is accepted
                head.weight *= 0.05
        return network.eval()


@pytest.fixture(scope="module")
def photographs() -> Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(8))


@pytest.mark.slow
@pytest.mark.parametrize("alias", LAYERS)
def test_the_papers_alexnet(alias: str, paper_alexnet: nn.Sequential, photographs: Tensor) -> None:
    path = LAYERS[alias]
    units = [1, len(paper_alexnet.get_submodule(path).weight) - 2]
    closeness = CLOSENESS[torch.float32]
    effect = assert_conditionals_of_the_plain_loop(paper_alexnet, path, photographs, units, closeness, estimators=BOTH)
    assert effect > 1e-5


@pytest.mark.slow
def test_the_papers_alexnet_in_double_precision(paper_alexnet: nn.Sequential, photographs: Tensor) -> None:
    doubled = copy.deepcopy(paper_alexnet).double()
    path, units, closeness = LAYERS["conv4"], [5], CLOSENESS[torch.float64]
    assert_conditionals_of_the_plain_loop(doubled, path, photographs.double(), units, closeness)


def test_double_precision_of_a_network_in_single_precision() -> None:
    network, images = build("residual", torch.float32)
    found = marginalize(network, "4.conv1", images, units=[1], samples=SAMPLES, tolerance=0, dtype="float64")
    draws = [prior_draws(network, "4.conv1", 1, samples=SAMPLES)]
    wanted = marginalize_naively(network.double(), "4.conv1", images.double(), [1], draws)
    for task, reference in zip(found, wanted, strict=True):
        assert task.dtype == np.float64
        assert_close(task, reference, *CLOSENESS[torch.float64])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_networks_and_images_in_channels_last(dtype: torch.dtype) -> None:
    network, images = build("residual", dtype)
    network, images = network.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    assert_conditionals_of_the_plain_loop(network, "5.conv1", images, [1, 4], CLOSENESS[dtype], estimators=BOTH)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("residual", "5.shortcut.0"),
        ("inception", "0.stem.0"),
        ("depthwise separable", "3"),
        ("dict of heads", "trunk.3"),
        ("channel shuffle", "depthwise"),
        ("vision transformer", "encoders.0.mlp.0"),
        ("writing into slices", "conv1"),
        ("counting", "hidden"),
    ],
)
def test_the_plain_engine_agrees(name: str, path: str) -> None:
    network, images = build(name)
    closeness = CLOSENESS[torch.float64]
    assert_conditionals_of_the_plain_loop(network, path, images, [0, 1], closeness, estimators=BOTH, engine="plain")
    quick, plain = (marginalize(network, path, images, samples=4, engine=e) for e in ("one-channel", "plain"))
    assert quick.tasks == plain.tasks
    assert quick.skipped_mass.tolist() == plain.skipped_mass.tolist()
    for task, reference in zip(quick, plain, strict=True):
        assert_close(task, reference, *closeness)


@pytest.mark.parametrize("engine", ["one-channel", "plain"])
@pytest.mark.parametrize("name", ["writing into its input", "adding to its input"])
def test_images_that_the_network_writes_into_are_unchanged(name: str, engine: str) -> None:
    network, images = build(name, torch.float32)
    array = images.numpy().copy()
    own = images.clone()
    from_tensor = marginalize(network, "conv", images, samples=SAMPLES, engine=engine)
    from_array = marginalize(network, "conv", array, samples=SAMPLES, engine=engine, batch_size=1)
    assert torch.equal(images, own)
    assert np.array_equal(array, own)
    for task, reference in zip(from_tensor, from_array, strict=True):
        np.testing.assert_allclose(task, reference, rtol=0, atol=1e-6)


@pytest.mark.parametrize("engine", ["one-channel", "plain"])
def test_buffers_that_the_network_writes_into_are_unchanged(engine: str) -> None:
    network, images = build("counting", torch.float32)
    own = {name: value.clone() for name, value in network.state_dict().items()}
    assert own["calls"] > 0
    marginalize(network, "hidden", images, samples=SAMPLES, engine=engine)
    assert all(torch.equal(value, own[name]) for name, value in network.state_dict().items())


ODD_USES: dict[str, Callable[[nn.Linear, Tensor], Tensor]] = {
    "bias added twice": lambda layer, x: layer(x) + layer.bias,
    "bias multiplied": lambda layer, x: layer(x) * layer.bias,
    "bias subtracted": lambda layer, x: x @ layer.weight.T - layer.bias,
    "bias added to others": lambda layer, x: F.linear(x, layer.weight).flip(1) * 2 + layer.bias,
    "weight as it is": lambda layer, x: x @ layer.weight,
    "weight doubled": lambda layer, x: F.linear(x, 2 * layer.weight, layer.bias),
    "weight squared": lambda layer, x: x @ (layer.weight.T @ layer.weight),
}


@pytest.mark.parametrize("use", ODD_USES)
def test_parameters_that_act_otherwise_than_in_one_layer_are_refused(use: str) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(ODD_USES[use](self.layer, x)))

    with torch.random.fork_rng():
        torch.manual_seed(7)
        network, images = Odd().double().eval(), torch.randn(2, 4).double()
    with pytest.raises(InputError, match="layer 'layer'"):
        marginalize(network, "layer", images, units=[1], samples=SAMPLES)
    assert_conditionals_of_the_plain_loop(network, "layer", images, [1], CLOSENESS[torch.float64], engine="plain")


@pytest.mark.parametrize("engine", ["one-channel", "plain"])
@pytest.mark.parametrize("options", [{}, {"batch_size": 1}], ids=str)
def test_every_pass_starts_from_the_networks_own_buffers(engine: str, options: dict[str, int]) -> None:
    network, images = build("remembering")
    batches = images.split(options.get("batch_size", len(images)))
    for unit in range(2):
        weights, biases = prior_draws(network, "hidden", unit, samples=SAMPLES)
        passes = [
            np.concatenate([marginalize_naively(network, "hidden", batch, [unit], [draw])[0][0] for batch in batches])
            for draw in ((weights[[i]], biases[[i]]) for i in range(SAMPLES))
        ]
        estimation = {"units": [unit], "samples": SAMPLES, "estimator": "monte-carlo", "engine": engine, **options}
        (found,) = marginalize(network, "hidden", images, **estimation)
        assert_close(found[0], np.mean(passes, axis=0), *CLOSENESS[torch.float64])


INVARIANT = (
    ("residual", "4.conv2"),
    ("inception", "0.three.1.0"),
    ("depthwise separable", "6"),
    ("dict of heads", "trunk.0"),
    ("dense", "layers.0"),
    ("vision transformer", "patches"),
    ("perceptron", "2"),
)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("name", "path"), INVARIANT)
def test_a_tolerance_lowers_conditionals_by_at_most_the_skipped_mass(name: str, path: str, dtype: torch.dtype) -> None:
    network, images = build(name, dtype)
    rounding = 1e-14 if dtype == torch.float64 else 1e-6
    exact = marginalize(network, path, images, samples=300, tolerance=0)
    quick = marginalize(network, path, images, samples=300, tolerance=1e-6)
    assert not exact.skipped_mass.any()
    assert 0 < quick.skipped_mass.max() <= 1e-6
    for full, short in zip(exact, quick, strict=True):
        lowered = full.astype(float) - short
        assert lowered.min() >= -rounding
        assert (lowered <= quick.skipped_mass[:, None, None] + rounding).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"batch_size": 1}, {"batch_size": 2}, {"batch_size": 3}, {"batch_size": 99}], ids=str
)
@pytest.mark.parametrize(("name", "path"), INVARIANT)
def test_batches_change_no_number(name: str, path: str, options: dict[str, int]) -> None:
    assert_same_numbers(name, path, options)


@pytest.mark.slow
@pytest.mark.parametrize("memory", [1, 10_000, 100_000, 10_000_000])
@pytest.mark.parametrize(("name", "path"), INVARIANT)
def test_memory_changes_no_number(name: str, path: str, memory: int) -> None:
    assert_same_numbers(name, path, {"memory": memory})


@pytest.mark.slow
@pytest.mark.parametrize("units", [[3, 0, 2], [1], [2, 2], [2, 1, 0]], ids=str)
@pytest.mark.parametrize(("name", "path"), INVARIANT)
def test_order_and_subset_of_units_change_no_number(name: str, path: str, units: list[int]) -> None:
    count = len(whole_layer(name, path)[2].units)
    assert_same_numbers(name, path, {"units": [unit % count for unit in units]})


@cache
def whole_layer(name: str, path: str) -> tuple[nn.Module, Tensor, Conditionals]:
    """Return a network, images, and the conditionals of all units of a layer at once."""
    network, images = build(name, torch.float32, images=5)
    return network, images, marginalize(network, path, images, samples=7)


def assert_same_numbers(name: str, path: str, options: dict[str, Any]) -> None:
    network, images, whole = whole_layer(name, path)
    part = marginalize(network, path, images, samples=7, **options)
    assert part.units.tolist() == options.get("units", whole.units.tolist())
    assert part.effective_samples.tolist() == whole.effective_samples[part.units].tolist()
    assert part.skipped_mass.tolist() == whole.skipped_mass[part.units].tolist()
    for found, wanted in zip(part, whole, strict=True):
        np.testing.assert_allclose(found, wanted[part.units], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_size": 1}, {"memory": 1}, {"memory": 100_000}, {"units": [3, 0, 2]}, {"units": [2]}],
    ids=str,
)
def test_draws_are_bit_identical_however_the_work_is_cut(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[tuple[int, bytes, float]] = set()
    scores = OneChannelEngine.scores

    def spy(engine: OneChannelEngine, images: slice, units: NDArray[np.int64], weights: Tensor, biases: Tensor) -> Any:
        parameters = (weights.numpy().copy(), biases.tolist())
        seen.update((int(u), w.tobytes(), b) for u, w, b in zip(units, *parameters, strict=True))
        return scores(engine, images, units, weights, biases)

    monkeypatch.setattr(OneChannelEngine, "scores", spy)
    network, images = build("residual", images=5)
    marginalize(network, "5.shortcut.0", images, samples=9, tolerance=0, **options)
    wanted: set[tuple[int, bytes, float]] = set()
    for unit in options.get("units", range(6)):
        weights, biases = prior_draws(network, "5.shortcut.0", unit, samples=9)
        wanted.update((unit, w.tobytes(), b) for w, b in zip(weights, biases.tolist(), strict=True))
    assert seen == wanted


class Wired(nn.Module):
    """Layers each of which takes earlier values by number: 0 is the images, n the result of the nth layer."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.sources: list[tuple[int, ...]] = []
        self.shapes = [shape]
        self.heads = nn.ModuleList()
        self.named = False

    def forward(self, x: Tensor) -> Any:
        values = [x]
        for layer, sources in zip(self.layers, self.sources, strict=True):
            values.append(layer(*(values[source] for source in sources)))
        scores = [head(values[-1]) for head in self.heads]
        return {f"task {number}": score for number, score in enumerate(scores)} if self.named else scores

    def add(self, layer: nn.Module, *sources: int) -> int:
        with torch.no_grad():
            shape = layer.eval()(*(torch.zeros(2, *self.shapes[source]) for source in sources)).shape
        self.layers.append(layer)
        self.sources.append(sources)
        self.shapes.append(tuple(shape[1:]))
        return len(self.layers)

    def unused(self) -> list[int]:
        used = {source for sources in self.sources for source in sources}
        return [value for value in range(1, len(self.shapes)) if value not in used]

    def extra_repr(self) -> str:
        return f"sources={self.sources}, shapes={self.shapes}"


Draw = Callable[[st.SearchStrategy[Any]], Any]


def recent(draw: Draw, network: Wired) -> int:
    last = len(network.shapes) - 1
    return last - draw(st.integers(0, min(2, last)))


def divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def add_convolution(draw: Draw, network: Wired) -> None:
    source = recent(draw, network)
    channels, *size = network.shapes[source]
    groups = draw(st.sampled_from(divisors(channels)))
    outputs = groups * draw(st.integers(1, max(2, 6 // groups)))
    padding = draw(st.integers(0, 2))
    dilation = draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, min(3, (extent + 2 * padding - 1) // dilation + 1))) for extent in size]
    modes = ["zeros", "replicate"] + ["reflect", "circular"] * (padding < min(size))
    layer = nn.Conv2d(
        channels,
        outputs,
        kernel,
        stride=draw(st.integers(1, 2)),
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(modes)),
    )
    network.add(layer, source)


def add_norm(draw: Draw, network: Wired) -> None:
    source = recent(draw, network)
    channels, *size = network.shapes[source]
    groups = draw(st.sampled_from(divisors(channels)))
    several = channels // groups * math.prod(size) > 1
    choices = {
        "batch": lambda: nn.BatchNorm2d(channels, affine=draw(st.booleans())),
        "group": lambda: nn.GroupNorm(groups, channels) if several else nn.Identity(),
        "layer": lambda: nn.LayerNorm([channels, *size]),
        "instance": lambda: nn.InstanceNorm2d(channels, affine=True, track_running_stats=True),
        "local": lambda: nn.LocalResponseNorm(3, alpha=0.3),
    }
    network.add(choices[draw(st.sampled_from(["batch", *choices]))](), source)


def add_activation(draw: Draw, network: Wired) -> None:
    source = recent(draw, network)
    channels = network.shapes[source][0]
    in_place = draw(st.booleans())
    choices = {
        "relu": lambda: nn.ReLU(in_place),
        "leaky": lambda: nn.LeakyReLU(0.2, in_place),
        "elu": lambda: nn.ELU(inplace=in_place),
        "silu": lambda: nn.SiLU(in_place),
        "hard": lambda: nn.Hardswish(in_place),
        "tanh": nn.Tanh,
        "gelu": nn.GELU,
        "slopes": lambda: nn.PReLU(draw(st.sampled_from([1, channels]))),
        "softmax": lambda: nn.Softmax(1),
        "gated": lambda: nn.GLU(1) if channels % 2 == 0 else nn.Sigmoid(),
    }
    network.add(choices[draw(st.sampled_from(list(choices)))](), source)


def add_pool(draw: Draw, network: Wired) -> None:
    source = recent(draw, network)
    smallest = min(network.shapes[source][1:])
    kernel = draw(st.integers(1, min(3, smallest)))
    stride, ceil = draw(st.integers(1, 2)), draw(st.booleans())
    padding = draw(st.integers(0, kernel // 2))
    dilation = draw(st.integers(1, 2 if kernel * 2 <= smallest else 1))
    extents = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    choices = {
        "max": lambda: nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil),
        "average": lambda: nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil, count_include_pad=ceil),
        "adaptive average": lambda: nn.AdaptiveAvgPool2d(extents),
        "adaptive max": lambda: nn.AdaptiveMaxPool2d(extents),
    }
    network.add(choices[draw(st.sampled_from(list(choices)))](), source)


def add_sum(draw: Draw, network: Wired) -> None:
    """Join two values of one shape; make the second one with a convolution where there is none."""
    source = recent(draw, network)
    shape = network.shapes[source]
    others = [value for value, other in enumerate(network.shapes) if other == shape and value != source]
    if not others:
        others = [network.add(nn.Conv2d(shape[0], shape[0], 1), source)]
    joins = {
        "sum": lambda x, y: x + y,
        "sum in place": lambda x, y: x.add_(y),
        "product": lambda x, y: x * torch.sigmoid(y),
        "larger": torch.maximum,
        "side by side": lambda x, y: torch.cat([x, y], 1) + torch.cat([y, x], 1),
        "one below the other": lambda x, y: torch.cat([x, y], 2),
    }
    network.add(Apply(joins[draw(st.sampled_from(list(joins)))]), source, draw(st.sampled_from(others)))


def add_gate(draw: Draw, network: Wired) -> None:
    source = recent(draw, network)
    channels = network.shapes[source][0]
    pool = draw(st.sampled_from([nn.AdaptiveAvgPool2d(1), nn.Identity()]))
    convolution = nn.Conv2d(channels, draw(st.sampled_from([1, channels])), 1)
    gate = network.add(nn.Sequential(pool, convolution, nn.Sigmoid()), source)
    network.add(Apply(torch.mul), *draw(st.permutations([source, gate])))


def add_concatenation(draw: Draw, network: Wired) -> None:
    source = recent(draw, network)
    size = network.shapes[source][1:]
    others = [value for value, shape in enumerate(network.shapes) if shape[1:] == size]
    parts = draw(st.lists(st.sampled_from(others), min_size=1, max_size=2))
    network.add(Apply(lambda *values: torch.cat(values, 1)), *draw(st.permutations([source, *parts])))


def add_rearrangement(draw: Draw, network: Wired) -> None:
    source = recent(draw, network)
    channels, height, width = network.shapes[source]
    groups = draw(st.sampled_from(divisors(channels)))
    start = draw(st.integers(0, channels - 1))
    choices = {
        "shuffle": Apply(lambda x: shuffle(x, groups)),
        "slice": Apply(lambda x: x[:, start:]),
        "roll": Apply(lambda x: x.roll(start, 1)),
        "transposed": Apply(lambda x: x.transpose(2, 3)),
        "sliced rows": Apply(lambda x: x[:, :, height // 2 :]),
        "split channels": Apply(lambda x: x.reshape(len(x), groups, channels // groups * height, width)),
        "padded": nn.ConstantPad2d((1, 0, 0, 1), 0.3),
        "padded channels": Apply(lambda x: F.pad(x, (0, 0, 0, 0, 1, 0), value=0.3)),
        "channels as rows": Apply(lambda x: x.transpose(1, 2)),
        "channels as columns": Apply(lambda x: x.permute(0, 3, 2, 1)),
        "upsampled": nn.Upsample(scale_factor=2) if height < 8 else nn.Identity(),
        "less its mean": Apply(lambda x: x - x.mean(1, keepdim=True)),
        "transposed convolution": nn.ConvTranspose2d(channels, 3 * groups, 2, groups=groups),
    }
    network.add(choices[draw(st.sampled_from(list(choices)))], source)


def add_heads(draw: Draw, network: Wired) -> None:
    """Flatten or average all values that nothing has taken yet, with or without hidden layers behind them."""
    vectors = []
    for value in network.unused():
        wide = math.prod(network.shapes[value]) > 300
        flat: nn.Module = Apply(lambda x: x.mean((2, 3))) if wide or draw(st.booleans()) else nn.Flatten()
        vectors.append(network.add(flat, value))
    last = network.add(Apply(lambda *values: torch.cat(values, 1)), *vectors)
    for _ in range(draw(st.integers(0, 2))):
        width = draw(st.integers(1, 6))
        linear = nn.Linear(network.shapes[last][0], width, bias=draw(st.booleans()))
        last = network.add(linear, last)
        last = network.add(draw(st.sampled_from([nn.ReLU(inplace=True), nn.Tanh(), nn.BatchNorm1d(width)])), last)
    inputs = network.shapes[last][0]
    network.heads.extend(nn.Linear(inputs, draw(st.integers(2, 4))) for _ in range(draw(st.integers(1, 3))))
    network.named = draw(st.booleans())


def randomise(network: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        enliven(network)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.InstanceNorm2d):
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)


STEPS = (
    *(add_convolution, add_convolution, add_norm, add_activation, add_activation, add_pool, add_sum, add_gate),
    *(add_concatenation, add_concatenation, add_rearrangement, add_rearrangement),
)


@st.composite
def networks(draw: Draw) -> tuple[Wired, Tensor, int]:
    """Random networks with images, and a number to choose units by."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(3, 8)), draw(st.integers(3, 8)))
    network = Wired(shape)
    add_convolution(draw, network)
    for _ in range(draw(st.integers(2, 8))):
        draw(st.sampled_from(STEPS))(draw, network)
    add_heads(draw, network)
    with torch.random.fork_rng():
        randomise(network, draw(st.integers(0, 2**16)))
        images = torch.randn(draw(st.integers(1, 3)), *shape).double()
    return network.double().eval(), images, draw(st.integers(0, 11))


@pytest.mark.slow
def test_random_networks() -> None:
    effects = []

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(networks())
    def check(case: tuple[Wired, Tensor, int]) -> None:
        network, images, number = case
        for path, count in layers(network):
            units, closeness = [number % count], (1e-10, 1e-13)
            effects.append(assert_conditionals_of_the_plain_loop(network, path, images, units, closeness))

    check()
    assert np.mean(np.array(effects) > 1e-3) > 0.8
