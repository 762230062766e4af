"""Forward passes of any network: its predictions on images, and its modes given back afterwards."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from featuresharing.errors import InputError
from featuresharing.networks.unchanged import unchanged


def predict(
    network: nn.Module,
    images: NDArray[np.float32] | Tensor,
    *,
    batch_size: int | None = None,
    device: str = "cpu",
    softmax: bool = True,
) -> tuple[tuple[str, ...], tuple[NDArray[np.float32], ...]]:
    """Return the names of the tasks and the softmax predictions (or raw scores) float32 [N, classes] of each."""
    values = network_values(network, device)
    dtype = next(iter(values.values())).dtype
    with evaluating(network), torch.inference_mode():
        outputs = [
            task_outputs(run_network(network, values, batch.to(device, dtype, copy=True)))
            for batch in split_images(images, batch_size)
        ]
        scores = {task: torch.cat([output[task] for output in outputs]) for task in outputs[0]}
        found = [torch.softmax(values, dim=-1) if softmax else values for values in scores.values()]
    return tuple(scores), tuple(values.to("cpu", torch.float32).numpy() for values in found)


def network_values(network: nn.Module, device: str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Return parameters and buffers by name on ``device``; those of floating point in ``dtype`` (None: as they are)."""
    named = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        name: value.detach().to(device, dtype if value.is_floating_point() else None) for name, value in named.items()
    }


def run_network(network: nn.Module, values: Mapping[str, Tensor], images: Tensor) -> Any:
    """Return what the network gives with parameters and buffers ``values``, which stay as they are.

    A forward pass may write into buffers: it gets copies, so that every pass starts from the same. It may put other
    numbers into parameters (``.data``): it gets other tensors on the same numbers.
    """
    buffers = {name for name, _ in network.named_buffers()}
    given = {name: value.clone() if name in buffers else value.detach() for name, value in values.items()}
    return functional_call(network, given, (images,))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode for a block; then give it back as it was, its modes and all else."""
    with unchanged(network):
        network.eval()
        yield


def task_outputs(result: Any) -> dict[str, Tensor]:
    """Name a network's outputs: a dict keeps its keys, a list or tuple counts from "0", a tensor is task "0"."""
    if isinstance(result, Tensor):
        return {"0": result}
    if isinstance(result, Mapping):
        return {str(name): value for name, value in result.items()}
    return {str(index): value for index, value in enumerate(result)}


def split_images(images: NDArray[np.float32] | Tensor, batch_size: int | None) -> Sequence[Tensor]:
    """Split images [N, ...] into tensors of at most ``batch_size``; raises InputError for none or NaN."""
    tensor = torch.as_tensor(images)
    if len(tensor) == 0:
        raise InputError("images: found none; accepted is at least one.")
    if not all(torch.isfinite(part).all() for part in torch.split(tensor, 16)):  # in parts: it takes memory
        raise InputError("images: found values that are NaN or infinite; accepted are finite numbers.")
    return torch.split(tensor, batch_size or len(tensor))
