"""What has to be computed for another output of a layer's units, found once from a trace.

Every value of the trace is one of three kinds: *base*, which the layer cannot change; a *slab*, which changes in one
range only (:mod:`.slabs`); or *dense*, which may change everywhere.
"""

import operator
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import fx

from featuresharing.engine.corrections import find_correction
from featuresharing.engine.recording import SHAPE_ONLY, name_of
from featuresharing.engine.rules import find_rule
from featuresharing.engine.slabs import Compute, Slab, aten, shape_of
from featuresharing.engine.tracing import NumbersSeenError, Trace, UntraceableError, bind_arguments
from featuresharing.errors import InputError


@dataclass(frozen=True)
class LayerUse:
    """Where a layer acts: ``node`` is its convolution or matrix product, whose axis 1 holds the ``units``."""

    node: fx.Node
    units: int

    @property
    def is_convolution(self) -> bool:
        """Whether the layer is a convolution; otherwise it is a matrix product of rows with all units' weights."""
        return bool(self.node.target is aten.convolution.default)

    @property
    def inputs(self) -> fx.Node:
        """What the layer takes: [N, channels, ...], or rows [M, features] of a linear layer."""
        source = self.node.args[0 if self.is_convolution else -2]
        assert isinstance(source, fx.Node)
        return source


@dataclass(eq=False)
class Plan:
    """``kinds`` of the values of ``trace`` for changes of the layer used at ``layer`` (None: it has no effect).

    ``compute`` holds how slabs follow from slabs, and how dense values follow from slabs by a correction; all other
    dense values take the operator itself. ``needed`` are the base values that any of this takes.
    """

    trace: Trace
    layer: LayerUse | None
    slabs: dict[fx.Node, Slab] = field(default_factory=dict)
    dense: dict[fx.Node, None] = field(default_factory=dict)
    compute: dict[fx.Node, Compute] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[fx.Node, ...]:
        """The scores of the tasks."""
        return tuple(next(node for node in self.trace.graph.nodes if node.op == "output").args[0])

    @property
    def needed(self) -> set[fx.Node]:
        """The values whose base is needed: by changed operators, to complete slabs, to be corrected; and outputs."""
        changed = self.slabs.keys() | self.dense.keys()
        needed = set(self.outputs)
        for node in changed:
            sources = node.all_input_nodes
            if self.layer and node is self.layer.node:
                needed.add(node if node in self.dense else self.layer.inputs)
            elif node in self.dense:
                needed.update(source for source in sources if source not in self.dense)
                needed.update([node] if node in self.compute else [])
            else:
                grouped = node.target is aten.convolution.default  # takes what else its groups hold
                needed.update(source for source in sources if grouped or source not in changed)
        return needed


def make_plan(trace: Trace, layer: LayerUse | None, *, whole: bool = False) -> Plan:
    """Plan for changes of one unit at a time; with ``whole``, for changes of all outputs of the layer at once."""
    plan = Plan(trace, layer)
    for node in trace.graph.nodes:
        if node.op == "output" or layer is None or node.target in SHAPE_ONLY:
            continue
        if node is layer.node and whole:
            plan.dense[node] = None
        elif node is layer.node:
            plan.slabs[node] = Slab(1, np.arange(layer.units), 1)
        elif any(source in plan.dense for source in node.all_input_nodes):
            plan.dense[node] = None
        elif any(source in plan.slabs for source in node.all_input_nodes):
            _plan_first(plan, node)
    return plan


def _plan_first(plan: Plan, node: fx.Node) -> None:
    """Plan an operator all of whose changed operands are slabs."""
    if node.target is operator.getitem:
        source, position = node.args
        plan.slabs[node] = plan.slabs[source]  # type: ignore[index]
        plan.compute[node] = lambda state: state.new(source)[position]  # type: ignore[arg-type]
    elif found := find_rule(node, plan.slabs):
        plan.slabs[node], plan.compute[node] = found
    else:
        plan.dense[node] = None
        if correction := find_correction(node, plan.slabs):
            plan.compute[node] = correction


def last_uses(takes: Mapping[fx.Node, Collection[fx.Node]], kept: Collection[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
    """Return for each node, run in this order, the values that no later one ``takes``; never those ``kept``."""
    last = {source: node for node, sources in takes.items() for source in [*sources, node]}
    uses: dict[fx.Node, list[fx.Node]] = {node: [] for node in takes}
    for value, node in last.items():
        if value not in kept:
            uses[node].append(value)
    return uses


def find_use(trace: Trace, path: str, weight: str, bias: str | None) -> LayerUse | None:
    """Find where the layer at ``path`` acts, by the names of its parameters among the trace's values.

    Returns None if no output depends on it. Raises UntraceableError unless it acts once, with its own weights, and
    InputError if it does not act at all.
    """
    nodes = {node.target: node for node in trace.graph.nodes if node.op == "placeholder"}
    if weight not in trace.used:
        raise InputError(f"layer '{path}' is used 0 times in one pass; accepted are layers used once.")
    for look in trace.looks:
        if look.names & {weight, bias}:
            raise NumbersSeenError(
                f"layer '{path}': Python code sees numbers that depend on its weights ('{look.operator}' in "
                f"{look.place})."
            )
    users, matrix = _products_of(nodes[weight])
    if not users:
        return None
    if len(users) > 1:
        raise UntraceableError(f"layer '{path}' is used {len(users)} times in one pass; accepted are layers used once.")
    node = users[0]
    is_convolution = node.target is aten.convolution.default and node.args[1] is (matrix or nodes[weight])
    is_convolution = is_convolution and bool(node.args[6]) == (matrix is not None)
    is_product = node.target in (aten.addmm.default, aten.mm.default) and not node.kwargs
    if not (is_convolution or (is_product and matrix and node.args[-1] is matrix)):
        found = f"'{name_of(node.target)}' takes its weight"
        raise UntraceableError(f"layer '{path}': {found}; accepted are plain convolutions and products.")
    added = node.args[2] if is_convolution else node.args[0] if node.target is aten.addmm.default else None
    own = nodes[bias] if bias else None
    shared = own is not None and len(_takers(own)) > 1
    if added is not own or shared:
        raise UntraceableError(f"layer '{path}': its bias is not only added to its own product.")
    return LayerUse(node, shape_of(nodes[weight])[0])


def _takers(value: fx.Node) -> list[fx.Node]:
    """Return the operators that take what a value holds."""
    return [node for node in value.users if node.target not in SHAPE_ONLY]


def _products_of(weight: fx.Node) -> tuple[list[fx.Node], fx.Node | None]:
    """Return the operators that take a weight [units, ...], or what it is once its first two axes are exchanged.

    That is a matrix [features, units], or the weight of a transposed convolution, whose groups are exchanged one by
    one.
    """
    users = _takers(weight)
    matrix = users[0] if len(users) == 1 and _transposes(users[0]) else _exchanged_in_groups(weight)
    return (_takers(matrix), matrix) if matrix else (users, None)


def _transposes(node: fx.Node) -> bool:
    """Whether a node exchanges the first two axes."""
    if node.target not in (aten.t.default, aten.transpose.int, aten.permute.default):
        return False
    given, rank = bind_arguments(node), len(shape_of(node))
    if node.target is aten.permute.default:
        return [axis % rank for axis in given["dims"]] == [1, 0, *range(2, rank)]
    return {given.get("dim0", 0) % rank, given.get("dim1", 1) % rank} == {0, 1}


def _exchanged_in_groups(weight: fx.Node) -> fx.Node | None:
    """Return the concatenation of all parts of a weight, each with its first two axes exchanged; None if it is none."""
    parts = _takers(weight)
    pieces = _takers(parts[0]) if len(parts) == 1 and parts[0].target is aten.split.Tensor else parts
    exchanged = [taker for piece in pieces for taker in _takers(piece)]
    ends = {end for node in exchanged for end in _takers(node)}
    if len(ends) != 1 or not all(map(_transposes, exchanged)) or not pieces:
        return None
    (end,) = ends
    whole = end.target is aten.cat.default and list(end.args[0]) == exchanged  # type: ignore[arg-type]
    sizes = [shape_of(piece)[0] for piece in pieces]
    in_order = all(
        (piece.target is operator.getitem and piece.args[1] == place)
        or (piece.target is aten.slice.Tensor and bind_arguments(piece)["start"] == sum(sizes[:place]))
        for place, piece in enumerate(pieces)
    )
    return end if whole and in_order and sum(sizes) == shape_of(weight)[0] else None
