"""Layers whose weights are computed from other parameters: the weight that an operator takes is the layer's.

A unit's filter is a row of it, and is marginalized out or removed as that of any other layer; the parameters behind it
stay as they are. There are two ways. Where an attribute of the module is computed (``torch.nn.utils.parametrize``;
hooks before the pass: the older ``weight_norm`` and ``spectral_norm``, and ``prune``; plain tensors in the place of a
parameter), that attribute is the weight. Where the module's own pass computes it, or lays it out in another way than
units first, it is what the product takes (:mod:`.products`); adapters (LoRA) add their share.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from featuresharing.errors import InputError
from featuresharing.networks.failures import is_out_of_memory, reason_of
from featuresharing.networks.layer_kinds import TRANSPOSED, Place, is_matrix_layer, joined, turned
from featuresharing.networks.precision import precision_of
from featuresharing.networks.products import Taken, handling
from featuresharing.networks.unchanged import unchanged

Parameters = tuple[Tensor, Tensor | None]
"""A weight [units, ...], and a bias [units] or None."""


def effective_parameters(place: Place) -> Parameters:
    """Return what a layer's operator takes at evaluation, found without a pass of the network."""
    with torch.no_grad():
        weight, bias = _own_parameters(place)
        return (weight, bias) if place.adapted is None else (weight + adapters_share(place, {}), bias)


def _own_parameters(place: Place) -> Parameters:
    if not place.is_direct and not place.is_part and (found := _watched_alone(place.module)):
        return found.weight, found.bias
    if computed_names(place):
        return attribute_parameters(place, {})
    weight, bias = (getattr(place.module, name, None) for name in place.names)
    assert isinstance(weight, Tensor)
    return turned(weight.detach(), layout_of(place.module), getattr(place.module, "groups", 1)), bias


def layout_of(module: nn.Module) -> str:
    """Return how a module's own weight is laid out; see :func:`.turned`."""
    return "transposed" if isinstance(module, TRANSPOSED) else "matrix" if is_matrix_layer(module) else "rows"


class _FoundError(Exception):
    """The product has been seen."""


def _watched_alone(module: nn.Module) -> Taken | None:
    """Return what the product of a module takes, seen in a pass of the module on zeros; None if there is none."""
    seen: list[Taken] = []

    def stop(_: str, taken: Taken) -> Taken:
        seen.append(taken)
        raise _FoundError

    kind: Any = module
    with unchanged(module):
        module.eval()
        own = next(module.parameters(), torch.empty(0))
        if isinstance(module, nn.Linear) or is_matrix_layer(module):
            shape = [kind.in_features if isinstance(module, nn.Linear) else len(kind.weight)]
        else:
            sizes = [2 * spread * size + 2 for spread, size in zip(kind.dilation, kind.kernel_size, strict=True)]
            shape = [kind.in_channels, *sizes]
        zeros = torch.zeros(1, *shape, dtype=own.dtype, device=own.device)
        try:
            with handling({"layer": module}, stop):
                module(zeros)
        except Exception:  # whatever a module's own code does: a pass of the network will tell
            pass
    return seen[0] if seen else None


def adapters_share(place: Place, values: Mapping[str, Tensor]) -> Tensor:
    """Return what the active adapters of a layer add to its weight [units, ...]; ``values`` as in its network.

    Raises InputError for adapters that do not say it.
    """
    module: Any = place.adapted
    inside = {name.removeprefix(f"{place.path}."): value for name, value in values.items()}
    own = {f"layer.{name}": inside[name] for name, _ in module.named_parameters() if name in inside}
    own |= {f"layer.{name}": inside[name] for name, _ in module.named_buffers() if name in inside}
    try:
        with unchanged(module), torch.no_grad():
            share: Tensor = functional_call(_Share(module), own, ())
    except Exception as error:  # whatever their own code does
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"layer '{place.path}': its adapters do not say what they add to its weight ({reason_of(error)}); accepted "
            f"are LoRA layers that can be merged, and '{joined(place.path, 'base_layer')}' without them."
        ) from error
    return turned(share, layout_of(place.module), getattr(place.module, "groups", 1))


class _Share(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(self) -> Tensor:
        share = torch.zeros_like(self.layer.base_layer.weight)
        if not (self.layer.merged or self.layer.disable_adapters):
            for name in self.layer.active_adapters:
                share = share + (self.layer.get_delta_weight(name) if name in self.layer.lora_A else 0)
        return share


def computed_names(place: Place) -> list[str]:
    """Return which of a layer's weight and bias are attributes that are neither parameters nor buffers."""
    layer = place.module
    names = [name for name in place.names if name not in layer._parameters and name not in layer._buffers]
    return [name for name in names if parametrize.is_parametrized(layer, name) or name in vars(layer)]


def attribute_parameters(place: Place, values: Mapping[str, Tensor]) -> Parameters:
    """Return the weight and bias that are computed as attributes; ``values`` are parameters by name in the network."""
    layer, start = place.module, f"{place.owner}." if place.owner else ""
    inside = {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}
    with unchanged(layer), torch.no_grad():
        layer.eval()
        given = {f"layer.{name}": value for name, value in inside.items()}
        weight, bias = functional_call(_Attributes(layer), given, ())
        kind = precision_of(inside.values(), weight.dtype)
        return weight.detach().clone().to(kind), None if bias is None else bias.detach().clone().to(kind)


class _Attributes(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(self) -> Parameters:
        for hook in self.layer._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm | SpectralNorm | BasePruningMethod):
                hook(self.layer, ())
        return self.layer.weight, self.layer.bias


@contextmanager
def substituted(network: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """For a block, let layers take computed weights and biases from ``values``, by path and name, as they are."""
    handles = []
    try:
        for name, value in values.items():
            path, _, attribute = name.rpartition(".")
            layer = network.get_submodule(path)
            if parametrize.is_parametrized(layer, attribute):
                parametrizations: Any = layer.parametrizations
                handles.append(parametrizations[attribute].register_forward_hook(partial(_give, value)))
            else:
                handles.append(layer.register_forward_pre_hook(partial(_put, attribute, value)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _give(value: Tensor, *_: Any) -> Tensor:
    return value


def _put(attribute: str, value: Tensor, layer: nn.Module, _: Any) -> None:
    setattr(layer, attribute, value)
