"""Operators that take many variants as one larger batch of images: called once, without ``torch.func.vmap``.

A stacked value [B, N, ...] is folded to [B * N, ...], as vmap does too, which looks up how for each call. The numbers
are the same bit for bit. Operators that are not known here, or that take several stacked operands, are left to
:mod:`.stacking`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from featuresharing.engine.rules import VIEWS
from featuresharing.engine.slabs import aten, shape_of
from featuresharing.engine.stacking import operators

Take = Callable[[fx.Node], Any]
"""Returns the value of an operand that is the same for all variants."""

Fold = Callable[[Tensor, Take], Any]
"""Returns the stacked result for the stacked operand."""

_IN_PLACE: dict[Any, Any] = {aten.relu.default: aten.relu_.default}
_POOLS = frozenset(operators("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"))
_FRESH = frozenset(operators("convolution", "addmm", "mm", "add.Tensor"))
"""Operators whose results share memory with no other value."""


def find_fold(node: fx.Node, stacked: fx.Node, *, own: bool) -> Fold | None:
    """Return how to compute ``node`` where ``stacked`` alone of its operands is stacked; None if it has to be spread.

    ``own`` says that the operand was computed for these variants, and may be written over if nobody else takes it.
    """
    if node.kwargs or sum(argument is stacked for argument in node.args) != 1:
        return None
    if node.target in VIEWS or node.target is aten.reshape.default:
        shape = shape_of(node)
        return lambda value, _: value.reshape(len(value), *shape)
    if node.target in _POOLS or (node.target is aten.convolution.default and node.args[0] is stacked):
        return _by_image(node)
    if node.target in (aten.addmm.default, aten.mm.default) and node.args[-2] is stacked:
        *bias, _, _ = node.args
        return _product(node) if all(len(shape_of(each)) == 1 for each in bias) else None  # type: ignore[arg-type]
    if torch.Tag.pointwise in getattr(node.target, "tags", ()) and node.all_input_nodes == [stacked]:
        spent = own and stacked.target in _FRESH and len(stacked.users) == 1
        return _pointwise(node, _IN_PLACE.get(node.target, node.target) if spent else node.target)
    return None


def _by_image(node: fx.Node) -> Fold:
    """Operators that treat every image by itself."""
    function: Any = node.target

    def compute(value: Tensor, take: Take) -> Any:
        count, images = value.shape[:2]
        found = function(value.flatten(0, 1), *fx.node.map_arg(node.args[1:], take))
        if isinstance(found, Tensor):
            return found.unflatten(0, (count, images))  # type: ignore[no-untyped-call]
        return tuple(part.unflatten(0, (count, images)) for part in found)

    return compute


def _product(node: fx.Node) -> Fold:
    """Rows times a matrix, and a bias that is added afterwards."""
    *bias, _, matrix = node.args

    def compute(value: Tensor, take: Take) -> Tensor:
        found = torch.mm(value.flatten(0, 1), take(matrix))  # type: ignore[arg-type]
        for each in bias:
            found.add_(take(each))  # type: ignore[arg-type]
        return found.unflatten(0, value.shape[:2])  # type: ignore[no-untyped-call, no-any-return]

    return compute


def _pointwise(node: fx.Node, function: Any) -> Fold:
    place = next(index for index, argument in enumerate(node.args) if argument is node.all_input_nodes[0])
    before, behind = node.args[:place], node.args[place + 1 :]
    return lambda value, _: function(*before, value, *behind)
