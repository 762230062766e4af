"""Layers with units: one filter of a convolution, one row of a linear layer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from featuresharing.arguments import kind_of
from featuresharing.errors import InputError, first_names
from featuresharing.networks.computed import effective_parameters
from featuresharing.networks.layer_kinds import Place, places_at, places_in
from featuresharing.networks.wrappers import unwrap


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer as its operator gets it: ``weight`` [units, *filter shape] and ``bias`` [units] (None: it has none).

    ``kind`` is what a user calls it, such as Conv2d; it ``is_linear`` or a convolution.
    """

    kind: str
    is_linear: bool
    weight: Tensor
    bias: Tensor | None


MOST_LISTED = 40
"""Layers that a sentence names."""

Units = Iterable[int] | Iterable[bool] | NDArray[Any] | Tensor
"""Units by number, in any order, or a mask with True or False for every unit."""


def find_layer(network: nn.Module, layer: str, aliases: Mapping[str, str] | None = None) -> tuple[str, Layer]:
    """Return the module path of ``layer``, which is a module path or one of ``aliases``, and its units' parameters.

    The path is that within the network itself: of a wrapper such as DataParallel, ``module.0`` and ``0`` are both
    layer ``0``; of a module with several names, it is the first. Layers inside a module are named behind its path:
    ``attention.in_proj`` of torch's attention, ``lstm.ih_l0`` and ``lstm.hh_l0`` of an LSTM. Parameters are those that
    the layer's operator takes, which need not be the module's own (weight norm, pruning, standardised weights, LoRA).

    Raises InputError if there is no such module or its kind has no units, and for a network that is no torch.nn.Module
    or is TorchScript.
    """
    place = find_place(network, layer, aliases)
    for name in place.names:
        weight = place.module._parameters.get(name)  # asking a computed one for its value may change it
        if weight is not None and is_lazy(weight):
            raise InputError(
                f"layer '{layer}' has no shape yet; accepted are networks that have seen images: run it on some once."
            )
    return place.path, Layer(place.kind, place.is_linear, *effective_parameters(place))


def without_adapters(network: nn.Module, place: Place) -> Layer:
    """Return a layer, of one with adapters that which they adapt: it has as many units of as many parameters."""
    return find_layer(network, place.path if place.adapted is None else place.owner)[1]


def find_place(network: nn.Module, layer: str, aliases: Mapping[str, str] | None = None) -> Place:
    """Return where ``layer`` is, which is a module path or one of ``aliases``; raises InputError as find_layer."""
    inside, prefix = unwrap(network)
    modules = dict(inside.named_modules())
    if aliases is not None and not isinstance(aliases, Mapping):
        raise InputError(f"aliases: found {kind_of(aliases)}; accepted is a dict of module paths by alias.")
    if not isinstance(layer, str):
        own = next((f" ('{name}' of this network)" for name, module in modules.items() if module is layer), "")
        raise InputError(f"layer: found {kind_of(layer)}{own}; accepted is one name: {_listed(inside, aliases)}.")
    path = (aliases or {}).get(layer, layer)
    every = dict(inside.named_modules(remove_duplicate=False))
    for name in (path, path.removeprefix(prefix)):
        if place := _place_at(name, every, modules):
            return place
    path = path if path in every else path.removeprefix(prefix)
    known = f"'{layer}' ({path})" if path != layer else f"'{layer}'"
    found = f"is a {_full_name(every[path])}" if path in every else "does not exist"
    listed = _listed(inside, aliases)
    raise InputError(f"layer {known} {found}; accepted are convolutions and linear layers: {listed}.")


def _place_at(path: str, every: Mapping[str, nn.Module], modules: Mapping[str, nn.Module]) -> Place | None:
    """Return the layer at a path in a network, of which ``every`` name leads to one of ``modules``."""
    for owner in (path, path.rpartition(".")[0]):
        if owner in every:
            first = next(name for name, module in modules.items() if module is every[owner])  # of several names
            wanted = first + path[len(owner) :] if first else path[len(owner) :].removeprefix(".")
            for place in places_at(first, every[owner]):
                if place.path == wanted:
                    return place
    return None


def _listed(network: nn.Module, aliases: Mapping[str, str] | None) -> str:
    names = {known: alias for alias, known in (aliases or {}).items()}
    accepted = [place.path for place in places_in(network)]
    listed = [f"{name} ({names[name]})" if name in names else name or "'' (the network itself)" for name in accepted]
    return first_names(listed, MOST_LISTED) or "this network has none"


def _full_name(module: nn.Module) -> str:
    """Return a class's name, with its module for one that is called like a layer of torch.nn (a quantized Linear)."""
    kind = type(module)
    return kind.__name__ if kind is getattr(nn, kind.__name__, kind) else f"{kind.__module__}.{kind.__name__}"


def unit_count(layer: Layer) -> int:
    """Number of units: filters of a convolution, rows of a linear layer."""
    return int(layer.weight.shape[0])


def choose_units(layer: Layer, name: str, units: Units | None) -> list[int]:
    """Return the numbers of ``units``, all if None: a list or array of them, or a mask with a bool for every unit.

    A unit that is named twice is there twice. Raises InputError for anything else, and for a unit that the layer called
    ``name`` does not have.
    """
    count = unit_count(layer)
    if units is None:
        return list(range(count))
    chosen = _numbers(units, f"units of layer '{name}'", count)
    for unit in chosen:
        if not 0 <= unit < count:
            raise InputError(f"unit {unit} of layer '{name}' does not exist; accepted are 0 to {count - 1}.")
    return chosen


def _numbers(units: Any, what: str, count: int) -> list[int]:
    accepted = f"accepted are whole numbers, as in [0, 3], or a mask with a bool for each of {count} units"
    if isinstance(units, Tensor):
        units = units.detach().cpu().numpy() if units.dtype != torch.bfloat16 else units.tolist()
    try:
        if isinstance(units, str | bytes | Mapping):
            raise TypeError
        items = list(units)
    except TypeError:  # a single number, too
        raise InputError(f"{what}: found {units!r}; {accepted}.") from None
    if items and all(isinstance(item, bool | np.bool_) for item in items):
        if len(items) != count:
            raise InputError(f"{what}: found a mask of {len(items)}; {accepted}.")
        return [unit for unit, wanted in enumerate(items) if wanted]
    for item in items:
        number = item.item() if isinstance(item, Tensor) and item.ndim == 0 else item
        if isinstance(number, bool | np.bool_) or not isinstance(number, int | np.integer):
            raise InputError(f"{what}: found {item!r}; {accepted}.")
    return [int(item) for item in items]


def unit_size(layer: Layer) -> int:
    """Number of parameters D of one unit, its bias included where the layer has one."""
    return prod(layer.weight.shape[1:]) + (layer.bias is not None)


def flat_parameters(layer: Layer, unit: int) -> Tensor:
    """Return the unit's D parameters as float64 [D]: its weights in memory order, then its bias where it has one."""
    weight = layer.weight.detach()[unit].reshape(-1)
    bias = layer.bias.detach()[unit : unit + 1] if layer.bias is not None else weight[:0]
    return torch.cat([weight, bias]).to("cpu", torch.float64)
