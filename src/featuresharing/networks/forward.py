"""Forward passes of any network, with its modes given back afterwards."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from featuresharing.errors import InputError
from featuresharing.networks.computed import substituted
from featuresharing.networks.failures import is_out_of_memory, place_of, reason_of
from featuresharing.networks.inputs import Inputs, to_input
from featuresharing.networks.layers import find_place
from featuresharing.networks.outputs import raw_scores
from featuresharing.networks.precision import full_precision
from featuresharing.networks.products import BIAS, WEIGHT, putting
from featuresharing.networks.unchanged import unchanged
from featuresharing.networks.wrappers import looking_through


def network_values(network: nn.Module, device: str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Return parameters and buffers by name on ``device``; those of floating point in ``dtype`` (None: as they are)."""
    named = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        name: _outside_inference(value.detach()).to(device, dtype if value.is_floating_point() else None)
        for name, value in named.items()
    }


def _outside_inference(value: Tensor) -> Tensor:
    """Return a tensor that may be written to and traced; one made in inference mode is copied."""
    return value.clone() if value.is_inference() else value


def run_network(network: nn.Module, values: Mapping[str, Tensor], inputs: Inputs) -> Any:
    """Return what the network gives with parameters and buffers ``values``, which stay as they are.

    A forward pass may write into buffers: it gets copies, so that every pass starts from the same. It may put other
    numbers into parameters (``.data``): it gets other tensors on the same numbers. Values by other names are weights
    and biases of layers, and take the place of what is computed or given to their products.
    """
    buffers, parameters = dict(network.named_buffers()), dict(network.named_parameters())
    given = {name: values[name].clone() for name in buffers} | {name: values[name].detach() for name in parameters}
    others = {name: value for name, value in values.items() if name not in given}
    paths = dict.fromkeys(name.rpartition(":")[0] for name in others if name.endswith((WEIGHT, BIAS)))
    places = {path: find_place(network, path) for path in paths}
    attributes = {name: value for name, value in others.items() if name.rpartition(":")[0] not in places}
    with substituted(network, attributes), putting(places, others) if places else nullcontext():
        return functional_call(network, given, (inputs.images,), inputs.named)


@contextmanager
def evaluating(network: nn.Module, values: Iterable[Tensor] = ()) -> Iterator[None]:
    """Put the network into evaluation mode for a block; then give it back as it was, its modes and all else.

    So are the numbers in ``values``, which it runs with.
    """
    with unchanged(network, values):
        network.eval()
        with looking_through(network):
            yield


@contextmanager
def computing() -> Iterator[None]:
    """Compute without gradients, and in the network's own precision whatever mode the caller is in.

    A caller's inference mode, autocast and TF32 do not reach into the block, and random numbers drawn in it are not
    missing in the caller's.
    """
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.no_grad())
        modes.enter_context(full_precision())
        modes.enter_context(torch.random.fork_rng(devices=[]))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                modes.enter_context(torch.autocast(kind, enabled=False))
        yield


def score_images(
    network: nn.Module,
    values: Mapping[str, Tensor],
    inputs: Inputs,
    *,
    device: str,
    dtype: torch.dtype,
    total: int | None = None,
) -> dict[str, Tensor]:
    """Return the raw scores [N, classes] of every task on inputs, in ``dtype``; ``values`` are on ``device``.

    Raises InputError where the network's own code raises, or for outputs that are something else; it speaks of
    ``total`` images (None: N).
    """
    try:
        with evaluating(network, values.values()):
            outputs = raw_scores(run_network(network, values, to_input(inputs, device, dtype)), len(inputs))
            # copies: a network may return a tensor that it keeps, and gets it back as it was
            return {task: scores.to(dtype, copy=True) for task, scores in outputs.items()}
    except Exception as error:  # whatever a network's own code does
        if isinstance(error, InputError) or is_out_of_memory(error):
            raise
        raise _not_taken(network, total or len(inputs), inputs, error) from error


def _not_taken(network: nn.Module, total: int, inputs: Inputs, error: Exception) -> InputError:
    images = inputs.images
    shape = [total, *images.shape[1:]]
    kind = str(images.dtype).removeprefix("torch.")
    others = f" with {' and '.join(inputs.named)}" if inputs.named else ""
    hint = ""
    if not images.is_floating_point():
        hint = ", and floating-point numbers where it takes no integers"
    elif images.ndim < 4:
        hint = ", and of a single image images[None]"
    return InputError(
        f"images: found {kind} {shape}{others}, which {type(network).__name__} does not take "
        f"({place_of(error, network)}: {reason_of(error)}); accepted is [images, ...] of what it takes{hint}."
    )
