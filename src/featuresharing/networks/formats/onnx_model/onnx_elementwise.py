"""Operators that treat every number by itself, and those that sum over axes."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from featuresharing.networks.formats.onnx_model.onnx_arguments import axes_of, axis_of, given
from featuresharing.networks.formats.onnx_model.onnx_graph import Node
from featuresharing.networks.formats.onnx_model.onnx_sizes import type_of

Operator = Callable[[Node, Sequence[Any]], Any]


def as_tensor(value: Any, like: Tensor) -> Tensor:
    """Return a value as a tensor where ``like`` is, floating point numbers in its precision."""
    if isinstance(value, Tensor):
        return value
    kind = like.dtype if value.dtype.kind == "f" and like.is_floating_point() else None
    return torch.from_numpy(np.array(value)).to(like.device, kind)


def _first(inputs: Sequence[Any]) -> Tensor:
    return next(value for value in inputs if isinstance(value, Tensor))


def operands(inputs: Sequence[Any]) -> list[Any]:
    """Return values for an operator of Python: a single number as such, arrays as tensors."""
    like = _first(inputs)
    return [
        value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else as_tensor(value, like)
        for value in inputs
    ]


def tensors(inputs: Sequence[Any]) -> list[Tensor]:
    """Return values as tensors."""
    like = _first(inputs)
    return [as_tensor(value, like) for value in inputs]


def factors(node: Node, inputs: Sequence[Any]) -> list[Tensor]:
    """Return values as tensors of floating point numbers; raises InputError for others."""
    found = tensors(inputs)
    other = next((value for value in found if not value.is_floating_point()), None)
    if other is not None:
        kind = str(other.dtype).removeprefix("torch.")
        raise node.refuse(f"it multiplies {kind} by other numbers; accepted are floating point numbers")
    return found


def _binary(function: Callable[[Any, Any], Any]) -> Operator:
    return lambda _, inputs: function(*operands(inputs))


def _many(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    def compute(_: Node, inputs: Sequence[Any]) -> Tensor:
        first, *others = tensors(inputs)
        for other in others:
            first = function(first, other)
        return first

    return compute


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda _, inputs: function(inputs[0])


def _divide(_: Node, inputs: Sequence[Any]) -> Any:
    one, other = operands(inputs)
    if any(isinstance(value, Tensor) and value.is_floating_point() for value in (one, other)):
        return one / other
    return torch.div(*tensors(inputs), rounding_mode="trunc")


def _power(_: Node, inputs: Sequence[Any]) -> Any:
    base, exponent = operands(inputs)
    return base**exponent


def _modulo(node: Node, inputs: Sequence[Any]) -> Tensor:
    one, other = tensors(inputs)
    return torch.fmod(one, other) if node.flag("fmod", False) else torch.remainder(one, other)


def _where(_: Node, inputs: Sequence[Any]) -> Tensor:
    like = next((value for value in inputs[1:] if isinstance(value, Tensor)), _first(inputs))
    condition, one, other = inputs
    return torch.where(as_tensor(condition, like).bool(), as_tensor(one, like), as_tensor(other, like))


def _cast(node: Node, inputs: Sequence[Any]) -> Tensor:
    """Floating point numbers stay in the precision of the network, which the second of ``inputs`` has."""
    kind = np.dtype(type_of(node, node.integer("to")))
    value: Tensor = inputs[0]
    if kind.kind == "f":
        return value if value.is_floating_point() else value.to(inputs[1].dtype)
    if value.is_floating_point() and kind.kind in "iu":
        raise node.refuse("it rounds what images show to integers; accepted are networks of floating point numbers")
    return value.to(torch.from_numpy(np.zeros(0, kind)).dtype)


def _cast_like(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    like = as_tensor(inputs[1], value)
    return value if value.is_floating_point() and like.is_floating_point() else value.to(like.dtype)


def _clip(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    bounds: list[Any] = []
    for position, name in enumerate(("min", "max"), start=1):
        bound = given(inputs, position)
        if bound is None and name in node.attributes:
            bounds.append(node.number(name, 0))
        elif isinstance(bound, np.ndarray):
            bounds.append(bound.reshape(-1)[0].item() if bound.size == 1 else as_tensor(bound, value))
        else:
            bounds.append(bound)
    if bounds == [None, None]:
        return value
    return torch.clamp(value, *bounds)


def _prelu(_: Node, inputs: Sequence[Any]) -> Tensor:
    value, slope = operands(inputs)
    result: Tensor = torch.clamp(value, min=0) + slope * torch.clamp(value, max=0)
    return result


def _hard_sigmoid(node: Node, inputs: Sequence[Any]) -> Tensor:
    return torch.clamp(inputs[0] * node.number("alpha", 0.2) + node.number("beta", 0.5), 0, 1)


def _elu(node: Node, inputs: Sequence[Any]) -> Tensor:
    return F.elu(inputs[0], node.number("alpha", 1))


def _selu(node: Node, inputs: Sequence[Any]) -> Tensor:
    alpha, gamma = node.number("alpha", 1.6732632423543772), node.number("gamma", 1.0507009873554805)
    return gamma * F.elu(inputs[0], alpha)


def _celu(node: Node, inputs: Sequence[Any]) -> Tensor:
    alpha = node.number("alpha", 1)
    return F.elu(inputs[0] / alpha) * alpha


def _gelu(node: Node, inputs: Sequence[Any]) -> Tensor:
    return F.gelu(inputs[0], approximate=node.text("approximate", "none", ("none", "tanh")))


def _swish(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    return value * torch.sigmoid(value * node.number("alpha", 1))


def _leaky(node: Node, inputs: Sequence[Any]) -> Tensor:
    return F.leaky_relu(inputs[0], node.number("alpha", 0.01))


def _thresholded(node: Node, inputs: Sequence[Any]) -> Tensor:
    return F.threshold(inputs[0], node.number("alpha", 1), 0)


def _softmax(function: Callable[..., Tensor]) -> Operator:
    def compute(node: Node, inputs: Sequence[Any]) -> Tensor:
        value: Tensor = inputs[0]
        old = node.attributes["opset"] < 13  # sums over all axes from this one on
        axis = axis_of(node, node.integer("axis", 1 if old else -1), value.ndim)
        if old and axis != value.ndim - 1:
            return function(value.flatten(axis), dim=axis).reshape(value.shape)
        result: Tensor = function(value, dim=axis)
        return result

    return compute


def _reduce(function: Callable[[Tensor, list[int], bool], Tensor]) -> Operator:
    def compute(node: Node, inputs: Sequence[Any]) -> Tensor:
        value: Tensor = inputs[0]
        axes = axes_of(node, inputs, 1, value.ndim)
        if not axes and node.flag("noop_with_empty_axes", False):
            return value
        kept = node.flag("keepdims", True)
        return function(value, axes or list(range(value.ndim)), kept)

    return compute


def _product(value: Tensor, axes: list[int], kept: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        value = value.prod(axis, keepdim=kept)
    return value


def _mean_of_all(node: Node, inputs: Sequence[Any]) -> Tensor:
    total: Tensor = _many(torch.add)(node, inputs)
    return total / len(inputs)


ELEMENTWISE: dict[str, Operator] = {
    "Add": _binary(operator.add),
    "Sub": _binary(operator.sub),
    "Mul": _binary(operator.mul),
    "Div": _divide,
    "Pow": _power,
    "Mod": _modulo,
    "Min": _many(torch.minimum),
    "Max": _many(torch.maximum),
    "Sum": _many(torch.add),
    "Mean": _mean_of_all,
    "Equal": _binary(operator.eq),
    "Greater": _binary(operator.gt),
    "Less": _binary(operator.lt),
    "GreaterOrEqual": _binary(operator.ge),
    "LessOrEqual": _binary(operator.le),
    "And": _many(torch.logical_and),
    "Or": _many(torch.logical_or),
    "Xor": _many(torch.logical_xor),
    "Not": _unary(torch.logical_not),
    "Where": _where,
    "Cast": _cast,
    "CastLike": _cast_like,
    "Sqrt": _unary(torch.sqrt),
    "Neg": _unary(torch.neg),
    "Abs": _unary(torch.abs),
    "Exp": _unary(torch.exp),
    "Log": _unary(torch.log),
    "Erf": _unary(torch.erf),
    "Reciprocal": _unary(torch.reciprocal),
    "Floor": _unary(torch.floor),
    "Ceil": _unary(torch.ceil),
    "Round": _unary(torch.round),
    "Sign": _unary(torch.sign),
    "Sin": _unary(torch.sin),
    "Cos": _unary(torch.cos),
    "Tanh": _unary(torch.tanh),
    "Relu": _unary(torch.relu),
    "Sigmoid": _unary(torch.sigmoid),
    "Softplus": _unary(F.softplus),
    "Softsign": _unary(F.softsign),
    "Mish": _unary(F.mish),
    "HardSwish": _unary(F.hardswish),
    "LeakyRelu": _leaky,
    "PRelu": _prelu,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "Gelu": _gelu,
    "Swish": _swish,
    "ThresholdedRelu": _thresholded,
    "HardSigmoid": _hard_sigmoid,
    "Clip": _clip,
    "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
    "ReduceMean": _reduce(lambda value, axes, kept: value.mean(axes, keepdim=kept)),
    "ReduceSum": _reduce(lambda value, axes, kept: value.sum(axes, keepdim=kept)),
    "ReduceMax": _reduce(lambda value, axes, kept: value.amax(axes, keepdim=kept)),
    "ReduceMin": _reduce(lambda value, axes, kept: value.amin(axes, keepdim=kept)),
    "ReduceProd": _reduce(_product),
    "ReduceL1": _reduce(lambda value, axes, kept: value.abs().sum(axes, keepdim=kept)),
    "ReduceL2": _reduce(lambda value, axes, kept: value.square().sum(axes, keepdim=kept).sqrt()),
    "ReduceSumSquare": _reduce(lambda value, axes, kept: value.square().sum(axes, keepdim=kept)),
    "ReduceLogSumExp": _reduce(lambda value, axes, kept: value.logsumexp(axes, keepdim=kept)),
}
"""Operators by name."""
