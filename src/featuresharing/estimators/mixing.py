"""The sum over variants of a unit of their predictions, each with its share.

For every unit u the conditional is

    q_t(y | x) = sum_s share_s p_t(y | x, Theta with theta_u := theta_s)

From formula to code: an estimator makes the theta_s and their shares, :mod:`featuresharing.engine` the scores behind
the p_t, and this module the sum, in pieces: a group of units on a cell of images. Groups and cells have fixed edges,
so that the bits of a piece do not depend on which other pieces are computed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.engine.engines import retried
from featuresharing.engine.memory import cut
from featuresharing.engine.protocol import Engine
from featuresharing.estimators.pieces import Done, Piece, as_results
from featuresharing.estimators.result_columns import EFFECTIVE_SAMPLES, SKIPPED_MASS, STANDARD_ERROR
from featuresharing.estimators.variants import Variants


@dataclass(frozen=True, eq=False)
class Group:
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
    work = partial(_mix_group, spread=spread, softmax=softmax)
    groups = group_units(engine, variants, lambda unit: len(unit.shares), engine.batches.group, step=step)
    return in_pieces(engine, groups, work, step=step, done=done)


def in_pieces(
    engine: Engine,
    groups: Iterator[Group],
    work: Callable[[Engine, Group, slice], Piece],
    *,
    step: int | None = None,
    done: Done | None = None,
) -> Iterator[Piece]:
    """Yield what ``work`` makes of groups of units on cells of images."""
    cells = cut(engine.images, step or engine.batches.images)
    series = engine.batches.series
    while together := list(islice(groups, series)):
        for images in cells:
            for group in together:
                if not (done and done(group.rows, images)):
                    yield retried(engine, partial(work, engine, group, images))


def group_units(
    engine: Engine,
    variants: Iterable[Variants],
    count: Callable[[Variants], int],
    most: int,
    *,
    step: int | None = None,
) -> Iterator[Group]:
    """Put consecutive units together until they have ``most`` variants; ``count`` says how many each has.

    The numbers of a group on a cell of images take up to 64 MB.
    """
    images = min(engine.images, step or engine.batches.images)
    most_units = max(1, 2**23 // (images * sum(prod(shape) for shape in engine.shapes)))
    group: list[Variants] = []
    row = 0
    for unit in variants:
        total = sum(count(other) for other in group) + count(unit)
        if group and (total > most or len(group) == most_units):
            yield Group(slice(row - len(group), row), group)
            group = []
        group.append(unit)
        row += 1
    if group:
        yield Group(slice(row - len(group), row), group)


def _mix_group(engine: Engine, group: Group, images: slice, *, spread: bool, softmax: bool) -> Piece:
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
                    predictions = exact(predictions - base[task][place].to(predictions.device))
                    squares[task][rows] += sum_by_unit(by_unit, predictions.square())
                sums[task][rows] += sum_by_unit(by_unit, predictions)
    columns: dict[str, Any] = {
        EFFECTIVE_SAMPLES.name: np.array([unit.effective_samples for unit in units]),
        SKIPPED_MASS.name: np.array([unit.skipped_mass for unit in units]),
    }
    if spread:
        draws = len(units[0].shares)
        spreads = [square - mean**2 for square, mean in zip(squares, sums, strict=True)]
        errors = (np.sqrt(np.maximum(spread, 0) / (draws - 1)) for spread in spreads)
        columns[STANDARD_ERROR.name] = tuple(as_results(error, engine) for error in errors)
        sums = [mean + task.numpy() for mean, task in zip(sums, base, strict=True)]
    return Piece(group.rows, images, tuple(as_results(total, engine) for total in sums), columns)


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


def exact(values: Tensor) -> Tensor:
    """Return values in float64, where a device has it: squares that nearly cancel need it."""
    return values if values.device.type == "mps" else values.double()


def sum_by_unit(by_unit: Tensor, values: Tensor) -> NDArray[np.float64]:
    """Sum variants [B, N, K] by the rows of ``by_unit`` [units, B]."""
    summed: NDArray[Any] = (by_unit.to(values.dtype) @ values.flatten(1)).reshape(-1, *values.shape[1:]).cpu().numpy()
    return summed.astype(np.float64)
