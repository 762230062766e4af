"""Which part of a map an operator needs, when only part of what it gives is needed; and how it is computed from that.

A window is a range of rows and one of columns of maps [B, channels, rows, columns]; None stands for all of a value. An
operator that is not known needs all of what it takes, so that what is known only saves work.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from featuresharing.engine.slabs import aten, shape_of
from featuresharing.engine.stacking import is_pointwise, operators
from featuresharing.engine.tracing import bind_arguments

Range = tuple[int, int]
Window = tuple[Range, Range]
Take = Callable[[Any, Window | None], Any]
"""Returns the part of a node's value that lies in a window."""

NEARLY_ALL = 0.75
"""Share of a map from which on all of it is computed: windows have to be cut out."""

BY_CHANNEL = frozenset(
    operators("native_batch_norm.default", "_native_batch_norm_legit_no_training.default", "cudnn_batch_norm.default")
)
"""Operators that at evaluation give a map like their first input, pixel by pixel, and values that nobody reads."""

_PIXELWISE = frozenset(
    operators("clone.default", "alias.default", "_to_copy.default", "hardswish.default", "_prelu_kernel.default")
)
"""Operators of single pixels that torch does not mark as such."""


class Rule(NamedTuple):
    """What an operator needs of its sources for a window, and how it is computed from these.

    ``needs`` returns None where it cannot tell. Operators that slide over a map can be computed by another function of
    the padded part: ``on`` returns how.
    """

    needs: Callable[[Window], dict[fx.Node, Window | None] | None]
    run: Callable[[Take, Window], Any]
    on: Callable[[Callable[[Tensor], Any]], Callable[[Take, Window], Any]] | None = None


def whole_of(node: fx.Node) -> Window:
    """Return the window of all of a map."""
    *_, rows, columns = shape_of(node)
    return (0, rows), (0, columns)


def is_map(node: fx.Node) -> bool:
    """Whether the value of a node is a map [B, channels, rows, columns]."""
    return len(node.meta.get("shape", ())) == 4


def mark_first_values(graph: fx.Graph) -> None:
    """Give operators of several values, of which only the first is a map, the shape of that."""
    for node in graph.nodes:
        if node.target is operator.getitem and node.args[1] == 0 and is_map(node):
            node.args[0].meta["shape"] = node.meta["shape"]


def joined(node: fx.Node, one: Window | None, other: Window | None) -> Window | None:
    """Return the smallest window that holds both; None if it is nearly all of the map."""
    if one is None or other is None:
        return None
    rows, columns = ((min(a, c), max(b, d)) for (a, b), (c, d) in zip(one, other, strict=True))
    (_, height), (_, width) = whole_of(node)
    area = (rows[1] - rows[0]) * (columns[1] - columns[0])
    return None if area >= NEARLY_ALL * height * width else (rows, columns)


def cut_out(value: Tensor, wanted: Window, start: tuple[int, int]) -> Tensor:
    """Return the part of a map in a window; its own first pixel is the one at ``start``."""
    (top, bottom), (left, right) = wanted
    y, x = start
    if (top, left) == start and value.shape[-2:] == (bottom - top, right - left):
        return value
    return value[..., top - y : bottom - y, left - x : right - x]


def find_rule(node: fx.Node) -> Rule | None:
    """Return the rule of an operator that gives a map, or of one whose first value is a map; None if there is none."""
    if node.target in BY_CHANNEL:
        return None if bind_arguments(node).get("training") else _pixelwise(node, shape_of(node.args[0]))  # type: ignore[arg-type]
    if node.target in _SLIDING:
        return _SLIDING[node.target](node) if is_map(node.args[0]) else None  # type: ignore[arg-type]
    if not is_map(node):
        return None
    if node.target is aten.cat.default and bind_arguments(node)["dim"] in (1, -3):
        return _pixelwise(node, shape_of(node))
    if node.target in _PIXELWISE or is_pointwise(node.target):
        return _pixelwise(node, shape_of(node))
    return None


def _pixelwise(node: fx.Node, shape: Sequence[int]) -> Rule | None:
    """Return the rule of an operator whose pixels depend on the same pixels of what it takes."""
    maps = [source for source in node.all_input_nodes if shape_of(source)[-2:] == tuple(shape[-2:])]
    others = [source for source in node.all_input_nodes if source not in maps]
    if node.target not in BY_CHANNEL and any(set(shape_of(source)[-2:]) - {1} for source in others):
        return None  # spread over rows or columns
    if node.target in BY_CHANNEL:  # means and variances may be as long as the map is wide
        maps, others = [node.all_input_nodes[0]], node.all_input_nodes[1:]

    def needs(window: Window) -> dict[fx.Node, Window | None]:
        wanted = {source: window if is_map(source) else None for source in maps}
        return wanted | dict.fromkeys(others)

    def run(take: Take, window: Window) -> Any:
        def part(source: fx.Node) -> Any:
            return take(source, window if source in maps else None)

        args, kwargs = fx.node.map_arg((node.args, node.kwargs), part)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    return Rule(needs, run)


@dataclass(frozen=True)
class Sliding:
    """A filter that slides along an axis: its size with gaps, its step, and the padding before the first value."""

    size: int
    stride: int
    padding: int

    def taken(self, wanted: Range, length: int) -> tuple[Range, int, int] | None:
        """Return which of ``length`` values the outputs ``wanted`` take, and how many before and behind them are none.

        None if they take no value at all.
        """
        first = wanted[0] * self.stride - self.padding
        last = (wanted[1] - 1) * self.stride - self.padding + self.size
        inside = max(first, 0), min(last, length)
        return None if inside[0] >= inside[1] else (inside, inside[0] - first, last - inside[1])


def _slide(
    node: fx.Node, axes: tuple[Sliding, Sliding], fill: float, compute: Callable[[Take, Tensor], Tensor]
) -> Rule:
    """Return the rule of an operator that slides over the map that it takes, with ``fill`` around it."""
    source: fx.Node = node.args[0]  # type: ignore[assignment]
    others = [other for other in node.all_input_nodes if other is not source]

    def parts(window: Window) -> list[tuple[Range, int, int] | None]:
        lengths = shape_of(source)[2:]
        return [axis.taken(wanted, length) for axis, wanted, length in zip(axes, window, lengths, strict=True)]

    def needs(window: Window) -> dict[fx.Node, Window | None] | None:
        rows, columns = parts(window)
        return {source: (rows[0], columns[0]), **dict.fromkeys(others)} if rows and columns else None

    def padded(take: Take, window: Window) -> Tensor:
        rows, columns = parts(window)
        assert rows
        assert columns
        value = take(source, (rows[0], columns[0]))
        around = (*columns[1:], *rows[1:])
        return F.pad(value, around, value=fill) if any(around) else value

    return Rule(
        needs,
        lambda take, window: compute(take, padded(take, window)),
        lambda function: lambda take, window: function(padded(take, window)),
    )


def _convolution(node: fx.Node) -> Rule | None:
    given = bind_arguments(node)
    if given["transposed"]:
        return None
    sizes = shape_of(given["weight"])[2:]
    axes = _axes(sizes, given["stride"], given["padding"], given["dilation"])

    def compute(take: Take, value: Tensor) -> Tensor:
        bias = None if given["bias"] is None else take(given["bias"], None)
        return F.conv2d(
            value, take(given["weight"], None), bias, given["stride"], 0, given["dilation"], given["groups"]
        )

    return _slide(node, axes, 0.0, compute)


def _max_pool(node: fx.Node) -> Rule | None:
    given = bind_arguments(node)
    size, stride = given["kernel_size"], given["stride"] or given["kernel_size"]
    axes = _axes(size, stride, given["padding"], given["dilation"])

    def compute(_: Take, value: Tensor) -> Any:
        return aten.max_pool2d_with_indices.default(value, size, stride, 0, given["dilation"])

    return _slide(node, axes, -torch.inf, compute)


def _mean_pool(node: fx.Node) -> Rule | None:
    given = bind_arguments(node)
    padding = given["padding"]
    if given["ceil_mode"] or (any(_both(padding)) and not given["count_include_pad"]):
        return None
    size, stride = given["kernel_size"], given["stride"] or given["kernel_size"]

    def compute(_: Take, value: Tensor) -> Tensor:
        result: Tensor = aten.avg_pool2d.default(value, size, stride, divisor_override=given["divisor_override"])
        return result

    return _slide(node, _axes(size, stride, padding, 1), 0.0, compute)


def _pad(node: fx.Node) -> Rule | None:
    given = bind_arguments(node)
    pads = list(given["pad"])
    if len(pads) != 4 or min(pads) < 0:
        return None
    left, _, above, _ = pads
    return _slide(node, (Sliding(1, 1, above), Sliding(1, 1, left)), given["value"], lambda _, value: value)


_SLIDING: dict[Any, Callable[[fx.Node], Rule | None]] = {
    aten.convolution.default: _convolution,
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.avg_pool2d.default: _mean_pool,
    aten.constant_pad_nd.default: _pad,
}


def _axes(sizes: Any, strides: Any, paddings: Any, dilations: Any) -> tuple[Sliding, Sliding]:
    each = zip(_both(sizes), _both(strides), _both(paddings), _both(dilations), strict=True)
    rows, columns = (Sliding((size - 1) * gap + 1, stride, padding) for size, stride, padding, gap in each)
    return rows, columns


def _both(value: Any) -> tuple[int, int]:
    """Return what holds for rows and columns: two numbers, or one for both."""
    numbers = [value] if isinstance(value, int) else list(value)
    return (numbers[0], numbers[-1])
