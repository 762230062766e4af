"""Biases that stand apart from their layers: what exporters add to a product or to maps belongs to the layer."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.networks.formats.onnx_model.onnx_graph import FLOATS, Graph, Node
from featuresharing.networks.formats.onnx_model.onnx_sizes import OF_SIZES

TRUTHS = ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Xor", "Not")


def without_casts(graph: Graph) -> Graph:
    """Return the graph without casts from floating point numbers to others: all are computed in one precision."""
    floats = {graph.image} if graph.floating else set()
    floats |= {name for name, value in graph.constants.items() if value.dtype.kind == "f"}
    names: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        kept = node.with_(inputs=tuple(names.get(name, name) for name in node.inputs))
        first = kept.inputs[1:2] if node.op == "Where" else kept.inputs[:1]
        to_float = node.attributes.get("to") in FLOATS
        is_float = bool(floats.intersection(first)) if node.op != "Cast" else to_float
        if is_float and node.op not in (*TRUTHS, *OF_SIZES):
            floats.update(node.outputs)
        if node.op == "Cast" and to_float and floats.intersection(first):
            names[node.outputs[0]] = kept.inputs[0]
        else:
            nodes.append(kept)
    return replace(graph, nodes=tuple(nodes), outputs=tuple(names.get(name, name) for name in graph.outputs))


def join_biases(graph: Graph) -> Graph:
    """Return the graph with biases as third inputs of Conv and MatMul, where an Add behind them has them.

    Between a Conv and its Add there may be a Transpose to channels last. A MatMul with a bias is a linear layer.
    """
    users: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            users.setdefault(name, []).append(node)
    constants, origins = dict(graph.constants), dict(graph.origins)
    joined: dict[int, Node] = {}
    names: dict[str, str] = {}
    for node in graph.nodes:
        weight = constants.get(node.inputs[1]) if len(node.inputs) == 2 else None
        ranks = {"Conv": (3, 4, 5), "MatMul": (2,)}.get(node.op, ())
        if weight is None or weight.ndim not in ranks or weight.dtype.kind != "f" or node.inputs[0] in constants:
            continue
        channels = weight.shape[0] if node.op == "Conv" else weight.shape[1]
        value, add, last = _behind(graph, users, node, weight.ndim)
        other = next((name for name in add.inputs if name != value), "") if add else ""
        bias = constants.get(other)
        axes = 0 if last else weight.ndim - 2
        if add is None or bias is None or not _is_bias(bias, channels, axes, weight.ndim):
            continue
        own = other
        if bias.ndim > 1:
            own = f"{other} (flat)"
            constants[own], origins[own] = bias.reshape(-1), origins.get(other, other)
        joined[id(node)] = node.with_(inputs=(*node.inputs, own))
        names[add.outputs[0]] = value
    nodes = [joined.get(id(node), node) for node in graph.nodes if not names.keys() & set(node.outputs)]
    named = tuple(node.with_(inputs=tuple(names.get(name, name) for name in node.inputs)) for node in nodes)
    outputs = tuple(names.get(name, name) for name in graph.outputs)
    return replace(graph, nodes=named, constants=constants, origins=origins, outputs=outputs)


def _behind(graph: Graph, users: dict[str, list[Node]], node: Node, rank: int) -> tuple[str, Node | None, bool]:
    """Return a value that only an Add takes, that Add, and whether its channels are on the last axis."""
    value, last = node.outputs[0], node.op == "MatMul"
    after = _only(graph, users, value)
    if after and after.op == "Transpose" and after.attributes.get("perm") == [0, *range(2, rank), 1] and not last:
        value, last = after.outputs[0], True
        after = _only(graph, users, value)
    return value, after if after and after.op == "Add" else None, last


def _only(graph: Graph, users: dict[str, list[Node]], name: str) -> Node | None:
    """Return the node that takes a value, if no other and no output does."""
    found = users.get(name, [])
    return found[0] if len(found) == 1 and name not in graph.outputs else None


def _is_bias(value: NDArray[Any], channels: int, axes: int, rank: int) -> bool:
    """Whether an array adds a number to each channel, behind which there are so many ``axes``."""
    wanted = (channels, *[1] * axes)
    leading = value.ndim - len(wanted)
    fits = value.dtype.kind == "f" and 0 <= leading <= rank - len(wanted)
    return bool(fits and value.shape == (*[1] * leading, *wanted) and np.size(value))
