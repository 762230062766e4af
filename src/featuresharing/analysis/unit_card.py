"""What a unit is: what it contributes to each task over training, how certain that is, and on which images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.analysis.evidence import Array, contribution
from featuresharing.analysis.extreme_images import COUNT, SIDES, extreme_images
from featuresharing.analysis.image_table import check_kept
from featuresharing.analysis.near_zero import near_zero_limit
from featuresharing.analysis.tables import layer_evidence
from featuresharing.errors import InputError
from featuresharing.replicates import network_label
from featuresharing.settings import EvidenceSettings

if TYPE_CHECKING:
    from pandas import DataFrame

    from featuresharing.store import LayerConditionals

SERVING = 0.5
"""A unit serves a task to which it contributes at least so many times what the layer's average unit does."""

CONTRIBUTED = ["checkpoint", "step", "task", "contribution", "average", "multiple", "rank"]
PICTURED = ["task", "side", "place", "image", "evidence"]
"""Columns of the frames of a card, beside those that others are made of."""


@dataclass(frozen=True, eq=False)
class UnitCard:
    """A ``unit`` of a ``layer``, whose module is ``path`` and which has ``units`` units, at a ``checkpoint``.

    ``contributions`` are those over the checkpoints, a row a checkpoint and task, with the columns ``checkpoint``,
    ``step`` (-1: unknown), ``task``, ``contribution``, ``average`` (of the layer's units), ``multiple`` of that (nan if
    it is 0), ``rank`` (1: no other unit contributes more; as many as are ``ranked``) and ``near_zero`` (the average is
    under ``limit``, so that multiples and ranks mean little). ``images`` are the extremes of ``checkpoint``: ``task``,
    ``side``, ``place``, ``image`` (position) and ``evidence``, and where images are named ``file`` and for each task
    ``class_{task}``, the true class (- for none). ``classes`` are, where images are named, those of each task from the
    most evidence to the least: ``task``, ``class``, ``images`` and ``evidence``, their mean. Numbers are in
    ``measure``; ``attributes`` are those of the file of ``checkpoint``.
    """

    experiment: str
    replicate: int
    checkpoint: str
    layer: str
    path: str
    unit: int
    units: int
    ranked: int
    measure: str
    limit: float
    effective_samples: float
    skipped_mass: float
    contributions: "DataFrame"
    images: "DataFrame"
    classes: "DataFrame"
    attributes: Mapping[str, Any]

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks."""
        return list(dict.fromkeys(self.contributions["task"]))

    def at(self, checkpoint: str | None = None) -> "DataFrame":
        """Return the contributions at a checkpoint, by default the card's, with the tasks as index."""
        rows = self.contributions
        return rows[rows["checkpoint"] == (checkpoint or self.checkpoint)].set_index("task")


def unit_card(
    layers: "Iterable[LayerConditionals]",
    unit: int,
    *,
    checkpoint: str | None = None,
    kept: "DataFrame | None" = None,
    count: int = COUNT,
    method: str = EvidenceSettings.method,
    laplace: str = EvidenceSettings.laplace,
    near_zero: float | None = None,
) -> UnitCard:
    """Return what there is to say of a unit of a layer, whose checkpoints ``layers`` are in the order of training.

    ``checkpoint`` is that of the images (None: the last). ``kept`` is the table of the analysed images
    (:data:`.columns.KEPT`), without which images have no names. ``near_zero`` is the contribution of an average unit
    under which a task counts as near zero (None: .05 bits, .005 in probability, 0 in scores). Layers are looked at one
    by one. Raises InputError for a unit or checkpoint that is not there, for layers of different networks, and as
    :func:`.image_table`.

    >>> card = unit_card(map(read_conditionals, paths), 8)
    >>> card.contributions[["checkpoint", "task", "rank"]].values.tolist()
    [['7', 'word', 3], ['7', 'basic', 1]]
    """
    looks = [_look(layer, unit, method, laplace) for layer in layers]
    shown = _shown(looks, checkpoint)
    if kept is not None:
        check_kept(shown.place, shown.predictions, kept)
    limit = near_zero_limit(near_zero, method=method, softmax=shown.softmax)
    experiment, replicate, name, alias = shown.place
    return UnitCard(
        experiment=experiment,
        replicate=replicate,
        checkpoint=name,
        layer=alias,
        path=str(shown.attributes.get("layer", alias)),
        unit=unit,
        units=shown.units,
        ranked=shown.ranked,
        measure="bits" if method != "probdiff" else "probability" if shown.softmax else "scores",
        limit=limit,
        effective_samples=shown.effective_samples,
        skipped_mass=shown.skipped_mass,
        contributions=_contributions(looks, limit),
        images=_images(shown, count, kept),
        classes=_classes(shown, kept),
        attributes=shown.attributes,
    )


@dataclass(frozen=True, eq=False)
class _Look:
    """What one checkpoint says of the unit: by task its ``evidence`` [1, N], contribution, the average's, and rank."""

    place: tuple[str, int, str, str]
    attributes: Mapping[str, Any]
    softmax: bool
    units: int
    ranked: int
    effective_samples: float
    skipped_mass: float
    predictions: Mapping[str, Array]
    evidence: Mapping[str, Array]
    numbers: Mapping[str, tuple[float, float, int]]

    @property
    def layer(self) -> tuple[str, int, str]:
        """Experiment, replicate and layer."""
        return self.place[0], self.place[1], self.place[3]


def _look(layer: "LayerConditionals", unit: int, method: str, laplace: str) -> _Look:
    rows = np.flatnonzero(layer.units == unit)
    if not len(rows):
        found = f"{_named(layer.place)}, checkpoint {layer.place[2]}, has no unit {unit}"
        raise InputError(f"{found}; accepted are {_ranges(layer.units)}.")
    row = int(rows[0])
    evidence = layer_evidence(layer, method=method, laplace=laplace)
    numbers = {}
    for task, values in evidence.items():
        contributions = contribution(values)
        own = float(contributions[row])
        numbers[task] = own, float(contributions.mean()), 1 + int((contributions > own).sum())
    return _Look(
        layer.place,
        layer.attributes,
        layer.softmax,
        int(layer.attributes.get("layer_units", len(layer.units))),
        len(layer.units),
        float(layer.effective_samples[row]),
        float(layer.skipped_mass[row]),
        layer.predictions,
        {task: values[row : row + 1].copy() for task, values in evidence.items()},
        numbers,
    )


def _shown(looks: Sequence[_Look], checkpoint: str | None) -> _Look:
    """Return the look at a checkpoint, by default the last; raises InputError unless all are of one layer."""
    if not looks:
        raise InputError("layers: found none; accepted is at least one.")
    if other := next((look for look in looks if look.layer != looks[0].layer), None):
        raise InputError(f"layers: found {_named(other.place)} with {_named(looks[0].place)}; accepted is one layer.")
    by_name = {look.place[2]: look for look in looks}
    if len(by_name) < len(looks):
        raise InputError(f"layers: found a checkpoint of {_named(looks[0].place)} twice; accepted is each once.")
    if checkpoint is not None and checkpoint not in by_name:
        raise InputError(f"there is no checkpoint '{checkpoint}'; accepted are {', '.join(by_name)}.")
    return looks[-1] if checkpoint is None else by_name[checkpoint]


def _contributions(looks: Sequence[_Look], limit: float) -> "DataFrame":
    from pandas import DataFrame

    rows = [
        (look.place[2], int(look.attributes.get("step", -1)), task, own, mean, own / mean if mean else nan, rank)
        for look in looks
        for task, (own, mean, rank) in look.numbers.items()
    ]
    frame = DataFrame(rows, columns=CONTRIBUTED)
    return frame.assign(near_zero=frame["average"] < limit)


def _images(look: _Look, count: int, kept: "DataFrame | None") -> "DataFrame":
    from pandas import DataFrame

    rows = [
        (task, side, place, int(position), float(value))
        for task, values in look.evidence.items()
        for side in SIDES
        for found in [extreme_images(values, side=side, count=count)]
        for place, (position, value) in enumerate(zip(found.positions[0], found.evidence[0], strict=True), start=1)
    ]
    frame = DataFrame(rows, columns=PICTURED)
    if kept is None:
        return frame
    named = kept.iloc[frame["image"]].reset_index(drop=True)
    return frame.assign(file=named["image"], **{f"class_{task}": named[task] for task in look.evidence})


def _classes(look: _Look, kept: "DataFrame | None") -> "DataFrame":
    from pandas import DataFrame

    rows: list[tuple[str, str, int, float]] = []
    if kept is not None:
        for task, values in look.evidence.items():
            present = ~np.isnan(values[0])
            evidence = DataFrame({"class": kept[task][present].to_numpy(), "evidence": values[0][present]})
            found = evidence.groupby("class", sort=False)["evidence"].agg(["size", "mean"])
            ordered = found.sort_values("mean", ascending=False, kind="stable")
            rows += [(task, name, int(size), float(mean)) for name, size, mean in ordered.itertuples()]
    return DataFrame(rows, columns=["task", "class", "images", "evidence"])


def _named(place: tuple[str, int, str, str]) -> str:
    """Return what a layer is called in sentences."""
    return f"{place[3]} of {network_label(*place[:2])}"


def _ranges(units: NDArray[np.int64]) -> str:
    """Return whole numbers as ranges, such as 0 to 5, 8."""
    ordered = np.unique(units)
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1)
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
