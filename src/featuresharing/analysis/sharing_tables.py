"""Tidy frames of what tasks share: by layer, by other measures, over networks, and trends, from one pass over layers.

:mod:`featuresharing.data.sharing_columns` says what their columns mean.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.chance import unit_orders
from featuresharing.analysis.evidence import Array, contribution
from featuresharing.analysis.image_resampling import PairEvidence
from featuresharing.analysis.near_zero import near_zero_limit, tasks_near_zero
from featuresharing.analysis.over_networks import Networks, interval_over_networks, mean_p
from featuresharing.analysis.overlap import SHARING as SHARED
from featuresharing.analysis.overlap import sharing_error
from featuresharing.analysis.pair_overlap import PairOverlap, excess_of, overlap_of_pair
from featuresharing.analysis.tables import Say, layer_errors, layer_evidence, place_in_words, unmoved_tasks, warned
from featuresharing.analysis.trends import Chances, Line, trends_of
from featuresharing.data.sharing_columns import OVERLAP, SHARING, SHARING_OVER_NETWORKS, TRENDS
from featuresharing.data.table_files import frame_of
from featuresharing.errors import InputError
from featuresharing.randomness import keyed_generator
from featuresharing.settings import Config, EvidenceSettings, SharingSettings, check

if TYPE_CHECKING:
    from pandas import DataFrame

    from featuresharing.store import LayerConditionals

MOST_LINES = 40
"""Of more pairs of tasks, differences are left out: there would be thousands."""


@dataclass(frozen=True)
class Cell:
    """Two tasks in a layer of a network at a checkpoint; ``limit`` says under which contribution they are near zero.

    ``error`` is by how much at most their sharing is off, since draws were left out.
    """

    experiment: str
    replicate: int
    checkpoint: str
    layer: str
    tasks: tuple[str, str]
    found: PairOverlap
    limit: float
    error: float

    @property
    def place(self) -> tuple[str, int, str, str, str, str]:
        """What rows of the cell begin with."""
        return self.experiment, self.replicate, self.checkpoint, self.layer, *self.tasks

    @property
    def near_zero(self) -> str:
        """The names of the tasks near zero."""
        return tasks_near_zero(dict(zip(self.tasks, self.found.means, strict=True)), self.limit)


@dataclass(frozen=True)
class SharingTables:
    """Frames of what tasks share; :data:`featuresharing.TABLES` has their columns."""

    sharing: "DataFrame"
    overlap: "DataFrame"
    over_networks: "DataFrame"
    trends: "DataFrame"


def sharing_tables(
    layers: "Iterable[LayerConditionals]",
    *,
    layer_order: Sequence[str] = (),
    checkpoint_order: Sequence[str] = (),
    method: str = EvidenceSettings.method,
    laplace: str = EvidenceSettings.laplace,
    resamples: int = SharingSettings.resamples,
    permutations: int = SharingSettings.permutations,
    near_zero: float | None = SharingSettings.near_zero,
    seed: int = Config.seed,
    say: Say = warnings.warn,
) -> SharingTables:
    """Return all frames of what tasks share, from one pass over layers of any experiments, networks and checkpoints.

    ``layer_order`` are the names of the layers from the image on and ``checkpoint_order`` those of the checkpoints over
    training: trends go along them (none: as they come). ``resamples``, ``permutations`` and ``near_zero`` are as in the
    config. ``say`` is told which experiments have few images, and which tasks rely on no unit of a layer: what they
    share is rounding. Raises InputError for conditionals that have no evidence, a layer of a network that comes twice,
    and names that the orders lack.

    >>> from featuresharing import read_conditionals, sharing_tables
    >>> found = sharing_tables(map(read_conditionals, paths))
    >>> found.sharing["sharing"].round(2).tolist(), len(found.overlap)
    ([0.77], 3)
    """
    chances = Chances(permutations, seed)
    check(SharingSettings, "permutations", permutations)
    check(SharingSettings, "resamples", resamples)
    check(SharingSettings, "near_zero", near_zero)
    check(Config, "seed", seed)
    measuring = Measuring(chances, method, laplace, resamples, near_zero)
    cells = list(_cells(layers, measuring, say))
    names = (
        _ordered("layer_order", layer_order, [cell.layer for cell in cells]),
        _ordered("checkpoint_order", checkpoint_order, [cell.checkpoint for cell in cells]),
    )
    lines = list(_lines(cells, *names, resamples))
    return SharingTables(
        frame_of(SHARING, map(_sharing_row, cells)),
        frame_of(OVERLAP, (row for cell in cells for row in _overlap_rows(cell))),
        frame_of(SHARING_OVER_NETWORKS, _network_rows(cells, seed)),
        frame_of(TRENDS, _trend_rows(lines, *names, chances, say)),
    )


def sharing_table(
    layers: "Iterable[LayerConditionals]",
    *,
    method: str = EvidenceSettings.method,
    laplace: str = EvidenceSettings.laplace,
    resamples: int = SharingSettings.resamples,
    permutations: int = SharingSettings.permutations,
    near_zero: float | None = SharingSettings.near_zero,
    seed: int = Config.seed,
    say: Say = warnings.warn,
) -> "DataFrame":
    """Return how much the tasks share in every layer: a row a layer and pair of tasks.

    It is the frame ``sharing`` of :func:`sharing_tables`, which says what arguments are and what is raised.

    >>> from featuresharing import read_conditionals, sharing_table
    >>> sharing_table(map(read_conditionals, paths))["sharing"].round(2).tolist()
    [0.77]
    """
    settings = {"method": method, "laplace": laplace, "near_zero": near_zero}
    numbers = {"resamples": resamples, "permutations": permutations, "seed": seed}
    return sharing_tables(layers, **settings, **numbers, say=say).sharing  # type: ignore[arg-type]


@dataclass(frozen=True)
class Measuring:
    """How cells are measured."""

    chances: Chances
    method: str
    laplace: str
    resamples: int
    near_zero: float | None


def _cells(layers: "Iterable[LayerConditionals]", measuring: Measuring, say: Say) -> Iterator[Cell]:
    """Yield every pair of tasks in every layer; raises InputError for a layer of a network that comes twice."""
    known: set[tuple[str, int, str, str]] = set()
    for layer in warned(layers, say):
        evidence = layer_evidence(layer, method=measuring.method, laplace=measuring.laplace)
        if layer.place in known:
            raise InputError(f"conditionals: found {place_in_words(*layer.place)} twice; accepted is each layer once.")
        known.add(layer.place)
        for task in unmoved_tasks(layer) if len(evidence) > 1 else ():
            said = f"{place_in_words(*layer.place)}, task '{task}'"
            say(f"{said}: no unit changes a prediction by more than rounding: its sharing means nothing.")
        contributions = {task: contribution(values) for task, values in evidence.items()}
        errors = layer_errors(layer, evidence, method=measuring.method, laplace=measuring.laplace)
        limit = near_zero_limit(measuring.near_zero, method=measuring.method, softmax=layer.softmax)
        for tasks, found in _pairs(layer, evidence, measuring):
            of_pair = [[values[task] for task in tasks] for values in (contributions, errors)]
            yield Cell(*layer.place, tasks, found, limit, sharing_error(*of_pair))


def _pairs(
    layer: "LayerConditionals", evidence: dict[str, Array], measuring: Measuring
) -> Iterator[tuple[tuple[str, str], PairOverlap]]:
    """Yield the overlap of every two tasks of a layer; the same images are resampled alike wherever they are."""
    settings = {"permutations": measuring.chances.permutations, "seed": measuring.chances.seed}
    orders, exact = unit_orders(len(layer.units), **settings)
    images = str(layer.attributes.get("images_sha256", layer.place[:2]))
    for tasks in combinations(evidence, 2):
        pair = PairEvidence(*(evidence[task] for task in tasks))
        rng = keyed_generator(measuring.chances.seed, "bootstrap of images", images)
        yield tasks, overlap_of_pair(pair, orders, exact=exact, resamples=measuring.resamples, rng=rng)


def _sharing_row(cell: Cell) -> tuple[Any, ...]:
    return *cell.place, *astuple(excess_of(cell.found)), cell.near_zero, cell.error


def _overlap_rows(cell: Cell) -> Iterator[tuple[Any, ...]]:
    for measure, chance in cell.found.chances.items():
        if measure != SHARED:
            low, high = cell.found.intervals[measure]
            yield *cell.place, measure, chance.value, low, high, chance.median, chance.low, chance.high, chance.p


def _network_rows(cells: Sequence[Cell], seed: int) -> Iterator[tuple[Any, ...]]:
    """Yield the means over networks of every layer and pair of tasks, in the order of the cells."""
    for (experiment, *place), of in _grouped(cells, lambda cell: (cell.experiment, *cell.place[2:])).items():
        chances = [cell.found.chances[SHARED] for cell in of]
        shared, excess = (_over_networks(of, what, seed) for what in (SHARED, "excess"))
        said = ([getattr(chance, name) for chance in chances] for name in ("median", "low", "high"))
        p = chances[0].p if len(of) == 1 else mean_p(excess.known.values)
        yield (
            *(experiment, *place, len(shared.known.values)),
            *(shared.known.mean, *interval_over_networks([shared.known], seed=seed, least=0, most=1)),
            *(_mean(values) for values in said),
            *(excess.known.mean, *interval_over_networks([excess.known], seed=seed, most=1)),
            *(excess.known.sd, p, near_zero_over_networks(of)),
        )


def near_zero_over_networks(cells: Sequence[Cell]) -> str:
    """Return the names of the tasks near zero in the same place of several networks, on average."""
    means = np.mean([cell.found.means for cell in cells], axis=0)
    return tasks_near_zero(dict(zip(cells[0].tasks, means.tolist(), strict=True)), cells[0].limit)


def _over_networks(cells: Sequence[Cell], what: str, seed: int) -> Networks:
    if what == SHARED:
        values, samples = (
            [cell.found.chances[SHARED].value for cell in cells],
            [cell.found.samples for cell in cells],
        )
    else:
        values, samples = [cell.found.excess for cell in cells], [cell.found.excess_samples for cell in cells]
    return Networks(np.array(values), stacked(samples), cells[0].experiment)


def stacked(samples: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return bootstrap samples [N, R]; [N, 0] if one of them has none."""
    return np.stack(samples) if all(len(each) for each in samples) else np.zeros((len(samples), 0))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _grouped(cells: Sequence[Cell], key: Callable[[Cell], Any]) -> dict[Any, list[Cell]]:
    """Return cells by a key, in the order of the replicates."""
    groups: dict[Any, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    return {name: sorted(group, key=lambda cell: cell.replicate) for name, group in groups.items()}


def _ordered(what: str, order: Sequence[str], found: Sequence[str]) -> list[str]:
    """Return the names that are there, in their order; raises InputError for one that the order lacks."""
    names = list(dict.fromkeys(found))
    if not order:
        return names
    if missing := next((name for name in names if name not in order), None):
        raise InputError(f"{what}: found '{missing}' among the conditionals; accepted are {', '.join(order)}.")
    return [name for name in order if name in names]


def _lines(cells: Sequence[Cell], layers: Sequence[str], checkpoints: Sequence[str], resamples: int) -> Iterator[Line]:
    """Yield the excess sharing of every pair of tasks over checkpoints and layers."""
    for (experiment, first, second), of in _grouped(cells, lambda cell: (cell.experiment, *cell.tasks)).items():
        replicates = sorted({cell.replicate for cell in of})
        sizes = len(replicates), len(checkpoints), len(layers)
        some = all(len(cell.found.excess_samples) for cell in of)
        values, samples = np.full(sizes, np.nan), np.full((*sizes, resamples if some else 0), np.nan)
        used = np.zeros(sizes[1:], np.bool_)
        for (checkpoint, layer), there in _grouped(of, lambda cell: (cell.checkpoint, cell.layer)).items():
            at = checkpoints.index(checkpoint), layers.index(layer)
            used[at] = not near_zero_over_networks(there)
            for cell in there:
                values[replicates.index(cell.replicate), *at] = cell.found.excess
                if some:
                    samples[replicates.index(cell.replicate), *at] = cell.found.excess_samples
        yield Line((experiment, first, second), tuple(replicates), values, samples, used)


def _trend_rows(
    lines: Sequence[Line], layers: Sequence[str], checkpoints: Sequence[str], chances: Chances, say: Say
) -> Iterator[tuple[Any, ...]]:
    if len(lines) > MOST_LINES:
        say(f"{len(lines)} pairs of tasks: differences of trends are told for up to {MOST_LINES}, and left out.")
    for quantity, line, other, checkpoint, layer, found in trends_of(lines, chances, differ=len(lines) <= MOST_LINES):
        others = ("", "", "") if other is None else other.names
        at = "" if checkpoint is None else checkpoints[checkpoint], "" if layer is None else layers[layer]
        yield quantity, *line.names, *others, *at, *astuple(found)
