"""Hooks that keep what a layer gives or takes in the course of a pass, as the features [N, F] of a probe."""

import threading
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from featuresharing.errors import InputError
from featuresharing.networks.layers import MOST_LISTED
from featuresharing.networks.probes import INPUT
from featuresharing.settings.analysis_settings import FLATTEN


class Reading:
    """Hooks on a layer that keep its features in the course of a pass, until they are taken."""

    def __init__(self, layer: str, side: str, pooling: str) -> None:
        self.layer, self.side, self.pooling = layer, side, pooling
        self._found: dict[int, Tensor] = {}  # by thread: DataParallel runs copies of a network side by side

    def check(self, network: nn.Module) -> None:
        """Raise InputError for a layer that the network does not have."""
        modules = dict(network.named_modules(remove_duplicate=False))
        if self.layer not in modules:
            listed = ", ".join([name for name in modules if name][:MOST_LISTED])
            raise InputError(f"layer '{self.layer}' of a probe does not exist; accepted are modules: {listed}.")

    def attach(self, network: nn.Module) -> RemovableHandle:
        """Register the hook, and return its handle; raises InputError as :meth:`check`."""
        self.check(network)
        module = network.get_submodule(self.layer)
        if self.side == INPUT:
            return module.register_forward_pre_hook(self.keep_input)
        return module.register_forward_hook(self.keep_output)

    def keep_input(self, module: nn.Module, given: Any) -> None:
        """Keep what the layer takes."""
        self._keep(given[0] if isinstance(given, tuple) and given else given)

    def keep_output(self, module: nn.Module, given: Any, result: Any) -> None:
        """Keep what the layer gives."""
        self._keep(result)

    def _keep(self, values: Any) -> None:
        if isinstance(values, tuple) and values:  # such as of attention: its result is the first
            values = values[0]
        if not isinstance(values, Tensor) or not values.is_floating_point() or values.ndim < 2:
            kind = f"{values.dtype} {list(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
            what = "takes" if self.side == INPUT else "gives"
            raise InputError(f"layer '{self.layer}' of a probe {what} {kind}; accepted are numbers [images, features].")
        self._found[threading.get_ident()] = pooled(values, self.pooling)

    def take(self) -> Tensor:
        """Return the features [N, F] of the pass, the last ones of a layer that is used several times."""
        found = self._found.pop(threading.get_ident(), None)
        if found is None:
            raise InputError(f"layer '{self.layer}' of a probe is not used in a pass; accepted is one that is.")
        return found


def pooled(values: Tensor, pooling: str) -> Tensor:
    """Return features [N, F] of what a layer gives, in memory of their own: what follows may write into the layer's.

    ``mean`` averages [N, channels, ...] over positions, and [N, tokens, features] over tokens; ``flatten`` keeps all.
    """
    if values.ndim == 2 or pooling == FLATTEN:
        return values.flatten(1).clone()
    return values.mean(dim=1) if values.ndim == 3 else values.flatten(2).mean(dim=2)
