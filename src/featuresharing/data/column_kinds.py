"""Columns and tables in general: what values a column takes, and the columns that many tables have."""

import math
import re
from dataclasses import dataclass

ROUNDING = 1e-6
"""How far outside of its range a number may be by rounding."""

WHOLE = re.compile("-?[0-9]{1,18}")

DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?(nan|inf)", re.IGNORECASE)


@dataclass(frozen=True)
class Column:
    """A column: its ``name``, ``meaning`` and ``source``, and the ``unit`` of its numbers.

    Its ``kind`` is text, whole or number. A text is not blank unless there may be ``none``. Numbers lie between ``low``
    and ``high``, are finite unless ``infinite``, and nan where there is ``none``; so many significant ``digits`` are
    written. Tables of before may lack one that was ``added``, and are read as if all of it were nan.
    """

    name: str
    meaning: str
    source: str
    kind: str = "text"
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    none: bool = False
    infinite: bool = False
    digits: int = 9
    added: bool = False

    def read(self, text: str) -> str | float | None:
        """Return what a text in this column stands for; None if it is none of the values that the column takes."""
        if self.kind == "text":
            return text if text or self.none else None
        if not (WHOLE if self.kind == "whole" else DECIMAL).fullmatch(text):
            return None
        value = int(text) if self.kind == "whole" else float(text)
        if math.isnan(value):
            return value if self.none else None
        inside = self.low - ROUNDING <= value <= self.high + ROUNDING
        return value if inside and (self.infinite or math.isfinite(value)) else None

    def write(self, value: float) -> str:
        """Return the text of a number."""
        return str(value) if self.kind == "whole" else f"{value:.{self.digits}g}"

    @property
    def accepted(self) -> str:
        """What values the column takes, in words."""
        if self.kind == "text":
            return "a text" if self.none else "a name"
        kind = "a whole number" if self.kind == "whole" else "a number" if self.infinite else "a finite number"
        start = f" from {self.low:g}" if self.low > -math.inf else ""
        end = f" to {self.high:g}" if self.high < math.inf else ""
        return f"{kind}{start}{end}{', or nan' if self.none else ''}"


@dataclass(frozen=True)
class Table:
    """A kind of table: its ``name``, which ``files`` hold it, what a ``row`` is, and its ``columns`` in their order.

    ``files`` are patterns of paths from the folder of a run. ``rest`` is what further columns hold, which have the
    names of tasks; None where there are none. ``what`` is what errors call the table, which has rows unless it may be
    ``empty``.
    """

    name: str
    files: tuple[str, ...]
    row: str
    columns: tuple[Column, ...]
    rest: Column | None = None
    what: str = "table"
    empty: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def needed(self) -> tuple[str, ...]:
        """The names of the columns that a table of any version has."""
        return tuple(column.name for column in self.columns if not column.added)

    def column(self, name: str) -> Column | None:
        """Return the column of a name; None for a name that such a table does not have."""
        return next((column for column in self.columns if column.name == name), self.rest)

    def holds(self, head: list[str]) -> bool:
        """Return whether a table with this ``head`` has the columns of this kind, in their order."""
        own = len(self.columns)
        return tuple(head[:own]) == self.names and (len(head) > own if self.rest else len(head) == own)


METHOD = "docs/method.md"
"""Source of what has a formula."""

EXPERIMENT = Column("experiment", "name of the experiment", "config: experiments.name")
REPLICATE = Column(
    "replicate",
    "which of the experiment's networks, which differ by their seeds",
    "replicates.py",
    "whole",
    "counted from 1",
    low=1,
)
CHECKPOINT = Column("checkpoint", "name of the checkpoint: its step, or pretrained", "config: training.checkpoints")
LAYER = Column("layer", "name of the layer", "config: layers")
TASK = Column("task", "name of the task", "config: experiments.tasks")
STEP = Column(
    "step",
    "steps of training so far, -1 where the network does not say",
    "networks/alexnet/trainer.py",
    "whole",
    "steps",
    low=-1,
)


def share(name: str, meaning: str, source: str, *, none: bool = False, digits: int = 9) -> Column:
    """Return a column of shares, from 0 to 1."""
    return Column(name, meaning, source, "number", "share", 0, 1, none=none, digits=digits)


def count(name: str, meaning: str, source: str, unit: str) -> Column:
    """Return a column of whole numbers from 0."""
    return Column(name, meaning, source, "whole", unit, 0)
