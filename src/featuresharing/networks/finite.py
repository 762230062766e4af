"""Finds numbers that are NaN or infinite."""

from collections.abc import Mapping
from itertools import chain

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError


def first_not_finite(values: Tensor) -> tuple[int, ...] | None:
    """Return the place of the first number in ``values`` that is NaN or infinite; None if all are finite."""
    if not (values.is_floating_point() or values.is_complex()):
        return None
    values = values.detach()
    if bool(torch.isfinite(values.sum())):  # asking every number takes twenty times as long
        return None
    wrong = (~torch.isfinite(values)).nonzero()
    return tuple(wrong[0].tolist()) if len(wrong) else None


def refuse_non_finite(place: str, network: nn.Module, aliases: Mapping[str, str] | None = None) -> None:
    """Raise InputError, which begins with ``place``, if a parameter or buffer holds a number that is not finite.

    ``aliases`` are names of layers and their module paths.
    """
    names = {path: alias for alias, path in (aliases or {}).items()}
    for name, values in chain(network.named_parameters(), network.named_buffers()):
        if (first := first_not_finite(values)) is not None:
            layer, _, kind = name.rpartition(".")
            unit = f" of unit {first[0]}" if first else ""
            place += f": the {kind}{unit}" + (f" of layer {layer}" if layer else "")
            place += f" ({names[layer]})" if layer in names else ""
            found = values[first].item()
            raise InputError(f"{place} holds {found}; accepted are finite numbers.")
