"""Modules around a network that say where or how it runs, not what it computes: they are looked through."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from featuresharing.arguments import kind_of
from featuresharing.errors import InputError

_ATTRIBUTES: dict[str, str] = {"OptimizedModule": "_orig_mod"}
"""Names of classes (torch.compile's costs seconds to import) and the attribute that holds the network."""


def unwrap(network: Any) -> tuple[nn.Module, str]:
    """Return the network inside DataParallel, DistributedDataParallel and torch.compile, and the prefix of its names.

    Names of its modules start with that prefix when they are asked of the wrapper: ``module.``, ``_orig_mod.`` or both.
    Raises InputError for what is no torch.nn.Module, or is TorchScript in a part.
    """
    if not isinstance(network, nn.Module):
        raise InputError(f"network: found {kind_of(network)}; accepted is a torch.nn.Module.")
    prefix = ""
    while attribute := _inside(network):
        network, prefix = getattr(network, attribute), f"{prefix}{attribute}."
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            kind, part = type(network).__name__, f" '{name}'" if name else ""
            raise InputError(f"{kind}: found TorchScript{part}; accepted is the torch.nn.Module that it was made from.")
    return network, prefix


def _inside(module: nn.Module) -> str | None:
    if isinstance(module, nn.DataParallel | DistributedDataParallel):
        return "module"
    return _ATTRIBUTES.get(type(module).__name__)


@contextmanager
def looking_through(network: nn.Module) -> Iterator[None]:
    """For a block, let every wrapper inside a network call what it wraps, and every compiled module its own code."""
    with ExitStack() as changes:
        for module in network.modules():
            if attribute := _inside(module):
                changes.enter_context(with_attribute(module, "forward", getattr(module, attribute).__call__))
            if getattr(module, "_compiled_call_impl", None) is not None:
                changes.enter_context(with_attribute(module, "_compiled_call_impl", None))
        yield


@contextmanager
def with_attribute(module: nn.Module, name: str, value: Any) -> Iterator[None]:
    """For a block, give a module an attribute of its own."""
    own = dict(vars(module))
    try:
        vars(module)[name] = value
        yield
    finally:
        del vars(module)[name]
        if name in own:
            vars(module)[name] = own[name]
