"""Describe a network from the trace of one pass: of sizes alone, on torch's meta device, where nothing is computed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featuresharing.data.preprocessing import ImageSize
from featuresharing.data.preprocessing import image_shape as as_shape
from featuresharing.engine.cost import cost_of
from featuresharing.engine.layer_descriptions import describe_layer, values_or_refusal, zero_inputs
from featuresharing.engine.narrowing import narrow
from featuresharing.engine.plan import find_use, make_plan
from featuresharing.engine.slabs import shape_of
from featuresharing.engine.tracing import Trace, make_trace, record
from featuresharing.engine.untraced import describe_untraced
from featuresharing.errors import InputError
from featuresharing.networks.descriptions import LayerDescription, NetworkDescription
from featuresharing.networks.forward import computing
from featuresharing.networks.inputs import Inputs, as_fixed
from featuresharing.networks.layer_kinds import joined, places_in
from featuresharing.networks.layer_values import LayerValues, may_be_seen, watch
from featuresharing.networks.opening import StoredNetwork, open_network
from featuresharing.networks.wrappers import unwrap
from featuresharing.settings import MarginalizationSettings
from featuresharing.settings.analysis_settings import PLAIN


def describe_file(
    path: Path, *, image_size: ImageSize | None = None, engine: str = MarginalizationSettings.engine
) -> NetworkDescription:
    """Describe the network of a file; ``image_size`` is that of one whose file does not say it (None: 224).

    Raises InputError as :func:`.opening.open_network` and :func:`describe_network`.
    """
    return describe_stored(open_network(path, image_size=image_size), engine=engine)


def describe_stored(stored: StoredNetwork, *, engine: str = MarginalizationSettings.engine) -> NetworkDescription:
    """Describe a network that was opened; raises InputError as :func:`describe_network`."""
    look = stored.preprocessing
    found = describe_network(stored.network, look.shape, whole=look.whole, engine=engine)
    heads = dict(zip(stored.tasks or found.heads, stored.classes, strict=True))
    return replace(found, heads=heads, preprocessing=look)


def describe_network(
    network: nn.Module,
    image_shape: ImageSize,
    *,
    whole: bool = False,
    inputs: Mapping[str, Any] | None = None,
    engine: str = MarginalizationSettings.engine,
) -> NetworkDescription:
    """Describe a network on images of a shape, such as (1, 28, 28), or square RGB images of so many pixels.

    With ``whole``, images are of whole numbers, such as tokens. ``inputs`` are other arguments of the pass by name, for
    one image. For the ``engine`` plain, a pass need not be traced; for the other, parameters may be on torch's meta
    device. Raises InputError for a network that does not take such images, or whose pass cannot be traced where it has
    to be.

    >>> described = describe_network(pictured, 8)
    >>> [(layer.path, layer.units) for layer in described.layers]
    [('0', 4), ('3', 2)]
    """
    shape, others = as_shape(image_shape, "image_shape"), as_fixed(inputs)
    inside, _ = unwrap(network)
    if engine == PLAIN:
        with computing():
            return describe_untraced(inside, shape, whole=whole, others=others)
    named = {**dict(inside.named_parameters()), **dict(inside.named_buffers())}
    sizes = {name: torch.empty_like(value, device="meta") for name, value in named.items()}
    with computing():
        try:
            return _describe(inside, sizes, shape, whole, others)
        except InputError:
            if any(value.is_meta for value in named.values()):
                raise
            return _describe(inside, {name: value.detach() for name, value in named.items()}, shape, whole, others)


def _describe(
    network: nn.Module, values: Mapping[str, Tensor], shape: tuple[int, ...], whole: bool, others: Mapping[str, Any]
) -> NetworkDescription:
    """Describe a network with parameters and buffers ``values``, on the device where they are."""
    inputs = zero_inputs(values, shape, whole=whole, others=others)
    trace = _trace(network, values, inputs)
    plan = make_plan(trace, None)
    found = {layer: _position(trace, layer.path, own) for layer, own in _layers(network, values, inputs, trace)}
    return NetworkDescription(
        tuple(sorted(found, key=lambda layer: found[layer])),
        {task: shape_of(node)[1] for task, node in zip(trace.tasks, plan.outputs, strict=True)},
        shape,
        sum(value.numel() for value in values.values()),
        cost_of(plan).forward,
    )


def _trace(network: nn.Module, values: Mapping[str, Tensor], inputs: Inputs) -> Trace:
    trace = make_trace(network, record(network, values, inputs.clone()), inputs.clone())
    narrow(trace.graph)
    return trace


def _layers(
    network: nn.Module, values: Mapping[str, Tensor], inputs: Inputs, trace: Trace
) -> Iterator[tuple[LayerDescription, str]]:
    """Yield every layer with units, and the name that its weight has among the values of the trace."""
    places = list(places_in(network))
    seen = watch(network, [place for place in places if may_be_seen(place)], values, inputs)
    for together in ([p for p in places if p.adapted is None], [p for p in places if p.adapted is not None]):
        found = [(place, values_or_refusal(network, place, values, seen)) for place in together]
        given = dict(values)
        for _, own in found:
            given |= own.values if isinstance(own, LayerValues) else {}
        computed = trace if given.keys() == values.keys() else _trace(network, given, inputs)
        for place, own in found:
            layer = describe_layer(network, place, own)
            if isinstance(own, LayerValues):
                layer = _with_cost(layer, own, computed)
            yield layer, joined(place.owner, place.names[0])


def _with_cost(layer: LayerDescription, own: LayerValues, trace: Trace) -> LayerDescription:
    """Return a description that says what variants take, or why none can be computed."""
    try:
        counted = cost_of(make_plan(trace, find_use(trace, layer.path, own.weight, own.bias)))
    except InputError as error:
        return replace(layer, refused=str(error))
    return replace(layer, variant=counted.variant, numbers=counted.numbers)


def _position(trace: Trace, path: str, weight: str) -> int:
    """Return where in a pass a layer's weight is taken first, or what it is computed from; never taken, at the end."""
    nodes = list(trace.graph.nodes)
    users = (
        user
        for node in nodes
        if node.op == "placeholder" and (node.target == weight or str(node.target).startswith(f"{path}."))
        for user in node.users
    )
    return min(map(nodes.index, users), default=len(nodes))
