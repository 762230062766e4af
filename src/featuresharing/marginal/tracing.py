"""Record a network's forward pass as a graph of elementary tensor operators.

The network runs once, in evaluation mode, on the images; every operator that reaches torch's dispatcher becomes a node
of a :class:`torch.fx.Graph`. Python code of the network leaves no trace, so that loops, branches on shapes and
containers of any kind are fine. In-place operators are turned into plain ones (``torch.func.functionalize``), so that
every node is a value that never changes: this is what lets the interpreter keep values and reuse them.

Networks whose operators depend on the *values* of their inputs, or draw random numbers, are refused by name.
"""

import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functionalize
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from featuresharing.errors import InputError
from featuresharing.networks.failures import is_out_of_memory
from featuresharing.networks.forward import evaluating, run_network
from featuresharing.networks.outputs import raw_scores

PLAIN = "engine='plain' runs such networks, slowly"
"""What else a user can do."""


@dataclass(frozen=True)
class Trace:
    """A forward pass on ``rows`` images.

    ``graph`` has a placeholder for each of ``values`` (parameters, buffers and constants by name) and one named
    ``images``; every other node is an operator with the ``shape`` (and ``itemsize``) of its value in ``meta``, if the
    value is a tensor. It returns the scores of ``tasks`` in their order. ``used`` are the values that some operator
    takes, even if no output depends on it.
    """

    graph: fx.Graph
    values: dict[str, Tensor]
    tasks: tuple[str, ...]
    used: frozenset[str]
    rows: int


def trace(network: nn.Module, values: Mapping[str, Tensor], images: Tensor) -> Trace:
    """Record the pass of ``network`` with parameters and buffers ``values`` on ``images`` [N, ...].

    Raises InputError for a network that cannot be recorded or does not return scores [N, classes] a task.
    """
    names: list[str] = []

    def run(parameters: dict[str, Tensor], inputs: Tensor) -> tuple[Tensor, ...]:
        outputs = raw_scores(run_network(network, parameters, inputs), len(images))
        names[:] = outputs
        return tuple(outputs.values())

    with _quiet(network):
        recorder = _record(network, run, dict(values), images)
        if any(_mutates(node) for node in recorder.graph.nodes):  # composite operators of C++ that work in place
            recorder = _record(network, recorder.replay, recorder.values, images)
    _refuse_chance(network, recorder.graph)
    for node in reversed(recorder.graph.nodes):
        if _mutates(node) and not node.users:  # what was written into the images or a buffer, and is read no more
            recorder.graph.erase_node(node)
    used = frozenset(node.target for node in recorder.graph.nodes if node.op == "placeholder" and node.users)
    recorder.graph.eliminate_dead_code()
    return Trace(recorder.graph, recorder.values, tuple(names), used, len(images))


@contextmanager
def _quiet(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients, and without the fused attention that hides its parameters."""
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with evaluating(network), torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _record(
    network: nn.Module,
    run: Callable[[dict[str, Tensor], Tensor], tuple[Tensor, ...]],
    values: dict[str, Tensor],
    images: Tensor,
) -> "_Recorder":
    recorder = _Recorder(values, images)
    try:
        with recorder, _Canonical():
            outputs = functionalize(run, remove="mutations")(values, images)
    except InputError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(f"{type(network).__name__} cannot be traced ({reason}); {PLAIN}.") from error
    recorder.graph.output(tuple(recorder.node_of(output) for output in outputs))
    return recorder


_NOT_FUNCTIONAL: dict[Any, Any] = {
    **dict.fromkeys((nn.functional.selu, torch.selu_), nn.functional.selu),
    **dict.fromkeys((nn.functional.celu, torch.celu_), nn.functional.celu),
}
"""Functions that may work in place in a way that ``functionalize`` does not know, and what they do."""


class _Canonical(TorchFunctionMode):
    """Writes some functions in another way.

    Linear layers get rows [M, features] whatever axes come before: one kind of product instead of many.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function or what it stands for."""
        kwargs = kwargs or {}
        if func in _NOT_FUNCTIONAL:
            given = inspect.signature(_NOT_FUNCTIONAL[func]).bind(*args, **kwargs).arguments
            in_place = given.pop("inplace", func is not _NOT_FUNCTIONAL[func])
            value = given["input"]
            result = _NOT_FUNCTIONAL[func](**given)
            return value.copy_(result) if in_place else result
        if func is not nn.functional.linear:
            return func(*args, **kwargs)
        given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
        inputs: Tensor = given["input"]
        rows = func(inputs.reshape(-1, inputs.shape[-1]), given["weight"], given.get("bias"))
        return rows.reshape(*inputs.shape[:-1], rows.shape[-1])


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes every operator into ``graph``; tensors from elsewhere become constants in ``values``."""

    def __init__(self, values: dict[str, Tensor], images: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.values: dict[str, Tensor] = {}
        self._nodes = WeakTensorKeyDictionary()
        for name, value in values.items():
            self._add_constant(name, value)
        self._images = self.graph.placeholder("images")
        self._label(self._images, images)
        self._nodes[images] = self._images

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare a second of start-up: torch imports its compiler for modes that are to be hidden from it."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and add its node."""
        kwargs = kwargs or {}
        if torch.Tag.data_dependent_output in func.tags:
            raise TypeError(f"{func} makes it depend on the values of its inputs")
        if func is torch.ops.aten.as_strided.default and not args[0].is_contiguous():
            raise TypeError(f"{func} depends on how values lie in memory")
        nodes = tree_map(self.node_of, args), tree_map(self.node_of, kwargs)
        result = func(*args, **kwargs)
        if func is torch.ops.aten.detach.default:  # the same tensor under another name
            self._nodes[result] = nodes[0][0]
            return result
        node = self.graph.call_function(func, *nodes)
        if isinstance(result, Tensor):
            self._label(node, result)
            self._nodes[result] = node
        elif isinstance(result, tuple | list):
            for position, item in enumerate(result):
                if isinstance(item, Tensor):
                    part = self.graph.call_function(operator.getitem, (node, position))
                    self._label(part, item)
                    self._nodes[item] = part
        return result

    def node_of(self, value: Any) -> Any:
        """Return the node of a tensor, which is made for one never seen; other values are their own nodes."""
        if not isinstance(value, Tensor):
            return value
        if value not in self._nodes:
            with self.graph.inserting_before(self._images):
                self._add_constant(f"constant_{len(self.values)}", value)
        return self._nodes[value]

    def replay(self, values: dict[str, Tensor], images: Tensor) -> tuple[Tensor, ...]:
        """Run what was recorded once more."""
        inputs = {**values, "images": images}
        results: dict[fx.Node, Any] = {}
        for node in self.graph.nodes:
            if node.op == "placeholder":
                results[node] = inputs[node.target]
                continue
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), results.__getitem__)
            if node.op == "output":
                break
            results[node] = node.target(*args, **kwargs)
        outputs: tuple[Tensor, ...] = args[0]
        return outputs

    def _add_constant(self, name: str, value: Tensor) -> None:
        node = self.graph.create_node("placeholder", name, name="value")
        self._label(node, value)
        self._nodes[value] = node
        self.values[name] = value

    def _label(self, node: fx.Node, value: Tensor) -> None:
        node.meta.update(shape=tuple(value.shape), itemsize=value.element_size())


def _mutates(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _refuse_chance(network: nn.Module, graph: fx.Graph) -> None:
    for node in graph.nodes:
        if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
            continue
        given = bind_arguments(node)
        switched_off = given.get("dropout_p") == 0 or given.get("training") is False or given.get("train") is False
        if not switched_off:
            name = type(network).__name__
            raise InputError(f"{name} draws random numbers at evaluation ({node.target}); accepted are none.")


def filters_of(recorded: Trace) -> list[str]:
    """Return the names of the values that nothing but convolutions take, as their filters."""
    convolution = torch.ops.aten.convolution.default
    return [
        str(node.target)
        for node in recorded.graph.nodes
        if node.op == "placeholder"
        and node.users
        and all(user.target is convolution and user.args[1] is node for user in node.users)
    ]


def bind_arguments(node: fx.Node) -> dict[str, Any]:
    """Return the operator's arguments by name, defaults included."""
    schema: Any = node.target
    arguments = schema._schema.arguments
    names = [argument.name for argument in arguments]
    defaults = {argument.name: argument.default_value for argument in arguments if argument.has_default_value()}
    return {**defaults, **dict(zip(names, node.args, strict=False)), **node.kwargs}
