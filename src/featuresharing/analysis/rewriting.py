"""Graphs of passes in fewer or smaller steps, which give the same values and gradients to rounding."""

import operator
from functools import partial
from typing import Any

from torch import Tensor, fx

from featuresharing.analysis.windows import BY_CHANNEL
from featuresharing.engine.slabs import aten
from featuresharing.engine.tracing import bind_arguments


def simplify(graph: fx.Graph, images: fx.Node) -> None:
    """Fold batch norms into convolutions, and rectify maps after they are pooled."""
    _fold_batch_norms(graph, dependent_on(graph, images))
    _rectify_after_pooling(graph)


def dependent_on(graph: fx.Graph, images: fx.Node) -> set[fx.Node]:
    """Return the nodes whose values depend on the images, and these."""
    found = {images}
    for node in graph.nodes:
        if not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return found


def _first_value(node: fx.Node) -> fx.Node | None:
    """Return the node of the first value of an operator of several; None if others are read, too."""
    (item, *others) = node.users
    return item if not others and item.target is operator.getitem and item.args[1] == 0 else None


def _fold_batch_norms(graph: fx.Graph, dependent: set[fx.Node]) -> None:
    """Put the factor and the shift of a batch norm at evaluation into the convolution before it."""
    for norm in [node for node in graph.nodes if node.target in BY_CHANNEL]:
        given, item = bind_arguments(norm), _first_value(norm)
        convolution = given["input"]
        if item is None or given.get("training") or convolution.target is not aten.convolution.default:
            continue
        taken = bind_arguments(convolution)
        constants = [*convolution.all_input_nodes[1:], *norm.all_input_nodes[1:]]
        if len(convolution.users) > 1 or taken["transposed"] or not dependent.isdisjoint(constants):
            continue
        spread = [given[name] for name in ("weight", "bias", "running_mean", "running_var")]
        numbers = (*spread, given.get("eps", given.get("epsilon")))
        with graph.inserting_before(norm):
            filters = graph.call_function(_scaled, (taken["weight"], *numbers))
            filters.meta = dict(taken["weight"].meta)
            bias = graph.call_function(_shifted, (taken["bias"], *numbers))
            rest = [taken[name] for name in ("stride", "padding", "dilation", "transposed", "output_padding", "groups")]
            folded = graph.call_function(convolution.target, (taken["input"], filters, bias, *rest))
        folded.meta = dict(item.meta)
        item.replace_all_uses_with(folded)
        for node in (item, norm, convolution):
            graph.erase_node(node)


def _factor(weight: Tensor | None, variance: Tensor, least: float) -> Tensor:
    factor = (variance + least).rsqrt()
    return factor if weight is None else factor * weight


def _scaled(
    filters: Tensor, weight: Tensor | None, _bias: Tensor | None, _mean: Tensor, variance: Tensor, least: float
) -> Tensor:
    return filters * _factor(weight, variance, least).view(-1, *[1] * (filters.ndim - 1))


def _shifted(
    own: Any, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, least: float
) -> Tensor:
    shift = (-mean if own is None else own - mean) * _factor(weight, variance, least)
    return shift if bias is None else shift + bias


def _rectify_after_pooling(graph: fx.Graph) -> None:
    """Pool a map before it is rectified: the largest of rectified values is the largest of all, rectified."""
    for pool in [node for node in graph.nodes if node.target is aten.max_pool2d_with_indices.default]:
        rectified, item = pool.args[0], _first_value(pool)
        if item is None or rectified.target is not aten.relu.default or len(rectified.users) > 1:
            continue
        pool.replace_input_with(rectified, rectified.args[0])
        with graph.inserting_after(item):
            after = graph.call_function(aten.relu.default, (item,))
        after.meta = dict(item.meta)
        item.replace_all_uses_with(after, delete_user_cb=partial(operator.is_not, after))
        graph.erase_node(rectified)
