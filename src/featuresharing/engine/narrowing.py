"""Compute only the rows of a trace that outputs take: behind the last attention, those of a class token.

Where a range of an axis is all that is taken of a value, the range is cut out of what the value is computed from, as
long as operators keep that axis apart: element by element, layer norms, products of rows, softmax, attention of
queries, views.
"""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import fx

from featuresharing.engine.rules import VIEWS
from featuresharing.engine.slabs import aten, shape_of
from featuresharing.engine.stacking import is_pointwise, operators
from featuresharing.engine.tracing import bind_arguments

_COPIES = frozenset(operators("clone", "alias", "detach"))
_VIEWS = VIEWS | {aten.reshape.default}
_ATTENTIONS = frozenset(
    operators(
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
    )
)


@dataclass(frozen=True)
class Range:
    """From ``start`` to ``stop`` along ``axis``."""

    axis: int
    start: int
    stop: int

    def along(self, axis: int) -> "Range":
        """Return the same range of another axis."""
        return Range(axis, self.start, self.stop)


class Narrowing:
    """Works on a ``graph`` whose nodes know their shapes."""

    def __init__(self, graph: fx.Graph) -> None:
        self.graph = graph
        self._cuts: dict[tuple[fx.Node, Range], fx.Node] = {}

    def run(self) -> None:
        """Move ranges that are taken to where values begin."""
        for node in list(self.graph.nodes):
            if found := _taken(node):
                cut = self.cut(node.args[0], found)
                if node.target is aten.select.int:
                    node.args = (cut, found.axis, 0)
                else:
                    node.replace_all_uses_with(cut)
                    self.graph.erase_node(node)
        while sum(self._move(key) for key in list(self._cuts)):
            pass
        self.graph.eliminate_dead_code()

    def cut(self, source: fx.Node, taken: Range) -> fx.Node:
        """Return the node of a range of a value."""
        key = (source, taken)
        if key not in self._cuts:
            with self.graph.inserting_after(source):
                args = (source, taken.axis, taken.start, taken.stop)
                self._cuts[key] = self.graph.call_function(aten.slice.Tensor, args)
            self._cuts[key].meta = _narrow_meta(source, taken)
        return self._cuts[key]

    def add(self, function: Any, args: Any, kwargs: Any, like: fx.Node, taken: Range | None) -> fx.Node:
        """Return a new node, whose value is a range of that of ``like``; None: it has parts."""
        node = self.graph.call_function(function, args, kwargs)
        node.meta = _narrow_meta(like, taken) if taken else dict(like.meta)
        return node

    def _move(self, key: tuple[fx.Node, Range]) -> bool:
        """Compute a range alone where nothing else of a value is taken; return whether that was possible."""
        source, taken = key
        cut = self._cuts.get(key)
        if cut is None or list(source.users) != [cut]:
            return False
        with self.graph.inserting_before(cut):
            found = next((new for rule in _RULES if (new := rule(self, source, taken)) is not None), None)
        if found is None:
            return False
        cut.replace_all_uses_with(found)
        del self._cuts[key]
        self.graph.erase_node(cut)
        self._erase(source)
        return True

    def _erase(self, node: fx.Node) -> None:
        """Erase a node that nobody takes, and those that only it took."""
        if node.users or node.op == "placeholder":
            return
        sources = node.all_input_nodes
        self._cuts = {key: cut for key, cut in self._cuts.items() if cut is not node}
        self.graph.erase_node(node)
        for source in sources:
            self._erase(source)


def narrow(graph: fx.Graph) -> None:
    """Rewrite a graph such that nothing is computed of which only a range is taken in the end."""
    Narrowing(graph).run()


def _narrow_meta(node: fx.Node, taken: Range) -> dict[str, Any]:
    shape = list(shape_of(node))
    shape[taken.axis] = taken.stop - taken.start
    return {**node.meta, "shape": tuple(shape)}


def _taken(node: fx.Node) -> Range | None:
    """Return the range that a node takes of its operand: a small part of an axis."""
    if node.target not in (aten.select.int, aten.slice.Tensor) or "shape" not in node.args[0].meta:  # type: ignore[union-attr]
        return None
    shape = shape_of(node.args[0])  # type: ignore[arg-type]
    given = bind_arguments(node)
    axis = given["dim"] % len(shape)
    extent = shape[axis]
    if node.target is aten.select.int:
        start = given["index"] % extent
        stop = start + 1
    else:
        start, stop, _ = slice(given["start"], given["end"], given["step"]).indices(extent)
        if given["step"] != 1:
            return None
    return Range(axis, start, stop) if axis and 0 < 2 * (stop - start) <= extent else None


Rule = Callable[[Narrowing, fx.Node, Range], fx.Node | None]
"""Returns a new node for a range of a value, from ranges of what it is computed from; None if that does not go."""


def _pointwise(narrowing: Narrowing, node: fx.Node, taken: Range) -> fx.Node | None:
    if not is_pointwise(node.target) and node.target not in _COPIES:
        return None
    rank, extent = len(shape_of(node)), shape_of(node)[taken.axis]

    def take(source: fx.Node) -> fx.Node:
        axis = taken.axis - rank + len(shape_of(source))
        return narrowing.cut(source, taken.along(axis)) if axis >= 0 and shape_of(source)[axis] == extent else source

    args, kwargs = fx.node.map_arg((node.args, node.kwargs), take)
    return narrowing.add(node.target, args, kwargs, node, taken)


def _layer_norm(narrowing: Narrowing, node: fx.Node, taken: Range) -> fx.Node | None:
    norm = _first_part(node, frozenset([aten.native_layer_norm.default]))
    if norm is None:
        return None
    source, normalized, *others = norm.args
    if taken.axis >= len(shape_of(source)) - len(normalized):  # type: ignore[arg-type]
        return None
    args = (narrowing.cut(source, taken), normalized, *others)  # type: ignore[arg-type]
    new = narrowing.add(norm.target, args, norm.kwargs, norm, None)
    return narrowing.add(operator.getitem, (new, 0), {}, node, taken)


def _attention(narrowing: Narrowing, node: fx.Node, taken: Range) -> fx.Node | None:
    """Of [N, heads, queries, features]: a query does not look at others, unless there is a mask."""
    attention = _first_part(node, _ATTENTIONS)
    if attention is None or taken.axis != 2:
        return None
    given = bind_arguments(attention)
    if given.get("is_causal") or given.get("attn_mask") is not None or given.get("attn_bias") is not None:
        return None
    queries, *others = attention.args
    args = (narrowing.cut(queries, taken), *others)  # type: ignore[arg-type]
    new = narrowing.add(attention.target, args, attention.kwargs, attention, None)
    return narrowing.add(operator.getitem, (new, 0), {}, node, taken)


def _first_part(node: fx.Node, functions: frozenset[Any]) -> fx.Node | None:
    """Return one of the ``functions`` of whose results only the first is taken, by ``node`` alone."""
    if node.target is not operator.getitem or node.args[1] != 0:
        return None
    source: Any = node.args[0]
    return source if source.target in functions and len(source.users) == 1 else None


def _along_others(narrowing: Narrowing, node: fx.Node, taken: Range) -> fx.Node | None:
    """Softmax along another axis, rows of a product, and transposed values."""
    given: Any = node.args
    if node.target in (aten._softmax.default, aten._log_softmax.default):
        apart = given[1] % len(shape_of(node)) != taken.axis
        args = (narrowing.cut(given[0], taken), *given[1:])
        return narrowing.add(node.target, args, node.kwargs, node, taken) if apart else None
    if node.target is aten.slice.Tensor and bind_arguments(node)["dim"] % len(shape_of(node)) != taken.axis:
        return narrowing.add(node.target, (narrowing.cut(given[0], taken), *given[1:]), node.kwargs, node, taken)
    if node.target is aten.bmm.default and taken.axis == 1:
        return narrowing.add(node.target, (narrowing.cut(given[0], taken), given[1]), {}, node, taken)
    if node.target in (aten.transpose.int, aten.permute.default):
        order = list(_order(node))
        cut = narrowing.cut(given[0], taken.along(order[taken.axis]))
        return narrowing.add(node.target, (cut, *given[1:]), node.kwargs, node, taken)
    return None


def _order(node: fx.Node) -> Iterator[int]:
    """Yield which axis of its operand each axis of a transposed value is."""
    given, rank = bind_arguments(node), len(shape_of(node))
    if node.target is aten.permute.default:
        yield from (axis % rank for axis in given["dims"])
        return
    first, second = given["dim0"] % rank, given["dim1"] % rank
    yield from ({first: second, second: first}.get(axis, axis) for axis in range(rank))


def _view(narrowing: Narrowing, node: fx.Node, taken: Range) -> fx.Node | None:
    """Views that keep the axis as it is, whatever becomes of others."""
    if node.target not in _VIEWS:
        return None
    source: Any = node.args[0]
    shape, before = shape_of(source), shape_of(node)
    for axis, extent in enumerate(shape):
        if extent == before[taken.axis] and prod(shape[:axis]) == prod(before[: taken.axis]):
            cut = narrowing.cut(source, taken.along(axis))
            return _reshaped(narrowing, cut, node, taken)
    return None


def _rows(narrowing: Narrowing, node: fx.Node, taken: Range) -> fx.Node | None:
    """Rows [..., inputs] times a matrix, as one product of all rows."""
    product: Any = node.args[0] if node.target in _VIEWS else None
    if product is None or product.target not in (aten.mm.default, aten.addmm.default) or len(product.users) != 1:
        return None
    *bias, rows, matrix = product.args
    lead, inputs = shape_of(node)[:-1], shape_of(rows)[-1]

    def has_rows(value: fx.Node) -> bool:
        return shape_of(value)[: len(lead)] == lead and prod(shape_of(value)[len(lead) :]) == inputs

    source = rows
    while not has_rows(source) and (source.target in _VIEWS or source.target in _COPIES):
        source = source.args[0]
    fits = has_rows(source) and taken.axis < len(lead) and not product.kwargs
    if not fits or any(len(shape_of(each)) > 1 for each in bias):
        return None
    cut = narrowing.cut(source, taken)
    count = prod(shape_of(cut)[: len(lead)])
    few = narrowing.add(aten.reshape.default, (cut, [count, inputs]), {}, rows, Range(0, 0, count))
    new = narrowing.add(product.target, (*bias, few, matrix), {}, product, Range(0, 0, count))
    return _reshaped(narrowing, new, node, taken)


def _reshaped(narrowing: Narrowing, source: fx.Node, like: fx.Node, taken: Range) -> fx.Node:
    shape = list(_narrow_meta(like, taken)["shape"])
    return narrowing.add(aten.reshape.default, (source, shape), {}, like, taken)


_RULES: tuple[Rule, ...] = (_pointwise, _layer_norm, _attention, _along_others, _view, _rows)
