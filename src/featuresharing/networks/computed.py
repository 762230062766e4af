"""Layers whose weights are computed from other parameters: weight norm, spectral norm, pruning.

Such a layer's weight is what the computation gives at evaluation. A unit's filter is a row of it, and is marginalized
out or removed as that of any other layer; the parameters behind it stay as they are. Covered are parametrizations
(``torch.nn.utils.parametrize``), hooks before the forward pass (the older ``weight_norm`` and ``spectral_norm``, and
``prune``), and plain tensors in the place of a parameter.
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

from featuresharing.networks.unchanged import unchanged

_NAMES = ("weight", "bias")


def plain_layer(layer: Any) -> Any:
    """Return the layer, or one of its kind with the weight and bias that are computed in it at evaluation."""
    if not _computed(layer):
        return layer
    with torch.no_grad():
        weight, bias = _compute(layer, {})
    kind: Any = parametrize.type_before_parametrizations(layer)
    plain = kind.__new__(kind)
    nn.Module.__init__(plain)
    plain.weight = nn.Parameter(weight, requires_grad=False)
    plain.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return plain


def layer_values(
    network: nn.Module, path: str, values: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], str, str | None]:
    """Return ``values`` with the weight and bias of the layer at ``path``, and the names of these (None: no bias).

    ``values`` are the network's parameters and buffers. What is computed in the layer gets a name of its own, under
    which :func:`substituted` puts it into a pass.
    """
    layer: Any = network.get_submodule(path)
    tensors = [*network.named_parameters(), *network.named_buffers()]
    known = {id(tensor): name for name, tensor in tensors}
    computed = _computed(layer)
    own = {name: value for name, value in values.items() if name.startswith(f"{path}." if path else "")}
    inside = {name.removeprefix(f"{path}."): value for name, value in own.items()}
    given, names = dict(values), []
    with torch.no_grad():
        found = dict(zip(_NAMES, _compute(layer, inside), strict=True)) if computed else {}
    for name in _NAMES:
        value = found.get(name)
        if name in computed and value is not None:
            names.append(f"{path}.{name}" if path else name)
            given[names[-1]] = value
        else:
            names.append(known.get(id(getattr(layer, name)), ""))
    return given, names[0], names[1] or None


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


def _computed(layer: nn.Module) -> list[str]:
    """Return which of weight and bias are tensors, but neither parameters nor buffers."""
    names = [name for name in _NAMES if name not in layer._parameters and name not in layer._buffers]
    return [name for name in names if parametrize.is_parametrized(layer, name) or name in vars(layer)]


def _compute(layer: nn.Module, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    with unchanged(layer):
        layer.eval()
        weight, bias = functional_call(_Weights(layer), {f"layer.{name}": value for name, value in values.items()}, ())
        kind = next((value.dtype for value in values.values() if value.is_floating_point()), weight.dtype)
        return weight.detach().clone().to(kind), None if bias is None else bias.detach().clone().to(kind)


class _Weights(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer: Any = layer

    def forward(self) -> tuple[Tensor, Tensor | None]:
        for hook in self.layer._forward_pre_hooks.values():
            if isinstance(hook, WeightNorm | SpectralNorm | BasePruningMethod):
                hook(self.layer, ())
        return self.layer.weight, self.layer.bias
