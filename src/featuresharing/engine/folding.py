"""Operators that take many variants as one larger batch of images: called once, without ``torch.func.vmap``.

A stacked value [B, N, ...] is folded to [B * N, ...], as vmap does too, which looks up how for each call. The numbers
are the same bit for bit. Operators that are not known here are left to :mod:`.stacking`.
"""

import operator
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor, fx

from featuresharing.engine.rules import VIEWS, is_fixed_norm, normalise
from featuresharing.engine.slabs import aten, shape_of
from featuresharing.engine.stacking import is_pointwise, operators

Take = Callable[[fx.Node], Any]
"""Returns the value of an operand, stacked if it is."""

Fold = Callable[[Take], Any]
"""Returns the stacked result."""

_POOLS = frozenset(operators("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"))
_NEW = frozenset(operators("convolution", "addmm", "mm", "bmm", "clone", "cat", "_softmax"))
"""Operators, beside those element by element, whose results share memory with no other value."""


def _in_place() -> Iterator[tuple[Any, Any]]:
    """Yield operators element by element, with what writes their result over their first operand."""
    for name in ("relu", "sigmoid", "tanh", "hardswish", "hardsigmoid", "silu", "hardtanh", "leaky_relu", "gelu"):
        yield from zip(operators(name), operators(f"{name}_"), strict=False)
    for name in ("add.Tensor", "mul.Tensor"):
        yield from zip(operators(name), operators(name.replace(".", "_.")), strict=False)


_IN_PLACE = dict(_in_place())


def find_fold(node: fx.Node, stacked: Collection[fx.Node], spent: Collection[fx.Node]) -> Fold | None:
    """Return how to compute ``node`` where operands ``stacked`` are stacked; None if it has to be spread.

    Operands that are ``spent`` share memory with nothing, and may be written over.
    """
    if node.kwargs:
        return None
    if is_pointwise(node.target) and _lie_alike(node, stacked):
        return _pointwise(node, spent)
    if len(stacked) != 1:
        return None
    (source,) = stacked
    if sum(argument is source for argument in node.args) != 1:
        return None
    rules = (_part, _view, _by_image, _product, _norm)
    return next((fold for rule in rules if (fold := rule(node, source, source in spent))), None)


def gives_new_memory(node: fx.Node) -> bool:
    """Whether the value of a node shares memory with no other value that is still taken."""
    if node.target is operator.getitem:  # of a batch norm: its parts are one tensor
        source: Any = node.args[0]
        return is_fixed_norm(source) and len(source.users) == 1
    return node.target in _NEW or is_pointwise(node.target)


def _lie_alike(node: fx.Node, stacked: Collection[fx.Node]) -> bool:
    """Whether broadcasting goes as in the trace though operands are stacked: these have as many axes as the result."""
    rank = len(shape_of(node)) if "shape" in node.meta else -1
    return rank > 0 and all("shape" in each.meta and len(shape_of(each)) == rank for each in stacked)


def _part(node: fx.Node, source: fx.Node, _: bool) -> Fold | None:
    position: Any = node.args[-1]
    return (lambda take: take(source)[position]) if node.target is operator.getitem else None


def _view(node: fx.Node, source: fx.Node, _: bool) -> Fold | None:
    if node.target not in VIEWS and node.target is not aten.reshape.default:
        return None
    shape = shape_of(node)
    return lambda take: (value := take(source)).reshape(len(value), *shape)


def _by_image(node: fx.Node, source: fx.Node, _: bool) -> Fold | None:
    """Operators that treat every image by itself."""
    if node.args[0] is not source or not (node.target in _POOLS or node.target is aten.convolution.default):
        return None
    function: Any = node.target

    def compute(take: Take) -> Any:
        value = take(source)
        count, images = value.shape[:2]
        found = function(value.flatten(0, 1), *fx.node.map_arg(node.args[1:], take))
        if isinstance(found, Tensor):
            return found.unflatten(0, (count, images))  # type: ignore[no-untyped-call]
        return tuple(part.unflatten(0, (count, images)) for part in found)

    return compute


def _product(node: fx.Node, source: fx.Node, _: bool) -> Fold | None:
    """Rows times a matrix, and a bias that is added afterwards."""
    if node.target not in (aten.addmm.default, aten.mm.default) or node.args[-2] is not source:
        return None
    *bias, _rows, matrix = node.args
    if any(len(shape_of(each)) != 1 for each in bias):  # type: ignore[arg-type]
        return None

    def compute(take: Take) -> Tensor:
        value = take(source)
        found = torch.mm(value.flatten(0, 1), take(matrix))  # type: ignore[arg-type]
        for each in bias:
            found.add_(take(each))  # type: ignore[arg-type]
        return found.unflatten(0, value.shape[:2])  # type: ignore[no-untyped-call, no-any-return]

    return compute


def _norm(node: fx.Node, source: fx.Node, spent: bool) -> Fold | None:
    """A batch norm at evaluation, whose parameters broadcast against [B, N, channels, ...]."""
    if not is_fixed_norm(node) or node.args[0] is not source:
        return None
    shape = (-1, *(1,) * (len(shape_of(source)) - 2))

    def compute(take: Take) -> tuple[Tensor]:
        value = take(source)
        return normalise(node, value, lambda each: take(each).view(shape), out=value if spent else None)

    return compute


def _pointwise(node: fx.Node, spent: Collection[fx.Node]) -> Fold:
    """Element by element; over the first operand if that is spent and laid out as the result is."""
    function: Any = node.target
    args = list(node.args)
    if function in (aten.add.Tensor, aten.mul.Tensor) and len(args) == 2 and args[1] in spent and args[0] not in spent:
        args.reverse()
    first: Any = args[0] if args else None
    in_place: Any = _IN_PLACE.get(function) if first in spent and args.count(first) == 1 else None
    if in_place and (shape_of(first), first.meta["itemsize"]) != (shape_of(node), node.meta["itemsize"]):
        in_place = None

    def compute(take: Take) -> Any:
        given: Any = fx.node.map_arg(tuple(args), take)
        chosen = in_place if in_place and given[0].is_floating_point() else function
        return chosen(*given)

    return compute
