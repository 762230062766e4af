"""What operators do to a slab: the rules of the one-channel interpreter.

An operator that meets a slab falls into one of three kinds:

1. It keeps the range apart (activations, pooling, normalisation at evaluation, views, depthwise convolutions ...):
   applied to the range alone it gives the range of its result. :func:`find_rule` knows these.
2. It is linear and mixes channels (convolution, linear layer): :mod:`.corrections` knows these.
3. Any other. Nothing is known about it and nothing has to be: it is applied to the whole value; its result is dense.

A rule looks at shapes only, once for a layer. It returns the slab of the result and a function that computes it for
many variants at once, or None where the operator cannot keep the range apart in this place.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from featuresharing.engine.slabs import Compute, Rule, Slab, Slabs, State, aten, runs, shape_of
from featuresharing.engine.stacking import is_pointwise, operators, spread
from featuresharing.engine.tracing import bind_arguments


def find_rule(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    """Return the slab of an operator's result and how to compute it; None if the operator needs the whole value."""
    rule = _RULES.get(node.target)
    if rule is None and "shape" in node.meta and is_pointwise(node.target):
        rule = _pointwise
    return rule(node, slabs) if rule else None


def is_fixed_norm(node: fx.Node) -> bool:
    """Whether a node is a batch norm that multiplies and adds by running statistics, channel by channel."""
    return _RULES.get(node.target) is _batch_norm and not bind_arguments(node).get("training", False)


def normalise(
    node: fx.Node, value: Tensor, take: Callable[[fx.Node], Tensor], out: Tensor | None = None
) -> tuple[Tensor]:
    """Apply the batch norm ``node`` with parameters ``take(node)``, which broadcast against ``value``.

    The result is written to ``out`` if there is one, which may be ``value``.
    """
    scale, shift = scale_and_shift(node, take)
    return (torch.addcmul(shift, value, scale, out=out),)


def scale_and_shift(node: fx.Node, take: Callable[[fx.Node], Tensor]) -> tuple[Tensor, Tensor]:
    """Return what the batch norm ``node`` at evaluation multiplies by and adds, of parameters ``take(node)``."""
    weight, bias, mean, variance = (take(n) if isinstance(n, fx.Node) else None for n in node.args[1:5])
    given = bind_arguments(node)
    eps: float = given["eps"] if "eps" in given else given["epsilon"]
    assert mean is not None
    assert variance is not None
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    return scale, -mean * scale if bias is None else bias - mean * scale


def _pointwise(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    """Element by element, with broadcasting: other operands take part with the same range, or with all they have."""
    out = shape_of(node)
    first = next(source for source in node.all_input_nodes if source in slabs)
    distance = len(shape_of(first)) - slabs[first].axis
    slab = replace(slabs[first], axis=len(out) - distance)
    ranges: dict[fx.Node, Slab] = {}
    for source in node.all_input_nodes:
        shape = shape_of(source)
        if source in slabs:
            other = slabs[source]
            if len(shape) - other.axis != distance or shape[other.axis] != out[slab.axis]:
                return None
            if not slab.same_range(other):
                return None
        elif len(shape) >= distance and shape[-distance] != 1:
            ranges[source] = replace(slab, axis=len(shape) - distance)
    return slab, lambda state: _apart(node, node.target, node.args, state, slabs, ranges)


def _apart(
    node: fx.Node, function: Any, args: Any, state: State, slabs: Slabs, ranges: Mapping[fx.Node, Slab] = {}
) -> Any:
    """Apply an operator to ranges: new ones of operands in ``slabs``, base ones of those in ``ranges``."""
    operands = {}
    for source in node.all_input_nodes:
        if source in slabs:
            operands[source] = (state.new(source), True)
        elif source in ranges:
            operands[source] = (ranges[source].take(state.base(source), state.units), True)
        else:
            operands[source] = (state.base(source), False)
    return spread(function, args, node.kwargs, operands)


def _same_slab(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute]:
    """Operators whose result is laid out as their only changed operand, and which keep the slab's axis apart."""
    (source,) = (source for source in node.all_input_nodes if source in slabs)
    return slabs[source], lambda state: _apart(node, node.target, node.args, state, slabs)


def _spatial(dimensions: int) -> Rule:
    """Operators on the last axes, such as pooling: all axes before those are apart."""

    def rule(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
        source: Any = node.args[0]
        apart = slabs[source].axis < len(shape_of(source)) - dimensions
        return _same_slab(node, slabs) if apart else None

    return rule


def _pad(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    given: Any = node.args
    source, pads = given[:2]
    distance = len(shape_of(source)) - 1 - slabs[source].axis
    return None if any(pads[2 * distance : 2 * distance + 2]) else _same_slab(node, slabs)


def _along(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    """Operators along one axis, such as softmax."""
    source: Any = node.args[0]
    axis = bind_arguments(node)["dim"] % len(shape_of(source))
    return None if axis == slabs[source].axis else _same_slab(node, slabs)


def _reduce(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    """Reductions over other axes."""
    source: Any = node.args[0]
    given, rank = bind_arguments(node), len(shape_of(source))
    axes = given["dim"] if isinstance(given["dim"], Sequence) else [given["dim"]]
    gone = {axis % rank for axis in axes if axis is not None}
    slab = slabs[source]
    if not gone or slab.axis in gone:
        return None
    axis = slab.axis if given["keepdim"] else slab.axis - sum(other < slab.axis for other in gone)
    return replace(slab, axis=axis), _same_slab(node, slabs)[1]


def _reshape(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    """Views: the axis may stay, or merge with all or part of what follows it; then a range is as much longer."""
    source: Any = node.args[0]
    shape, out, slab = shape_of(source), list(shape_of(node)), slabs[source]
    before, size = math.prod(shape[: slab.axis]), shape[slab.axis]
    for axis, extent in enumerate(out):
        if math.prod(out[:axis]) == before and extent % size == 0:
            factor = extent // size
            out[axis] = slab.length * factor
            result = Slab(axis, slab.starts * factor, out[axis])
            return result, lambda state: state.new(source).reshape(len(state.units), *out)
    return None


def _expand(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    source: Any = node.args[0]
    out, slab = list(shape_of(node)), slabs[source]
    axis = slab.axis + len(out) - len(shape_of(source))
    if out[axis] != shape_of(source)[slab.axis]:
        return None
    out[axis] = slab.length
    return replace(slab, axis=axis), lambda state: _apart(node, node.target, (source, out), state, slabs)


def _permute(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute]:
    given: Any = node.args
    source = given[0]
    order = list(range(len(shape_of(source))))
    if node.target is aten.permute.default:
        order = [axis % len(order) for axis in given[1]]
    elif len(order) > 1:  # transpose, t
        first, second = given[1:] or (0, 1)
        order[first], order[second] = order[second], order[first]
    return replace(slabs[source], axis=order.index(slabs[source].axis)), _same_slab(node, slabs)[1]


def _cut(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    """Slices, and selections of one index, along other axes."""
    source: Any = node.args[0]
    slab = slabs[source]
    dim = bind_arguments(node)["dim"] % len(shape_of(source))
    if dim == slab.axis:
        return None
    dropped = node.target is aten.select.int and dim < slab.axis
    return replace(slab, axis=slab.axis - dropped), _same_slab(node, slabs)[1]


def _concatenate(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    """Along the slab's axis the range moves; along another axis all parts take part with the same range."""
    parts: Any = node.args[0]
    changed = [part for part in parts if part in slabs]
    source, slab = changed[0], slabs[changed[0]]
    dim = bind_arguments(node)["dim"] % len(shape_of(source))
    if dim != slab.axis:
        if not all(slabs[part].axis == slab.axis and slab.same_range(slabs[part]) for part in changed):
            return None
        ranges = {part: slab for part in parts if part not in slabs}
        return slab, lambda state: _apart(node, node.target, node.args, state, slabs, ranges)
    if len(changed) > 1:
        return None
    offset = sum(shape_of(part)[dim] for part in parts[: parts.index(source)])
    return replace(slab, starts=slab.starts + offset), lambda state: state.new(source)


def _batch_norm(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    """At evaluation: multiply and add, channel by channel."""
    source: Any = node.args[0]
    slab = slabs[source]
    if not is_fixed_norm(node) or slab.axis != 1:
        return None
    channel = replace(slab, axis=0)

    def compute(state: State) -> tuple[Tensor]:
        def take(parameter: fx.Node) -> Tensor:
            ranges = channel.take(state.base(parameter), state.units)
            return ranges.reshape(len(state.units), 1, slab.length, *(1,) * (len(shape_of(source)) - 2))

        return normalise(node, state.new(source), take)

    return slab, compute


def _grouped_convolution(node: fx.Node, slabs: Slabs) -> tuple[Slab, Compute] | None:
    """A convolution in groups: the range stays within the outputs of the groups it touches."""
    given: Any = node.args
    source, weight, bias, stride, padding, dilation, transposed, _, groups = given
    if groups == 1 or transposed or source not in slabs or slabs[source].axis != 1:
        return None
    slab, shape = slabs[source], shape_of(weight)
    inputs, outputs = shape[1], shape[0] // groups
    first = slab.starts // inputs
    touched = (slab.starts + slab.length - 1) // inputs - first + 1
    if len(set(touched.tolist())) != 1:
        return None
    count = int(touched[0])
    around = Slab(1, first * inputs, count * inputs)
    result = Slab(1, first * outputs, count * outputs)

    def compute(state: State) -> Tensor:
        new: Tensor = state.new(source)
        if around.length != slab.length:
            whole = around.take(state.base(source), state.units)
            inside = slab.starts - around.starts
            for index, unit in enumerate(state.units):
                whole[index].narrow(1, int(inside[unit]), slab.length).copy_(new[index])
            new = whole
        parts = []
        for unit, run in runs(state.units):
            start = int(result.starts[unit])
            filters = state.base(weight).narrow(0, start, result.length)
            shift = None if bias is None else state.base(bias).narrow(0, start, result.length)
            images = new[run].flatten(0, 1)
            part = aten.convolution(images, filters, shift, stride, padding, dilation, False, [0], count)
            parts.append(part.unflatten(0, (-1, new.shape[1])))
        return torch.cat(parts)

    return result, compute


_SPATIAL = {
    1: "avg_pool1d adaptive_avg_pool1d reflection_pad1d replication_pad1d upsample_nearest1d upsample_linear1d"
    " _upsample_nearest_exact1d",
    2: "max_pool2d_with_indices avg_pool2d _adaptive_avg_pool2d adaptive_max_pool2d reflection_pad2d replication_pad2d"
    " upsample_nearest2d upsample_bilinear2d upsample_bicubic2d _upsample_nearest_exact2d _upsample_bilinear2d_aa"
    " _upsample_bicubic2d_aa",
    3: "max_pool3d_with_indices avg_pool3d _adaptive_avg_pool3d adaptive_max_pool3d reflection_pad3d replication_pad3d"
    " upsample_nearest3d upsample_trilinear3d _upsample_nearest_exact3d",
}
"""Operators that work on the last axes, by how many."""

_RULES: dict[Any, Rule] = {
    **{
        operator: _spatial(dimensions)
        for dimensions, names in _SPATIAL.items()
        for name in names.split()
        for operator in operators(name, f"{name}.vec")
    },
    **dict.fromkeys(operators("clone", "alias", "detach", "_to_copy", "lift_fresh_copy"), _same_slab),
    **dict.fromkeys(operators("hardswish", "log_sigmoid_forward"), _same_slab),
    **dict.fromkeys(operators("_prelu_kernel", "copy"), _pointwise),  # element by element, but not tagged as such
    **dict.fromkeys(operators("constant_pad_nd"), _pad),
    **dict.fromkeys(operators("_softmax", "_log_softmax", "cumsum"), _along),
    **dict.fromkeys(
        operators("mean.dim", "sum.dim_IntList", "amax", "amin", "logsumexp", "var.correction", "std.correction"),
        _reduce,
    ),
    **dict.fromkeys(
        operators("view", "_unsafe_view", "reshape", "squeeze", "squeeze.dim", "squeeze.dims", "unsqueeze"), _reshape
    ),
    **dict.fromkeys(operators("expand"), _expand),
    **dict.fromkeys(operators("permute", "transpose.int", "t"), _permute),
    **dict.fromkeys(operators("slice.Tensor", "select.int"), _cut),
    **dict.fromkeys(operators("cat"), _concatenate),
    **dict.fromkeys(
        operators("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "miopen_batch_norm"),
        _batch_norm,
    ),
    **dict.fromkeys(operators("convolution"), _grouped_convolution),
}

VIEWS = frozenset(operators("view", "_unsafe_view"))
"""Operators that a copy may stand in for: the layout in memory need not be that of the trace."""
