"""Operators that move numbers to other places: none is computed."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from featuresharing.networks.formats.onnx_model.onnx_arguments import (
    axes_of,
    axis_of,
    broadcast,
    expanded,
    given,
    pads_of,
    parts_of,
    repeats_of,
    reshaped,
    slices_of,
)
from featuresharing.networks.formats.onnx_model.onnx_elementwise import Operator, as_tensor, tensors
from featuresharing.networks.formats.onnx_model.onnx_graph import Node
from featuresharing.networks.formats.onnx_model.onnx_sizes import unsqueezed_axes


def _reshape(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    return value.reshape(reshaped(node, inputs))


def _flatten(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    axis = node.integer("axis", 1)
    if not -value.ndim <= axis <= value.ndim:
        raise node.refuse(f"axis {axis} of a value with {value.ndim} axes; accepted are axes that it has")
    axis = axis + value.ndim if axis < 0 else axis
    return value.reshape(prod(value.shape[:axis]), prod(value.shape[axis:]))


def _transpose(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    order = node.integers("perm", 0, value.ndim) or list(reversed(range(value.ndim)))
    return value.permute(order)


def _squeeze(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    axes = axes_of(node, inputs, 1, value.ndim)
    if axes is None:  # the axis of images stays, however many there are
        axes = [axis for axis, size in enumerate(value.shape) if size == 1 and axis > 0]
    if any(value.shape[axis] != 1 for axis in axes):
        raise node.refuse(f"it removes axes {axes} of values {list(value.shape)}; accepted are axes of size 1")
    return value.squeeze(axes)


def _unsqueeze(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    for axis in unsqueezed_axes(node, inputs):
        value = value.unsqueeze(axis)
    return value


def _concat(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Join values; one that is the same for all images is there for each of them."""
    parts = tensors(inputs)
    axis = axis_of(node, node.integer("axis", 1), parts[0].ndim)
    if any(part.ndim != parts[0].ndim for part in parts):
        raise node.refuse(
            f"it joins values of {sorted({part.ndim for part in parts})} axes; accepted are as many in each"
        )
    shape = broadcast(node, *([*part.shape[:axis], 1, *part.shape[axis + 1 :]] for part in parts))
    return torch.cat([part.expand(*shape[:axis], part.shape[axis], *shape[axis + 1 :]) for part in parts], axis)


def _split(node: Node, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    value: Tensor = inputs[0]
    axis = axis_of(node, node.integer("axis", 0), value.ndim)
    return torch.split(value, parts_of(node, inputs, value.shape[axis]), axis)


def _slice(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    for axis, part in slices_of(node, inputs, value.shape):
        places = range(value.shape[axis])[part]
        if places.step < 0:
            forward = places[::-1]
            value = _cut(value, axis, slice(forward.start, forward.stop, forward.step)).flip(axis)
        else:
            value = _cut(value, axis, part)
    return value


def _cut(value: Tensor, axis: int, part: slice) -> Tensor:
    return value[(*[slice(None)] * axis, part)]


def _gather(node: Node, inputs: Sequence[Any]) -> Tensor:
    value, places = inputs
    if not isinstance(value, Tensor):
        value = as_tensor(value, places)
    axis = axis_of(node, node.integer("axis", 0), value.ndim)
    if isinstance(places, np.ndarray):
        size = value.shape[axis]
        if places.dtype.kind not in "iu" or (places.size and not -size <= places.min() <= places.max() < size):
            raise node.refuse(f"it takes places that an axis of {size} does not have; accepted are places on it")
        if places.ndim == 0:
            return value.select(axis, int(places))
        places = torch.from_numpy(np.where(places < 0, places + size, places)).to(value.device)
    elif places.is_floating_point():
        raise node.refuse("it takes places that are no whole numbers; accepted are whole numbers")
    else:
        places = torch.where(places < 0, places + value.shape[axis], places)
    found = value.index_select(axis, places.reshape(-1).long())
    return found.reshape(*value.shape[:axis], *places.shape, *value.shape[axis + 1 :])


def _expand(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    return value.expand(expanded(node, inputs))


def _tile(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    return value.repeat(repeats_of(node, inputs))


def _pad(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    pads = pads_of(node, inputs, value.ndim)
    mode = node.text("mode", "constant", ("constant", "reflect", "edge", "wrap"))
    if mode == "constant":
        filling = given(inputs, 2)
        if filling is not None and (not isinstance(filling, np.ndarray) or filling.size != 1):
            raise node.refuse("it fills with numbers that are not said; accepted is one number")
        number = node.number("value", 0) if filling is None else filling.reshape(-1)[0].item()
        return F.pad(value, [each for pair in reversed(pads) for each in pair], value=number)
    for axis, (before, behind) in enumerate(pads):
        size = value.shape[axis]
        if (before, behind) == (0, 0):
            continue
        if min(before, behind) < 0 or max(before, behind) > 4 * size:
            raise node.refuse(f"it pads an axis of {size} by {before} and {behind}; accepted are up to {4 * size}")
        places = np.pad(np.arange(size), (before, behind), mode=mode)  # type: ignore[call-overload]
        value = value.index_select(axis, torch.from_numpy(places).to(value.device))
    return value


def _depth_to_space(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    block = node.integer("blocksize")
    count, planes, height, width = value.shape
    if block < 1 or planes % block**2:
        raise node.refuse(
            f"blocks of {block} pixels out of {planes} planes; accepted are planes for each pixel of a block"
        )
    if node.text("mode", "DCR", ("DCR", "CRD")) == "CRD":
        return F.pixel_shuffle(value, block)
    parts = value.reshape(count, block, block, planes // block**2, height, width)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(count, planes // block**2, height * block, width * block)


def _space_to_depth(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    block = node.integer("blocksize")
    count, planes, height, width = value.shape
    if block < 1 or height % block or width % block:
        raise node.refuse(f"blocks of {block} pixels out of {height} x {width}; accepted are sizes that blocks divide")
    parts = value.reshape(count, planes, height // block, block, width // block, block)
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(count, planes * block**2, height // block, width // block)


SHAPING: dict[str, Operator] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
"""Operators by name."""
