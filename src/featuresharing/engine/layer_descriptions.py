"""What is said of layers whichever engine computes with them, and the image of zeros on which it is found out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.networks.descriptions import LayerDescription
from featuresharing.networks.inputs import Inputs, as_inputs, to_input
from featuresharing.networks.layer_kinds import Place
from featuresharing.networks.layer_values import LayerValues, layer_values, what_is_special
from featuresharing.networks.layers import unit_count, unit_size, without_adapters
from featuresharing.networks.precision import precision_of
from featuresharing.networks.products import Taken


def zero_inputs(
    values: Mapping[str, Tensor], shape: tuple[int, ...], *, whole: bool, others: Mapping[str, Any]
) -> Inputs:
    """Return an image of zeros, of ``whole`` numbers or in the precision of ``values``, and ``others`` by name.

    They are on the device of ``values``, which are parameters and buffers.
    """
    kind = precision_of(values.values())
    device = next((value.device for value in values.values()), torch.device("cpu"))
    images = torch.zeros(1, *shape, dtype=torch.int64 if whole else kind, device="cpu")
    return to_input(as_inputs(images, others), str(device), kind)


def values_or_refusal(
    network: nn.Module, place: Place, values: Mapping[str, Tensor], seen: Mapping[str, Taken]
) -> LayerValues | InputError:
    """Return what :func:`.layer_values` gives or raises for a layer, of what is ``seen`` by :func:`.watch`."""
    try:
        return layer_values(network, place, values, seen.get(place.owner))
    except InputError as error:
        return error


def describe_layer(network: nn.Module, place: Place, own: LayerValues | InputError) -> LayerDescription:
    """Describe a layer but for what its variants take; one without values is refused."""
    layer = without_adapters(network, place) if isinstance(own, InputError) else own.layer
    found = LayerDescription(place.path, place.kind, layer.is_linear, unit_count(layer), unit_size(layer))
    if isinstance(own, InputError):
        return replace(found, refused=str(own))
    return replace(found, special=what_is_special(network, place, own))
