"""Sentences about sharing: against chance, over layers and checkpoints, and between experiments.

A difference is told where its 95 % interval leaves 0 out and p, where there is one, is below :data:`LEVEL`: intervals
are about images or networks, p-values about shuffled units, and what only one of them supports is not told. Elsewhere,
the sentence says that none can be told.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from featuresharing.analysis.trends import IN_LAYER, OVER_CHECKPOINTS, OVER_LAYERS
from featuresharing.reports.phrases import decimal, interval, joined, p_value, spans

if TYPE_CHECKING:
    from pandas import DataFrame

LEVEL = 0.05
"""p-values below it are told as differences; they are not corrected for how many layers there are."""


class Line(NamedTuple):
    """Two tasks of an experiment."""

    experiment: str
    task_a: str
    task_b: str

    @property
    def tasks(self) -> str:
        """The tasks in words."""
        return f"`{self.task_a}` and `{self.task_b}`"

    @property
    def whole(self) -> str:
        """The tasks and their experiment in words."""
        return f"{self.tasks} of `{self.experiment}`"


def lines_of(table: "DataFrame") -> list[Line]:
    """Return the lines of a table of sharing, in the order of its rows."""
    columns = ["experiment", "task_a", "task_b"]
    return [Line(*row) for row in table[columns].drop_duplicates().itertuples(index=False)]


def of_line(table: "DataFrame", line: Line) -> "DataFrame":
    """Return the rows of a line."""
    return table[(table.experiment == line.experiment) & (table.task_a == line.task_a) & (table.task_b == line.task_b)]


def in_layers(chosen: Sequence[str], layers: Sequence[str], all_of: str = "every") -> str:
    """Return "in conv1 and fc7", or "in every layer" for all of several; after a "no", ``all_of`` is "any".

    >>> in_layers(["conv1"], ["conv1", "fc7"]), in_layers(["fc7", "conv1"], ["conv1", "fc7"])
    ('in conv1', 'in every layer')
    """
    every = len(layers) > 1 and set(chosen) == set(layers)
    return f"in {all_of} layer" if every else f"in {spans(chosen, layers)}"


def against_chance(line: Line, cells: "DataFrame", layers: Sequence[str]) -> str:
    """Return in which layers two tasks share less and more than chance gives, and in which no difference can be told.

    ``cells`` are rows of the table of sharing over networks, one a layer.
    """
    chosen: dict[str, list[str]] = {"less": [], "more": [], "same": [], "near": [], "none": []}
    for cell in cells.itertuples():
        chosen[_verdict(cell)].append(cell.layer)
    said = []
    if chosen["less"]:
        said.append(f"share less than chance gives {in_layers(chosen['less'], layers)}")
    if chosen["more"]:
        than = "" if chosen["less"] else "than chance gives "
        said.append(f"{'' if chosen['less'] else 'share '}more {than}{in_layers(chosen['more'], layers)}")
    parts = [f"{line.tasks} {' and '.join(said)}"] if said else []
    if chosen["same"]:
        subject = "" if said else f"for {line.tasks}, "
        parts.append(f"{subject}no difference from chance can be told {in_layers(chosen['same'], layers, 'any')}")
    for kind, why in (("near", "at least one task is near zero"), ("none", "a task relies on no unit")):
        if chosen[kind]:
            subject = "" if parts else f"for {line.tasks}, "
            parts.append(f"{subject}nothing is said of sharing {in_layers(chosen[kind], layers, 'any')}, where {why}")
    return _sentence("; ".join(parts))


def _verdict(cell: Any) -> str:
    if not math.isfinite(cell.sharing):
        return "none"
    if cell.near_zero:
        return "near"
    if not _differs(cell.p, cell.excess_low, cell.excess_high):
        return "same"
    return "less" if cell.excess < 0 else "more"


def at_end(trends: "DataFrame", checkpoint: str) -> "DataFrame":
    """Return the rows of the table of trends that are over all checkpoints, or of the last ``checkpoint``."""
    return trends[trends.checkpoint.isin(["", checkpoint])]


def is_told(row: Any) -> bool:
    """Return whether a value of the table of trends is told to differ from 0."""
    return _differs(row.p, row.low, row.high)


def _differs(p: float, low: float, high: float) -> bool:
    leaves_out = math.isfinite(low) and math.isfinite(high) and not low <= 0 <= high
    return leaves_out and (not math.isfinite(p) or p < LEVEL)


def trend_of(line: Line, trends: "DataFrame") -> str | None:
    """Return how excess sharing changes over the layers; None where the table, at one checkpoint, does not say it."""
    rows = of_line(trends, line)
    rows = rows[(rows.quantity == OVER_LAYERS) & (rows.other_experiment == "")]
    if not len(rows) or not math.isfinite(rows.iloc[0].value):
        return None
    row = rows.iloc[0]
    if is_told(row):
        verb = "falls" if row.value < 0 else "rises"
        return _sentence(f"over the layers, excess sharing of {line.whole} {verb} by {_size(row)} a layer{_doubt(row)}")
    no = f"over the layers, no trend of excess sharing can be told for {line.whole}"
    return _sentence(f"{no}: the slope is {decimal(row.value, 3)} a layer{_doubt(row, signed=True)}")


def trends_over_training(line: Line, trends: "DataFrame", layers: Sequence[str]) -> str | None:
    """Return in which layers excess sharing rises and falls over the checkpoints; None where the table has no slope."""
    rows = of_line(trends, line)
    rows = rows[(rows.quantity == OVER_CHECKPOINTS) & (rows.other_experiment == "")]
    rows = rows[[math.isfinite(value) for value in rows.value]]
    if not len(rows):
        return None
    telling = rows.apply(is_told, axis=1)
    chosen = (("falls", rows[telling & (rows.value < 0)]), ("rises", rows[telling & (rows.value >= 0)]))
    said = [
        f"{verb} {in_layers(list(found.layer), layers)} ({_sizes(found, 3)} a checkpoint)"
        for verb, found in chosen
        if len(found)
    ]
    parts = [f"over training, excess sharing of {line.whole} {' and '.join(said)}"] if said else []
    if silent := list(rows.layer[~telling]):
        subject = "" if said else f"over training, for {line.whole}, "
        parts.append(f"{subject}no trend can be told {in_layers(silent, layers, 'any')}")
    return _sentence("; ".join(parts))


def differences(trends: "DataFrame", layers: Sequence[str]) -> Iterator[list[str]]:
    """Yield sentences about each two lines that the table compares: over the layers, and layer by layer."""
    compared = trends[trends.other_experiment != ""]
    columns = ["experiment", "task_a", "task_b", "other_experiment", "other_task_a", "other_task_b"]
    for names in compared[columns].drop_duplicates().itertuples(index=False):
        line, other = Line(*names[:3]), Line(*names[3:])
        rows = of_line(compared, line)
        rows = rows[
            (rows.other_experiment == other.experiment)
            & (rows.other_task_a == other.task_a)
            & (rows.other_task_b == other.task_b)
        ]
        found = _slope_difference(line, other, rows), _layer_differences(line, other, rows, layers)
        if sentences := [sentence for sentence in found if sentence]:
            yield sentences


def _slope_difference(line: Line, other: Line, rows: "DataFrame") -> str | None:
    rows = rows[rows.quantity == OVER_LAYERS]
    if not len(rows) or not math.isfinite(rows.iloc[0].value):
        return None
    row = rows.iloc[0]
    if is_told(row):
        than = "lower" if row.value < 0 else "higher"
        slope = f"The slope over layers of {line.whole} is {than} than that of {other.whole}"
        return f"{slope}, by {_size(row)}{_doubt(row)}."
    no = f"No difference can be told between the slopes over layers of {line.whole} and of {other.whole}"
    return f"{no}: it is {decimal(row.value, 3)}{_doubt(row, signed=True)}."


def _layer_differences(line: Line, other: Line, rows: "DataFrame", layers: Sequence[str]) -> str | None:
    rows = rows[rows.quantity == IN_LAYER]
    rows = rows[[math.isfinite(value) for value in rows.value]]
    if not len(rows):
        return None
    told: dict[str, list[str]] = {"less": [], "more": [], "same": []}
    for row in rows.itertuples():
        told["same" if not is_told(row) else "less" if row.value < 0 else "more"].append(row.layer)
    said: list[str] = []
    for word in ("less", "more"):
        if told[word]:
            than = "" if said else f" than {other.whole}, each against chance,"
            differing = rows[rows.layer.isin(told[word])]
            said.append(f"{word}{than} {in_layers(told[word], layers)} ({_sizes(differing)}{_tested(differing)})")
    parts = [f"{line.whole} share {' and '.join(said)}"] if said else []
    if told["same"]:
        subject = "" if said else f"between {line.whole} and {other.whole}, "
        parts.append(f"{subject}no difference can be told {in_layers(told['same'], layers, 'any')}")
    if missing := [layer for layer in layers if layer not in set(rows.layer)]:
        parts.append(f"{joined(missing)} {'is' if len(missing) == 1 else 'are'} left out")
    return _sentence("; ".join(parts))


def _sizes(rows: "DataFrame", digits: int = 2) -> str:
    """Return the smallest and the largest of the differences that are told."""
    ordered = sorted(rows.itertuples(), key=lambda row: abs(row.value))
    least, most = (f"{decimal(abs(row.value), digits)} in {row.layer}" for row in (ordered[0], ordered[-1]))
    return f"by {least} to {most}" if len(ordered) > 1 else f"by {decimal(abs(ordered[0].value), digits)}"


def _tested(rows: "DataFrame") -> str:
    """Return the interval and the p-value of a difference, or of several that there are no p-values."""
    if len(rows) == 1:
        row = next(rows.itertuples())
        return f", {_span(row, 2)}, {p_value(row.p)}"
    return "" if rows.p.notna().any() else "; no p-values, as told by 95 % intervals"


def _size(row: Any) -> str:
    return decimal(abs(row.value), 3)


def _doubt(row: Any, *, signed: bool = False) -> str:
    """Return the interval and the p-value of a row, the former of its size unless it is ``signed``."""
    return f" ({_span(row, 3, signed=signed)}, {p_value(row.p)})"


def _span(row: Any, digits: int, *, signed: bool = False) -> str:
    if interval(row.low, row.high) == "-":
        return "no interval"
    ends = (row.low, row.high) if signed or row.value >= 0 else (-row.high, -row.low)
    return f"95 % interval {decimal(ends[0], digits)} to {decimal(ends[1], digits)}"


def _sentence(text: str) -> str:
    """Return a text with a capital, unless a name begins it, and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."
