"""Operators on neighbours in space: convolution, pooling, and images of another size."""

from collections.abc import Callable, Sequence
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from featuresharing.networks.formats.onnx_model.onnx_arguments import given, whole_numbers
from featuresharing.networks.formats.onnx_model.onnx_elementwise import Operator, as_tensor, factors
from featuresharing.networks.formats.onnx_model.onnx_graph import Node

Pads = list[tuple[int, int]]
DIMENSIONS = (1, 2, 3)
_CONVOLUTIONS: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAXIMA: dict[int, Callable[..., Tensor]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def spatial(node: Node, value: Tensor) -> int:
    """Return how many axes of space a value [N, C, ...] has."""
    if value.ndim - 2 not in DIMENSIONS:
        raise node.refuse(f"it takes values {list(value.shape)}; accepted are 1 to 3 axes behind images and channels")
    return value.ndim - 2


def steps_of(node: Node, name: str, count: int) -> list[int]:
    """Return strides or dilations, one an axis."""
    return node.integers(name, 1, count) or [1] * count


def said_pads(node: Node, count: int) -> Pads:
    """Return the padding that a node says, before and behind each axis of space."""
    pads = node.integers("pads", 0, 2 * count) or [0] * (2 * count)
    return list(zip(pads[:count], pads[count:], strict=True))


def automatic(node: Node) -> str:
    """Return how padding follows from sizes: SAME_UPPER, SAME_LOWER, VALID, or NOTSET for what the node says."""
    return node.text("auto_pad", "NOTSET", ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"))


def pads_for(node: Node, sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int]) -> Pads:
    """Return the padding for values of spatial ``sizes``; ``kernel`` counts pixels from its first to its last."""
    auto = automatic(node)
    if auto == "NOTSET":
        return said_pads(node, len(sizes))
    if auto == "VALID":
        return [(0, 0)] * len(sizes)
    pads = []
    for size, pixels, step in zip(sizes, kernel, stride, strict=True):
        total = max((ceil(size / step) - 1) * step + pixels - size, 0)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return pads


def padded(value: Tensor, pads: Pads, filling: float = 0.0) -> Tensor:
    """Return values with other numbers around them in space."""
    if not any(each for pair in pads for each in pair):
        return value
    return F.pad(value, [each for pair in reversed(pads) for each in pair], value=filling)


def extent(kernel: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Return how many pixels a dilated kernel reaches over."""
    return [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]


def _convolution(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Convolve with filters that are computed: those of a file are layers."""
    value: Tensor = inputs[0]
    count = spatial(node, value)
    weight = factors(node, inputs[:2])[1]
    bias = given(inputs, 2)
    stride, dilation = steps_of(node, "strides", count), steps_of(node, "dilations", count)
    pads = pads_for(node, value.shape[2:], extent(weight.shape[2:], dilation), stride)
    bias = None if bias is None else as_tensor(bias, value)
    groups = groups_of(node)
    return _CONVOLUTIONS[count](padded(value, pads), weight, bias, stride, 0, dilation, groups)


def groups_of(node: Node) -> int:
    """Return into how many groups channels fall."""
    groups = node.integer("group", 1)
    if groups < 1:
        raise node.refuse(f"attribute 'group' is {groups}; accepted is a whole number from 1")
    return groups


def _transposed_convolution(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    count = spatial(node, value)
    weight = factors(node, inputs[:2])[1]
    bias = given(inputs, 2)
    stride, dilation = steps_of(node, "strides", count), steps_of(node, "dilations", count)
    more = node.integers("output_padding", 0, count) or [0] * count
    pads, wanted = said_pads(node, count), node.integers("output_shape", 1)
    reach = extent(weight.shape[2:], dilation)
    if wanted is not None or automatic(node).startswith("SAME"):
        sizes = wanted[-count:] if wanted else [a * b for a, b in zip(value.shape[2:], stride, strict=True)]
        pads = []
        for place in range(count):
            total = stride[place] * (value.shape[2 + place] - 1) + more[place] + reach[place] - sizes[place]
            less = max(total, 0) // 2
            pads.append(
                (less, max(total, 0) - less) if automatic(node) != "SAME_UPPER" else (max(total, 0) - less, less)
            )
    bias = None if bias is None else as_tensor(bias, value)
    whole = _TRANSPOSED[count](value, weight, bias, stride, 0, more, groups_of(node), dilation)
    return padded(whole, [(-before, -behind) for before, behind in pads])


def _windows(node: Node, value: Tensor) -> tuple[list[int], list[int], list[int]]:
    """Return kernel, strides and dilations of a pooling."""
    count = spatial(node, value)
    kernel = node.integers("kernel_shape", 1, count)
    if kernel is None:
        raise node.refuse("it has no kernel_shape; accepted is a size for each axis of space")
    return kernel, steps_of(node, "strides", count), steps_of(node, "dilations", count)


def _full_pads(node: Node, value: Tensor, pads: Pads, reach: list[int], stride: list[int]) -> Pads:
    """Return the padding with which whole windows cover the axes, rounded up where the node says so."""
    found = []
    for size, (before, behind), pixels, step in zip(value.shape[2:], pads, reach, stride, strict=True):
        places = (size + before + behind - pixels) / step + 1
        count = int(ceil(places) if node.flag("ceil_mode", False) else places // 1)
        if (count - 1) * step >= size + before:  # a window must begin in the image or before it
            count -= 1
        if count < 1:
            raise node.refuse(f"windows of {pixels} pixels on {size}; accepted are windows that fit")
        found.append((before, (count - 1) * step + pixels - size - before))
    return found


def _simple(node: Node, pads: Pads, kernel: list[int]) -> bool:
    return all(a == b and 2 * a <= size for (a, b), size in zip(pads, kernel, strict=True))


def _max_pooling(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    kernel, stride, dilation = _windows(node, value)
    reach = extent(kernel, dilation)
    pads = pads_for(node, value.shape[2:], reach, stride)
    pool = _MAXIMA[len(kernel)]
    if _simple(node, pads, kernel):
        ceiling = node.flag("ceil_mode", False)
        return pool(value, kernel, stride, [before for before, _ in pads], dilation, ceiling)
    full = _full_pads(node, value, pads, reach, stride)
    return pool(padded(value, full, -torch.inf), kernel, stride, 0, dilation)


def _average_pooling(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    kernel, stride, dilation = _windows(node, value)
    if any(step != 1 for step in dilation):
        raise node.refuse(f"attribute 'dilations' is {dilation}; accepted is 1")
    pads = pads_for(node, value.shape[2:], kernel, stride)
    counted = node.flag("count_include_pad", False)
    if _simple(node, pads, kernel):
        given_pads, ceiling = [before for before, _ in pads], node.flag("ceil_mode", False)
        if len(kernel) == 1:
            return F.avg_pool1d(value, kernel, stride, given_pads, ceiling, counted)
        pool = F.avg_pool2d if len(kernel) == 2 else F.avg_pool3d
        return pool(value, kernel, stride, given_pads, ceiling, counted)
    full = _full_pads(node, value, pads, kernel, stride)
    ones = torch.ones(1, 1, *value.shape[2:], dtype=value.dtype, device=value.device)
    if counted:
        ones = padded(
            ones, [(before, min(behind, rest)) for (before, behind), (_, rest) in zip(pads, full, strict=True)], 1
        )
        rests = [(0, rest - min(behind, rest)) for (_, behind), (_, rest) in zip(pads, full, strict=True)]
        ones = padded(ones, rests)
    else:
        ones = padded(ones, full)
    return _sums(padded(value, full), kernel, stride) / _sums(ones, kernel, stride)


def _sums(value: Tensor, kernel: list[int], stride: list[int]) -> Tensor:
    if len(kernel) == 3:
        return F.avg_pool3d(value, kernel, stride, divisor_override=1)
    if len(kernel) == 2:
        return F.avg_pool2d(value, kernel, stride, divisor_override=1)
    return F.avg_pool2d(value.unsqueeze(2), [1, *kernel], [1, *stride], divisor_override=1).squeeze(2)


def _global_mean(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    return value.mean(list(range(2, 2 + spatial(node, value))), keepdim=True)


def _global_maximum(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    return value.amax(list(range(2, 2 + spatial(node, value))), keepdim=True)


def work_of(node: Node) -> int:
    """Return how many numbers a window sums up, for operators that have windows without weights."""
    return prod(node.integers("kernel_shape", 1) or [1]) if "Pool" in node.op else 1


def _resize(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Give values another size, axis by axis."""
    value: Tensor = inputs[0]
    mode = node.text("mode", "nearest", ("nearest", "linear"))
    place = node.text(
        "coordinate_transformation_mode", "asymmetric" if node.op == "Upsample" else "half_pixel", _PLACES
    )
    if node.flag("antialias", False) or node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise node.refuse("it smooths or keeps the aspect ratio; accepted are plain sizes or scales")
    for axis, size, scale in _targets(node, inputs, value):
        if size != value.shape[axis] or scale != 1:
            value = _resized(node, value, axis, size, scale, mode, place)
    return value


_PLACES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")


def _targets(node: Node, inputs: Sequence[Any], value: Tensor) -> list[tuple[int, int, float]]:
    """Return axes of space, their new sizes, and by how much they grow; images and channels stay as they are."""
    last = node.attributes["opset"] >= 11
    scales = given(inputs, 2 if last and node.op == "Resize" else 1)
    sizes = whole_numbers(node, given(inputs, 3), "sizes")
    if scales is None and "scales" in node.attributes:
        scales = np.array(node.attributes["scales"])
    axes = node.integers("axes") or list(range(value.ndim))
    axes = [axis % value.ndim for axis in axes]
    if sizes:
        found = [(axis, size, size / value.shape[axis]) for axis, size in zip(axes, sizes, strict=True)]
    elif isinstance(scales, np.ndarray) and scales.size and np.isfinite(scales).all() and scales.min() > 0:
        growth = [float(scale) for scale in scales.reshape(-1)]
        found = [(axis, int(value.shape[axis] * scale), scale) for axis, scale in zip(axes, growth, strict=True)]
    else:
        raise node.refuse("it says no scales and no sizes; accepted are positive scales, or sizes")
    if any(axis < 2 and scale != 1 for axis, _, scale in found) and len(found) == value.ndim and not sizes:
        raise node.refuse("it scales images or channels; accepted are axes of space")
    return [(axis, size, scale) for axis, size, scale in found if axis > 1]


def _resized(node: Node, value: Tensor, axis: int, size: int, scale: float, mode: str, place: str) -> Tensor:
    before = value.shape[axis]
    if not 0 < size <= 4096:
        raise node.refuse(f"it makes an axis of {size}; accepted are 1 to 4096")
    at = np.arange(size, dtype=np.float64)
    if place == "align_corners":
        at = at * (before - 1) / max(size - 1, 1)
    elif place == "asymmetric":
        at = at / scale
    elif place == "pytorch_half_pixel" and size == 1:
        at = np.zeros(1)
    elif place == "half_pixel_symmetric":
        at = before / 2 * (1 - size / (scale * before)) + (at + 0.5) / scale - 0.5
    else:
        at = (at + 0.5) / scale - 0.5
    if mode == "nearest":
        return value.index_select(axis, _index(value, np.clip(_rounded(node, at), 0, before - 1)))
    low = np.floor(at)
    share = torch.from_numpy(at - low).to(value.device, value.dtype).reshape(-1, *[1] * (value.ndim - 1 - axis))
    first, second = (_index(value, np.clip(each, 0, before - 1)) for each in (low, low + 1))
    return value.index_select(axis, first) * (1 - share) + value.index_select(axis, second) * share


def _rounded(node: Node, at: Any) -> Any:
    if node.op == "Upsample" or node.attributes["opset"] < 11:
        return np.floor(at)
    kinds = {"round_prefer_floor": lambda x: np.ceil(x - 0.5), "round_prefer_ceil": lambda x: np.floor(x + 0.5)}
    kinds |= {"floor": np.floor, "ceil": np.ceil}
    return kinds[node.text("nearest_mode", "round_prefer_floor", tuple(kinds))](at)


def _index(value: Tensor, places: Any) -> Tensor:
    return torch.from_numpy(places.astype(np.int64)).to(value.device)


WINDOWS: dict[str, Operator] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "MaxPool": _max_pooling,
    "AveragePool": _average_pooling,
    "GlobalAveragePool": _global_mean,
    "GlobalMaxPool": _global_maximum,
    "Resize": _resize,
    "Upsample": _resize,
}
"""Operators by name."""
