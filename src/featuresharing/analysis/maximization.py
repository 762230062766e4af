"""Feature visualization: the image that drives each unit of a layer most.

From noise, climb along the gradient of what the unit gives at the centre of its map, before its activation. Pixels
decay at every step and are blurred at some, which keeps what grows smooth (the paper's code; Yosinski et al. 2015).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import erf, sqrt
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.arguments import is_whole
from featuresharing.errors import InputError
from featuresharing.networks.failures import is_out_of_memory, place_of, reason_of
from featuresharing.networks.forward import computing, evaluating, network_values, run_network
from featuresharing.networks.inputs import Inputs, as_fixed
from featuresharing.networks.layers import Units, choose_units, find_layer, find_place, unit_count
from featuresharing.networks.preparation import check_device, check_network, choose_precision
from featuresharing.progress_bar import progress_bar
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, FeatureSettings, check

GROUP = 16
"""Units that are worked on together; fixed, so that no image depends on which others are asked for."""

BLUR_WIDTH = 7
"""Pixels of the blur's kernel."""


def maximize_units(
    network: nn.Module,
    layer: str,
    image_shape: Sequence[int],
    *,
    settings: FeatureSettings | None = None,
    units: Units | None = None,
    inputs: Mapping[str, Any] | None = None,
    seed: int = Config.seed,
    device: str = "cpu",
    progress: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield each of ``units`` (None: all) in rising order, and the image float32 [C, H, W] that drives it.

    An image climbs for ``settings.iterations``: it gains ``step`` times the gradient and loses the share ``decay``.
    Every ``blur_every``-th iteration, from the first on, blurs it. The defaults are those of the paper's code.
    ``image_shape`` (C, H, W) is that of one image which the network takes; values are as the network takes them.
    ``layer`` and ``units`` are given as to :func:`featuresharing.marginalize`; ``inputs`` are other arguments of the
    forward pass by name, passed on as they are. Gradients are taken in float64 for
    networks in float64 and in float32 for all others, whether or not the caller has switched them off. The noise at the
    start depends on (seed, module path of the layer, unit) alone, and results on nothing else but the kind of device
    and its threads. The network stays as it is. Raises InputError for a layer or unit that is not there, a layer that
    such an image or its gradient does not reach, or numbers that are not finite.

    >>> units = maximize_units(pictured, "0", (3, 8, 8), settings=FeatureSettings(iterations=10), units=[0, 2])
    >>> [(unit, image.shape) for unit, image in units]
    [(0, (3, 8, 8)), (2, (3, 8, 8))]
    """
    chosen = settings or FeatureSettings()
    shape = list(image_shape) if isinstance(image_shape, Iterable) else image_shape
    if not (isinstance(shape, list) and len(shape) == 3 and all(is_whole(size) and size > 0 for size in shape)):
        raise InputError(f"image_shape: found {shape}; accepted are the three numbers of an image, [C, H, W].")
    check(Config, "seed", seed)
    path, module = find_layer(network, layer, aliases)
    place = find_place(network, path)
    if place.is_part:
        raise InputError(
            f"layer '{layer}' is a part of a {place.kind}: nothing tells what it gives; accepted are modules."
        )
    others = as_fixed(inputs)
    network, device = check_network(network, others), str(device)
    check_device(device)
    wanted = set(choose_units(module, layer, units))
    groups = [range(first, min(first + GROUP, unit_count(module))) for first in range(0, unit_count(module), GROUP)]
    asked = [group for group in groups if wanted & set(group)]
    with computing():
        values = network_values(network, device, choose_precision(network))
        if device == "cpu":  # the layout in which convolutions and pooling are fastest there
            values = {name: _channels_last(value) for name, value in values.items()}
    for group in progress_bar(asked, total=len(asked), label=layer, show=progress):
        noise = np.stack([_noise(image_shape, seed, path, unit) for unit in group])
        with computing(), evaluating(network), torch.enable_grad():
            pass_of = _Pass(network, network.get_submodule(path), layer, module.is_linear, values, others)
            found = _climb(pass_of, torch.from_numpy(noise), group, chosen)
        for unit, image in zip(group, found.cpu().numpy(), strict=True):
            if unit in wanted:
                yield unit, image


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


def _noise(shape: Sequence[int], seed: int, path: str, unit: int) -> NDArray[np.float32]:
    return keyed_generator(seed, "feature", path, unit).standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class _Pass:
    """A pass of a network with ``values`` up to a module, which is the ``layer`` of that name."""

    network: nn.Module
    module: nn.Module
    layer: str
    is_linear: bool
    values: Mapping[str, Tensor]
    others: Mapping[str, Any]


def _climb(to: _Pass, images: Tensor, units: Sequence[int], settings: FeatureSettings) -> Tensor:
    """Return the images float32 [B, C, H, W] that image b, for unit b of ``units``, has become."""
    kind = next(value for value in to.values.values() if value.is_floating_point())
    images = images.to(kind.device, kind.dtype)
    if kind.device.type == "cpu":
        images = _channels_last(images)
    kernel = _blur_kernel().to(kind.device, kind.dtype).expand(images.shape[1], 1, -1, -1)
    for iteration in range(settings.iterations):
        images.requires_grad_()
        with _outputs_of(to.module) as outputs:
            driven = _centres(_run_until(to, images.clone(), outputs), to, units)
            gradient = _gradient(driven, images, to.layer)
        images = (images.detach() + settings.step * gradient) * (1 - settings.decay)
        if iteration % settings.blur_every == 0:
            images = F.conv2d(images, kernel, padding=BLUR_WIDTH // 2, groups=images.shape[1])
    if not torch.isfinite(images).all():
        raise InputError(f"layer '{to.layer}': found images that are not finite; accepted is a smaller step.")
    return images.float()


def _gradient(driven: Tensor, images: Tensor, layer: str) -> Tensor:
    accepted = "accepted is one whose forward pass can be differentiated from its images on"
    if not driven.requires_grad:
        raise InputError(
            f"layer '{layer}': no gradient leads from it to the images, as where a forward pass detaches values or "
            f"runs under torch.no_grad(); {accepted}."
        )
    try:
        (gradient,) = torch.autograd.grad(driven.sum(), images, allow_unused=True)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise InputError(f"layer '{layer}': its gradient cannot be taken ({reason_of(error)}); {accepted}.") from error
    if gradient is None:
        raise InputError(f"layer '{layer}': what it gives does not depend on the images; {accepted}.")
    return gradient


class _ReachedError(Exception):
    """The layer has run: what lies behind it is not needed."""


@contextmanager
def _outputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the module's first output, and end the forward pass there."""
    outputs: list[Tensor] = []

    def stop(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.append(output)
        raise _ReachedError

    hook = module.register_forward_hook(stop)
    try:
        yield outputs
    finally:
        hook.remove()


def _run_until(to: _Pass, images: Tensor, outputs: list[Tensor]) -> Tensor:
    try:
        run_network(to.network, to.values, Inputs(images, fixed=to.others))
    except _ReachedError:
        return outputs[0]
    except Exception as error:  # whatever a network's own code does
        if isinstance(error, InputError) or is_out_of_memory(error):
            raise
        reason = f"{place_of(error, to.network)}: {reason_of(error)}"
        raise InputError(
            f"images of {list(images.shape[1:])} do not pass to layer '{to.layer}' ({reason}); "
            "accepted is the shape [C, H, W] that the network takes."
        ) from error
    raise InputError(f"layer '{to.layer}' has no part in a forward pass; accepted is one that has.")


def _centres(output: Tensor, to: _Pass, units: Sequence[int]) -> Tensor:
    """Return what image b gives at the centre of the map (or of the row of tokens) of unit b, [B]."""
    if len(output) != len(units):
        raise InputError(
            f"layer '{to.layer}': found an output of {list(output.shape)} for {len(units)} images; "
            "accepted are layers whose first dimension is the image."
        )
    if to.is_linear:
        output = output.movedim(-1, 1)
    while output.ndim > 2:
        output = output.select(2, output.shape[2] // 2)
    return output[torch.arange(len(units)), list(units)]


def _blur_kernel() -> Tensor:
    """Return the kernel float64 [1, 1, 7, 7]: root of the product of two profiles, as in the paper's code.

    A profile is the mass of a standard normal distribution in each pixel, one deviation wide.
    """
    edges = np.arange(BLUR_WIDTH + 1) - BLUR_WIDTH / 2
    below = np.array([(1 + erf(edge / sqrt(2))) / 2 for edge in edges])
    root = np.sqrt(np.outer(np.diff(below), np.diff(below)))
    return torch.from_numpy(root / root.sum())[None, None]
