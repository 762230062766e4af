"""The one-channel interpreter: the scores of many variants of a layer's units, at the cost of what changes.

A variant is the network with another output of one unit. A full pass for each would repeat almost everything, since

1. what lies before the layer is the same for all variants: it is computed once (*base* values);
2. right behind the layer only one channel differs: values are ranges (:mod:`.slabs`), new only there;
3. the next operator that mixes channels gives base + its columns of that channel, applied to the change;
4. from there on values are dense, and many variants go through every operator in one batch.

In multiply-adds of the paper's AlexNet a whole pass takes 1,131 M, a variant 584 M for a unit of conv1, 54 M for one of
conv4 and 0.6 M for one of fc7. A branch that the layer does not reach, such as the other side of a skip connection, is
base and costs nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from featuresharing.engine.folding import Fold, find_fold, gives_new_memory
from featuresharing.engine.lowering import Fusion
from featuresharing.engine.plan import Plan, last_uses
from featuresharing.engine.running import run_operator, run_stacked
from featuresharing.engine.slabs import Slab, aten, runs
from featuresharing.networks.inputs import Inputs

Base = Mapping[fx.Node, Any]
"""Base values by node."""


@dataclass(frozen=True, eq=False)
class Step:
    """What gives the dense value of ``node``, and the values that are ``spent`` behind it."""

    node: fx.Node
    run: "Callable[[_State], Any]"
    spent: Sequence[fx.Node]


class Interpreter:
    """Runs a plan on parameters, buffers and constants ``values`` by name; ``fusions`` are computed as one operator."""

    def __init__(self, plan: Plan, values: Mapping[str, Tensor], fusions: Sequence[Fusion] = ()) -> None:
        self.plan = plan
        self._values = values
        self._needed = plan.needed
        self._outputs = plan.outputs
        self._steps = _dense_steps(plan, fusions)

    @torch.no_grad()
    def base(self, inputs: Inputs) -> Base:
        """Run the network as it is; return the values that variants need."""
        wanted = set(self._needed)
        nodes = [node for node in self.plan.trace.graph.nodes if node.op != "output"]
        for node in reversed(nodes):
            if node in wanted:
                wanted.update(node.all_input_nodes)
        nodes = [node for node in nodes if node in wanted]
        uses = last_uses({node: node.all_input_nodes for node in nodes}, self._needed)
        values: dict[fx.Node, Any] = {}
        given = inputs.tensors
        for node in nodes:
            if node.op == "placeholder":
                values[node] = given[node.target] if node.target in given else self._values[node.target]
            else:
                values[node] = run_operator(node, values)
            for spent in uses[node]:
                del values[spent]
        return values

    @torch.no_grad()
    def unit_outputs(self, base: Base, units: NDArray[np.int64], weights: Tensor, biases: Tensor | None) -> Tensor:
        """Return what each of ``units`` [B] would output with ``weights`` [B, *filter shape] and ``biases`` [B].

        The result is [B, *shape of the layer's output] with an extent of 1 in place of all units. ``biases`` are None
        for a layer without.
        """
        layer = self.plan.layer
        assert layer is not None
        inputs = base[layer.inputs]
        if not layer.is_convolution:
            rows = inputs @ weights.T if biases is None else torch.addmm(biases, inputs, weights.T)
            return rows.T.unsqueeze(-1)
        given: Any = layer.node.args
        _, _, _, stride, padding, dilation, transposed, output_padding, groups = given
        outputs, channels = layer.units // groups, weights.shape[1]
        parts = []
        for group, run in runs(units // outputs):
            images = inputs.narrow(1, group * channels, channels)
            bias = None if biases is None else biases[run]
            filters = weights[run].transpose(0, 1) if transposed else weights[run]
            part = aten.convolution(
                images, filters, bias, stride, padding, dilation, transposed, output_padding if transposed else [0], 1
            )
            parts.append(part.movedim(1, 0))
        return torch.cat(parts).unsqueeze(2).contiguous()

    @torch.no_grad()
    def scores(
        self, base: Base, units: NDArray[np.int64], new: Tensor, *, batch: int
    ) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
        """Yield the scores [b, N, classes] of every task for variants of ``units`` [B], at most ``batch`` at a time.

        ``new`` is laid out as the result of :meth:`unit_outputs`, or holds outputs [B, ...] of the layer as a whole.
        """
        state = _State(self.plan, base, units)
        for node in self.plan.slabs:
            state.news[node] = self.plan.compute[node](state) if node in self.plan.compute else new
        # forget what only slabs took
        kept = {source for node in self.plan.dense for source in node.all_input_nodes} | set(self._outputs)
        state.news = {node: value for node, value in state.news.items() if node in kept}
        for start in range(0, len(units), batch):
            part = slice(start, min(start + batch, len(units)))
            yield part, self._dense_scores(state.part(part), new[part])

    def _dense_scores(self, state: "_State", new: Tensor) -> tuple[Tensor, ...]:
        count = len(state.units)
        if self.plan.layer and self.plan.layer.node in self.plan.dense:
            state.values[self.plan.layer.node] = new
        for step in self._steps:
            state.values[step.node] = step.run(state)
            for spent in step.spent:
                state.values.pop(spent, None)
        outputs = (state.whole(node) for node in self._outputs)
        return tuple(value if stacked else value.expand(count, *value.shape) for value, stacked in outputs)


class _State:
    """Values of ``units`` [B] variants while a plan runs: new ranges ``news`` and dense ``values``, stacked."""

    def __init__(self, plan: Plan, base: Base, units: NDArray[np.int64]) -> None:
        self.units = units
        self.news: dict[fx.Node, Any] = {}
        self.values: dict[fx.Node, Any] = {}
        self._plan, self._base = plan, base

    def base(self, node: fx.Node) -> Any:
        """Return a base value."""
        return self._base[node]

    def new(self, node: fx.Node) -> Any:
        """Return the new ranges of a value."""
        return self.news[node]

    def part(self, part: slice) -> "_State":
        """Return the state of some of the variants."""
        state = _State(self._plan, self._base, self.units[part])
        state.news = {node: value[part] for node, value in self.news.items()}
        return state

    def whole(self, node: fx.Node) -> tuple[Any, bool]:
        """Return a value and whether it is stacked; a slab's base is filled with its new range."""
        if node not in self.values and node in self.news:
            self.values[node] = _complete(self._base[node], self._plan.slabs[node], self.news[node], self.units)
        return (self.values[node], True) if node in self.values else (self._base[node], False)


def _dense_steps(plan: Plan, fusions: Sequence[Fusion]) -> list[Step]:
    """Return what computes the dense values, but for those that only lie within a fusion."""
    fused = {fusion.members[-1]: fusion for fusion in fusions}
    within = {node for fusion in fusions for node in fusion.members[:-1]}
    nodes = [node for node in plan.dense if node not in within and not (plan.layer and node is plan.layer.node)]
    takes = {node: fused[node].inputs if node in fused else node.all_input_nodes for node in nodes}
    uses = last_uses(takes, plan.outputs)
    new_memory: set[fx.Node] = set()
    steps = []
    for node in nodes:
        run: Callable[[_State], Any]
        own = [each for each in takes[node] if each in new_memory and each in uses[node] and len(each.users) == 1]
        if node in fused:
            run = partial(_run_fusion, fused[node])
        elif node in plan.compute:
            run = plan.compute[node]
        elif fold := find_fold(node, {each for each in takes[node] if each in plan.dense or each in plan.slabs}, own):
            run = partial(_run_fold, fold)
        else:
            run = partial(_run_spread, node)
        if node in fused or node in plan.compute or gives_new_memory(node):
            new_memory.add(node)
        steps.append(Step(node, run, uses[node]))
    return steps


def _run_fusion(fusion: Fusion, state: "_State") -> Tensor:
    added = None if fusion.added is None else state.whole(fusion.added)[0]
    return fusion.run(state.whole(fusion.source)[0], added)


def _run_fold(fold: Fold, state: "_State") -> Any:
    return fold(lambda node: state.whole(node)[0])


def _run_spread(node: fx.Node, state: "_State") -> Any:
    return run_stacked(node, {source: state.whole(source) for source in node.all_input_nodes})


def _complete(base: Tensor, slab: Slab, new: Tensor, units: NDArray[np.int64]) -> Tensor:
    whole = base.expand(len(units), *base.shape).clone()
    for unit, run in runs(units):
        whole[run].narrow(slab.axis + 1, int(slab.starts[unit]), slab.length).copy_(new[run])
    return whole
