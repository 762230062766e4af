"""Describe a network that cannot be traced, from one pass as its code runs it: what the plain engine computes with."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from featuresharing.errors import InputError
from featuresharing.networks.descriptions import LayerDescription, NetworkDescription
from featuresharing.networks.forward import network_values, score_images
from featuresharing.networks.inputs import Inputs
from featuresharing.networks.layer_kinds import places_in
from featuresharing.networks.layer_values import layer_values, may_be_seen, watch
from featuresharing.networks.layers import find_layer, unit_count, unit_size


def describe_untraced(network: nn.Module, shape: tuple[int, ...], *, whole: bool) -> NetworkDescription:
    """Describe a network with numbers in it on images of a shape, ``whole`` numbers or others; layers as modules stand.

    For every variant of a unit, all of the network runs. Raises InputError for one that does not take such images.
    """
    values = network_values(network, "cpu")
    kind = next((value.dtype for value in values.values() if value.is_floating_point()), torch.float32)
    images = Inputs(torch.zeros(1, *shape, dtype=torch.int64 if whole else kind))
    with FlopCounterMode(display=False) as counted:
        scores = score_images(network, values, images, device="cpu", dtype=kind)
    forward = counted.get_total_flops() // 2
    return NetworkDescription(
        tuple(_layers(network, values, images, forward)),
        {task: found.shape[1] for task, found in scores.items()},
        shape,
        sum(value.numel() for value in values.values()),
        forward,
    )


def _layers(
    network: nn.Module, values: Mapping[str, Tensor], images: Inputs, forward: int
) -> Iterator[LayerDescription]:
    places = list(places_in(network))
    seen = watch(network, [place for place in places if may_be_seen(place)], values, images)
    for place in places:
        layer = find_layer(network, place.path)[1]
        found = LayerDescription(place.path, layer.kind, layer.is_linear, unit_count(layer), unit_size(layer), forward)
        try:
            layer_values(network, place, values, seen.get(place.owner))
        except InputError as error:
            found = replace(found, refused=str(error))
        yield found
