"""The unit maps of a layer: what its units contribute to each pair of tasks, at one checkpoint or over training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from featuresharing.analysis.evidence import Array
from featuresharing.analysis.near_zero import low_tasks, near_zero_limit, said_below
from featuresharing.analysis.overlap import sharing
from featuresharing.analysis.tables import layer_contributions
from featuresharing.errors import InputError
from featuresharing.figures.scatter import plot_tasks
from featuresharing.figures.style import SCREEN, Page
from featuresharing.figures.unit_map import Pair, UnitMap, draw_map, sorted_by
from featuresharing.replicates import FIRST
from featuresharing.settings import EvidenceSettings, FigureSettings

if TYPE_CHECKING:
    from featuresharing.store import LayerConditionals

NAMED = 3
"""Tasks of which a figure says each by name."""

ALL_PAIRS = 4
"""Tasks up to which every pair has a map; with more, the sorting task has one with each of the others."""

MOST_PAIRS = 12
"""Maps in a figure."""


@dataclass(frozen=True)
class LayerFrame:
    """What is known of a layer at a checkpoint: its file, and what its units contribute to each task [U]."""

    layer: "LayerConditionals"
    contributions: Mapping[str, Array]
    evidence: EvidenceSettings
    limit: float
    several: bool = False

    @classmethod
    def of(
        cls,
        layer: "LayerConditionals",
        evidence: EvidenceSettings,
        near_zero: float | None = None,
        *,
        several: bool = False,
    ) -> "LayerFrame":
        """Return the frame of a layer, whose network is one of ``several`` of its experiment or the only one.

        Tasks are near zero as :func:`.near_zero_limit` says.

        Raises InputError for conditionals that have no evidence.
        """
        found = layer_contributions(layer, method=evidence.method, laplace=evidence.laplace)
        limit = near_zero_limit(near_zero, method=evidence.method, softmax=layer.softmax)
        return cls(layer, found, evidence, limit, several)

    @property
    def step(self) -> int:
        """The training steps of the network, -1 where they are not known."""
        return int(self.layer.attribute("step", int))

    @property
    def low_tasks(self) -> tuple[str, ...]:
        """The tasks to which the average unit contributes next to nothing."""
        return low_tasks({task: float(values.mean()) for task, values in self.contributions.items()}, self.limit)

    def order(self, sort_by: str) -> NDArray[np.intp]:
        """Return the places of the units, sorted by their contribution to a task (ties: to the next one)."""
        first, second = self.contributions[sort_by], [v for t, v in self.contributions.items() if t != sort_by]
        return sorted_by(first, second[0] if second else None)


def plot_layer(
    layer: "LayerConditionals",
    evidence: EvidenceSettings,
    style: FigureSettings,
    *,
    sort_by: str | None = None,
    reference: "LayerConditionals | None" = None,
    near_zero: float | None = None,
) -> Figure:
    """Draw what every unit of a layer contributes to each pair of tasks, ``sort_by`` (None: the first) before others.

    Units are sorted by that task, as they contribute in ``reference``: the same layer at the checkpoint that the
    style's ``sort`` names (None: this one). Pairs are hatched of which a task is near zero: the average unit
    contributes less to it than ``near_zero`` (None: .05 bits, .005 in probability, 0 for raw scores).

    Raises InputError for another task, for conditionals that have no evidence, and for a reference with other units.
    """
    frame = LayerFrame.of(layer, evidence, near_zero)
    ordered = frame if reference is None else LayerFrame.of(reference, evidence)
    return draw_map(map_of(frame, ordered, style, sort_by=sort_by), style)


def animate_layer(
    frames: Sequence[LayerFrame], style: FigureSettings, *, sort_by: str | None = None
) -> Iterator[Figure]:
    """Yield the map of a layer at each checkpoint, in the order of training, with a bar that shows how far it is.

    Raises InputError as :func:`plot_layer`.
    """
    chosen, last = {"first": frames[0], "last": frames[-1]}, last_step(frames)
    maps = [map_of(frame, chosen.get(style.sort, frame), style, sort_by=sort_by, last=last) for frame in frames]
    for content in maps:
        yield draw_map(content, style, maps)


def last_step(frames: Sequence[LayerFrame]) -> int:
    """Return the last training step of frames; -1 where that of any is not known, so that none shows how far it is."""
    steps = [frame.step for frame in frames]
    return max(steps) if min(steps) >= 0 else -1


def map_of(
    frame: LayerFrame, ordered: LayerFrame, style: FigureSettings, *, sort_by: str | None = None, last: int = -1
) -> UnitMap:
    """Return the map of a layer whose units stand as those of ``ordered`` do; ``last`` is the last step of training."""
    first_name = _first_task(frame, sort_by)
    units = frame.layer.units
    if not np.array_equal(units, ordered.layer.units) or first_name not in ordered.contributions:
        raise InputError(
            f"{_where(ordered)}: found other units or tasks than at {_where(frame)}; accepted are those of one layer."
        )
    named, more = pairs_of(tuple(frame.contributions), first_name)
    pairs = [_pair(frame, *names) for names in named]
    sorting = ""
    if style.sort != "none":
        when = "" if ordered is frame else f" at checkpoint {ordered.layer.attributes['checkpoint']}"
        sorting = first_name + when
    return UnitMap(
        title_of(frame),
        _note(frame, pairs, more),
        pairs,
        units,
        ordered.order(first_name) if sorting else None,
        sorting,
        warning_of(frame),
        (frame.step, last) if 0 <= frame.step <= last else None,
    )


def _first_task(frame: LayerFrame, sort_by: str | None) -> str:
    first_name = sort_by or next(iter(frame.contributions))
    if first_name not in frame.contributions:
        raise InputError(f"--sort-by: found '{first_name}'; accepted are the tasks {', '.join(frame.contributions)}.")
    return first_name


def pairs_of(tasks: Sequence[str], first_name: str) -> tuple[list[tuple[str, str | None]], int]:
    """Return the pairs of tasks that have maps, ``first_name`` first, and how many pairs have none."""
    others = [task for task in tasks if task != first_name]
    if not others:
        return [(first_name, None)], 0
    pairs: list[tuple[str, str | None]] = [(first_name, task) for task in others]
    if len(tasks) <= ALL_PAIRS:
        pairs += combinations(others, 2)
    return pairs[:MOST_PAIRS], len(tasks) * (len(tasks) - 1) // 2 - len(pairs[:MOST_PAIRS])


def _pair(frame: LayerFrame, first: str, second: str | None) -> Pair:
    low = bool({first, second} & set(frame.low_tasks))
    if second is None:
        return Pair(first, frame.contributions[first], near_zero=low)
    a, b = frame.contributions[first], frame.contributions[second]
    return Pair(first, a, second, b, f"sharing {sharing(a, b):.2f}", low)


def _note(frame: LayerFrame, pairs: Sequence[Pair], more: int) -> str:
    parts = [f"{_count(len(frame.layer.units), 'unit')}, {_images(frame.layer)}"]
    if len(pairs) == 1 and pairs[0].note:
        parts.append(pairs[0].note.capitalize())
    parts.append(f"Average unit: {_averages(frame)}")
    if more:
        parts.append(f"{_count(more, 'pair')} of tasks not shown")
    return ".  ".join(parts) + "."


def scatter_of(frames: Sequence[LayerFrame], *, sort_by: str | None = None, page: Page = SCREEN) -> Figure:
    """Draw contributions to one task against those to another, a panel for each layer of a network.

    Raises InputError for no layers, for another task, and for layers with other tasks than the first.
    """
    if not frames:
        raise InputError("a figure of contributions has no layers; accepted: at least one")
    layers = {}
    for frame in frames:
        first_name = _first_task(frame, sort_by)
        named, _ = pairs_of(tuple(frame.contributions), first_name)
        layers[str(frame.layer.attributes["alias"])] = [_pair(frame, *names) for names in named]
        if set(frame.contributions) != set(frames[0].contributions):
            raise InputError(f"{_where(frame)}: found other tasks than at {_where(frames[0])}; accepted are the same.")
    title = f"{network_of(frames[0])}: what units contribute to two tasks{when_of(frames[0])}"
    return plot_tasks(layers, title=title, unit=unit_of(frames[0].evidence).strip(), page=page)


def title_of(frame: LayerFrame) -> str:
    """Return the title of a layer's map: network, layer and step."""
    return f"{network_of(frame)}: {frame.layer.attributes['alias']}{when_of(frame)}"


def network_of(frame: LayerFrame) -> str:
    """Return what titles call a frame's network: its experiment, and which of its networks where there are several."""
    experiment, number = str(frame.layer.attributes["experiment"]), frame.layer.replicate
    return f"{experiment}, network {number}" if frame.several or number != FIRST else experiment


def when_of(frame: LayerFrame) -> str:
    """Say after how many training steps a frame is, if that is known."""
    return f" after {frame.step:,} training steps" if frame.step >= 0 else ""


def warning_of(frame: LayerFrame) -> str:
    """Say which tasks the layer contributes next to nothing to, and what a hatch means; blank if there are none."""
    if not (low := frame.low_tasks):
        return ""
    unit = unit_of(frame.evidence)
    found = {task: said_below(frame.contributions[task].mean(), frame.limit) for task in low[:NAMED]}
    means = ", ".join(f"{task} {mean}{unit}" for task, mean in found.items())
    return f"Hatched: the average unit contributes less than {frame.limit:g}{unit} ({means}), which says little."


def unit_of(evidence: EvidenceSettings) -> str:
    """Return what contributions are counted in, after a number."""
    return "" if evidence.method == "probdiff" else " bits"


def _where(frame: LayerFrame) -> str:
    values = frame.layer.attributes
    return f"{values['alias']}, checkpoint {values['checkpoint']}"


def _images(layer: "LayerConditionals") -> str:
    """Say how many images the tasks have; those of each where they are not of the same images."""
    total, counts = len(next(iter(layer.predictions.values()))), layer.image_counts()
    if set(counts.values()) == {total}:
        return _count(total, "image")
    if len(counts) > NAMED:
        return f"{min(counts.values())} to {max(counts.values())} images a task"
    return " and ".join(f"{_count(count, 'image')} of {task}" for task, count in counts.items())


def _averages(frame: LayerFrame) -> str:
    """Say what the average unit contributes to each task; of many tasks, from where to where."""
    means = {task: values.mean() for task, values in frame.contributions.items()}
    unit = unit_of(frame.evidence)
    if len(means) > NAMED:
        return f"{min(means.values()):.2g} to {max(means.values()):.2g}{unit} by task"
    return ", ".join(f"{task} {said_below(mean, frame.limit)}{unit}" for task, mean in means.items())


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
