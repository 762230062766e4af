"""The sum over draws of falling weight, which ends for each image where its evidence is certain.

After k draws, the heaviest first, a conditional lies in [q, q + m]: q is their sum, m the weight of all others, and
predictions lie in [0, 1]. Evidence rises with q, so that it is certain to how far log odds differ over that interval
(:mod:`.log_odds`). Two waves do: draws that any conditional takes, and those that follow from the sum of these.

How many draws a conditional has depends on its own unit and image alone. So images of different need are in one batch
only where that is faster; a draw that an image does not need does not count for it there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from featuresharing.engine.memory import MOST_VARIANTS, cut
from featuresharing.engine.protocol import Engine
from featuresharing.estimators.log_odds import certain_mass, possible_mass
from featuresharing.estimators.mixing import Group, exact, group_units, in_pieces, sum_by_unit
from featuresharing.estimators.pieces import Done, Piece, as_results
from featuresharing.estimators.result_columns import EFFECTIVE_SAMPLES, SKIPPED_BY_IMAGE, SKIPPED_MASS
from featuresharing.estimators.variants import Variants

TOGETHER = 0.5
"""The share of a block's draws and images that are needed from which on all images are computed together."""

USUAL_MASS = 1e-6
"""Draws of more weight than this are what a unit counts for where units are put together."""


@dataclass(frozen=True, eq=False)
class Certainty:
    """How certain evidence has to be: to ``bits``, after the Laplace correction ``laplace``.

    ``targets`` int64 [images, tasks] are the classes whose evidence it is, -1 for none (None: that of all classes).
    """

    bits: float
    laplace: str
    targets: NDArray[np.int64] | None = None


def mix_in_waves(
    engine: Engine,
    variants: Iterable[Variants],
    wanted: Certainty,
    *,
    step: int | None = None,
    done: Done | None = None,
) -> Iterator[Piece]:
    """Yield the sums over each unit's draws of their predictions by share, as certain as is ``wanted``.

    Variants come with all draws, those of most weight first. Pieces have the weight left out for every image, and of a
    unit the most that it may be, which the first wave leaves.
    """
    most = min(possible_mass(wanted.bits, shape[-1], wanted.laplace) for shape in engine.shapes)
    work = partial(_mix_group, most=most, wanted=wanted)
    together = min(engine.batches.second, MOST_VARIANTS)
    groups = group_units(engine, variants, lambda unit: _draws(_left(unit), USUAL_MASS), together, step=step)
    return in_pieces(engine, groups, work, step=step, done=done)


def _mix_group(engine: Engine, group: Group, images: slice, *, most: float, wanted: Certainty) -> Piece:
    units, count = group.units, images.stop - images.start
    left = [_left(unit) for unit in units]
    sums = [np.zeros((len(units), count, *shape)) for shape in engine.shapes]
    first = np.array([_draws(own, most) for own in left])
    start = np.zeros_like(first)
    needed = np.repeat(first[:, None], count, axis=1)
    _add(engine, units, images, start, needed, sums)
    rest = np.array([own[number] for own, number in zip(left, first, strict=True)])
    mass = _certain(sums, rest, images, wanted)
    needed = np.stack(
        [np.maximum(_draws(own, each), least) for own, each, least in zip(left, mass, first, strict=True)]
    )
    _add(engine, units, images, first, needed, sums)
    columns: dict[str, Any] = {
        EFFECTIVE_SAMPLES.name: np.array([unit.effective_samples for unit in units]),
        SKIPPED_MASS.name: rest,
        SKIPPED_BY_IMAGE.name: np.stack([own[numbers] for own, numbers in zip(left, needed, strict=True)]),
    }
    return Piece(group.rows, images, tuple(as_results(total, engine) for total in sums), columns)


def _left(unit: Variants) -> NDArray[np.float64]:
    """Return the weight [draws + 1] of all draws but the first 0, 1, 2, ..., summed from the lightest."""
    return np.append(np.cumsum(unit.shares[::-1])[::-1], 0.0)


def _draws(left: NDArray[np.float64], mass: Any) -> Any:
    """Return how many draws, one at least, leave a weight of ``mass`` [...] at most."""
    return np.maximum(len(left) - np.searchsorted(left[::-1], mass, side="right"), 1)


def _certain(
    sums: Sequence[NDArray[np.float64]], rest: NDArray[np.float64], images: slice, wanted: Certainty
) -> NDArray[np.float64]:
    """Return the weight [units, images] that may be left out, where ``sums`` leave ``rest`` [units]."""
    found = np.full(sums[0].shape[:2], np.inf)
    for task, total in enumerate(sums):
        if wanted.targets is None:
            least, present = total, np.ones(total.shape[1], np.bool_)
        else:
            targets = wanted.targets[images, task]
            least, present = total[:, np.arange(len(targets)), targets, None], targets >= 0
        most = np.minimum(least + rest[:, None, None], 1)
        mass = certain_mass(least, most, bits=wanted.bits, classes=total.shape[-1], laplace=wanted.laplace)
        found = np.minimum(found, np.where(present, mass.min(axis=-1), np.inf))
    return found


def _add(
    engine: Engine,
    units: Sequence[Variants],
    images: slice,
    start: NDArray[np.int64],
    needed: NDArray[np.int64],
    sums: Sequence[NDArray[np.float64]],
) -> None:
    """Add to ``sums`` the draws of each unit from ``start`` [units] up to those ``needed`` [units, images]."""
    spans = [np.arange(first, last) for first, last in zip(start, needed.max(axis=1), strict=True)]
    members = np.repeat(np.arange(len(units)), [len(span) for span in spans])
    draws = np.concatenate(spans)
    wanted = draws[:, None] < needed[members]
    often = wanted.mean(axis=1) >= TOGETHER
    whole, single = [slice(0, wanted.shape[1])], cut(wanted.shape[1], 1)
    at_once = min(engine.batches.variants * engine.batches.images, MOST_VARIANTS)
    for rows, places, most in ((often, whole, engine.batches.variants), (~often, single, at_once)):
        chosen = np.flatnonzero(rows)
        for part in cut(len(chosen), most):
            block = chosen[part]
            _add_block(engine, units, images, places, members[block], draws[block], wanted[block], sums)


def _add_block(
    engine: Engine,
    units: Sequence[Variants],
    images: slice,
    places: Sequence[slice],
    members: NDArray[np.int64],
    draws: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    sums: Sequence[NDArray[np.float64]],
) -> None:
    """Add ``draws`` of the units at ``members`` [B], to the images that want them [B, images], in ``places`` of these.

    The draws of a unit follow one another.
    """
    own = [(units[member], draws[members == member]) for member in np.unique(members)]
    made = [unit.parameters(slice(int(numbers[0]), int(numbers[-1]) + 1)) for unit, numbers in own]
    weights, biases = (torch.from_numpy(np.concatenate(each)).to(engine.dtype) for each in zip(*made, strict=True))
    shares = np.concatenate([unit.shares[numbers] for unit, numbers in own])
    numbers = np.array([unit.unit for unit in units])[members]
    times = max(1, engine.batches.images // (places[0].stop - places[0].start))
    for place in places:
        rows = np.flatnonzero(wanted[:, place].any(axis=1))
        if not len(rows):
            continue
        chosen = torch.from_numpy(rows)
        given = (values[chosen].to(engine.device) for values in (weights, biases))
        where = slice(images.start + place.start, images.start + place.stop)
        for chunk, part, scores in engine.scores(where, numbers[rows], *given, times=times):
            at = slice(chunk.start - images.start, chunk.stop - images.start)
            some = rows[part]
            factors = torch.from_numpy(shares[some, None] * wanted[some, at])
            present = np.unique(members[some])
            by_unit = torch.from_numpy(np.equal.outer(present, members[some]).astype(np.float64))
            for total, values in zip(sums, scores, strict=True):
                predictions = exact(torch.softmax(values.to(engine.dtype), dim=-1))
                weighted = predictions * factors.to(predictions)[..., None]
                total[present, at] += sum_by_unit(by_unit.to(predictions.device), weighted)
