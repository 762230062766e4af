"""Modules that are made of what files say: their paths, their names and their parameters."""

import re
from collections.abc import Collection

from torch import Tensor, nn

MOST_DEPTH = 50
"""Modules that a path may lead through."""

TAKEN = frozenset(name for kind in (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Module) for name in dir(kind)) | {
    *("weight", "bias", "running_mean", "running_var", "in_channels", "out_channels", "in_features", "out_features"),
    *("kernel_size", "stride", "padding", "dilation", "groups", "training", "output_padding", "padding_mode"),
    "transposed",
}
"""Names that modules have for themselves."""


def valid_path(name: str, taken: Collection[str] = TAKEN) -> str:
    """Return a name of a file as a module path: other characters than letters, digits and _ become _.

    Names that are ``taken`` get another _ at their end.

    >>> valid_path("conv@1.weight")
    'conv_1.weight_'
    """
    parts = [valid_name(part) for part in name.split(".")][-MOST_DEPTH:]
    return ".".join(f"{part}_" if part in taken else part for part in parts)


def valid_name(name: str) -> str:
    """Return a name of a file as that of a parameter."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)[:200] or "_"


class DifferentNames:
    """Names that are given once each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def different(self, name: str) -> str:
        """Return a name, with a number behind it if it was given before."""
        found = name
        while found in self._counts:
            self._counts[name] += 1
            found = f"{name}_{self._counts[name]}"
        self._counts[found] = 1
        return found


def module_at(network: nn.Module, path: str) -> nn.Module:
    """Return the module at a path, made of empty ones where there is none."""
    found = network
    for name in filter(None, path.split(".")):
        if name not in found._modules:
            found.add_module(name, nn.Module())
        found = found.get_submodule(name)
    return found


def place_module(network: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module to its path; others that are inside of that path stay inside."""
    scope, _, name = path.rpartition(".")
    parent = module_at(network, scope)
    there = parent._modules.get(name)
    for inside, child in there.named_children() if there is not None else ():
        module.add_module(inside, child)
    parent.add_module(name, module)


def with_parameters(module: nn.Module, **values: Tensor | None) -> nn.Module:
    """Give a module, made without memory, its parameters, and return it."""
    for name, value in values.items():
        setattr(module, name, None if value is None else nn.Parameter(value))
    return module
