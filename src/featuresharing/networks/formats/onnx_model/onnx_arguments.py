"""How operators say which axes, sizes and steps they mean: as attributes before, as inputs today."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from featuresharing.networks.formats.onnx_model.onnx_graph import MOST_AXES, MOST_NUMBER, Node

MOST_HOST = 2**24
"""Most numbers of an array that is computed from sizes and constants."""


def given(inputs: Sequence[Any], position: int) -> Any:
    """Return an input, None where it is left out."""
    return inputs[position] if position < len(inputs) else None


def whole_numbers(node: Node, value: Any, what: str) -> list[int] | None:
    """Return an input of whole numbers as a list (None: left out); raises InputError for what comes from images."""
    if value is None:
        return None
    if not isinstance(value, np.ndarray):
        raise node.refuse(f"its {what} depend on what images show; accepted are those that depend on their sizes")
    if value.dtype.kind not in "iu" or value.ndim > 1 or value.size > MOST_NUMBER:
        raise node.refuse(f"its {what} are {value.dtype} {list(value.shape)}; accepted is a list of whole numbers")
    return [int(each) for each in np.atleast_1d(value)]


def axis_of(node: Node, axis: int, rank: int) -> int:
    """Return an axis counted from 0; raises InputError for one that a value of that rank does not have."""
    if not -rank <= axis < rank:
        raise node.refuse(f"axis {axis} of a value with {rank} axes; accepted are axes that it has")
    return axis % rank


def axes_of(node: Node, inputs: Sequence[Any], position: int, rank: int) -> list[int] | None:
    """Return the axes of an operator, by input or attribute (None: not said)."""
    axes = whole_numbers(node, given(inputs, position), "axes")
    axes = node.integers("axes") if axes is None else axes
    if axes is None:
        return None
    if len(axes) > MOST_AXES:
        raise node.refuse(f"it has {len(axes)} axes; accepted are up to {MOST_AXES}")
    found = [axis_of(node, axis, rank) for axis in axes]
    if len(set(found)) != len(found):
        raise node.refuse(f"it names an axis twice ({axes}); accepted are different ones")
    return found


def reshaped(node: Node, inputs: Sequence[Any]) -> list[int]:
    """Return the sizes that an operator Reshape gives its first input: 0 keeps a size, -1 takes what is left."""
    shape, sizes = inputs[0].shape, whole_numbers(node, given(inputs, 1), "sizes")
    sizes = node.integers("shape") or [] if sizes is None else sizes
    zeros = node.flag("allowzero", False)
    if len(sizes) > MOST_AXES or min(sizes, default=1) < -1 or sizes.count(-1) > 1:
        raise node.refuse(f"it asks for sizes {sizes[:20]}; accepted are sizes with at most one -1")
    if any(size == 0 and place >= len(shape) for place, size in enumerate(sizes)) and not zeros:
        raise node.refuse(
            f"it keeps a size of axis {len(shape)}, of values {list(shape)}; accepted are axes that are there"
        )
    wanted = [shape[place] if size == 0 and not zeros else size for place, size in enumerate(sizes)]
    if -1 in wanted:
        rest = -prod(wanted)
        if rest == 0 or prod(shape) % rest:
            raise node.refuse(f"values {list(shape)} do not fit into sizes {wanted}; accepted are as many numbers")
        wanted[wanted.index(-1)] = prod(shape) // rest
    if prod(wanted) != prod(shape):
        raise node.refuse(f"values {list(shape)} do not fit into sizes {wanted}; accepted are as many numbers")
    return wanted


def expanded(node: Node, inputs: Sequence[Any]) -> tuple[int, ...]:
    """Return the shape that an operator Expand gives its first input."""
    sizes = whole_numbers(node, inputs[1], "sizes") or []
    if min(sizes, default=0) < 0:
        raise node.refuse(f"it asks for sizes {sizes[:20]}; accepted are sizes that are not negative")
    return broadcast(node, inputs[0].shape, sizes)


def repeats_of(node: Node, inputs: Sequence[Any]) -> list[int]:
    """Return how often an operator Tile repeats its first input, along each axis."""
    repeats, rank = whole_numbers(node, inputs[1], "repeats") or [], inputs[0].ndim
    if min(repeats, default=0) < 0 or len(repeats) != rank:
        raise node.refuse(f"it repeats {repeats[:20]} times; accepted is a number for each of {rank} axes")
    return repeats


def broadcast(node: Node, *shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of values that are spread over each other; raises InputError for those that do not fit."""
    try:
        return np.broadcast_shapes(*map(tuple, shapes))
    except ValueError:
        words = " and ".join(str(list(shape)) for shape in shapes)
        raise node.refuse(f"values {words} do not fit; accepted are those whose sizes are the same or 1") from None


def slices_of(node: Node, inputs: Sequence[Any], shape: Sequence[int]) -> list[tuple[int, slice]]:
    """Return which part of which axis an operator Slice takes."""
    starts = whole_numbers(node, given(inputs, 1), "starts") if len(inputs) > 1 else node.integers("starts")
    ends = _ends(node, inputs)
    if starts is None or ends is None or len(starts) != len(ends):
        raise node.refuse(f"it begins at {starts} and ends at {ends}; accepted are as many beginnings as ends")
    axes = axes_of(node, inputs, 3, len(shape))
    axes = list(range(len(starts))) if axes is None else axes
    steps = whole_numbers(node, given(inputs, 4), "steps") or [1] * len(starts)
    if len(axes) != len(starts) or len(steps) != len(starts) or 0 in steps or len(axes) > len(shape):
        raise node.refuse(
            f"it has axes {axes} and steps {steps}; accepted is one of each for every beginning, no step 0"
        )
    parts = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        last = None if step < 0 and end < -shape[axis] else end
        parts.append((axis, slice(start, last, step)))
    return parts


def _ends(node: Node, inputs: Sequence[Any]) -> list[int] | None:
    if len(inputs) > 1:
        return whole_numbers(node, given(inputs, 2), "ends")
    value = node.attributes.get("ends")  # these may be as large as numbers get, for "to the end"
    return value if isinstance(value, list) and all(isinstance(each, int) for each in value) else None


def parts_of(node: Node, inputs: Sequence[Any], size: int) -> list[int]:
    """Return the sizes of the parts into which an operator Split cuts an axis of ``size``."""
    sizes = whole_numbers(node, given(inputs, 1), "sizes") or node.integers("split", 0)
    if sizes is None:
        count = len(node.outputs)
        each = -(-size // count)
        sizes = [min(each, max(0, size - each * place)) for place in range(count)]
    if sum(sizes) != size or min(sizes) < 0 or len(sizes) != len(node.outputs):
        raise node.refuse(
            f"parts {sizes[:20]} of an axis of {size}; accepted is a part for each output, of all together"
        )
    return sizes


def pads_of(node: Node, inputs: Sequence[Any], rank: int) -> list[tuple[int, int]]:
    """Return how much an operator Pad adds before and behind each axis."""
    pads = whole_numbers(node, given(inputs, 1), "pads") if len(inputs) > 1 else None
    pads = pads or node.integers("pads") or node.integers("paddings")
    axes = axes_of(node, inputs, 3, rank) if given(inputs, 3) is not None else None
    axes = list(range(rank)) if axes is None else axes
    if pads is None or len(pads) != 2 * len(axes) or any(abs(each) > MOST_NUMBER for each in pads):
        raise node.refuse(f"it pads by {pads}; accepted are two numbers for each of {len(axes)} axes")
    found = [(0, 0)] * rank
    for place, axis in enumerate(axes):
        found[axis] = (pads[place], pads[place + len(axes)])
    return found
