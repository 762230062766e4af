"""The loop over units: how would the predictions look if a unit's parameters were unknown?

For every unit u the conditional is the mean of its variants' predictions, each with its share,

    q_t(y | x) = sum_s share_s p_t(y | x, Theta with theta_u := theta_s)

From formula to code: :mod:`featuresharing.estimators` makes the theta_s and their shares,
:mod:`featuresharing.engine` the scores behind the p_t, and this module the sum, in
pieces: a group of units on a cell of images. Groups and cells have fixed edges, so that the
bits of a piece do not depend on which other pieces are computed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.engine.engines import Engine, OneChannelEngine, make_engine
from featuresharing.engine.memory import cut
from featuresharing.errors import InputError
from featuresharing.estimators.estimation import Estimation, Variants, draw_variants
from featuresharing.estimators.quadrature import integrate
from featuresharing.networks.failures import is_out_of_memory
from featuresharing.networks.forward import computing
from featuresharing.networks.layers import Units, choose_units, find_layer
from featuresharing.progress_bar import progress_bar

Array = NDArray[np.float32] | NDArray[np.float64]
"""float32, or float64 for networks in float64."""

Done = Callable[[slice, slice], bool]
"""Whether some rows (positions among the units) are there already on a slice of the images."""

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Piece:
    """The conditionals of the units at ``rows`` (positions among all that were asked for) on the ``images`` of a slice.

    ``probabilities`` [units, images, classes] by task, and so on as in :class:`Conditionals`, which has all pieces.
    """

    rows: slice
    images: slice
    probabilities: tuple[Array, ...]
    effective_samples: NDArray[np.float64]
    skipped_mass: NDArray[np.float64]
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
    for ``prior-weighted`` and ``published``, whose weights leave about one draw and thus no spread to estimate an error
    from.
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
    images: NDArray[Any] | Tensor,
    *,
    estimator: str = "prior-weighted",
    samples: int = 100,
    scale: float = 1.0,
    tolerance: float = 1e-6,
    seed: int = 0,
    units: Units | None = None,
    batch_size: int | None = None,
    device: str = "cpu",
    progress: bool = False,
    aliases: Mapping[str, str] | None = None,
    dtype: str | None = None,
    memory: int | None = None,
    engine: str = "one-channel",
) -> Conditionals:
    """Marginalize units of one layer out of a network, one at a time.

    ``images`` [N, ...] is one array or tensor of what the network takes; integers (tokens) stay integers. The network
    returns raw class scores [N, classes], two classes or more: a tensor, or any nesting of tuples, lists, dicts, named
    tuples and dataclasses of tensors, one a task; None in them is left out, and whatever a ModelOutput of Hugging Face
    holds beside logits. Tasks have the names of keys and fields, or count from "0", and names within names are joined
    by dots.

    ``layer`` is a module path, or one of ``aliases``; of DataParallel and torch.compile it is that of the network
    inside. ``scale`` is the prior's standard deviation; ``tolerance`` is the largest total weight of draws left out for
    each unit (``prior-weighted``, ``published``), or the largest estimated error (``quadrature``). ``units`` are
    numbers, or a mask with a bool for every unit; None stands for all.

    ``dtype`` is float32 or float64 (None: float64 for networks in float64, and float32 for all others, those of half
    precision included: :func:`featuresharing.predict` computes likewise). ``memory`` bounds the working set in bytes
    (None: half of what is free), ``batch_size`` the images in one pass; both change numbers by rounding only (under
    1e-6). ``engine`` is ``one-channel``, or ``plain`` to run the whole network for every draw. The network's
    parameters, buffers and mode are never changed.

    Raises InputError for an unknown layer, unit or name; for parameters, images or outputs that are not finite; for a
    network whose scores depend on chance or on the other images of a batch; and for one that cannot be traced.
    """
    run = Marginalization(
        network,
        layer,
        images,
        Estimation(estimator, samples, scale, tolerance, seed),
        units=units,
        aliases=aliases,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        memory=memory,
        engine=engine,
    )
    return collect(run.pieces(progress=progress), run.engine, run.units, run.estimation.estimator)


class Marginalization:
    """A marginalization that gives its results in pieces, for those who store them.

    Arguments are those of :func:`marginalize`; without ``softmax``, raw scores take the place of predictions.
    ``tasks`` are the names of the network's outputs, ``units`` those to be marginalized out, ``step`` how many images a
    piece has unless it is told otherwise.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        images: NDArray[Any] | Tensor,
        estimation: Estimation,
        *,
        softmax: bool = True,
        units: Units | None = None,
        aliases: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.estimation, self._name, self._softmax = estimation, layer, softmax
        self._path, self._layer = find_layer(network, layer, aliases)
        self.units = choose_units(self._layer, layer, units)
        if estimation.estimator == "quadrature":
            settings["otherwise"] = "engine='plain' runs such networks with other estimators, slowly"
        self.engine = make_engine(network, self._path, images, softmax=softmax, **settings)
        self.tasks, self.step = self.engine.tasks, self.engine.batches.images
        if estimation.estimator != "quadrature":
            return
        if not isinstance(self.engine, OneChannelEngine):
            raise InputError("engine 'plain' cannot integrate; accepted for quadrature is one-channel.")
        if not isinstance(self._layer, nn.Linear) or self.engine.layer_rows != 1:
            raise InputError(f"layer '{layer}': accepted for quadrature are linear layers that take one row an image.")

    def pieces(self, *, step: int | None = None, done: Done | None = None, progress: bool = False) -> Iterator[Piece]:
        """Yield pieces of at most ``step`` images, but for those that are ``done``."""
        if self.estimation.estimator == "quadrature":
            pieces = self._integrals(step or self.step, done)
        else:
            spread = self.estimation.estimator == "monte-carlo"
            variants = (draw_variants(self._layer, self._path, unit, self.estimation) for unit in self.units)
            pieces = mix(self.engine, variants, step=step, done=done, spread=spread, softmax=self._softmax)
        pieces = (self._checked(piece) for piece in pieces)
        return show_units(pieces, self.engine, len(self.units), self._name, show=progress)

    def _checked(self, piece: Piece) -> Piece:
        """Return a piece; raises InputError for one that is NaN or infinite (a raw score may be -inf)."""
        for task, values in zip(self.tasks, piece.probabilities, strict=True):
            wrong = ~(values < np.inf)
            if not wrong.any():
                continue
            row, image, _ = np.argwhere(wrong)[0]
            unit, position = self.units[piece.rows][row], piece.images.start + image
            raise InputError(
                f"layer '{self._name}': without unit {unit}, output '{task}' is NaN or infinite on image {position}; "
                "accepted are networks whose scores stay finite."
            )
        return piece

    def _integrals(self, step: int, done: Done | None) -> Iterator[Piece]:
        engine, layer = self.engine, self._layer
        assert isinstance(engine, OneChannelEngine)
        assert isinstance(layer, nn.Linear)
        for row, unit in enumerate(self.units):
            rows = slice(row, row + 1)
            for images in cut(engine.images, step):
                if done and done(rows, images):
                    continue
                work = partial(integrate, engine, layer, unit, self.estimation, images)
                probabilities, error = retried(engine, work)
                together = tuple(task[None] for task in probabilities)
                yield Piece(rows, images, together, np.full(1, np.inf), np.zeros(1), error_estimate=error[None])


def show_units(pieces: Iterable[Piece], engine: Engine, units: int, label: str, *, show: bool) -> Iterator[Piece]:
    """Yield ``pieces``; with ``show``, show how many units they amount to."""

    def share(piece: Piece) -> float:
        units, images = piece.rows.stop - piece.rows.start, piece.images.stop - piece.images.start
        return float(units * images / engine.images)

    return progress_bar(pieces, total=units, label=label, show=show, size=share)


@dataclass(frozen=True, eq=False)
class _Group:
    """Consecutive units whose variants are worked on together; ``rows`` are their positions."""

    rows: slice
    units: list[Variants]


def mix(
    engine: Engine,
    variants: Iterable[Variants],
    *,
    step: int | None = None,
    done: Done | None = None,
    spread: bool = False,
    softmax: bool = True,
) -> Iterator[Piece]:
    """Yield the sums over each unit's variants of their predictions (or, without ``softmax``, raw scores) by share.

    With ``spread``, shares are equal and the standard error of their mean is estimated.
    """
    cells = cut(engine.images, step or engine.batches.images)
    numbers = cells[0].stop * sum(prod(shape) for shape in engine.shapes)
    groups = _group(variants, engine.batches.group, max(1, 2**23 // numbers))
    series = engine.batches.series
    while together := list(islice(groups, series)):
        for images in cells:
            for group in together:
                if not (done and done(group.rows, images)):
                    yield retried(engine, partial(_mix_group, engine, group, images, spread, softmax))


def _group(variants: Iterable[Variants], most_variants: int, most_units: int) -> Iterator[_Group]:
    """Put consecutive units together until they have enough variants."""
    group: list[Variants] = []
    row = 0
    for unit in variants:
        count = sum(len(other.shares) for other in group) + len(unit.shares)
        if group and (count > most_variants or len(group) == most_units):
            yield _Group(slice(row - len(group), row), group)
            group = []
        group.append(unit)
        row += 1
    if group:
        yield _Group(slice(row - len(group), row), group)


def _mix_group(engine: Engine, group: _Group, images: slice, spread: bool, softmax: bool) -> Piece:
    count, units = images.stop - images.start, group.units
    sums = [np.zeros((len(units), count, *shape)) for shape in engine.shapes]
    squares = [np.zeros_like(total) for total in sums] if spread else []
    base = [torch.softmax(task.to(engine.dtype), dim=-1) for task in engine.base_scores(images)] if spread else []
    for members, parameters, shares in _blocks(units, engine.batches.variants):
        weights, biases = (torch.from_numpy(p).to(engine.dtype).to(engine.device) for p in parameters)
        numbers = np.array([units[member].unit for member in members])
        for chunk, part, scores in engine.scores(images, numbers, weights, biases):
            first, last = members[part.start], members[part.stop - 1]
            table = np.zeros((last - first + 1, part.stop - part.start))
            table[members[part] - first, np.arange(table.shape[1])] = shares[part]
            by_unit = torch.from_numpy(table).to(engine.dtype).to(engine.device)
            place = slice(chunk.start - images.start, chunk.stop - images.start)
            rows = (slice(first, last + 1), place)
            for task, values in enumerate(scores):
                predictions = torch.softmax(values.to(engine.dtype), dim=-1) if softmax else values.to(engine.dtype)
                if spread:
                    predictions = _exact(predictions - base[task][place].to(predictions.device))
                    squares[task][rows] += _sum(by_unit, predictions.square())
                sums[task][rows] += _sum(by_unit, predictions)
    errors = None
    if spread:
        draws = len(units[0].shares)
        spreads = [square - mean**2 for square, mean in zip(squares, sums, strict=True)]
        errors = tuple(_as_results(np.sqrt(np.maximum(spread, 0) / (draws - 1)), engine) for spread in spreads)
        sums = [mean + task.numpy() for mean, task in zip(sums, base, strict=True)]
    return Piece(
        group.rows,
        images,
        tuple(_as_results(total, engine) for total in sums),
        np.array([unit.effective_samples for unit in units]),
        np.array([unit.skipped_mass for unit in units]),
        errors,
    )


def _blocks(units: list[Variants], most: int) -> Iterator[tuple[NDArray[np.int64], Any, NDArray[np.float64]]]:
    """Yield at most ``most`` variants of units at a time: which unit each belongs to, its parameters, its share."""
    if len(units) == 1:
        (only,) = units
        for part in cut(len(only.shares), most):
            yield np.zeros(part.stop - part.start, dtype=np.int64), only.parameters(part), only.shares[part]
        return
    members = np.repeat(np.arange(len(units)), [len(unit.shares) for unit in units])
    parameters = [unit.parameters(slice(0, len(unit.shares))) for unit in units]
    together = [np.concatenate(each) for each in zip(*parameters, strict=True)]
    yield members, together, np.concatenate([unit.shares for unit in units])


def _exact(values: Tensor) -> Tensor:
    """Return values in float64, where a device has it: squares that nearly cancel need it."""
    return values if values.device.type == "mps" else values.double()


def _sum(by_unit: Tensor, values: Tensor) -> NDArray[np.float64]:
    """Sum variants [B, N, K] by the rows of ``by_unit`` [units, B]."""
    summed: NDArray[Any] = (by_unit.to(values.dtype) @ values.flatten(1)).reshape(-1, *values.shape[1:]).cpu().numpy()
    return summed.astype(np.float64)


def _as_results(values: NDArray[np.float64], engine: Engine) -> Array:
    return values if engine.dtype == torch.float64 else values.astype(np.float32)


def retried(engine: Engine, work: Callable[[], Result]) -> Result:
    """Return what ``work`` returns, in full precision; when memory runs out, work on half as much at a time."""
    while True:
        try:
            with computing():
                return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not engine.shrink():
                raise


def collect(pieces: Iterable[Piece], engine: Engine, units: Sequence[int], estimator: str) -> Conditionals:
    """Put pieces together."""
    kind = np.float64 if engine.dtype == torch.float64 else np.float32
    probabilities, errors = ([np.empty((len(units), engine.images, *s), kind) for s in engine.shapes] for _ in range(2))
    effective_samples, skipped_mass = np.empty(len(units)), np.empty(len(units))
    estimate = np.empty((len(units), engine.images))
    for piece in pieces:
        place = (piece.rows, piece.images)
        effective_samples[piece.rows], skipped_mass[piece.rows] = piece.effective_samples, piece.skipped_mass
        for task, values in enumerate(piece.probabilities):
            probabilities[task][place] = values
        for task, values in enumerate(piece.standard_error or ()):
            errors[task][place] = values
        if piece.error_estimate is not None:
            estimate[place] = piece.error_estimate
    return Conditionals(
        tuple(probabilities),
        engine.tasks,
        np.array(units, dtype=np.int64),
        effective_samples,
        skipped_mass,
        tuple(errors) if estimator == "monte-carlo" else None,
        estimate if estimator == "quadrature" else None,
    )
