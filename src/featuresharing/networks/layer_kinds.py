"""Which modules of a network are layers with units, and how units lie in the weights that their operators take."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

UNITS_FIRST = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
"""Layers whose weight [units, ...] has one unit a row."""

TRANSPOSED = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
"""Layers whose weight is [inputs, units of a group, ...]."""

RECURRENT = nn.RNNBase | nn.RNNCellBase
"""Modules of gates, whose weights [units, ...] have names of their own for inputs and states."""

OWN_NAMES = ("weight", "bias")
OWN_IN_PROJECTION = ("in_proj_weight", "in_proj_bias")

_PLAIN_PASSES = {kind.forward for kind in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)}


@dataclass(frozen=True, eq=False)
class Place:
    """Where a layer is: at ``path``, by the product of the ``module`` at ``owner``, whose parameters have ``names``.

    ``adapted`` is the module of adapters (LoRA) around it, which add to its weight; None if there are none.
    """

    path: str
    module: nn.Module
    owner: str
    names: tuple[str, str] = OWN_NAMES
    adapted: nn.Module | None = None

    @property
    def is_part(self) -> bool:
        """Whether it is one of several layers inside a module that has no modules for them."""
        return self.names != OWN_NAMES

    @property
    def kind(self) -> str:
        """What a user calls it, such as Conv2d."""
        kind: Any = parametrize.type_before_parametrizations(self.module)
        return f"LoRA {kind.__name__}" if self.adapted is not None else str(kind.__name__)

    @property
    def is_linear(self) -> bool:
        """Whether units are rows of a matrix; otherwise they are filters of a convolution."""
        return isinstance(self.module, nn.Linear) or is_matrix_layer(self.module) or self.is_part

    @property
    def is_direct(self) -> bool:
        """Whether its operator takes weights as they lie in the module, units first, by a plain product."""
        plain = isinstance(self.module, UNITS_FIRST) and type(self.module).forward in _PLAIN_PASSES
        return (plain or isinstance(self.module, RECURRENT)) and self.adapted is None


def places_in(network: nn.Module) -> Iterator[Place]:
    """Yield the layers of a network, in the order of its modules."""
    for path, module in network.named_modules():
        yield from places_at(path, module)


def places_at(path: str, module: nn.Module) -> Iterator[Place]:
    """Yield the layer that a module at ``path`` is, or those that it has without modules for them."""
    base: Any = getattr(module, "base_layer", None) if hasattr(module, "get_delta_weight") else None
    if is_layer(base):
        yield Place(path, base, joined(path, "base_layer"), adapted=module)
    elif is_layer(module):
        yield Place(path, module, path)
    else:
        for part, names in _parts(module):
            yield Place(joined(path, part), module, path, names)


def joined(path: str, name: str) -> str:
    """Return the path of what has a ``name`` in the module at ``path``."""
    return f"{path}.{name}" if path else name


def is_layer(module: Any) -> bool:
    """Whether a module is a convolution, a transposed one, or a linear layer."""
    return isinstance(module, UNITS_FIRST | TRANSPOSED) or is_matrix_layer(module)


def is_matrix_layer(module: Any) -> bool:
    """Whether a module is a linear layer with a weight [inputs, units]: the Conv1D of Hugging Face."""
    if type(module).__name__ != "Conv1D" or not isinstance(module, nn.Module):
        return False
    weight, bias = (module._parameters.get(name) for name in OWN_NAMES)
    return weight is not None and bias is not None and weight.ndim == 2 and bias.shape == weight.shape[1:]


def _parts(module: nn.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    if isinstance(module, nn.MultiheadAttention) and module._parameters.get("in_proj_weight") is not None:
        yield "in_proj", OWN_IN_PROJECTION
    if isinstance(module, RECURRENT):
        for name in module._parameters:
            if name.startswith(("weight_ih", "weight_hh")):
                part = name.removeprefix("weight_")
                yield part, (name, f"bias_{part}")


def turned(weight: Tensor, layout: str, groups: int) -> Tensor:
    """Return a weight [units, ...] from one in a ``layout``, or the other way round: each undoes the other.

    Layouts are rows, matrix [inputs, units], and transposed [inputs, units of a group, ...].
    """
    if layout == "rows":
        return weight
    if layout == "matrix" or groups == 1:
        return weight.transpose(0, 1)
    return torch.cat([part.transpose(0, 1) for part in weight.chunk(groups)])
