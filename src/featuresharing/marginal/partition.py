"""Cut a network at one layer: compute once what lies before it, repeat only what depends on it."""

from typing import Any

import torch
from torch import Tensor, fx, nn

from featuresharing.errors import InputError
from featuresharing.networks.forward import task_outputs


class Partition:
    """A network on fixed images, cut at one layer.

    ``inputs`` and ``outputs`` are the layer's, [N, ...]. Everything the layer cannot change is computed once and kept;
    :meth:`predict` runs the rest for another output of the layer.
    """

    def __init__(self, network: nn.Module, path: str, images: Tensor) -> None:
        graph_module = _trace(network)
        nodes = list(graph_module.graph.nodes)
        uses = [node for node in nodes if node.op == "call_module" and node.target == path]
        if len(uses) != 1:
            raise InputError(f"layer '{path}' is used {len(uses)} times in one pass; accepted are layers used once.")
        (self._layer,) = uses
        changed = {self._layer}
        for node in nodes:
            if node.op == "output" or any(source in changed for source in node.all_input_nodes):
                changed.add(node)
        self._rest = [node for node in nodes if node in changed and node is not self._layer]
        needed = {source for node in self._rest for source in node.all_input_nodes} - changed
        recorder = _Recorder(graph_module, self._layer, needed)
        with torch.inference_mode():
            recorder.run(images, enable_io_processing=False)
            self._constants = recorder.constants
            self.inputs, self.outputs = recorder.inputs, recorder.outputs
        self._runner = fx.Interpreter(graph_module, garbage_collect_values=False)

    def predict(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Return every task's softmax predictions [N, classes] if the layer's output were ``outputs`` [N, ...].

        Operators that work in place may overwrite ``outputs``.
        """
        self._runner.env = {node: _copy(value) for node, value in self._constants.items()}
        self._runner.env[self._layer] = outputs
        for node in self._rest:
            self._runner.env[node] = self._runner.run_node(node)
        result = self._runner.env[self._rest[-1]]
        self._runner.env = {}
        return tuple(torch.softmax(scores, dim=-1) for scores in task_outputs(result).values())


class _Recorder(fx.Interpreter):
    """Keeps copies of values as they are when they appear: an operator further on may overwrite them."""

    inputs: Tensor
    outputs: Tensor

    def __init__(self, graph_module: fx.GraphModule, layer: fx.Node, needed: set[fx.Node]) -> None:
        super().__init__(graph_module)
        self._layer, self._needed = layer, needed
        self.constants: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node and copy its value where it is needed."""
        if n is self._layer:
            self.inputs = _copy(self.env[n.all_input_nodes[0]])
        value = super().run_node(n)
        if n is self._layer:
            self.outputs = _copy(value)
        if n in self._needed:
            self.constants[n] = _copy(value)
        return value


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _trace(network: nn.Module) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(network)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{type(network).__name__} cannot be traced by torch.fx ({reason}); "
            "accepted are networks whose operations do not depend on the values of their inputs."
        ) from error
