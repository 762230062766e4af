"""Feature visualization: the image that drives each unit of a layer most.

From noise, climb along the gradient of what the unit gives at the centre of its map, before its activation. Pixels
decay at every step and are blurred at some, which keeps what grows smooth (the paper's code; Yosinski et al. 2015).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from math import erf, sqrt
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.analysis.unit_drives import Drive, PlainDrive, Subject, gradient_of
from featuresharing.analysis.windowed_drives import WindowedDrive, find_drive
from featuresharing.arguments import is_whole
from featuresharing.errors import InputError
from featuresharing.networks.forward import computing, evaluating, network_values
from featuresharing.networks.inputs import as_fixed
from featuresharing.networks.layers import Units, choose_units, find_layer, find_place, unit_count
from featuresharing.networks.preparation import check_device, check_network, choose_precision
from featuresharing.progress_bar import progress_bar
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, FeatureSettings, check

GROUP = 16
"""Fewest units that are worked on together. Groups are fixed: no image depends on which others are asked for."""

LARGEST_GROUP = 128
"""Most units that are worked on together."""

CPU_NUMBERS, GPU_NUMBERS = 2**21, 2**26
"""Numbers that more units than the fewest may keep together, for their gradients."""

TIMED = 4
"""Steps that are timed to foretell how long all will take."""

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
    foretell: Callable[[float], None] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield each of ``units`` (None: all) in rising order, and the image float32 [C, H, W] that drives it.

    An image climbs for ``settings.iterations``: it gains ``step`` times the gradient and loses the share ``decay``.
    Every ``blur_every``-th iteration, from the first on, blurs it. The defaults are those of the paper's code.
    ``image_shape`` (C, H, W) is that of one image which the network takes; values are as the network takes them.
    ``layer`` and ``units`` are given as to :func:`featuresharing.marginalize`; ``inputs`` are other arguments of the
    forward pass by name, passed on as they are. ``foretell`` is told, before the first image, about how many seconds
    all will take, by a few steps that are timed and given up. Gradients are taken in float64 for
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
    with computing():
        values = network_values(network, device, choose_precision(network))
        if device == "cpu":  # the layout in which convolutions and pooling are fastest there
            values = {name: _channels_last(value) for name, value in values.items()}
    subject = Subject(network, network.get_submodule(path), layer, module.is_linear, values, others)
    climbers = _Climbers(subject, path, unit_count(module), tuple(shape), seed, chosen)
    groups = [group for group in climbers.groups() if wanted & set(group)] if wanted else []
    if foretell and groups:
        foretell(climbers.foretold(groups))
    for group in progress_bar(groups, total=len(groups), label=layer, show=progress):
        found = climbers.climb(group, chosen.iterations).float().cpu().numpy()
        for unit, image in zip(group, found, strict=True):
            if unit in wanted:
                yield unit, image


@dataclass(frozen=True, eq=False)
class _Climbers:
    """Images that climb for the ``count`` units of a layer at ``path``, in groups."""

    subject: Subject
    path: str
    count: int
    shape: tuple[int, ...]
    seed: int
    settings: FeatureSettings
    _drives: dict[int, Drive] = field(default_factory=dict)

    def groups(self) -> list[range]:
        """Return the units that are worked on together: the more, the smaller the part of an image that they see."""
        first, size = self._drive(range(min(GROUP, self.count))), GROUP
        if isinstance(first, WindowedDrive):
            numbers = GPU_NUMBERS if next(iter(self.subject.values.values())).is_cuda else CPU_NUMBERS
            size = min(max(GROUP, numbers // first.numbers // GROUP * GROUP), LARGEST_GROUP)
        return [range(start, min(start + size, self.count)) for start in range(0, self.count, size)]

    def climb(self, units: range, iterations: int) -> Tensor:
        """Return the images [B, C, H, W] that noise has become, image b for unit b of ``units``."""
        drive, settings = self._drive(units), replace(self.settings, iterations=iterations)
        with self._modes(runs=isinstance(drive, PlainDrive)):
            return _climb(drive, *self._start(units), settings, self.subject.layer)

    def foretold(self, groups: Sequence[range]) -> float:
        """Return about how many seconds ``groups`` will take: some steps of the first are timed, and given up."""
        steps = min(TIMED, self.settings.iterations)
        self.climb(groups[0], 1)
        start = perf_counter()
        self.climb(groups[0], steps)
        a_unit = (perf_counter() - start) / steps / len(groups[0])
        return a_unit * self.settings.iterations * sum(map(len, groups))

    def _drive(self, units: range) -> Drive:
        """Return what computes as many units at a time; a network that needs its own pass once needs it always."""
        if len(units) not in self._drives:
            plain = next((drive for drive in self._drives.values() if isinstance(drive, PlainDrive)), None)
            with self._modes(runs=True):
                found = plain or find_drive(self.subject, *self._start(units))
            self._drives[len(units)] = found or PlainDrive(self.subject)
        return self._drives[len(units)]

    @contextmanager
    def _modes(self, *, runs: bool) -> Iterator[None]:
        """Compute with gradients; where the network ``runs`` itself, it is given back as it was."""
        with computing(), evaluating(self.subject.network) if runs else nullcontext(), torch.enable_grad():
            yield

    def _start(self, units: range) -> tuple[Tensor, Tensor]:
        """Return the noise that images begin as, and ``units`` as a tensor beside it."""
        keyed = (keyed_generator(self.seed, "feature", self.path, unit) for unit in units)
        noise = np.stack([generator.standard_normal(self.shape, dtype=np.float32) for generator in keyed])
        kind = next(value for value in self.subject.values.values() if value.is_floating_point())
        images = torch.from_numpy(noise).to(kind.device, kind.dtype)
        laid_out = _channels_last(images) if kind.device.type == "cpu" else images
        return laid_out, torch.tensor(list(units), device=kind.device)


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


def _climb(drive: Drive, images: Tensor, units: Tensor, settings: FeatureSettings, layer: str) -> Tensor:
    """Return what ``images`` [B, C, H, W] become when image b climbs for unit b of ``units``; those given change."""
    kernel = _blur_kernel().to(images).expand(images.shape[1], 1, -1, -1)
    for iteration in range(settings.iterations):
        part = images[:, :, *drive.window]
        seen = part.detach().requires_grad_()
        part.add_(gradient_of(drive(seen, units), seen, layer), alpha=settings.step)
        images *= 1 - settings.decay
        if iteration % settings.blur_every == 0:
            images = F.conv2d(images, kernel, padding=BLUR_WIDTH // 2, groups=images.shape[1])
    if not torch.isfinite(images).all():
        raise InputError(f"layer '{layer}': found images that are not finite; accepted is a smaller step.")
    return images


def _blur_kernel() -> Tensor:
    """Return the kernel float64 [1, 1, 7, 7]: root of the product of two profiles, as in the paper's code.

    A profile is the mass of a standard normal distribution in each pixel, one deviation wide.
    """
    edges = np.arange(BLUR_WIDTH + 1) - BLUR_WIDTH / 2
    below = np.array([(1 + erf(edge / sqrt(2))) / 2 for edge in edges])
    root = np.sqrt(np.outer(np.diff(below), np.diff(below)))
    return torch.from_numpy(root / root.sum())[None, None]
