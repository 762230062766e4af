"""Values of a trace that follow from the network's parameters alone, computed once.

A product may take a parameter as it is, transposed, normalised or expanded: it takes the same for all images.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from featuresharing.engine.running import run_operator


class Constants:
    """Values by node that follow from ``parameters`` by name; the parameters named ``changing`` are none of them."""

    def __init__(self, parameters: Mapping[str, Tensor], changing: frozenset[str] = frozenset()) -> None:
        self._parameters, self._changing = parameters, changing
        self._found: dict[fx.Node, Any] = {}

    def of(self, node: object) -> Tensor | None:
        """Return the value of a node; None if it depends on anything else, or is no tensor."""
        value = self._value(node) if isinstance(node, fx.Node) else None
        return value if isinstance(value, Tensor) else None

    @torch.no_grad()
    def _value(self, node: fx.Node) -> Any:
        if node not in self._found:
            sources = {source: self._value(source) for source in node.all_input_nodes}
            known = sources and all(value is not None for value in sources.values())
            own = None if node.target in self._changing else self._parameters.get(str(node.target))
            self._found[node] = own if node.op == "placeholder" else run_operator(node, sources) if known else None
        return self._found[node]

    def words(self, node: fx.Node) -> str:
        """Return what a value is computed from and how, which tells it from others in other traces of a network."""
        if node.op == "placeholder":
            return str(node.target)
        return f"{node.target}{fx.node.map_arg((node.args, node.kwargs), self.words)}"
