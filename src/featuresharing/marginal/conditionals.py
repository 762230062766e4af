"""The loop over units: how would the predictions look if a unit's parameters were unknown?

For every unit u the conditional is

    q_t(y | x) = sum_s pi_s p_t(y | x, Theta with theta_u := theta_s)

with theta_s drawn from the prior of the unit and pi_s its normalised prior density (:mod:`.weights`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.marginal.draws import shift_parameters, standard_draws
from featuresharing.marginal.layers import Layer, choose_units, find_layer, unit_axis, unit_outputs
from featuresharing.marginal.partition import Partition
from featuresharing.marginal.weights import effective_samples, keep_largest, prior_weights
from featuresharing.networks.forward import evaluating, predict, split_images
from featuresharing.progress import progress_bar

ESTIMATORS = ("prior-weighted",)
"""Accepted names of estimators."""


@dataclass(frozen=True)
class Estimation:
    """How conditionals are estimated, as in :func:`marginalize`; raises InputError for what is not accepted."""

    estimator: str = "prior-weighted"
    samples: int = 100
    scale: float = 1.0
    tolerance: float = 1e-6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise InputError(f"estimator '{self.estimator}' is not known; accepted are {', '.join(ESTIMATORS)}.")
        if self.samples < 1:
            raise InputError(f"samples: found {self.samples}; accepted is at least 1.")
        if not self.scale > 0:
            raise InputError(f"scale: found {self.scale}; accepted is a number above 0.")
        if not 0 <= self.tolerance < 1:
            raise InputError(f"tolerance: found {self.tolerance}; accepted is a number from 0 to below 1.")


@dataclass(frozen=True)
class UnitConditional:
    """The conditionals of one unit: ``probabilities``, float32 [images, classes] for each task, and their quality."""

    unit: int
    probabilities: tuple[NDArray[np.float32], ...]
    effective_samples: float
    skipped_mass: float


@dataclass(frozen=True)
class Conditionals:
    """Conditionals of a layer: iterate over it, or unpack it, for one float32 [units, images, classes] a task.

    ``tasks`` names them in the order of the network's outputs, ``units`` int64 [units] their first axis.
    ``effective_samples`` and ``skipped_mass`` are float64 [units]: how many draws count, and by how much at most a
    conditional is too low because light draws were left out. ``standard_error`` is None for ``prior-weighted``, whose
    weights leave about one draw and thus no spread to estimate an error from.
    """

    probabilities: tuple[NDArray[np.float32], ...]
    tasks: tuple[str, ...]
    units: NDArray[np.int64]
    effective_samples: NDArray[np.float64]
    skipped_mass: NDArray[np.float64]
    standard_error: tuple[NDArray[np.float64], ...] | None = None

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.probabilities)


def marginalize(
    network: nn.Module,
    layer: str,
    images: NDArray[np.float32] | Tensor,
    *,
    estimator: str = "prior-weighted",
    samples: int = 100,
    scale: float = 1.0,
    tolerance: float = 1e-6,
    seed: int = 0,
    units: Sequence[int] | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    progress: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> Conditionals:
    """Marginalize units of one layer out of a network, one at a time.

    ``images`` [N, ...] is what the network takes; it returns raw class scores [N, classes]: a tensor, or a tuple, list
    or dict of tensors, one a task. ``layer`` is a module path, or one of ``aliases``. ``scale`` is the prior's standard
    deviation, ``tolerance`` the largest total weight of draws left out for each unit. ``units`` defaults to all;
    ``batch_size`` bounds the images in one pass and changes numbers by rounding only (under 1e-6). The network's
    parameters, buffers and mode are never changed.

    Raises InputError for an unknown layer, unit or estimator, or a network that torch.fx cannot trace.
    """
    estimation = Estimation(estimator, samples, scale, tolerance, seed)
    rows = iterate_units(
        network,
        layer,
        images,
        estimation,
        units=units,
        batch_size=batch_size,
        device=device,
        progress=progress,
        aliases=aliases,
    )
    conditionals = list(rows)
    tasks, predictions = predict(network, images, batch_size=batch_size, device=device)
    shapes = [p.shape for p in predictions]
    return Conditionals(
        tuple(
            np.stack([c.probabilities[t] for c in conditionals]) if conditionals else np.empty((0, *shape), np.float32)
            for t, shape in enumerate(shapes)
        ),
        tasks,
        np.array([c.unit for c in conditionals], dtype=np.int64),
        np.array([c.effective_samples for c in conditionals]),
        np.array([c.skipped_mass for c in conditionals]),
    )


def iterate_units(
    network: nn.Module,
    layer: str,
    images: NDArray[np.float32] | Tensor,
    estimation: Estimation,
    *,
    units: Iterable[int] | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    progress: bool = False,
    aliases: Mapping[str, str] | None = None,
) -> Iterator[UnitConditional]:
    """Yield the conditionals of one unit after the other; arguments and errors as in :func:`marginalize`."""
    path, module = find_layer(network, layer, aliases)
    chosen = choose_units(module, layer, units)
    with evaluating(network, device):
        dtype = module.weight.dtype
        batches = [batch.to(device, dtype) for batch in split_images(images, batch_size)]
        parts = [Partition(network, path, batch) for batch in batches]
        for unit in progress_bar(chosen, label=layer, show=progress):
            deviations = standard_draws(module, path, unit, samples=estimation.samples, seed=estimation.seed)
            weights = prior_weights(deviations)
            kept, skipped = keep_largest(weights, estimation.tolerance)
            drawn = shift_parameters(module, unit, estimation.scale * deviations[kept])
            parameters = tuple(torch.from_numpy(p).to(device, dtype) for p in drawn)
            results = [_mix(part, module, unit, parameters, weights[kept]) for part in parts]
            probabilities = tuple(
                torch.cat(task).to("cpu", torch.float32).numpy() for task in zip(*results, strict=True)
            )
            yield UnitConditional(unit, probabilities, effective_samples(weights), skipped)


@torch.inference_mode()
def _mix(
    part: Partition, layer: Layer, unit: int, parameters: tuple[Tensor, ...], weights: NDArray[np.float64]
) -> tuple[Tensor, ...]:
    """Return sum_s pi_s p_t(y | x, theta_s) on one batch of images, float64 [N, classes] a task."""
    axis = unit_axis(layer)
    variants = unit_outputs(layer, part.inputs, unit, *parameters)
    mixed: list[Tensor] = []
    for sample, weight in enumerate(weights):
        outputs = part.outputs.clone()
        outputs.select(axis, unit).copy_(variants.select(axis, sample))
        terms = [weight * prediction.double() for prediction in part.predict(outputs)]
        mixed = [total + term for total, term in zip(mixed, terms, strict=True)] if mixed else terms
    return tuple(mixed)
