"""What a plan costs, counted from the shapes of its values: multiply-adds, and numbers that are written."""

from dataclasses import dataclass
from math import prod
from typing import Any

from torch import fx

from featuresharing.engine.plan import Plan
from featuresharing.engine.rules import VIEWS
from featuresharing.engine.slabs import aten, shape_of

PRODUCTS = {aten.mm.default: 0, aten.addmm.default: 1, aten.bmm.default: 0, aten.baddbmm.default: 1}
"""Matrix products, and the position of their first factor."""


@dataclass(frozen=True)
class Cost:
    """Multiply-adds: ``forward`` of an image before variants, ``variant`` of one variant on one image.

    ``numbers`` are those that operators write for a variant and image.
    """

    forward: int
    variant: int
    numbers: int = 0


def cost_of(plan: Plan) -> Cost:
    """Count what a plan multiplies and writes, for one image and one variant."""
    images = plan.trace.rows
    wanted = set(plan.needed)
    forward = variant = numbers = 0
    for node in reversed(plan.trace.graph.nodes):
        if node in wanted:
            wanted.update(node.all_input_nodes)
            forward += multiply_adds(node)
        if plan.layer and node is plan.layer.node and node in plan.slabs:
            variant += multiply_adds(node) // plan.layer.units
        elif node in plan.dense:
            variant += int(multiply_adds(node) * _changed_share(node, plan))
            numbers += prod(shape_of(node)) if "shape" in node.meta and node.target not in VIEWS else 0
    return Cost(forward // images, variant // images, numbers // images)


def multiply_adds(node: fx.Node) -> int:
    """Return the multiply-adds of one operator on all images of the trace."""
    args: Any = node.args
    if node.target is aten.convolution.default:
        values, weight, transposed = args[0], shape_of(args[1]), args[6]
        places = shape_of(values) if transposed else shape_of(node)
        return prod(places) * prod(weight[1:])
    if node.target in PRODUCTS:
        return prod(shape_of(node)) * shape_of(args[PRODUCTS[node.target]])[-1]
    if "scaled_dot_product" in str(node.target):
        queries, keys, values = (shape_of(each) for each in args[:3])
        return prod(queries[:-1]) * keys[-2] * (queries[-1] + values[-1])
    return 0


def _changed_share(node: fx.Node, plan: Plan) -> float:
    """Return which part of a dense operator's operand changes: one channel where it is corrected."""
    if node not in plan.compute:
        return 1.0
    slabs = [(source, plan.slabs[source]) for source in node.all_input_nodes if source in plan.slabs]
    return sum(slab.length / shape_of(source)[slab.axis] for source, slab in slabs)
