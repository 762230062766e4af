"""Every type of layer of Caffe that is known, and the module of torch that computes what it computes in a test."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn

from featuresharing.networks.formats.caffe_model import caffe_modules as modules
from featuresharing.networks.formats.caffe_model.caffe_layers import (
    MOST_PIXELS,
    MOST_PLANES,
    CaffeLayer,
    Made,
    Shape,
)
from featuresharing.networks.module_paths import with_parameters

MOST_AROUND = 255
"""Most planes, or pixels of a side, that a normalisation sums over."""

NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}
"""Batch norm for blobs of so many axes."""


def _convolution(layer: CaffeLayer) -> Made:
    return _of_windows(layer, transposed=False)


def _deconvolution(layer: CaffeLayer) -> Made:
    return _of_windows(layer, transposed=True)


def _of_windows(layer: CaffeLayer, *, transposed: bool) -> Made:
    settings = layer.settings("convolution")
    images, planes, *sides = layer.image()
    layer.whole(settings, "axis", 1, 1)
    outputs = layer.whole(settings, "num_output", 1, MOST_PLANES)
    groups = layer.whole(settings, "group", 1, MOST_PLANES)
    if planes % groups or outputs % groups:
        raise layer.refuse(
            f"found {planes} and {outputs} planes in {groups} groups; accepted are planes that these divide"
        )
    kernel = layer.pair(settings, "kernel_size", 1, short="kernel")
    stride = layer.pair(settings, "stride", 1, 1, short="stride")
    padding = layer.pair(settings, "pad", 0, 0, short="pad")
    dilation = layer.pair(settings, "dilation", 1, 1)
    given, made = (planes, outputs) if transposed else (outputs, planes)
    shapes: list[Shape] = [(given, made // groups, *kernel)]
    found = layer.arrays(*shapes, *([(outputs,)] if settings.bias_term else []))
    spans = [step * (size - 1) + 1 for step, size in zip(dilation, kernel, strict=True)]
    if transposed:
        results = [s * (n - 1) + k - 2 * p for n, k, s, p in zip(sides, spans, stride, padding, strict=True)]
    else:
        results = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(sides, spans, stride, padding, strict=True)]
    if min(results) < 1:
        raise layer.refuse(
            f"its kernel does not fit into images of {sides[0]} x {sides[1]} pixels; accepted is one that does"
        )
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    module = kind(planes, outputs, kernel, stride, padding, dilation=dilation, groups=groups, device="meta")
    bias = found[1] if settings.bias_term else None
    products = math.prod(shapes[0][1:]) if not transposed else planes // groups * math.prod(kernel)
    return Made(with_parameters(module, weight=found[0], bias=bias), ((images, outputs, *results),), products)


def _inner_product(layer: CaffeLayer) -> Made:
    settings = layer.settings("inner_product")
    axis = layer.axis(settings.axis, "axis")
    outputs, inputs = layer.whole(settings, "num_output", 1, MOST_PLANES), math.prod(layer.shape[axis:])
    shape = (inputs, outputs) if settings.transpose else (outputs, inputs)
    found = layer.arrays(shape, *([(outputs,)] if settings.bias_term else []))
    weight = found[0].T.contiguous() if settings.transpose else found[0]
    bias = found[1] if settings.bias_term else None
    module = with_parameters(nn.Linear(inputs, outputs, settings.bias_term, device="meta"), weight=weight, bias=bias)
    flat_from = axis if len(layer.shape) > axis + 1 else 0
    return Made(module, ((*layer.shape[:axis], outputs),), inputs, flat_from)


def _batch_norm(layer: CaffeLayer) -> Made:
    settings = layer.settings("batch_norm")
    if settings.HasField("use_global_stats") and not settings.use_global_stats:
        raise layer.refuse("'use_global_stats' is false, so that scores depend on other images; accepted is true")
    if len(layer.shape) not in NORMS:
        raise layer.refuse(f"it takes a blob of the shape {list(layer.shape)}; accepted are blobs of 2 to 4 sizes")
    planes, eps = layer.shape[1], layer.number(settings, "eps")
    mean, variance, counted = layer.arrays((planes,), (planes,), (1,))
    # sums over the training, and what to divide them by
    factor = 0 if counted.item() == 0 else 1 / counted.item()
    mean, variance = mean * factor, variance * factor
    if not bool((variance + eps > 0).all()) or not bool(torch.isfinite(mean).all()):
        raise layer.refuse("its variances with 'eps' are not all positive numbers; accepted are those of a training")
    module = NORMS[len(layer.shape)](planes, eps, affine=False, device="meta")
    module.running_mean, module.running_var = mean, variance
    module.num_batches_tracked = torch.zeros((), dtype=torch.int64)
    return layer.same(module)


def _affine(kind: str) -> Callable[[CaffeLayer], Made]:
    """Scale, which may have a bias, or Bias: by learnt numbers, or by those of a second blob."""

    def convert(layer: CaffeLayer) -> Made:
        settings = layer.settings(kind)
        has_bias = kind == "scale" and settings.bias_term
        if len(layer.shapes) == 2:
            axis, other = settings.axis, layer.shapes[1]
            if axis != 0 or has_bias or layer.shape[: len(other)] != other:
                raise layer.refuse(
                    f"found 'axis' {axis}{' and a bias' if has_bias else ''} with blobs of the shapes "
                    f"{list(layer.shape)} and {list(other)}; accepted is 'axis' 0, no bias, and a second blob whose "
                    "shape the first one's begins with"
                )
            return layer.same(modules.Gate(adds=kind == "bias"))
        axis, count = layer.axis(settings.axis, "axis"), layer.whole(settings, "num_axes", -1, len(layer.shape))
        end = len(layer.shape) if count == -1 else axis + count
        if end > len(layer.shape):
            raise layer.refuse(f"'num_axes' is {count}; accepted are axes of a blob of the shape {list(layer.shape)}")
        shape = layer.shape[axis:end]
        found = layer.arrays(*[shape] * (1 + has_bias))
        weight, bias = (None, found[0]) if kind == "bias" else (found[0], found[1] if has_bias else None)
        return layer.same(modules.Affine(weight, bias, len(layer.shape) - end))

    return convert


def _pooling(layer: CaffeLayer) -> Made:
    settings = layer.settings("pooling")
    images, planes, *sides = layer.image()
    method = settings.DESCRIPTOR.enum_types_by_name["PoolMethod"].values_by_number[settings.pool].name
    if method == "STOCHASTIC":
        raise layer.refuse("'pool' is STOCHASTIC; accepted are MAX and AVE")
    if settings.global_pooling:
        if any(settings.HasField(name) for name in ("kernel_size", "kernel_h", "kernel_w")):
            raise layer.refuse("'global_pooling' and a kernel are both there; accepted is one of them")
        whole = nn.AdaptiveMaxPool2d(1) if method == "MAX" else nn.AdaptiveAvgPool2d(1)
        return Made(whole, ((images, planes, 1, 1),), sides[0] * sides[1])
    kernel = layer.pair(settings, "kernel_size", 1, short="kernel")
    stride = layer.pair(settings, "stride", 1, 1, short="stride")
    padding = layer.pair(settings, "pad", 0, 0, short="pad")
    if any(2 * pad > size for pad, size in zip(padding, kernel, strict=True)):
        raise layer.refuse(f"'pad' is {max(padding)}; accepted is at most half of the kernel")
    ceil = settings.round_mode == settings.CEIL and settings.ceil_mode
    results = [_windows(layer, *each, any(padding), ceil) for each in zip(sides, kernel, stride, padding, strict=True)]
    kind = nn.MaxPool2d if method == "MAX" else nn.AvgPool2d
    return Made(kind(kernel, stride, padding, ceil_mode=ceil), ((images, planes, *results),), math.prod(kernel))


def _windows(layer: CaffeLayer, side: int, kernel: int, stride: int, pad: int, padded: bool, ceil: bool) -> int:
    """Return how many windows there are along a side: the last may end outside of the image, but not begin there."""
    room = side + 2 * pad - kernel
    windows = (-(-room // stride) if ceil else room // stride) + 1
    if padded and (windows - 1) * stride >= side + pad:
        windows -= 1
    if windows < 1 or (windows - 1) * stride - pad >= side:
        raise layer.refuse(f"its windows do not fit into images of {side} pixels a side; accepted are windows that do")
    return windows


def _lrn(layer: CaffeLayer) -> Made:
    settings = layer.settings("lrn")
    layer.image()
    size = layer.whole(settings, "local_size", 1, MOST_AROUND)
    if size % 2 == 0:
        raise layer.refuse(f"'local_size' is {size}; accepted is an odd number")
    alpha, beta = layer.number(settings, "alpha"), layer.number(settings, "beta")
    if settings.norm_region == settings.WITHIN_CHANNEL:
        return layer.same(modules.WithinChannelNorm(size, alpha, beta), size**2)
    return layer.same(nn.LocalResponseNorm(size, alpha, beta, layer.number(settings, "k")), size)


def _prelu(layer: CaffeLayer) -> Made:
    shared = layer.settings("prelu").channel_shared
    if len(layer.shape) < 2:
        raise layer.refuse("it takes one number an image; accepted are blobs with channels")
    shape: Shape = () if shared else (layer.shape[1],)
    (slopes,) = layer.arrays(shape)
    return layer.same(with_parameters(nn.PReLU(slopes.numel(), device="meta"), weight=slopes.reshape(-1)))


def _relu(layer: CaffeLayer) -> Made:
    slope = layer.number(layer.settings("relu"), "negative_slope")
    return layer.same(nn.LeakyReLU(slope) if slope else nn.ReLU())


def _clip(layer: CaffeLayer) -> Made:
    settings = layer.settings("clip")
    if not (settings.HasField("min") and settings.HasField("max")):
        raise layer.refuse("'min' or 'max' is not there; accepted are both")
    least, most = layer.number(settings, "min"), layer.number(settings, "max")
    if least >= most:
        raise layer.refuse(f"'min' is {least:g} and 'max' {most:g}; accepted is a smaller 'min'")
    return layer.same(nn.Hardtanh(least, most))


def _power(layer: CaffeLayer) -> Made:
    settings = layer.settings("power")
    return layer.same(modules.Power(*(layer.number(settings, name) for name in ("power", "scale", "shift"))))


def _exponential(layer: CaffeLayer) -> Made:
    settings = layer.settings("exp")
    factor = _log_of_base(layer, settings.base)
    return layer.same(
        modules.Exponential(factor * layer.number(settings, "scale"), factor * layer.number(settings, "shift"))
    )


def _logarithm(layer: CaffeLayer) -> Made:
    settings = layer.settings("log")
    factor = 1 / _log_of_base(layer, settings.base)
    return layer.same(modules.Logarithm(factor, layer.number(settings, "scale"), layer.number(settings, "shift")))


def _log_of_base(layer: CaffeLayer, base: float) -> float:
    """Return the natural logarithm of a base, of which -1 stands for e."""
    if base != -1 and not (0 < base < math.inf and base != 1):
        raise layer.refuse(f"'base' is {base:g}; accepted is a positive number other than 1, or -1 for e")
    return 1.0 if base == -1 else math.log(base)


def _dropout(layer: CaffeLayer) -> Made:
    ratio = layer.number(layer.settings("dropout"), "dropout_ratio")
    if not 0 <= ratio < 1:
        raise layer.refuse(f"'dropout_ratio' is {ratio:g}; accepted is a number from 0 to below 1")
    return layer.same(nn.Dropout(ratio))


def _softmax(layer: CaffeLayer) -> Made:
    return layer.same(nn.Softmax(dim=layer.axis(layer.settings("softmax").axis, "axis")))


def _eltwise(layer: CaffeLayer) -> Made:
    settings = layer.settings("eltwise")
    if len(set(layer.shapes)) > 1:
        shapes = " and ".join(str(list(shape)) for shape in dict.fromkeys(layer.shapes))
        raise layer.refuse(f"it takes blobs of the shapes {shapes}; accepted are blobs of one shape")
    factors = list(settings.coeff)
    if factors and (settings.operation != settings.SUM or len(factors) != len(layer.shapes)):
        raise layer.refuse(f"'coeff' is there {len(factors)} times; accepted is one for each blob of a SUM")
    if not all(abs(factor) < math.inf for factor in factors):
        raise layer.refuse(f"'coeff' is {factors}; accepted are finite numbers")
    if settings.operation == settings.SUM:
        return layer.same(modules.Sum(factors or [1.0] * len(layer.shapes)), len(layer.shapes))
    module = modules.Product() if settings.operation == settings.PROD else modules.Maximum()
    return layer.same(module, len(layer.shapes))


def _concat(layer: CaffeLayer) -> Made:
    axis = layer.older_axis(layer.settings("concat"), "concat_dim")
    around = {(*shape[:axis], *shape[axis + 1 :]) for shape in layer.shapes}
    if len(around) > 1 or len({len(shape) for shape in layer.shapes}) > 1:
        shapes = " and ".join(str(list(shape)) for shape in dict.fromkeys(layer.shapes))
        raise layer.refuse(
            f"it takes blobs of the shapes {shapes}; accepted are shapes that differ along axis {axis} alone"
        )
    length = sum(shape[axis] for shape in layer.shapes)
    return Made(modules.Joined(axis), ((*layer.shape[:axis], length, *layer.shape[axis + 1 :]),))


def _slice(layer: CaffeLayer) -> Made:
    settings = layer.settings("slice")
    axis = layer.older_axis(settings, "slice_dim")
    length, count, points = layer.shape[axis], len(layer.entry.tops), list(settings.slice_point)
    edges = [0, *(points or [length // count * place for place in range(1, count)]), length]
    sizes = [after - before for before, after in pairwise(edges)]
    if len(sizes) != count or min(sizes) < 1 or (not points and length % count):
        found = f"{len(points)} points" if points else "equal parts"
        raise layer.refuse(f"it cuts {length} places into {count} blobs by {found}; accepted are points that do so")
    shapes = tuple((*layer.shape[:axis], size, *layer.shape[axis + 1 :]) for size in sizes)
    return Made(modules.Pieces(axis, sizes), shapes)


def _flatten(layer: CaffeLayer) -> Made:
    settings = layer.settings("flatten")
    axis = layer.axis(settings.axis, "axis")
    end = layer.axis(settings.end_axis, "end_axis", least=axis)
    shape = (*layer.shape[:axis], math.prod(layer.shape[axis : end + 1]), *layer.shape[end + 1 :])
    return Made(modules.Reshaped(shape[1:]), (shape,))


def _reshape(layer: CaffeLayer) -> Made:
    settings = layer.settings("reshape")
    shape, sizes, rank = layer.shape, list(settings.shape.dim), len(layer.shape)
    start = settings.axis + rank + 1 if settings.axis < 0 else settings.axis
    count = layer.whole(settings, "num_axes", -1, rank)
    end = rank if count == -1 else start + count
    if not 0 <= start <= rank or end > rank or len(sizes) > MOST_PIXELS or min(sizes, default=1) < -1:
        raise layer.refuse(f"found 'axis' {settings.axis} and 'num_axes' {count}; accepted are axes of {list(shape)}")
    copied = [shape[start + place] if size == 0 and start + place < rank else size for place, size in enumerate(sizes)]
    found = [*shape[:start], *copied, *shape[end:]]
    rest = math.prod(size for size in found if size != -1)
    if found.count(-1) == 1 and rest and math.prod(shape) % rest == 0:
        found[found.index(-1)] = math.prod(shape) // rest
    if min(found, default=0) < 1 or math.prod(found) != math.prod(shape) or found[0] != shape[0]:
        raise layer.refuse(
            f"it gives blobs of the shape {list(shape)} the sizes {sizes[:8]}; accepted are sizes of as many numbers, "
            "which leave the axis of images as it is"
        )
    return Made(modules.Reshaped(found[1:]), (tuple(found),))


def _plain(kind: Callable[[], nn.Module]) -> Callable[[CaffeLayer], Made]:
    return lambda layer: layer.same(kind())


TYPES: dict[str, Callable[[CaffeLayer], Made]] = {
    "AbsVal": _plain(modules.Magnitude),
    "BNLL": _plain(modules.Softplus),
    "BatchNorm": _batch_norm,
    "Bias": _affine("bias"),
    "Clip": _clip,
    "Concat": _concat,
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "Dropout": _dropout,
    "ELU": lambda layer: layer.same(nn.ELU(layer.number(layer.settings("elu"), "alpha"))),
    "Eltwise": _eltwise,
    "Exp": _exponential,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Log": _logarithm,
    "PReLU": _prelu,
    "Pooling": _pooling,
    "Power": _power,
    "ReLU": _relu,
    "Reshape": _reshape,
    "Scale": _affine("scale"),
    "Sigmoid": _plain(nn.Sigmoid),
    "Slice": _slice,
    "Softmax": _softmax,
    "Swish": lambda layer: layer.same(modules.Swish(layer.number(layer.settings("swish"), "beta"))),
    "TanH": _plain(nn.Tanh),
}
"""Types of layers that compute something, and what makes their modules."""

_MANY = (1, MOST_PIXELS)

BLOBS = {
    "Bias": ((1, 2), (1, 1)),
    "Concat": (_MANY, (1, 1)),
    "Eltwise": ((2, MOST_PIXELS), (1, 1)),
    "Scale": ((1, 2), (1, 1)),
    "Slice": ((1, 1), _MANY),
}
"""How many blobs layers take and make, at least and at most; those of other types take one and make one."""


def make_layer(layer: CaffeLayer) -> Made:
    """Return what a layer becomes; raises InputError, which names it, where it contradicts itself or its weights."""
    layer.expect(*BLOBS.get(layer.entry.kind, ((1, 1), (1, 1))))
    return TYPES[layer.entry.kind](layer)
