"""Layers with units: one filter of a convolution, one row of a linear layer."""

from collections.abc import Iterable, Mapping
from math import prod

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def find_layer(network: nn.Module, layer: str, aliases: Mapping[str, str] | None = None) -> tuple[str, Layer]:
    """Return the module path and the module of ``layer``, which is a module path or one of ``aliases``.

    Raises InputError if there is no such module or its kind has no units.
    """
    path = (aliases or {}).get(layer, layer)
    modules = dict(network.named_modules())
    module = modules.get(path)
    if isinstance(module, Layer):
        return path, module
    accepted = [name for name, candidate in modules.items() if isinstance(candidate, Layer)]
    names = {known: alias for alias, known in (aliases or {}).items()}
    listed = ", ".join(f"{name} ({names[name]})" if name in names else name for name in accepted)
    found = f"is a {type(module).__name__}" if module is not None else "does not exist"
    raise InputError(f"layer '{layer}' {found}; accepted are convolutions and linear layers: {listed}.")


def unit_count(layer: Layer) -> int:
    """Number of units: filters of a convolution, rows of a linear layer."""
    return int(layer.weight.shape[0])


def choose_units(layer: Layer, name: str, units: Iterable[int] | None) -> list[int]:
    """Return ``units``, all if None; raises InputError for one that the layer called ``name`` does not have."""
    count = unit_count(layer)
    chosen = list(range(count)) if units is None else [int(unit) for unit in units]
    for unit in chosen:
        if not 0 <= unit < count:
            raise InputError(f"unit {unit} of layer '{name}' does not exist; accepted are 0 to {count - 1}.")
    return chosen


def unit_size(layer: Layer) -> int:
    """Number of parameters D of one unit, its bias included where the layer has one."""
    return prod(layer.weight.shape[1:]) + (layer.bias is not None)


def flat_parameters(layer: Layer, unit: int) -> Tensor:
    """Return the unit's D parameters as float64 [D]: its weights in memory order, then its bias where it has one."""
    weight = layer.weight.detach()[unit].reshape(-1)
    bias = layer.bias.detach()[unit : unit + 1] if layer.bias is not None else weight[:0]
    return torch.cat([weight, bias]).to("cpu", torch.float64)
