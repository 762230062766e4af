"""Cut a network at one layer: compute once what lies before it, repeat only what depends on it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from featuresharing.errors import InputError


class Partition:
    """A network on fixed images, cut at one layer.

    ``inputs`` and ``outputs`` are the layer's, [N, ...]. Everything the layer cannot change is computed once and kept;
    :meth:`predict` runs the rest for another output of the layer.
    """

    def __init__(self, network: nn.Module, path: str, images: Tensor) -> None:
        graph_module = _trace(network)
        self._runner = fx.Interpreter(graph_module, garbage_collect_values=False)
        nodes = list(graph_module.graph.nodes)
        uses = [node for node in nodes if node.op == "call_module" and node.target == path]
        if len(uses) != 1:
            raise InputError(f"layer '{path}' is used {len(uses)} times in one pass; accepted are layers used once.")
        (self._layer,) = uses
        changed: dict[fx.Node, None] = {self._layer: None}
        for node in nodes:
            if any(source in changed for source in node.all_input_nodes):
                changed[node] = None
        with torch.inference_mode():
            self._runner.run(images, enable_io_processing=False)
        values = self._runner.env
        self.inputs: Tensor = values[self._layer.all_input_nodes[0]]
        self.outputs: Tensor = values[self._layer]
        needed = {source for node in changed for source in node.all_input_nodes} - changed.keys()
        self._constants = {node: values[node] for node in needed}
        self._rest = [node for node in changed if node is not self._layer]

    def predict(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Return every task's softmax predictions [N, classes] if the layer's output were ``outputs`` [N, ...]."""
        self._runner.env = {**self._constants, self._layer: outputs}
        for node in self._rest:
            self._runner.env[node] = self._runner.run_node(node)
        result = self._runner.env[self._rest[-1]]
        self._runner.env = {}
        return tuple(torch.softmax(scores, dim=-1) for scores in task_outputs(result).values())


def task_outputs(result: Any) -> dict[str, Tensor]:
    """Name a network's outputs: a dict keeps its keys, a list or tuple counts from "0", a tensor is task "0"."""
    if isinstance(result, Tensor):
        return {"0": result}
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    return {str(index): value for index, value in enumerate(result)}


def _trace(network: nn.Module) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(network)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{type(network).__name__} cannot be traced by torch.fx ({reason}).") from error
