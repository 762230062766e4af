"""Convolutions and linear layers of a graph as modules of torch, at paths that are made of the file's names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from featuresharing.networks.formats.onnx_model.onnx_graph import Graph, Node
from featuresharing.networks.formats.onnx_model.onnx_windows import (
    Pads,
    automatic,
    groups_of,
    said_pads,
    steps_of,
)
from featuresharing.networks.module_paths import TAKEN, DifferentNames, valid_path

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
OWN = TAKEN | {
    *("constants", "recipe", "steps", "outputs", "names", "image", "freed", "channels_last"),
    *("run", "like", "entering", "note_recipe"),
}
"""Names that the module of a graph has for itself."""

TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


@dataclass(frozen=True, eq=False)
class LayerOfGraph:
    """A ``module`` at a ``path``, which takes what is ``padded`` around the first input of ``node`` (None: nothing)."""

    path: str
    module: nn.Module
    node: Node
    padded: Pads | None


def find_layers(graph: Graph) -> Iterator[LayerOfGraph]:
    """Yield the layers of a graph: Conv, ConvTranspose, Gemm and MatMul with weights of the file."""
    finder = _Finder(graph)
    for node in graph.nodes:
        weight = graph.constants.get(node.inputs[1]) if len(node.inputs) > 1 else None
        if weight is None or weight.dtype.kind != "f" or node.inputs[0] in graph.constants:
            continue
        if node.op in ("Conv", "ConvTranspose") and weight.ndim in (3, 4, 5):
            found = finder.convolution(node, weight)
        elif node.op in ("Gemm", "MatMul") and weight.ndim == 2:
            found = finder.linear(node, weight)
        else:
            found = None
        if found is not None:
            yield found


class _Finder:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._paths = DifferentNames()
        self._parameters: dict[tuple[str, str], nn.Parameter] = {}

    def convolution(self, node: Node, weight: NDArray[Any]) -> LayerOfGraph | None:
        """Return a convolution; None for one that a module cannot stand for."""
        count, transposed = weight.ndim - 2, node.op == "ConvTranspose"
        groups = groups_of(node)
        outputs, inputs = weight.shape[0], weight.shape[1] * groups
        if transposed:
            inputs, outputs = weight.shape[0], weight.shape[1] * groups
        bias = self._bias(node, 2, outputs)
        plain = node.integers("output_shape") is None and automatic(node) in ("NOTSET", "VALID")
        if bias is False or (transposed and not plain):
            return None
        if weight.size == 0 or inputs % groups or outputs % groups:
            raise node.refuse(
                f"weights {list(weight.shape)} in {groups} groups; accepted are channels that groups divide"
            )
        kernel = node.integers("kernel_shape", 1, count)
        if kernel is not None and tuple(kernel) != weight.shape[2:]:
            raise node.refuse(f"kernel_shape {kernel} and weights {list(weight.shape)}; accepted are those that agree")
        settings: dict[str, Any] = {"stride": steps_of(node, "strides", count), "groups": groups}
        settings |= {"dilation": steps_of(node, "dilations", count), "bias": bias is not None}
        pads: Pads | None = None
        own = said_pads(node, count) if automatic(node) != "VALID" else [(0, 0)] * count
        if automatic(node).startswith("SAME") or any(before != behind for before, behind in own):
            pads = own
        else:
            settings["padding"] = tuple(before for before, _ in own)
        if transposed:
            if pads is not None:
                return None
            settings["output_padding"] = tuple(node.integers("output_padding", 0, count) or [0] * count)
        settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
        kind = (TRANSPOSED if transposed else CONVOLUTIONS)[count]
        module = kind(inputs, outputs, weight.shape[2:], device="meta", **settings)
        module.weight = self._parameter(node.inputs[1], "")
        module.bias = None if bias is None else self._parameter(str(bias), "")
        return LayerOfGraph(self._path(node, node.inputs[1], bias or None), module, node, pads)

    def linear(self, node: Node, weight: NDArray[Any]) -> LayerOfGraph | None:
        """Return a linear layer; None for a product that is none."""
        if node.op == "Gemm" and node.flag("transA", False):
            return None
        rows = node.op == "Gemm" and node.flag("transB", False)
        outputs, inputs = weight.shape if rows else weight.shape[::-1]
        if 0 in weight.shape:
            raise node.refuse(f"weights {list(weight.shape)}; accepted are weights that are not empty")
        alpha = beta = 1.0
        if node.op == "Gemm":
            alpha, beta = node.number("alpha", 1), node.number("beta", 1)
        bias = self._bias(node, 2, outputs)
        if bias is False:
            return None
        module = nn.Linear(inputs, outputs, bias is not None, device="meta")
        module.weight = self._parameter(node.inputs[1], "rows" if rows else "columns", alpha)
        if bias:
            module.bias = self._parameter(str(bias), "flat", beta)
        return LayerOfGraph(self._path(node, node.inputs[1], bias or None), module, node, None)

    def _bias(self, node: Node, position: int, outputs: int) -> str | bool | None:
        """Return the name of a bias, None where there is none, False for one that is computed or of another size."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        if not name:
            return None
        value = self._graph.constants.get(name)
        fits = value is not None and value.size == outputs and value.ndim <= 2 and value.shape[-1:] == (outputs,)
        return name if fits else False

    def _parameter(self, name: str, form: str, factor: float = 1.0) -> nn.Parameter:
        """Return a weight of the file as a parameter; one that stands in two places is the same in both."""
        key = (name, f"{form} {factor}")
        if key not in self._parameters:
            value = self._graph.constants[name]
            value = value.T if form == "columns" else value.reshape(-1) if form == "flat" else value
            value = value if factor == 1 else value * value.dtype.type(factor)
            kept = np.array(value, dtype=np.float64 if self._graph.double else np.float32, order="C")
            self._parameters[key] = nn.Parameter(torch.from_numpy(kept))
        return self._parameters[key]

    def _path(self, node: Node, weight: str, bias: str | bool | None) -> str:
        for name, ending in ((weight, ".weight"), (str(bias or ""), ".bias"), (str(bias or ""), "_bias")):
            own = self._graph.origins.get(name, name)
            if own.endswith(ending) and len(own) > len(ending):
                return self._paths.different(valid_path(own.removesuffix(ending), OWN))
        if node.name or node.outputs[0]:
            return self._paths.different(path_of_scopes(node.name or node.outputs[0], node.op))
        return self._paths.different(f"{node.op.lower()}_0")


def path_of_scopes(name: str, op: str) -> str:
    """Return the module path of a node, such as layer1.0.conv1 of /layer1/layer1.0/conv1/Conv.

    Scopes are joined by dots; the operator's own name at the end is left out, and so is what a scope repeats of the one
    before it.
    """
    scopes: list[str] = []
    for scope in filter(None, name.split("/")):
        if scopes and scope.startswith(f"{scopes[-1]}."):
            scopes[-1] = scope
        else:
            scopes.append(scope)
    if len(scopes) > 1 and re.fullmatch(rf"{re.escape(op)}(_\d+)?", scopes[-1]):
        scopes.pop()
    return valid_path(".".join(scopes) or op.lower(), OWN)
