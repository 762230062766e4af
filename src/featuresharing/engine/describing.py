"""Describe a network from the trace of one pass: of sizes alone, on torch's meta device, where nothing is computed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from featuresharing.data.preprocessing import ImageSize
from featuresharing.data.preprocessing import image_shape as as_shape
from featuresharing.engine.cost import cost_of
from featuresharing.engine.plan import find_use, make_plan
from featuresharing.engine.slabs import shape_of
from featuresharing.engine.tracing import Trace, make_trace, record
from featuresharing.errors import InputError
from featuresharing.networks.computed import layer_values
from featuresharing.networks.descriptions import LayerDescription, NetworkDescription
from featuresharing.networks.forward import computing
from featuresharing.networks.layers import Layer, find_layer, unit_count, unit_size
from featuresharing.networks.opening import open_network
from featuresharing.networks.wrappers import unwrap


def describe_file(path: Path, *, image_size: ImageSize | None = None) -> NetworkDescription:
    """Describe the network of a file; ``image_size`` is that of one whose file does not say it (None: 224).

    Raises InputError as :func:`.opening.open_network` and :func:`describe_network`.
    """
    stored = open_network(path, image_size=image_size)
    found = describe_network(stored.network, stored.preprocessing.shape, whole=stored.preprocessing.whole)
    heads = dict(zip(stored.tasks or found.heads, stored.classes, strict=True))
    return replace(found, heads=heads, preprocessing=stored.preprocessing)


def describe_network(network: nn.Module, image_shape: ImageSize, *, whole: bool = False) -> NetworkDescription:
    """Describe a network on images of a shape, such as (1, 28, 28), or square RGB images of so many pixels.

    With ``whole``, images are of whole numbers, such as tokens. Parameters may be on torch's meta device.
    Raises InputError for a network that does not take such images, or whose pass cannot be traced.

    >>> described = describe_network(pictured, 8)
    >>> [(layer.path, layer.units) for layer in described.layers]
    [('0', 4), ('3', 2)]
    """
    shape = as_shape(image_shape, "image_shape")
    inside, _ = unwrap(network)
    named = {**dict(inside.named_parameters()), **dict(inside.named_buffers())}
    sizes = {name: torch.empty_like(value, device="meta") for name, value in named.items()}
    with computing():
        try:
            return _describe(inside, sizes, shape, whole)
        except InputError:
            if any(value.is_meta for value in named.values()):
                raise
            return _describe(inside, {name: value.detach() for name, value in named.items()}, shape, whole)


def _describe(
    network: nn.Module, values: Mapping[str, Tensor], shape: tuple[int, ...], whole: bool
) -> NetworkDescription:
    """Describe a network with parameters and buffers ``values``, on the device where they are."""
    kind = next((value.dtype for value in values.values() if value.is_floating_point()), torch.float32)
    device = next((value.device for value in values.values()), torch.device("cpu"))
    images = torch.zeros(1, *shape, dtype=torch.int64 if whole else kind, device=device)
    trace = _trace(network, values, images)
    plan = make_plan(trace, None)
    found = {layer: _position(trace, layer.path, weight) for layer, weight in _layers(network, values, images, trace)}
    return NetworkDescription(
        tuple(sorted(found, key=lambda layer: found[layer])),
        {task: shape_of(node)[1] for task, node in zip(trace.tasks, plan.outputs, strict=True)},
        shape,
        sum(value.numel() for value in values.values()),
        cost_of(plan).forward,
    )


def _trace(network: nn.Module, values: Mapping[str, Tensor], images: Tensor) -> Trace:
    return make_trace(network, record(network, values, images.clone()), images.clone())


def _layers(
    network: nn.Module, values: Mapping[str, Tensor], images: Tensor, trace: Trace
) -> Iterator[tuple[LayerDescription, str]]:
    """Yield every layer with units, and the name of its weight among the values of the trace."""
    for path, module in network.named_modules():
        if not isinstance(module, Layer):
            continue
        given, weight, bias = layer_values(network, path, values)
        own = trace if given.keys() == values.keys() else _trace(network, given, images)  # its weight is computed
        plain = find_layer(network, path)[1]
        is_linear = isinstance(plain, nn.Linear)
        layer = LayerDescription(path, type(plain).__name__, is_linear, unit_count(plain), unit_size(plain))
        try:
            counted = cost_of(make_plan(own, find_use(own, path, weight, bias)))
            layer = replace(layer, variant=counted.variant, numbers=counted.numbers)
        except InputError as error:
            layer = replace(layer, refused=str(error))
        yield layer, weight


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
