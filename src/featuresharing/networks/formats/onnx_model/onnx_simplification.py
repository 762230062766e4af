"""Graphs of ONNX made smaller: what outputs do not depend on goes, and what is known before images come is computed."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.networks.formats.onnx_model.onnx_biases import join_biases, without_casts
from featuresharing.networks.formats.onnx_model.onnx_graph import Graph, Node
from featuresharing.networks.formats.onnx_model.onnx_sizes import HOST, OF_SIZES

SOFTMAX = ("Softmax", "LogSoftmax")
PASSED_ON = ("Identity", "Dropout")
"""Operators that give what they take, at evaluation."""

CHOOSING = ("ArgMax", "ArgMin", "TopK", "NonMaxSuppression", "Hardmax", "Unique", "NonZero")
QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul")
BRANCHING = ("If", "Loop", "Scan")

MOST_FOLDED = 2**26
"""Numbers that arrays which are computed before images come may have together, beside two for each of the file."""


def simplify(graph: Graph, known: Collection[str]) -> Graph:
    """Return a graph that gives the same; raises InputError for the first operator that is not ``known``."""
    graph = _needed(graph)
    for node in graph.nodes:
        if node.op not in known and node.op not in ("Constant", *PASSED_ON):
            raise _not_known(node)
    graph = join_biases(without_casts(_needed(_folded(_without_passing(graph)))))
    _check_outputs(graph)
    version = {"opset": graph.opset}
    return replace(graph, nodes=tuple(node.with_(attributes={**node.attributes, **version}) for node in graph.nodes))


def without_softmax(graph: Graph, names: Sequence[str]) -> tuple[Graph, tuple[str, ...]]:
    """Return the graph without a softmax over classes at its ends, called ``names``; and a sentence for each."""
    taken = Counter(name for node in graph.nodes for name in node.inputs)
    makers = {name: node for node in graph.nodes for name in node.outputs}
    outputs, notes = [], []
    for output, name in zip(graph.outputs, names, strict=True):
        node = makers.get(output)
        at = node.attributes.get("axis", -1 if graph.opset >= 13 else 1) if node else None
        if node is None or node.op not in SOFTMAX or at not in (1, -1) or taken[output]:
            outputs.append(output)
            continue
        outputs.append(node.inputs[0])
        notes.append(f"{node.place} at the end of output '{name}' was left out: analysis takes raw scores.")
    if len(set(outputs)) < len(outputs):  # two outputs of the same scores
        return graph, ()
    return _needed(replace(graph, outputs=tuple(outputs))), tuple(notes)


def _not_known(node: Node) -> InputError:
    if node.op in QUANTIZED or "Integer" in node.op or node.op.startswith("com.microsoft.QLinear"):
        return node.refuse("the network is quantized; accepted are networks of floating point numbers, as before that")
    if node.op in CHOOSING:
        return node.refuse("it chooses among classes; accepted are networks that end with raw scores [images, classes]")
    if node.op in BRANCHING:
        return node.refuse("what runs depends on numbers; accepted are networks that do the same for every image")
    return node.refuse("it is not known; accepted are the operators that docs/formats.md lists")


def _check_outputs(graph: Graph) -> None:
    """Raise InputError where somebody takes a second output that is not computed, such as places of a pooling."""
    taken = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    for node in graph.nodes:
        if node.op != "Split" and (extra := next((name for name in node.outputs[1:] if name and name in taken), None)):
            raise node.refuse(f"its output '{extra}' is taken; accepted are networks that take its first output alone")


def _needed(graph: Graph) -> Graph:
    """Return the graph without nodes that no output depends on, and without constants that nobody takes."""
    wanted, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(name for name in node.inputs if name)
    constants = {name: value for name, value in graph.constants.items() if name in wanted}
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)


def _without_passing(graph: Graph) -> Graph:
    """Return the graph without nodes that give what they take."""
    names: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(names.get(name, name) for name in node.inputs)
        if node.op in PASSED_ON and inputs:
            names[node.outputs[0]] = inputs[0]
            if extra := next((name for name in node.outputs[1:] if name), None):
                names[extra] = f"{extra} (a mask)"
        else:
            nodes.append(node.with_(inputs=inputs))
        if masked := next((name for name in node.inputs if names.get(name, "").endswith(" (a mask)")), None):
            raise node.refuse(f"it takes the mask '{masked}' of a dropout; accepted are networks at evaluation")
    return replace(graph, nodes=tuple(nodes), outputs=tuple(names.get(name, name) for name in graph.outputs))


def _folded(graph: Graph) -> Graph:
    """Return the graph with arrays in the place of what does not depend on images, nor on their sizes."""
    constants, nodes = dict(graph.constants), []
    left = most = MOST_FOLDED + 2 * sum(value.size for value in constants.values())
    origins: dict[str, str] = {}
    for node in graph.nodes:
        inputs = [constants.get(name) for name in node.inputs]
        complete = all(value is not None or not name for value, name in zip(inputs, node.inputs, strict=True))
        if node.op == "Constant":
            constants[node.outputs[0]] = _constant(node)
        elif complete and node.op in HOST:
            results = run_on_host(node, inputs)
            left -= sum(value.size for value in results)
            if left < 0:
                raise node.refuse(f"with it, more than {most} numbers follow from constants; accepted are fewer")
            constants.update(zip(node.outputs, results, strict=False))
            if node.op == "Transpose":
                origins[node.outputs[0]] = origins.get(node.inputs[0], node.inputs[0])
        else:
            nodes.append(node)
    if there := next((name for name in graph.outputs if name in constants), None):
        raise InputError(f"output '{there}' does not depend on images; accepted are raw scores [images, classes].")
    return replace(graph, nodes=tuple(nodes), constants=constants, origins=origins)


def run_on_host(node: Node, inputs: Sequence[Any]) -> list[NDArray[Any]]:
    """Return what an operator on sizes and constants gives; raises InputError where it does not take them."""
    with np.errstate(all="ignore"):
        try:
            if any(value is None for value in inputs[:1]) or (node.op in OF_SIZES and len(inputs) != 1):
                raise ValueError("an input is missing")
            result = HOST[node.op](node, inputs)
        except InputError:
            raise
        except (ValueError, TypeError, IndexError, AttributeError, OverflowError, ArithmeticError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise node.refuse(f"it does not take its inputs ({reason}); accepted are those that it takes") from None
    return [np.asarray(each) for each in (result if isinstance(result, tuple) else (result,))]


def _constant(node: Node) -> NDArray[Any]:
    kinds = {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}
    for name, kind in kinds.items():
        if isinstance(node.attributes.get(name), int | float | list):
            return np.array(node.attributes[name], dtype=kind)
    value = node.attributes.get("value")
    if not isinstance(value, np.ndarray) or not node.outputs:
        raise node.refuse("it holds no array of numbers; accepted are arrays of numbers")
    return value
