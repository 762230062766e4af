"""Describe a network that cannot be traced, from one pass as its code runs it: what the plain engine computes with."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from featuresharing.engine.layer_descriptions import describe_layer, values_or_refusal, zero_inputs
from featuresharing.networks.descriptions import LayerDescription, NetworkDescription
from featuresharing.networks.forward import network_values, score_images
from featuresharing.networks.inputs import Inputs
from featuresharing.networks.layer_kinds import places_in
from featuresharing.networks.layer_values import may_be_seen, watch
from featuresharing.networks.precision import precision_of


def describe_untraced(
    network: nn.Module, shape: tuple[int, ...], *, whole: bool, others: Mapping[str, Any]
) -> NetworkDescription:
    """Describe a network with numbers in it on images of a shape, ``whole`` numbers or others; layers as modules stand.

    ``others`` are inputs beside the image by name. For every variant of a unit, all of the network runs. Raises
    InputError for one that does not take such images.
    """
    values = network_values(network, "cpu")
    inputs = zero_inputs(values, shape, whole=whole, others=others)
    with FlopCounterMode(display=False) as counted:
        scores = score_images(network, values, inputs, device="cpu", dtype=precision_of(values.values()))
    forward = counted.get_total_flops() // 2
    return NetworkDescription(
        tuple(_layers(network, values, inputs, forward)),
        {task: found.shape[1] for task, found in scores.items()},
        shape,
        sum(value.numel() for value in values.values()),
        forward,
    )


def _layers(
    network: nn.Module, values: Mapping[str, Tensor], inputs: Inputs, forward: int
) -> Iterator[LayerDescription]:
    places = list(places_in(network))
    seen = watch(network, [place for place in places if may_be_seen(place)], values, inputs)
    for place in places:
        found = describe_layer(network, place, values_or_refusal(network, place, values, seen))
        yield replace(found, variant=forward)
