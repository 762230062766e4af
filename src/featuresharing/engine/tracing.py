"""Turn a network's forward pass into a graph of elementary tensor operators.

The network runs once, in evaluation mode, on the images, and every operator that reaches torch's dispatcher is written
down (:mod:`.recording`). Python code of the network leaves no trace, so that loops, branches on shapes and containers
of any kind are fine. Operators that work in place are then turned into plain ones (``torch.func.functionalize``), so
that every node is a value that never changes: this is what lets the interpreter keep values and reuse them.

Networks whose Python looks at numbers that depend on the images, or that draw random numbers, are refused by name.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functionalize

from featuresharing.engine.recording import (
    Look,
    NumbersLeaveError,
    Recorder,
    Watcher,
    name_of,
    nodes_behind,
    run_graph,
)
from featuresharing.errors import InputError
from featuresharing.networks.failures import is_out_of_memory, place_of, reason_of
from featuresharing.networks.forward import evaluating, run_network
from featuresharing.networks.inputs import Inputs, is_input
from featuresharing.networks.outputs import raw_scores


class UntraceableError(InputError):
    """A network or a layer of it cannot be traced, though it runs."""


class NumbersSeenError(UntraceableError):
    """Python code of a network sees numbers that depend on the images."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A forward pass as it was: operators in ``graph``, some of them in place, and the ``scores`` that it gave.

    ``values`` are parameters, buffers and constants by name, ``tasks`` the names of the scores, ``looks`` what Python
    saw of parameters, buffers and constants, and ``places`` which operators took values that were asked for.
    """

    graph: fx.Graph
    values: dict[str, Tensor]
    tasks: tuple[str, ...]
    scores: tuple[Tensor, ...]
    looks: tuple[Look, ...]
    places: tuple[str, ...]

    def steps(self) -> list[str]:
        """Return every operator with its arguments and the size of its result, in words that can be compared."""
        nodes = self.graph.nodes
        words = (f"{node} {node.target} {node.args} {node.kwargs} {node.meta.get('shape')}" for node in nodes)
        return [re.sub("0x[0-9a-f]+", "", each) for each in words]  # where objects lie in memory


@dataclass(frozen=True)
class Trace:
    """A forward pass on ``rows`` images.

    ``graph`` has a placeholder for each of ``values`` (parameters, buffers and constants by name) and one for each of
    :attr:`.Inputs.tensors`; every other node is an operator with the ``shape`` (and ``itemsize``) of its value in
    ``meta``, if the value is a tensor. It returns the scores of ``tasks`` in their order. ``used`` are the values that
    some operator takes, even if no output depends on it; ``looks`` what Python saw of the values.
    """

    graph: fx.Graph
    values: dict[str, Tensor]
    tasks: tuple[str, ...]
    used: frozenset[str]
    looks: tuple[Look, ...]
    rows: int


def record(
    network: nn.Module, values: Mapping[str, Tensor], inputs: Inputs, *, locate: Collection[str] = ()
) -> Recording:
    """Write down the pass of ``network`` with parameters and buffers ``values`` on ``inputs``.

    Of values by the names ``locate``, it is noted which operator takes them where.

    Raises InputError for a network that cannot be recorded or does not return scores [N, classes] a task.
    """
    kind = type(network).__name__
    failed: BaseException | None = None
    outputs: dict[str, Tensor] = {}
    scores: tuple[Tensor, ...] = ()
    with _quiet(network, values):
        recorder = Recorder(network, dict(values), inputs, locate)
        try:
            with recorder, Watcher(recorder):
                outputs = raw_scores(run_network(network, values, inputs), len(inputs))
            scores = tuple(output.clone() for output in outputs.values())  # the network may keep them, and write
        except InputError:
            raise
        except (Exception, NumbersLeaveError) as error:
            if is_out_of_memory(error):
                raise
            failed = error
    if refused := recorder.refused:
        raise NumbersSeenError(
            f"{kind} cannot be traced: its Python code sees numbers that depend on the images ({refused})."
        ) from refused
    if failed is not None:
        raise UntraceableError(
            f"{kind} cannot be traced on images of {list(inputs.images.shape[1:])} "
            f"({place_of(failed, network)}: {reason_of(failed)})."
        ) from failed
    recorder.graph.output(tuple(recorder.node_of(output) for output in outputs.values()))
    return Recording(
        recorder.graph, recorder.values, tuple(outputs), scores, tuple(recorder.looks), tuple(recorder.places)
    )


def make_trace(network: nn.Module, recording: Recording, inputs: Inputs) -> Trace:
    """Return the trace of a ``network`` that was recorded on ``inputs``.

    Raises UntraceableError for random numbers, which are not those of the pass when an operator runs again.
    """
    graph, values = fx.Graph(), recording.values
    if any(_mutates(node) for node in recording.graph.nodes):
        graph, values = _without_mutations(network, recording, inputs)
    else:
        graph.output(graph.graph_copy(recording.graph, {}))
    _refuse_chance(network, graph)
    for node in reversed(graph.nodes):
        if _mutates(node) and not node.users:  # what was written into the images or a buffer, and is read no more
            graph.erase_node(node)
    used = frozenset(node.target for node in graph.nodes if node.op == "placeholder" and node.users)
    graph.eliminate_dead_code()
    return Trace(graph, values, recording.tasks, used, recording.looks, len(inputs))


def _without_mutations(network: nn.Module, recording: Recording, inputs: Inputs) -> tuple[fx.Graph, dict[str, Tensor]]:
    """Run a recording again such that every operator gives a new value."""

    def run(values: dict[str, Tensor], images: Tensor, by_image: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return run_graph(recording.graph, values, Inputs(images, by_image))

    failed = None
    with _quiet(network, recording.values):
        recorder = Recorder(network, recording.values, inputs)
        try:
            with recorder:
                outputs = functionalize(run, remove="mutations")(recording.values, inputs.images, dict(inputs.by_image))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            failed = error
    if failed is not None:
        reason = reason_of(failed).partition(". ")[0]
        raise UntraceableError(f"{type(network).__name__} cannot be traced ({reason}).") from failed
    recorder.graph.output(tuple(recorder.node_of(output) for output in outputs))
    return recorder.graph, recorder.values


@contextmanager
def _quiet(network: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Evaluation mode without gradients, and without the fused attention that hides its parameters."""
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with evaluating(network, values.values()), torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _mutates(node: fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _refuse_chance(network: nn.Module, graph: fx.Graph) -> None:
    for node in nodes_behind(graph):
        if torch.Tag.nondeterministic_seeded not in getattr(node.target, "tags", ()):
            continue
        given = bind_arguments(node)
        switched_off = given.get("dropout_p") == 0 or given.get("training") is False or given.get("train") is False
        if not switched_off:
            name = type(network).__name__
            raise UntraceableError(f"{name} cannot be traced: it draws random numbers ('{name_of(node.target)}').")


def sees_inputs(trace: Trace) -> bool:
    """Whether Python saw numbers of inputs beside the images: then the trace holds for these inputs alone."""
    return any(is_input(name) for look in trace.looks for name in look.names)


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
