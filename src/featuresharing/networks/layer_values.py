"""Values of a network in which a layer's effective weight and bias have names, by which engines set them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.networks.computed import adapters_share, attribute_parameters, computed_names, layout_of
from featuresharing.networks.failures import is_out_of_memory
from featuresharing.networks.forward import evaluating, run_network
from featuresharing.networks.inputs import Inputs, to_input
from featuresharing.networks.layer_kinds import Place, joined
from featuresharing.networks.layers import Layer, find_layer, find_place
from featuresharing.networks.preparation import Prepared
from featuresharing.networks.products import BIAS, WEIGHT, Taken, handling

CLOSENESS = {torch.float32: 1e-4, torch.float64: 1e-9}
"""By how much of their largest number weights that are computed twice may differ."""


@dataclass(frozen=True, eq=False)
class LayerValues:
    """``values`` of a network by name, the names of a layer's ``weight`` [units, ...] and ``bias`` (None: it has none).

    ``layer`` holds them as they are around which draws are made.
    """

    values: dict[str, Tensor]
    weight: str
    bias: str | None
    layer: Layer


def values_of_layer(ready: Prepared, path: str) -> LayerValues:
    """Return the values of a network and inputs that are prepared, with those of the layer at ``path``.

    What a product takes is seen on the first image, and has to be the same on the last and on that mirrored. Raises
    InputError for a layer whose weight or bias depends on the images, and for adapters that do more than add to it.
    """
    place, network, values = find_place(ready.network, path), ready.network, ready.values
    if not may_be_seen(place):
        return layer_values(network, place, values, None)
    few = to_input(ready.inputs[[0, len(ready.inputs) - 1]], ready.device, ready.dtype)
    seen = _seen_in(network, place, values, few[:1])
    found = layer_values(network, place, values, seen)
    if seen is not None and found.values.keys() != values.keys():
        _check_constant(network, place, values, seen, few[-1:])
    if place.adapted is not None:
        _check_adapters(network, place, found, few[:1])
    return found


def _seen_in(network: nn.Module, place: Place, values: Mapping[str, Tensor], inputs: Inputs) -> Taken | None:
    """Return what a layer's product takes in a pass; None if none is seen, or the network does not take the inputs."""
    try:
        return watch(network, [place], values, inputs).get(place.owner)
    except Exception as error:
        if isinstance(error, InputError) or is_out_of_memory(error):
            raise
        return None


def may_be_seen(place: Place) -> bool:
    """Whether what a layer's product takes may be something else than attributes of its module.

    A layer without bias may be given one by another module, as that of qkv in some transformers.
    """
    if place.is_part:
        return not place.is_direct
    return not place.is_direct or (not computed_names(place) and place.module.bias is None)


def what_is_special(network: nn.Module, place: Place, own: LayerValues) -> str | None:
    """Return what a user should know of a layer's weight; None where it is a parameter of its own module."""
    if place.adapted is not None:
        return "its weight is that of the layer and its adapters together"
    if place.is_part:
        return f"a part of {place.kind}, which has no module of its own for it"
    known = {name for name, _ in (*network.named_parameters(), *network.named_buffers())}
    if own.weight in known and (own.bias is None or own.bias in known):
        return None
    return "its weight or bias is computed: units are the effective ones"


def layer_values(network: nn.Module, place: Place, values: Mapping[str, Tensor], seen: Taken | None) -> LayerValues:
    """Return ``values``, which are a network's parameters and buffers, with those of a layer.

    ``seen`` is what its product takes, if one was watched. What is computed, or not laid out with units first, gets a
    name of its own, under which :func:`.forward.run_network` puts it into a pass.
    """
    _, layer = find_layer(network, place.path)
    own = seen is None or (place.is_direct and seen.bias is None)
    own = own or (seen is not None and seen.own and place.adapted is None and not place.is_part)
    if seen is not None and not own:
        share = 0 if place.adapted is None else adapters_share(place, values)
        return _with_products(place, layer, values, replace(seen, weight=seen.weight + share))
    if place.adapted is not None or layout_of(place.module) != "rows":
        raise InputError(f"layer '{place.path}' is used 0 times in one pass; accepted are layers used once.")
    tensors = [*network.named_parameters(), *network.named_buffers()]
    known = {id(tensor): name for name, tensor in tensors}
    given, names = dict(values), []
    computed = computed_names(place)
    parameters = dict(zip(place.names, attribute_parameters(place, values), strict=True)) if computed else {}
    for name in place.names:
        value = parameters.get(name)
        if name in computed and value is not None:
            names.append(joined(place.owner, name))
            given[names[-1]] = value
        else:
            names.append(known.get(id(getattr(place.module, name, None)), ""))
    return LayerValues(given, names[0], names[1] or None, layer)


def _with_products(place: Place, layer: Layer, values: Mapping[str, Tensor], found: Taken) -> LayerValues:
    """Return values with what the layer's product takes, but for the module's own weight if it is that.

    Draws are made around what was found without a pass, unless the pass shows something else.
    """
    given, weight, bias = dict(values), joined(place.path, "weight"), None
    if not place.is_direct:
        weight = place.path + WEIGHT
        given[weight] = found.weight
    if found.bias is not None:
        bias = place.path + BIAS
        given[bias] = found.bias
    alone = Taken(layer.weight.to(found.weight), None if layer.bias is None else layer.bias.to(found.weight))
    if not _same(alone, found):
        layer = replace(layer, weight=found.weight, bias=found.bias)
    return LayerValues(given, weight, bias, layer)


def watch(
    network: nn.Module, places: Iterable[Place], values: Mapping[str, Tensor], inputs: Inputs
) -> dict[str, Taken]:
    """Return what the products of layers take in a pass, by the paths of their modules; others are left out.

    Raises InputError for a layer of two products with different weights.
    """
    wanted = {place.owner: place for place in places}
    seen: dict[str, Taken] = {}

    def note(owner: str, taken: Taken) -> Taken:
        own = [wanted[owner].module._parameters.get(name) for name in wanted[owner].names]
        copy = Taken(
            taken.weight.clone(),
            None if taken.bias is None else taken.bias.clone(),
            own=taken.weight is own[0] and taken.bias is own[1],
        )
        if not _same(seen.setdefault(owner, copy), copy):
            path = wanted[owner].path
            raise InputError(f"layer '{path}' multiplies by different weights in one pass; accepted are layers of one.")
        return taken

    modules = {owner: place.module for owner, place in wanted.items()}
    with evaluating(network, values.values()), torch.no_grad(), handling(modules, note):
        run_network(network, values, inputs)
    return seen


def _check_constant(network: nn.Module, place: Place, values: Mapping[str, Tensor], seen: Taken, last: Inputs) -> None:
    """Raise InputError unless a layer's product takes the same on other images."""
    for other in (last, last.map(lambda value: value.flip(list(range(1, value.ndim))))):
        found = _seen_in(network, place, values, other)
        if found is not None and not _same(seen, found):
            raise InputError(
                f"layer '{place.path}': its weight or bias is not the same for all images; accepted are layers whose "
                "parameters do not depend on them."
            )


def _same(one: Taken, other: Taken) -> bool:
    if (one.bias is None) != (other.bias is None):
        return False
    pairs = [(one.weight, other.weight)]
    pairs += [(one.bias, other.bias)] if one.bias is not None and other.bias is not None else []
    return all(mine.shape == yours.shape and _close(mine, yours) for mine, yours in pairs)


def _close(one: Tensor, other: Tensor) -> bool:
    if one.is_meta or other.is_meta:
        return True
    bound = CLOSENESS.get(one.dtype, 0.01) * float(one.abs().max())
    return bool((one - other).abs().max() <= bound)


def _check_adapters(network: nn.Module, place: Place, found: LayerValues, first: Inputs) -> None:
    """Raise InputError unless a layer with adapters gives what the product with its effective weight gives."""
    own = {name: value for name, value in found.values.items() if not name.endswith((WEIGHT, BIAS))}
    outputs: list[Tensor] = []

    def note(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.append(output.clone())

    assert place.adapted is not None
    hook = place.adapted.register_forward_hook(note)
    try:
        for values in (own, found.values):
            with evaluating(network, values.values()), torch.no_grad():
                run_network(network, values, first)
    finally:
        hook.remove()
    if len(outputs) == 2 and not _close(*outputs):
        raise InputError(
            f"layer '{place.path}': its adapters do more than add to its weight; accepted are LoRA layers without "
            "changes of magnitude (DoRA) and biases of adapters."
        )
