"""Run one operator of a trace: on base values, or where some operands are stacked, one for each variant."""

import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from featuresharing.engine.rules import VIEWS, is_fixed_norm, normalise
from featuresharing.engine.slabs import aten, shape_of
from featuresharing.engine.stacking import as_traced, spread


def run_operator(node: fx.Node, values: Mapping[fx.Node, Any]) -> Any:
    """Run one operator on base values."""
    if node.target is operator.getitem:
        value, position = node.args
        return values[value][position]  # type: ignore[index]
    if is_fixed_norm(node):
        return _normalise(node, values[node.args[0]], values.__getitem__)  # type: ignore[index]
    if node.target is aten.bmm.default and values[node.args[1]].stride(0) == 0:  # type: ignore[index]
        return _rows_times_matrix(*(values[each] for each in node.args))  # type: ignore[index]
    function = _function(node)
    operands = {source: as_traced(function, values[source]) for source in node.all_input_nodes}
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), operands.__getitem__)
    return function(*args, **kwargs)


def run_stacked(node: fx.Node, operands: Mapping[fx.Node, tuple[Any, bool]]) -> Any:
    """Run one operator where some operands are stacked, one for each variant."""
    if is_fixed_norm(node) and not any(operands[parameter][1] for parameter in node.all_input_nodes[1:]):
        value, _ = operands[node.args[0]]  # type: ignore[index]
        return _normalise(node, value, lambda parameter: operands[parameter][0])
    if node.target is operator.getitem:
        value, position = node.args
        return operands[value][0][position]  # type: ignore[index]
    return spread(_function(node), node.args, node.kwargs, operands)


def _rows_times_matrix(rows: Tensor, matrices: Tensor) -> Tensor:
    """Multiply [b, m, k] with [b, k, n] that are all the same matrix: as one product, which is faster than b."""
    return torch.mm(rows.flatten(0, 1), matrices[0]).unflatten(0, rows.shape[:2])  # type: ignore[no-untyped-call, no-any-return]


def _function(node: fx.Node) -> Any:
    return aten.reshape.default if node.target in VIEWS else node.target


def _normalise(node: fx.Node, value: Tensor, take: Any) -> Any:
    shape = (-1, *(1,) * (len(shape_of(node.args[0])) - 2))  # type: ignore[arg-type]
    return normalise(node, value, lambda parameter: take(parameter).view(shape))
