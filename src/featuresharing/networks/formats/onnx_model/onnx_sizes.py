"""Operators on sizes and constants, with numpy: what they give does not depend on what images show.

So a tracer sees no operator for it, and a reshape gets plain numbers.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.networks.formats.onnx_model.onnx_arguments import (
    MOST_HOST,
    axes_of,
    axis_of,
    broadcast,
    expanded,
    given,
    parts_of,
    repeats_of,
    reshaped,
    slices_of,
    whole_numbers,
)
from featuresharing.networks.formats.onnx_model.onnx_graph import MOST_AXES, TYPES, Node

Array = NDArray[Any]
Host = Callable[[Node, Sequence[Any]], Any]


def check_size(node: Node, numbers: int) -> None:
    """Raise InputError for an array of absurdly many numbers, before it is made."""
    if not 0 <= numbers <= MOST_HOST:
        raise node.refuse(f"it makes {numbers} numbers out of sizes; accepted are at most {MOST_HOST}")


def type_of(node: Node, number: int) -> str:
    """Return numpy's name of the type of numbers that Cast makes."""
    if number not in TYPES:
        raise node.refuse(
            f"attribute 'to' is type {number}; accepted are floating point numbers, integers and booleans"
        )
    return TYPES[number]


def divide(one: Any, other: Any) -> Any:
    """Divide as C does: integers toward zero."""
    if np.issubdtype(np.asarray(one).dtype, np.floating):
        return np.divide(one, other)
    quotient = np.floor_divide(one, other)
    return quotient + ((np.remainder(one, other) != 0) & ((np.less(one, 0)) != np.less(other, 0)))


def _joined(function: Callable[..., Any]) -> Host:
    def compute(node: Node, inputs: Sequence[Any]) -> Any:
        check_size(node, prod(broadcast(node, *(value.shape for value in inputs))))
        result = inputs[0]
        for value in inputs[1:]:
            result = function(result, value)
        return result

    return compute


def _single(function: Callable[[Array], Any]) -> Host:
    return lambda _, inputs: function(inputs[0])


def _cast(node: Node, inputs: Sequence[Any]) -> Array:
    return np.asarray(inputs[0].astype(type_of(node, node.integer("to"))))


def _shape(node: Node, inputs: Sequence[Any]) -> Array:
    end = node.integer("end", len(inputs[0].shape))
    return np.array(tuple(inputs[0].shape)[node.integer("start", 0) : end], dtype=np.int64)


def _gather(node: Node, inputs: Sequence[Any]) -> Array:
    axis = axis_of(node, node.integer("axis", 0), inputs[0].ndim)
    check_size(node, inputs[0].size // max(inputs[0].shape[axis], 1) * inputs[1].size)
    return np.asarray(np.take(inputs[0], inputs[1], axis=axis))


def _concat(node: Node, inputs: Sequence[Any]) -> Array:
    check_size(node, sum(value.size for value in inputs))
    return np.concatenate(list(inputs), axis=node.integer("axis", 1))


def _slice(node: Node, inputs: Sequence[Any]) -> Array:
    part: list[Any] = [slice(None)] * inputs[0].ndim
    for axis, wanted in slices_of(node, inputs, inputs[0].shape):
        part[axis] = wanted
    return np.asarray(inputs[0][tuple(part)])


def _squeeze(node: Node, inputs: Sequence[Any]) -> Array:
    axes = axes_of(node, inputs, 1, inputs[0].ndim)
    return np.asarray(np.squeeze(inputs[0], None if axes is None else tuple(axes)))


def _unsqueeze(node: Node, inputs: Sequence[Any]) -> Array:
    return np.expand_dims(inputs[0], unsqueezed_axes(node, inputs))


def unsqueezed_axes(node: Node, inputs: Sequence[Any]) -> tuple[int, ...]:
    """Return where an operator Unsqueeze puts axes, counted in its result, from the first."""
    axes = whole_numbers(node, given(inputs, 1), "axes") or node.integers("axes") or []
    found = axes_of(node.with_(attributes={"axes": axes}), (), 1, len(inputs[0].shape) + len(axes))
    return tuple(sorted(found or ()))


def _reshape(node: Node, inputs: Sequence[Any]) -> Array:
    value: Array = inputs[0]
    return value.reshape(reshaped(node, inputs))


def _flatten(node: Node, inputs: Sequence[Any]) -> Array:
    shape, axis = inputs[0].shape, node.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    return np.reshape(inputs[0], (prod(shape[:axis]), -1))


def _transpose(node: Node, inputs: Sequence[Any]) -> Array:
    order = node.integers("perm", 0, inputs[0].ndim)
    return np.transpose(inputs[0], order)


def _range(node: Node, inputs: Sequence[Any]) -> Array:
    start, limit, step = (value.reshape(()) for value in inputs)
    if step == 0 or not np.isfinite([start, limit, step]).all():
        raise node.refuse(f"it counts from {start} to {limit} by {step}; accepted are finite numbers and a step")
    check_size(node, max(0, int(np.ceil((float(limit) - float(start)) / float(step)))))
    return np.arange(start, limit, step, dtype=start.dtype)


def _constant_of_shape(node: Node, inputs: Sequence[Any]) -> Array:
    shape = whole_numbers(node, inputs[0], "sizes") or []
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32))).reshape(-1)
    if value.size != 1 or min(shape, default=0) < 0 or len(shape) > MOST_AXES:
        raise node.refuse(
            f"it fills sizes {shape[:20]} with {value.size} values; accepted is one value, no negative size"
        )
    check_size(node, prod(shape))
    return np.full(shape, value[0])


def _where(node: Node, inputs: Sequence[Any]) -> Array:
    check_size(node, prod(broadcast(node, *(value.shape for value in inputs))))
    return np.asarray(np.where(inputs[0].astype(bool), inputs[1], inputs[2]))


def _expand(node: Node, inputs: Sequence[Any]) -> Array:
    shape = expanded(node, inputs)
    check_size(node, prod(shape))
    return np.broadcast_to(inputs[0], shape)


def _tile(node: Node, inputs: Sequence[Any]) -> Array:
    repeats = repeats_of(node, inputs)
    check_size(node, inputs[0].size * prod(repeats))
    return np.tile(inputs[0], repeats)


def _reduce(function: Callable[..., Any]) -> Host:
    def compute(node: Node, inputs: Sequence[Any]) -> Array:
        axes = axes_of(node, inputs, 1, inputs[0].ndim)
        if axes is None and node.flag("noop_with_empty_axes", False):
            return np.asarray(inputs[0])
        kept = node.flag("keepdims", True)
        return np.asarray(function(inputs[0], axis=None if axes is None else tuple(axes), keepdims=kept))

    return compute


def _split(node: Node, inputs: Sequence[Any]) -> tuple[Array, ...]:
    axis = axis_of(node, node.integer("axis", 0), inputs[0].ndim)
    sizes = parts_of(node, inputs, inputs[0].shape[axis])
    return tuple(np.split(inputs[0], np.cumsum(sizes)[:-1], axis=axis))


def _scatter(node: Node, inputs: Sequence[Any]) -> Array:
    """Put numbers to places, as exporters do for masks of windows."""
    value, places, numbers = inputs
    if node.text("reduction", "none") != "none":
        raise node.refuse("it adds up numbers; accepted are numbers that take the place of others")
    result = np.array(value)
    result[tuple(np.moveaxis(places, -1, 0))] = numbers
    return result


HOST: dict[str, Host] = {
    "Add": _joined(np.add),
    "Sub": _joined(np.subtract),
    "Mul": _joined(np.multiply),
    "Div": _joined(divide),
    "Min": _joined(np.minimum),
    "Max": _joined(np.maximum),
    "Sum": _joined(np.add),
    "Pow": _joined(np.power),
    "Mod": _joined(np.mod),
    "Equal": _joined(np.equal),
    "Greater": _joined(np.greater),
    "Less": _joined(np.less),
    "GreaterOrEqual": _joined(np.greater_equal),
    "LessOrEqual": _joined(np.less_equal),
    "And": _joined(np.logical_and),
    "Or": _joined(np.logical_or),
    "Xor": _joined(np.logical_xor),
    "Neg": _single(np.negative),
    "Abs": _single(np.abs),
    "Sqrt": _single(np.sqrt),
    "Floor": _single(np.floor),
    "Ceil": _single(np.ceil),
    "Reciprocal": _single(np.reciprocal),
    "Not": _single(np.logical_not),
    "Exp": _single(np.exp),
    "Log": _single(np.log),
    "Round": _single(np.round),
    "Sign": _single(np.sign),
    "Identity": _single(np.asarray),
    "Size": _single(lambda value: np.array(prod(value.shape), dtype=np.int64)),
    "Cast": _cast,
    "Shape": _shape,
    "Gather": _gather,
    "Concat": _concat,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Range": _range,
    "ConstantOfShape": _constant_of_shape,
    "Where": _where,
    "Expand": _expand,
    "Tile": _tile,
    "Split": _split,
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ScatterND": _scatter,
    "ReduceMin": _reduce(np.min),
    "ReduceMean": _reduce(np.mean),
}
"""Operators by name; Shape and Size take values of images as well, of which they see sizes only."""

OF_SIZES = ("Shape", "Size")
