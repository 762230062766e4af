"""How many images and variants to work on at once: from a plan's operations, its values and the memory that is free."""

from collections.abc import Collection
from dataclasses import dataclass
from math import ceil, prod

from torch import fx

from featuresharing.engine.cost import Cost
from featuresharing.engine.plan import Plan, last_uses
from featuresharing.networks.inputs import is_input

SHARE = 0.5
"""The share of the free memory that a computation may take unless it is told otherwise."""

CPU_WORKING_SET = (16 * 2**20, 128 * 2**20)
"""Bytes of values in work at a time on a CPU, at least and at most: with more, values leave the caches for long."""

GPU_WORKING_SET = 4 * 2**30
"""Bytes of values in work at a time on a GPU: enough rows to fill it."""

CPU_OPERATIONS, GPU_OPERATIONS = 2**37, 2**42
"""Multiply-adds between two results: about a second, so that results can be stored often."""

FORWARD_SHARE = 0.02
"""Largest share of the work that may go into computing base values anew."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of a plan's values: ``base`` kept for an image, ``slab`` and ``dense`` in work for a variant and image.

    ``forward`` are those in work for an image while base values are computed.
    """

    base: int
    slab: int
    dense: int
    forward: int = 0


@dataclass(frozen=True)
class BatchSizes:
    """How work is cut: ``images`` in a chunk, ``variants`` computed as slabs and ``dense`` of them as dense values.

    ``group`` variants, or those of one unit, make a result. ``keep`` says whether the base values of all chunks fit
    into memory together; if not, ``series`` groups take one chunk after the other together. ``second`` variants take
    about a second on a chunk.
    """

    images: int
    variants: int
    dense: int
    keep: bool
    group: int
    series: int = 1
    second: int = 1


def footprint(plan: Plan) -> Footprint:
    """Return the bytes that a plan's values take."""
    images = plan.trace.rows
    varying: set[fx.Node] = set()
    for node in plan.trace.graph.nodes:
        if is_input(node.target) or any(source in varying for source in node.all_input_nodes):
            varying.add(node)
    base = sum(_size(node) for node in plan.needed if node in varying)
    slabs = {
        node: _size(node) * slab.length // node.meta["shape"][slab.axis] if "shape" in node.meta else 0
        for node, slab in plan.slabs.items()
    }
    kept = {source for node in plan.dense for source in node.all_input_nodes}
    slab = sum(size for node, size in slabs.items() if node in kept) + 2 * max(slabs.values(), default=0)
    scores = 4 * sum(_size(node) for node in plan.outputs)
    dense = scores + _most_in_work(plan.dense, plan.outputs, plan)
    forward = _most_in_work([node for node in plan.trace.graph.nodes if node in varying], plan.needed)
    return Footprint(*(ceil(size / images) for size in (base, slab, dense, forward)))


def choose_batch_sizes(
    sizes: Footprint,
    cost: Cost,
    *,
    images: int,
    parameters: int,
    budget: int,
    working_set: int,
    operations: int,
    batch_size: int | None,
) -> BatchSizes:
    """Cut ``images`` and variants with ``parameters`` bytes each so that all stays below ``budget`` bytes.

    A result takes ``operations`` multiply-adds, or what one unit takes. Sizes follow from the plan, ``working_set`` and
    ``operations`` alone unless the budget is short, so that they, and with them the rounding of sums, do not depend on
    what else a machine does.
    """
    work = max(1, min(working_set, budget // 4))
    rows = max(1, work // max(1, sizes.dense))
    forward = max(1, min(4 * work, budget // 4) // max(1, sizes.forward))
    chunk = min(images, batch_size or images, rows, forward, max(1, work // max(1, sizes.slab)))
    chunk = ceil(images / ceil(images / chunk))  # as equal as can be
    variants = max(1, min(work // max(1, sizes.slab * chunk), work // max(1, parameters), MOST_VARIANTS))
    dense = max(1, min(rows // chunk, variants))
    keep = sizes.base * images <= budget // 4
    second = max(1, operations // max(1, cost.variant * chunk))
    group = min(variants, second)
    series = 1 if keep else ceil(cost.forward / (FORWARD_SHARE * max(1, cost.variant * group)))
    return BatchSizes(chunk, variants, dense, keep, group, min(series, MOST_SERIES), second)


def cut(count: int, size: int) -> list[slice]:
    """Cut ``count`` things into slices of at most ``size``."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


MOST_VARIANTS = 512
"""Variants computed as slabs at a time."""

MOST_SERIES = 64
"""Groups whose variants' shares are in memory together."""


def choose_working_set(device: str, parameters: int) -> int:
    """Return the bytes of values to have in work at a time, for a network with ``parameters`` bytes.

    On a CPU it grows with the network: reading all parameters has to pay.
    """
    if device.startswith("cuda"):
        return GPU_WORKING_SET
    least, most = CPU_WORKING_SET
    return min(max(least, 4 * parameters), most)


def _size(node: fx.Node) -> int:
    """Return the bytes of a value on all images of the trace; a tuple's are counted with its parts."""
    return prod(node.meta["shape"]) * int(node.meta["itemsize"]) if "shape" in node.meta else 0


def _most_in_work(nodes: Collection[fx.Node], kept: Collection[fx.Node], plan: Plan | None = None) -> int:
    """Return the most bytes that the values of ``nodes`` take at a time, and slabs of ``plan`` that are made whole."""
    uses = last_uses({node: node.all_input_nodes for node in nodes}, kept)
    live: dict[fx.Node, int] = {}
    most = 0
    for node in nodes:
        live[node] = _size(node)
        if plan and node not in plan.compute:
            live.update((source, _size(source)) for source in node.all_input_nodes if source in plan.slabs)
        most = max(most, sum(live.values()))
        for spent in uses[node]:
            live.pop(spent, None)
    return most
