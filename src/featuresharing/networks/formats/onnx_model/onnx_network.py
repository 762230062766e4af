"""A graph of ONNX as a module of torch: layers are modules, everything else is functions in the order of the file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.networks.failures import is_out_of_memory, reason_of
from featuresharing.networks.formats.onnx_model.onnx_elementwise import ELEMENTWISE, as_tensor
from featuresharing.networks.formats.onnx_model.onnx_graph import Graph, Node
from featuresharing.networks.formats.onnx_model.onnx_layers import LayerOfGraph
from featuresharing.networks.formats.onnx_model.onnx_products import PRODUCTS
from featuresharing.networks.formats.onnx_model.onnx_shaping import SHAPING
from featuresharing.networks.formats.onnx_model.onnx_simplification import run_on_host
from featuresharing.networks.formats.onnx_model.onnx_sizes import HOST, OF_SIZES
from featuresharing.networks.formats.onnx_model.onnx_windows import WINDOWS, extent, padded, pads_for, steps_of, work_of
from featuresharing.networks.module_paths import place_module, valid_path
from featuresharing.networks.trial import Allowance

OPERATORS = ELEMENTWISE | SHAPING | WINDOWS | PRODUCTS
KNOWN = frozenset(OPERATORS) | frozenset(HOST)

REDUCTIONS = frozenset(name for name in OPERATORS if name.startswith("Reduce"))
SIZES = {"Slice": (1, 2, 3, 4), "Pad": (1, 2, 3), "Resize": (1, 2, 3), "Clip": (1, 2)} | dict.fromkeys(
    ("Reshape", "Expand", "Tile", "Squeeze", "Unsqueeze", "Split", "Upsample", "Gather", *REDUCTIONS), (1,)
)
"""Inputs of operators that say sizes, axes and places: plain numbers, which are never tensors."""


class Stored(NamedTuple):
    """A tensor of the network, by its name among its constants."""

    name: str


@dataclass(frozen=True, eq=False)
class Step:
    """What runs: a ``node``, or the ``layer`` that stands for it, on values by name, stored tensors and plain arrays.

    ``on_host`` says that it takes sizes and constants alone. ``done`` are the values that no later step takes.
    """

    node: Node
    sources: tuple[str | Stored | NDArray[Any] | None, ...]
    outputs: tuple[str, ...]
    on_host: bool
    layer: LayerOfGraph | None
    done: tuple[str, ...]


class OnnxNetwork(nn.Module):
    """Computes what a graph computes, for any number of images [N, C, ...].

    Its file may take images [N, H, W, C], which ``channels_last`` says. ``recipe`` says in words what runs.
    """

    def __init__(self, graph: Graph, layers: Sequence[LayerOfGraph], names: Sequence[str], channels_last: bool) -> None:
        super().__init__()
        self.image, self.outputs, self.names = graph.image, graph.outputs, tuple(names)
        self.channels_last = channels_last
        self.constants = nn.Module()
        self.freed: dict[int, tuple[tuple[int, ...], int]] = {}
        for layer in layers:
            place_module(self, layer.path, layer.module)
        self.steps = tuple(_Planner(self, graph, layers).steps())
        self.recipe: tuple[str, ...] = ()
        self.note_recipe()

    def note_recipe(self) -> None:
        """Write down what runs, by which a network in memory is known."""
        self.recipe = tuple(
            f"{step.node.op} {step.outputs} {_words(step.sources)} {_words(sorted(step.node.attributes.items()))} "
            f"{step.layer.path if step.layer else ''} {self.freed.get(place)}"
            for place, step in enumerate(self.steps)
        )

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the scores of images [N, C, ...], by task where there are two or more."""
        values = {self.image: self.entering(images)}
        like = self.like(images)
        left = Allowance(images)
        for place, step in enumerate(self.steps):
            values.update(zip(step.outputs, self.run(place, step, values, like), strict=False))
            spend(step, values, left)
            for name in step.done:
                values.pop(name, None)
        if len(self.outputs) == 1:
            return values[self.outputs[0]]
        return {name: values[output] for name, output in zip(self.names, self.outputs, strict=True)}

    def entering(self, images: Tensor) -> Tensor:
        """Return images as the graph takes them."""
        return images.permute(0, 2, 3, 1) if self.channels_last else images

    def like(self, images: Tensor) -> Tensor:
        """Return a tensor in whose precision the network computes."""
        return images if images.is_floating_point() else next(self.parameters(), torch.zeros(1, device=images.device))

    def run(self, place: int, step: Step, values: Mapping[str, Any], like: Tensor) -> Sequence[Any]:
        """Return what a step gives; raises InputError that names its node."""
        inputs = [self._take(source, values) for source in step.sources]
        if step.on_host:
            return run_on_host(step.node, inputs)
        try:
            if step.layer is not None:
                return [self._run_layer(step.layer, inputs[0])]
            if not any(isinstance(value, Tensor) for value in inputs):
                sizes = SIZES.get(step.node.op, ())
                inputs = [v if v is None or i in sizes else as_tensor(v, like) for i, v in enumerate(inputs)]
            if place in self.freed:
                sizes, axis = self.freed[place]
                return [inputs[0].reshape(*sizes[:axis], sizes[axis] * len(values[self.image]), *sizes[axis + 1 :])]
            if step.node.op == "Cast":
                inputs.append(like)
            result = OPERATORS[step.node.op](step.node, inputs)
        except InputError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError) as error:
            if is_out_of_memory(error):
                raise
            reason = f"it does not take its inputs ({reason_of(error)}); accepted are those that it takes"
            raise step.node.refuse(reason) from error
        return result if isinstance(result, tuple) else [result]

    def _take(self, source: str | Stored | NDArray[Any] | None, values: Mapping[str, Any]) -> Any:
        if isinstance(source, Stored):
            return getattr(self.constants, source.name)
        return values[source] if isinstance(source, str) else source

    def _run_layer(self, layer: LayerOfGraph, value: Tensor) -> Tensor:
        module: Any = self.get_submodule(layer.path)
        if layer.padded is not None:
            count = value.ndim - 2
            stride, dilation = steps_of(layer.node, "strides", count), steps_of(layer.node, "dilations", count)
            reach = extent(module.weight.shape[2:], dilation)
            value = padded(value, pads_for(layer.node, value.shape[2:], reach, stride))
        result: Tensor = module(value)
        return result


class _Planner:
    """Makes the steps of a network."""

    def __init__(self, network: OnnxNetwork, graph: Graph, layers: Sequence[LayerOfGraph]) -> None:
        self._network, self._graph = network, graph
        self._layers = {id(layer.node): layer for layer in layers}
        self._stored: dict[str, Stored] = {}
        self._host: set[str] = set()

    def steps(self) -> Iterator[Step]:
        """Yield the steps in their order."""
        nodes = self._graph.nodes
        last: dict[str, int] = {}
        for place, node in enumerate(nodes):
            last.update(dict.fromkeys((*node.inputs, *node.outputs), place))
        kept = {"", *self._graph.outputs, *self._graph.constants, self._graph.image}
        done: dict[int, list[str]] = {}
        for name, place in last.items():
            if name not in kept:
                done.setdefault(place, []).append(name)
        for place, node in enumerate(nodes):
            layer = self._layers.get(id(node))
            on_host = layer is None and self._is_on_host(node)
            if on_host:
                self._host.update(node.outputs)
            sources = (node.inputs[0],) if layer else tuple(self._sources(node, on_host))
            yield Step(node, sources, node.outputs, on_host, layer, tuple(done.get(place, ())))

    def _is_on_host(self, node: Node) -> bool:
        there = all(not name or name in self._host or name in self._graph.constants for name in node.inputs)
        return node.op in OF_SIZES or (there and node.op in HOST)

    def _sources(self, node: Node, on_host: bool) -> Iterator[str | Stored | NDArray[Any] | None]:
        for position, name in enumerate(node.inputs):
            value = self._graph.constants.get(name)
            if not name or value is None:
                yield name or None
            elif on_host or position in SIZES.get(node.op, ()) or value.ndim == 0 or value.dtype.kind != "f":
                yield value
            else:
                yield self._store(name, value)

    def _store(self, name: str, value: NDArray[Any]) -> Stored:
        if name not in self._stored:
            own = valid_path(name).replace(".", "_")
            while own in self._network.constants._parameters:
                own = f"{own}_{len(self._stored)}"
            kept = np.array(value, dtype=np.float64 if self._graph.double else np.float32, order="C")
            self._network.constants.register_parameter(own, nn.Parameter(torch.from_numpy(kept), False))
            self._stored[name] = Stored(own)
        return self._stored[name]


def spend(step: Step, values: Mapping[str, Any], left: Allowance) -> None:
    """Count what a step gave; raises TooLargeError where nothing is left."""
    found = [values[name] for name in step.outputs if name in values]
    weight: Any = step.layer.module.weight if step.layer else None
    work = work_of(step.node) if weight is None else prod(weight.shape[1:])
    if step.node.op in ("MatMul", "Gemm", "Einsum") and weight is None:
        work = max((value.shape[-1] for value in values.values() if value.ndim), default=1)
    left.spend(step.node.place, sum(prod(value.shape) for value in found), work)


def _words(value: Any) -> str:
    """Return plain data in words that are the same whenever it is; arrays by all their numbers."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}{value.tobytes().hex()}"
    if isinstance(value, tuple | list) and not isinstance(value, Stored):
        return f"[{', '.join(_words(each) for each in value)}]"
    return repr(value)
