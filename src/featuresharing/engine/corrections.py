"""Linear operators that mix channels: their result is the base result and what the change of one channel adds to it.

Result = base + the operator's columns of the changed range, applied to the change. The result is dense.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from featuresharing.engine.slabs import Compute, Slabs, State, aten, runs


def find_correction(node: fx.Node, slabs: Slabs) -> Compute | None:
    """Return how to compute the dense result [B, ...] of a linear operator from its base result; None for others."""
    changed = [source for source in node.all_input_nodes if source in slabs]
    if len(changed) != 1 or node.kwargs:
        return None
    if node.target is aten.convolution.default:
        return _correct_convolution(node, slabs)
    if node.target in (aten.addmm.default, aten.mm.default):
        return _correct_linear(node, slabs)
    return None


def _correct_convolution(node: fx.Node, slabs: Slabs) -> Compute | None:
    given: Any = node.args
    source, weight, _, stride, padding, dilation, transposed, output_padding, groups = given
    if groups != 1 or source not in slabs or slabs[source].axis != 1:
        return None
    slab = slabs[source]

    def compute(state: State) -> Tensor:
        base, new = state.base(node), state.new(source)
        parts = []
        for unit, run in runs(state.units):
            start = int(slab.starts[unit])
            change = (new[run] - state.base(source).narrow(1, start, slab.length)).flatten(0, 1)
            filters = state.base(weight).narrow(0 if transposed else 1, start, slab.length)
            part = aten.convolution(
                change, filters, None, stride, padding, dilation, transposed, output_padding, groups
            )
            parts.append(part.unflatten(0, (-1, len(base))).add_(base))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    return compute


def _correct_linear(node: fx.Node, slabs: Slabs) -> Compute | None:
    given: Any = node.args
    source, matrix = given[-2:]
    if source not in slabs or slabs[source].axis != 1:
        return None
    slab = slabs[source]
    rows = replace(slab, axis=0)

    def compute(state: State) -> Tensor:
        base = state.base(node)
        change = state.new(source) - slab.take(state.base(source), state.units)
        columns = rows.take(state.base(matrix), state.units)
        if slab.length == 1:
            return torch.addcmul(base, change, columns)
        return torch.baddbmm(base.expand(len(change), *base.shape), change, columns)

    return compute
