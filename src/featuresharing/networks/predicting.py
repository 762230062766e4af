"""The predictions of a network as it is."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.computation import Computation
from featuresharing.networks.forward import computing, score_images
from featuresharing.networks.outputs import first_undefined, refuse_undefined
from featuresharing.networks.preparation import Prepared, prepare

Array = NDArray[np.float32] | NDArray[np.float64]
"""float32, or float64 for networks in float64."""


def predict(
    network: nn.Module,
    images: NDArray[Any] | Tensor | Iterable[Any],
    *,
    inputs: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    softmax: bool = True,
    dtype: str | None = None,
) -> tuple[tuple[str, ...], tuple[Array, ...]]:
    """Return the names of the tasks and the softmax predictions (or raw scores) [N, classes] of each.

    ``images`` [N, ...] is one array or tensor of what the network takes, or a DataLoader or another iterable of batches
    of it, as in :func:`featuresharing.marginalize`; integers stay integers. Tasks are named, and other ``inputs``
    given, as in :func:`featuresharing.marginalize`. ``dtype`` is float32 or float64, in which everything is computed
    and returned (None: float64 for networks in float64, float32 for all others, half precision included: the precision
    of the conditionals that these predictions are compared with).

    Raises InputError for a network, images or outputs that cannot be analysed, as
    :func:`featuresharing.networks.preparation.prepare` does.

    >>> tasks, (word, basic) = predict(network, images)
    >>> tasks, word.shape, basic.shape
    (('word', 'basic'), (7, 3), (7, 2))
    """
    computation = Computation(device=device, dtype=dtype, batch_size=batch_size)
    ready = prepare(network, images, computation, inputs=inputs, softmax=softmax)
    return ready.tasks, predict_prepared(ready, batch_size=batch_size, softmax=softmax)


def predict_prepared(ready: Prepared, *, batch_size: int | None = None, softmax: bool = True) -> tuple[Array, ...]:
    """Return what :func:`predict` returns of each task, for what is prepared already.

    Raises InputError for scores that are not defined.
    """
    parts: list[list[Tensor]] = []
    with computing():
        for batch in ready.inputs.split(batch_size or len(ready.inputs)):
            outputs = score_images(ready.network, ready.values, batch, device=ready.device, dtype=ready.dtype)
            parts.append([outputs[task] for task in ready.tasks])
        found = [torch.cat(task) for task in zip(*parts, strict=True)]
        for task, scores in zip(ready.tasks, found, strict=True):
            if (image := first_undefined(scores)) is not None:
                raise refuse_undefined(task, image)
        predictions = [torch.softmax(scores, dim=-1) if softmax else scores for scores in found]
    return tuple(values.cpu().numpy() for values in predictions)
