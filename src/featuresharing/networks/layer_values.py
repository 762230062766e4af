"""The values of a network in which a layer's effective weight and bias have names of their own, to be set by engines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.networks.computed import adapters_share, attribute_parameters, computed_names
from featuresharing.networks.forward import evaluating, run_network
from featuresharing.networks.inputs import Inputs
from featuresharing.networks.layer_kinds import Place, joined
from featuresharing.networks.layers import Layer, find_layer, find_place
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

    @property
    def names(self) -> list[str]:
        """The names that are there."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]


def layer_values(network: nn.Module, path: str, values: Mapping[str, Tensor], inputs: Inputs) -> LayerValues:
    """Return ``values``, which are a network's parameters and buffers, with those of the layer at ``path``.

    What is computed, or not laid out with units first, gets a name of its own, under which
    :func:`.forward.run_network` puts it into a pass. What a product takes is seen on the first of ``inputs``, and has to
    be the same on others. Raises InputError for a layer whose weight or bias depends on the images.
    """
    place = find_place(network, path)
    _, layer = find_layer(network, path)
    if not place.is_part:
        found = _products(network, place, values, inputs) if not place.is_direct or _may_be_given(place) else None
        if found is not None:
            return _with_products(place, layer, values, found)
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


def _may_be_given(place: Place) -> bool:
    """Whether another module may give the layer's product a bias, as that of qkv in some transformers."""
    return not computed_names(place) and place.module.bias is None


def _with_products(place: Place, layer: Layer, values: Mapping[str, Tensor], found: Taken) -> LayerValues:
    """Return values with what the layer's product takes, but for the module's own weight if it is that."""
    given, bias = dict(values), found.bias
    weight = joined(place.path, "weight") if place.is_direct else place.path + WEIGHT
    if not place.is_direct:
        given[weight] = found.weight
    if bias is None:
        return LayerValues(given, weight, None, layer)
    given[place.path + BIAS] = bias
    return LayerValues(
        given, weight, place.path + BIAS, layer if layer.bias is not None else replace(layer, bias=bias)
    )


def _products(network: nn.Module, place: Place, values: Mapping[str, Tensor], inputs: Inputs) -> Taken | None:
    """Return what the layer's product takes; None if no product is seen, or only the module's own parameters."""
    seen = watch(network, [place], values, inputs[:1]).get(place.path)
    if seen is None or (place.is_direct and seen.bias is None):
        return None
    last = inputs[-1:]
    for other in (last, last.map(lambda value: value.flip(list(range(1, value.ndim))))):
        try:
            found = watch(network, [place], values, other).get(place.path)
        except InputError:
            raise
        except Exception:  # the network does not take such images
            continue
        if found is None or not _same(seen, found):
            raise InputError(
                f"layer '{place.path}': its weight or bias is not the same for all images; accepted are layers whose "
                "parameters do not depend on them."
            )
    if place.adapted is None:
        return seen
    whole = Taken(seen.weight + adapters_share(place, values), seen.bias)
    _check_adapters(network, place, _with_products(place, find_layer(network, place.path)[1], values, whole), inputs)
    return whole


def watch(
    network: nn.Module, places: Iterable[Place], values: Mapping[str, Tensor], inputs: Inputs
) -> dict[str, Taken]:
    """Return what the products of layers take in a pass, by path; layers without one that is seen are left out.

    Adapters' shares are not in it. Raises InputError for a layer of two products with different weights.
    """
    wanted = {place.owner: place for place in places if not place.is_part}
    seen: dict[str, Taken] = {}

    def note(owner: str, taken: Taken) -> Taken:
        path = wanted[owner].path
        copy = Taken(taken.weight.clone(), None if taken.bias is None else taken.bias.clone())
        if not _same(seen.setdefault(path, copy), copy):
            raise InputError(f"layer '{path}' multiplies by different weights in one pass; accepted are layers of one.")
        return taken

    modules = {owner: place.module for owner, place in wanted.items()}
    with evaluating(network, values.values()), torch.no_grad(), handling(modules, note):
        run_network(network, values, inputs)
    return seen


def _same(one: Taken, other: Taken) -> bool:
    if (one.bias is None) != (other.bias is None):
        return False
    pairs = [(one.weight, other.weight)]
    pairs += [(one.bias, other.bias)] if one.bias is not None and other.bias is not None else []
    return all(mine.shape == yours.shape and _close(mine, yours) for mine, yours in pairs)


def _close(one: Tensor, other: Tensor) -> bool:
    if one.is_meta:
        return True
    bound = CLOSENESS.get(one.dtype, 0.01) * float(one.abs().max())
    return bool((one - other).abs().max() <= bound)


def _check_adapters(network: nn.Module, place: Place, found: LayerValues, inputs: Inputs) -> None:
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
                run_network(network, values, inputs[:1])
    finally:
        hook.remove()
    if len(outputs) == 2 and not _close(*outputs):
        raise InputError(
            f"layer '{place.path}': its adapters do more than add to its weight; accepted are LoRA layers without "
            "changes of magnitude (DoRA) and biases of adapters."
        )
