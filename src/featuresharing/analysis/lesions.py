"""Lesions: predictions with units removed, one at a time or more and more of them.

Removing a unit sets its parameters to zero: it then outputs zero, before its activation, whatever the image.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.analysis.conditionals import Conditionals, Marginalization
from featuresharing.analysis.true_classes import check_targets
from featuresharing.arguments import check_whole
from featuresharing.computation import Computation, ComputationSettings, computation_of
from featuresharing.data.lists import MISSING
from featuresharing.engine.engines import make_engine, retried
from featuresharing.engine.memory import cut
from featuresharing.engine.protocol import Engine
from featuresharing.errors import InputError
from featuresharing.estimators.builtin.lesion import Lesion
from featuresharing.estimators.estimation import Estimation
from featuresharing.networks.layers import Layer, Units, choose_units, find_layer
from featuresharing.networks.outputs import first_undefined, refuse_undefined
from featuresharing.progress_bar import progress_bar
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, check


def lesion(
    network: nn.Module,
    layer: str,
    images: NDArray[Any] | Tensor | Iterable[Any],
    *,
    softmax: bool = True,
    units: Units | None = None,
    inputs: Mapping[str, Any] | None = None,
    progress: bool = False,
    aliases: Mapping[str, str] | None = None,
    **computation: Unpack[ComputationSettings],
) -> Conditionals:
    """Return predictions with each of ``units`` removed, one at a time; raw scores without ``softmax``.

    Arguments and errors are those of :func:`featuresharing.marginalize`.

    >>> word, basic = lesion(network, "hidden", images)
    >>> word.shape
    (6, 7, 3)
    """
    computation_of(computation, lesion)
    estimation = Estimation(Lesion.name)
    run = Marginalization(
        network,
        layer,
        images,
        estimation,
        softmax=softmax,
        units=units,
        inputs=inputs,
        aliases=aliases,
        **computation,
    )
    return run.collect(progress=progress)


def lesion_accuracy(
    network: nn.Module,
    layer: str,
    images: NDArray[Any] | Tensor | Iterable[Any],
    targets: NDArray[np.int64],
    orders: Sequence[Sequence[int]] | NDArray[np.int64],
    *,
    counts: Sequence[int] | None = None,
    inputs: Mapping[str, Any] | None = None,
    progress: bool = False,
    aliases: Mapping[str, str] | None = None,
    **computation: Unpack[ComputationSettings],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how accurate each task is with the first units of an order removed together (paper, chapter 3).

    ``targets`` int64 [N, tasks] are true classes, -1 where an image is not of a task: accuracies are over the images of
    each task. Every one of ``orders`` lists units of the layer, the first to be
    removed first. Returns ``counts`` int64 [C], the numbers of units removed (None: all from 0 to the length of the
    orders), and accuracies float64 [orders, C, tasks]. Other arguments are those of :func:`featuresharing.marginalize`;
    orders at random (:func:`random_orders`) give the null hypothesis. Raises InputError for what that function refuses,
    for orders of different lengths or with a unit twice, and for counts or targets that are none.

    >>> order = [5, 4, 3, 2, 1, 0]
    >>> removed, accuracy = lesion_accuracy(network, "hidden", images, np.stack([*targets.values()], axis=1), [order])
    >>> removed.tolist(), accuracy.shape
    ([0, 1, 2, 3, 4, 5, 6], (1, 7, 2))
    """
    path, module = find_layer(network, layer, aliases)
    chosen = _check_orders(module, layer, orders)
    removed = _check_counts(counts, len(chosen[0]))
    lesioned = LesionedLayer(
        network, path, images, targets, computation_of(computation, lesion_accuracy), inputs=inputs
    )
    return removed, lesioned.accuracy(chosen, removed, label=layer if progress else None)


class LesionedLayer:
    """The layer at ``path``, of which units are removed in one order after another; the network is traced once for all.

    Other arguments are those of :func:`lesion_accuracy`. Raises InputError for what that refuses of them.
    """

    def __init__(
        self,
        network: nn.Module,
        path: str,
        images: NDArray[Any] | Tensor | Iterable[Any],
        targets: NDArray[np.int64],
        computation: Computation,
        *,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self._engine = make_engine(network, path, images, computation, inputs=inputs, whole=True)
        classes = [count for (count,) in self._engine.shapes]
        self._truth = check_targets(targets, self._engine.tasks, classes, self._engine.images)

    def accuracy(
        self, orders: Sequence[Sequence[int]], counts: NDArray[np.int64], *, label: str | None = None
    ) -> NDArray[np.float64]:
        """Return accuracies [orders, C, tasks] with the first ``counts`` int64 [C] units of each order removed.

        Every order has distinct units, as many as the highest count. With ``label``, what is done is shown.
        """
        steps = [(order, count) for order in range(len(orders)) for count in range(len(counts))]
        hits = np.zeros((len(orders), len(counts), len(self._engine.tasks)))
        blocks = [steps[part] for part in cut(len(steps), BLOCK)]
        for block in progress_bar(blocks, total=len(blocks), label=label or "", show=label is not None):
            gone = [list(orders[order][: counts[count]]) for order, count in block]
            found = retried(self._engine, partial(_count_hits, self._engine, gone, self._truth))
            hits[tuple(np.array(block).T)] = found
        return np.asarray(hits / (self._truth != MISSING).sum(axis=0))


def _check_orders(module: Layer, layer: str, orders: Any) -> list[list[int]]:
    accepted = "accepted are lists of distinct units"
    rows = orders.tolist() if isinstance(orders, np.ndarray | Tensor) else orders
    if not isinstance(rows, list | tuple) or not all(isinstance(order, Iterable) for order in rows):
        raise InputError(f"orders: found {rows!r}; {accepted}, one for each order.")
    lists = [list(order) for order in rows]
    if any(isinstance(unit, bool | np.bool_) for order in lists for unit in order):
        raise InputError(f"orders: found True or False; {accepted} by number.")
    chosen = [choose_units(module, layer, order) for order in lists]
    if len({len(order) for order in chosen}) != 1 or any(len(set(order)) < len(order) for order in chosen):
        raise InputError(f"orders: found different lengths or a unit twice; {accepted}.")
    return chosen


def _check_counts(counts: Any, length: int) -> NDArray[np.int64]:
    removed = np.arange(length + 1) if counts is None else np.asarray(counts)
    whole = removed.dtype.kind in "iu" and removed.ndim == 1 and len(removed) > 0
    if not whole or removed.min() < 0 or removed.max() > length:
        raise InputError(f"counts: found {removed.tolist()}; accepted are numbers from 0 to {length}.")
    return removed.astype(np.int64)


BLOCK = 64
"""Sets of removed units that are worked on together."""


def random_orders(units: Sequence[int], repeats: int, *, seed: int = Config.seed) -> NDArray[np.int64]:
    """Return ``units`` in ``repeats`` random orders, int64 [repeats, units]; order i depends on (seed, i) alone.

    Raises InputError for no orders, and for a seed below 0.

    >>> random_orders([0, 1, 2], 2).shape
    (2, 3)
    """
    check_whole("repeats", repeats, 1)
    check(Config, "seed", seed)
    if len(set(units)) < len(units):
        raise InputError("units: found one twice; accepted are distinct units.")
    return np.stack([keyed_generator(seed, "lesion order", repeat).permutation(units) for repeat in range(repeats)])


def _count_hits(engine: Engine, gone: list[list[int]], truth: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many images each task gets right without each of the sets of units: [sets, tasks]."""
    hits = np.zeros((len(gone), len(engine.tasks)), dtype=np.int64)
    for images, part, scores in engine.removed_scores(gone):
        for task, values in enumerate(scores):
            if (undefined := first_undefined(values)) is not None:
                raise refuse_undefined(engine.tasks[task], images.start + undefined)
            right = values.argmax(dim=-1).cpu().numpy() == truth[images, task]
            hits[part, task] += right.sum(axis=1)
    return hits
