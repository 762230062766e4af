"""The loop over units: how would the predictions look if a unit's parameters were unknown?

For every unit u the conditional is the mean of its variants' predictions, each with its share,

    q_t(y | x) = sum_s share_s p_t(y | x, Theta with theta_u := theta_s)

From formula to code: :mod:`.draws` makes the theta_s, :mod:`.weights` and :mod:`.estimation` their shares,
:mod:`.engine` the scores behind the p_t (through :mod:`.tracing`, :mod:`.plan`, :mod:`.slabs` and :mod:`.interpreter`),
and this module the sum. Units are worked on in groups, so that one batch holds draws of several units.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.marginal.engine import Engine, OneChannelEngine, full_precision, make_engine
from featuresharing.marginal.estimation import Estimation, Variants, draw_variants
from featuresharing.marginal.layers import Layer, choose_units, find_layer
from featuresharing.marginal.quadrature import integrate
from featuresharing.marginal.variants import is_out_of_memory
from featuresharing.progress import progress_bar

Array = NDArray[np.float32] | NDArray[np.float64]
"""float32, or float64 for networks in float64."""

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class UnitConditional:
    """The conditionals of one unit: ``probabilities`` [images, classes] for each task, and their quality.

    See :class:`Conditionals` for what the numbers say.
    """

    unit: int
    probabilities: tuple[Array, ...]
    effective_samples: float
    skipped_mass: float
    standard_error: tuple[Array, ...] | None = None
    error_estimate: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Conditionals:
    """Conditionals of a layer: iterate over it, or unpack it, for one [units, images, classes] a task.

    ``probabilities`` are float32, or float64 for networks in float64. ``tasks`` names them in the order of the
    network's outputs, ``units`` int64 [units] their first axis.

    ``effective_samples`` float64 [units]: how many draws count (infinite for ``quadrature``, which makes none).
    ``skipped_mass`` float64 [units]: by how much at most a conditional is too low because light draws were left out.
    ``standard_error``, for ``monte-carlo`` only: of every number in ``probabilities``, in the same layout. It is None
    for ``prior-weighted``, whose weights leave about one draw and thus no spread to estimate an error from.
    ``error_estimate`` float64 [units, images], for ``quadrature`` only: of any class's number.
    """

    probabilities: tuple[Array, ...]
    tasks: tuple[str, ...]
    units: NDArray[np.int64]
    effective_samples: NDArray[np.float64]
    skipped_mass: NDArray[np.float64]
    standard_error: tuple[Array, ...] | None = None
    error_estimate: NDArray[np.float64] | None = None

    def __iter__(self) -> Iterator[Array]:
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
    dtype: str | None = None,
    memory: int | None = None,
    engine: str = "one-channel",
) -> Conditionals:
    """Marginalize units of one layer out of a network, one at a time.

    ``images`` [N, ...] is what the network takes; it returns raw class scores [N, classes]: a tensor, or a tuple, list
    or dict of tensors, one a task. ``layer`` is a module path, or one of ``aliases``. ``scale`` is the prior's standard
    deviation; ``tolerance`` is the largest total weight of draws left out for each unit (``prior-weighted``), or the
    largest estimated error (``quadrature``). ``units`` defaults to all.

    ``dtype`` is float32 or float64 (None: the network's own). ``memory`` bounds the working set in bytes (None: half of
    what is free), ``batch_size`` the images in one pass; both change numbers by rounding only (under 1e-6). ``engine``
    is ``one-channel``, or ``plain`` to run the whole network for every draw. The network's parameters, buffers and mode
    are never changed.

    Raises InputError for an unknown layer, unit or name, or a network that cannot be traced.
    """
    estimation = Estimation(estimator, samples, scale, tolerance, seed)
    path, module = find_layer(network, layer, aliases)
    chosen = choose_units(module, layer, units)
    settings = {"batch_size": batch_size, "device": device, "memory": memory}
    runner = make_engine(network, path, images, engine=engine, dtype=dtype, **settings)
    rows = _estimate(runner, module, layer, path, estimation, chosen)
    return collect(progress_bar(rows, total=len(chosen), label=layer, show=progress), runner, estimation.estimator)


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
    dtype: str | None = None,
    memory: int | None = None,
    engine: str = "one-channel",
) -> Iterator[UnitConditional]:
    """Yield the conditionals of one unit after the other; arguments and errors as in :func:`marginalize`."""
    path, module = find_layer(network, layer, aliases)
    chosen = choose_units(module, layer, units)
    settings = {"batch_size": batch_size, "device": device, "memory": memory}
    runner = make_engine(network, path, images, engine=engine, dtype=dtype, **settings)
    rows = _estimate(runner, module, layer, path, estimation, chosen)
    return progress_bar(rows, total=len(chosen), label=layer, show=progress)


def _estimate(
    engine: Engine, layer: Layer, name: str, path: str, estimation: Estimation, units: Sequence[int]
) -> Iterator[UnitConditional]:
    if estimation.estimator != "quadrature":
        spread = estimation.estimator == "monte-carlo"
        return mix(engine, (draw_variants(layer, path, unit, estimation) for unit in units), spread=spread)
    if not isinstance(engine, OneChannelEngine):
        raise InputError("engine 'plain' cannot integrate; accepted for quadrature is one-channel.")
    if not isinstance(layer, nn.Linear) or engine.layer_rows != 1:
        raise InputError(f"layer '{name}': accepted for quadrature are linear layers that take one row an image.")
    return _integrate_units(engine, layer, estimation, units)


def _integrate_units(
    engine: OneChannelEngine, layer: nn.Linear, estimation: Estimation, units: Sequence[int]
) -> Iterator[UnitConditional]:
    for unit in units:
        probabilities, error = retried(engine, partial(integrate, engine, layer, unit, estimation))
        yield UnitConditional(unit, probabilities, np.inf, 0.0, error_estimate=error)


def mix(
    engine: Engine, variants: Iterable[Variants], *, spread: bool = False, softmax: bool = True
) -> Iterator[UnitConditional]:
    """Yield the sums over each unit's variants of their predictions (or, without ``softmax``, raw scores) by share.

    With ``spread``, shares are equal and the standard error of their mean is estimated.
    """
    base = tuple(torch.softmax(task, dim=-1) if softmax else task for task in retried(engine, engine.base_scores))
    size = sum(prod(task.shape) for task in base)
    for group in _group(variants, engine, size):
        yield from retried(engine, partial(_mix_group, engine, group, base, spread, softmax))


def _group(variants: Iterable[Variants], engine: Engine, size: int) -> Iterator[list[Variants]]:
    """Put consecutive units together until they fill a batch; ``size`` numbers result for each unit."""
    most = max(1, 2**23 // size)
    group: list[Variants] = []
    for unit in variants:
        count = sum(len(other.shares) for other in group) + len(unit.shares)
        if group and (count > engine.batches.variants or len(group) == most):
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def _mix_group(
    engine: Engine, group: list[Variants], base: tuple[Tensor, ...], spread: bool, softmax: bool
) -> list[UnitConditional]:
    sums = [np.zeros((len(group), *task.shape)) for task in base]
    squares = [np.zeros_like(total) for total in sums] if spread else []
    for members, parameters, shares in _blocks(group, engine.batches.variants):
        weights, biases = (torch.from_numpy(p).to(engine.dtype).to(engine.device) for p in parameters)
        units = np.array([group[member].unit for member in members])
        for images, part, scores in engine.scores(units, weights, biases):
            first, last = members[part.start], members[part.stop - 1]
            table = np.zeros((last - first + 1, part.stop - part.start))
            table[members[part] - first, np.arange(table.shape[1])] = shares[part]
            by_unit = torch.from_numpy(table).to(engine.dtype).to(engine.device)
            rows = (slice(first, last + 1), images)
            for task, values in enumerate(scores):
                predictions = torch.softmax(values, dim=-1) if softmax else values
                if spread:
                    predictions = _exact(predictions - base[task][images].to(predictions.device))
                    squares[task][rows] += _sum(by_unit, predictions.square())
                sums[task][rows] += _sum(by_unit, predictions)
    return [_result(member, group, base, sums, squares, engine.dtype) for member in range(len(group))]


def _blocks(group: list[Variants], most: int) -> Iterator[tuple[NDArray[np.int64], Any, NDArray[np.float64]]]:
    """Yield at most ``most`` variants of a group at a time: which member each belongs to, its parameters, its share."""
    if len(group) == 1:
        (only,) = group
        for start in range(0, len(only.shares), most):
            part = slice(start, min(start + most, len(only.shares)))
            yield np.zeros(part.stop - start, dtype=np.int64), only.parameters(part), only.shares[part]
        return
    members = np.repeat(np.arange(len(group)), [len(unit.shares) for unit in group])
    parameters = [unit.parameters(slice(0, len(unit.shares))) for unit in group]
    together = [np.concatenate(each) for each in zip(*parameters, strict=True)]
    yield members, together, np.concatenate([unit.shares for unit in group])


def _exact(values: Tensor) -> Tensor:
    """Return values in float64, where a device has it: squares that nearly cancel need it."""
    return values if values.device.type == "mps" else values.double()


def _sum(by_unit: Tensor, values: Tensor) -> NDArray[np.float64]:
    """Sum variants [B, N, K] by the rows of ``by_unit`` [units, B]."""
    summed: NDArray[Any] = (by_unit.to(values.dtype) @ values.flatten(1)).reshape(-1, *values.shape[1:]).cpu().numpy()
    return summed.astype(np.float64)


def _result(
    member: int,
    group: list[Variants],
    base: tuple[Tensor, ...],
    sums: list[NDArray[np.float64]],
    squares: list[NDArray[np.float64]],
    dtype: torch.dtype,
) -> UnitConditional:
    kind = np.float64 if dtype == torch.float64 else np.float32
    variants = group[member]
    means = [total[member] for total in sums]
    errors = None
    if squares:
        count = len(variants.shares)
        spreads = [square[member] - mean**2 for square, mean in zip(squares, means, strict=True)]
        errors = tuple(np.sqrt(np.maximum(spread, 0) / (count - 1)).astype(kind) for spread in spreads)
        means = [mean + task.numpy() for mean, task in zip(means, base, strict=True)]
    return UnitConditional(
        variants.unit,
        tuple(mean.astype(kind) for mean in means),
        variants.effective_samples,
        variants.skipped_mass,
        errors,
    )


def retried(engine: Engine, work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns, in full precision; when memory runs out, work on half as much at a time."""
    while True:
        try:
            with full_precision():
                return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not engine.shrink():
                raise


def collect(rows: Iterable[UnitConditional], engine: Engine, estimator: str) -> Conditionals:
    """Stack what ``mix`` yields."""
    found = list(rows)
    kind = np.float64 if engine.dtype == torch.float64 else np.float32
    shapes = [tuple(task.shape) for task in engine.base_scores()] if not found else []

    def stack(parts: list[tuple[Array, ...]]) -> tuple[Array, ...]:
        if not parts:
            return tuple(np.empty((0, *shape), kind) for shape in shapes)
        return tuple(np.stack(task) for task in zip(*parts, strict=True))

    return Conditionals(
        stack([row.probabilities for row in found]),
        engine.tasks,
        np.array([row.unit for row in found], dtype=np.int64),
        np.array([row.effective_samples for row in found], dtype=np.float64),
        np.array([row.skipped_mass for row in found], dtype=np.float64),
        stack([row.standard_error for row in found if row.standard_error]) if estimator == "monte-carlo" else None,
        np.array([row.error_estimate for row in found]) if estimator == "quadrature" else None,
    )
