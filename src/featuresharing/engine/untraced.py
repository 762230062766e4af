"""Describe a network that cannot be traced, from one pass as its code runs it: what the plain engine computes with."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from featuresharing.errors import InputError
from featuresharing.networks.descriptions import LayerDescription, NetworkDescription
from featuresharing.networks.forward import network_values, score_images
from featuresharing.networks.inputs import Inputs, as_inputs, to_input
from featuresharing.networks.layer_kinds import places_in
from featuresharing.networks.layer_values import layer_values, may_be_seen, watch, what_is_special
from featuresharing.networks.layers import unit_count, unit_size, without_adapters


def describe_untraced(
    network: nn.Module, shape: tuple[int, ...], *, whole: bool, others: Mapping[str, Any]
) -> NetworkDescription:
    """Describe a network with numbers in it on images of a shape, ``whole`` numbers or others; layers as modules stand.

    ``others`` are inputs beside the image by name. For every variant of a unit, all of the network runs. Raises
    InputError for one that does not take such images.
    """
    values = network_values(network, "cpu")
    kind = next((value.dtype for value in values.values() if value.is_floating_point()), torch.float32)
    images = to_input(
        as_inputs(torch.zeros(1, *shape, dtype=torch.int64 if whole else kind, device="cpu"), others), "cpu", kind
    )
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
        refused = special = None
        try:
            found = layer_values(network, place, values, seen.get(place.owner))
            layer, special = found.layer, what_is_special(network, place, found)
        except InputError as error:
            layer, refused = without_adapters(network, place), str(error)
        sizes = (unit_count(layer), unit_size(layer), forward)
        yield LayerDescription(place.path, place.kind, layer.is_linear, *sizes, refused=refused, special=special)
