"""What a layer gives or takes of images, as features [N, F] that linear classifiers read."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.networks.inputs import as_images
from featuresharing.networks.predicting import predict
from featuresharing.networks.probe_reading import Reading
from featuresharing.networks.probes import OUTPUT, check_pooling
from featuresharing.networks.wrappers import unwrap
from featuresharing.settings import ProbeSettings


def layer_features(
    network: nn.Module,
    layer: str,
    images: NDArray[Any] | Tensor,
    *,
    side: str = OUTPUT,
    pooling: str = ProbeSettings.pooling,
    inputs: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Return features float64 [N, F] of images at a layer, computed in the network's precision.

    ``layer`` is a module path; ``side`` is what it gives (``output``) or takes (``input``). What the network itself
    returns does not matter; other ``inputs`` are as in :func:`.predict`. Raises InputError for a layer that is not
    there or not used, and for images and networks that cannot be analysed.
    """
    check_pooling(pooling)
    reading = Reading(layer, side, pooling)
    with _returning(network, lambda *_: reading.take()) as (inside, hooks):
        hooks.callback(reading.attach(inside).remove)
        _, (features,) = predict(network, images, inputs=inputs, batch_size=batch_size, device=device, softmax=False)
    return features.astype(np.float64)


def last_linear_layer(
    network: nn.Module, images: NDArray[Any] | Tensor, inputs: Mapping[str, Any] | None = None
) -> str:
    """Return the path of the linear layer that is used last in a pass: its input are the penultimate features.

    Raises InputError for a network that uses none, and for what cannot be analysed.
    """
    last = _Last()
    with _returning(network, last.of_pass) as (inside, hooks):
        paths = [path for path, module in inside.named_modules() if isinstance(module, nn.Linear)]
        for number, path in enumerate(paths):
            hooks.callback(inside.get_submodule(path).register_forward_pre_hook(last.noting(number)).remove)
        few = images if inputs else as_images(images)[:1]  # inputs may have a row for each image
        _, (numbers,) = predict(network, few, inputs=inputs, softmax=False)
    if numbers[0, 0] < 0:
        raise InputError("layer of a probe: found no linear layer in a pass; accepted is the module path of a layer.")
    found: str = paths[int(numbers[0, 0])]
    return found


class _Last:
    """Notes in a pass which numbered layer is used last; the pass returns it, as all else is put back behind it."""

    def __init__(self) -> None:
        self._number = -1

    def noting(self, number: int) -> Any:
        def note(*_: Any) -> None:
            self._number = number

        return note

    def of_pass(self, network: nn.Module, given: Any, result: Any) -> Tensor:
        number, self._number = self._number, -1
        images: Tensor = given[0]
        return images.new_full((len(images), 1), number).float()


@contextmanager
def _returning(network: nn.Module, hook: Any) -> Iterator[tuple[nn.Module, ExitStack]]:
    """For a block, let a network return what a hook does; yield it without wrappers, and where to put other hooks."""
    inside, _ = unwrap(network)
    with ExitStack() as hooks:
        hooks.callback(inside.register_forward_hook(hook).remove)
        yield inside, hooks
