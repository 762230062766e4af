"""Tables of numbers that are read again: every number finite, in its range, and in every row."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featuresharing.data.texts import numbered_rows
from featuresharing.errors import InputError

ROUNDING = 1e-6
"""How far outside of its range a number may be by rounding."""


@dataclass(frozen=True)
class Number:
    """What a column holds: numbers from ``low`` to ``high``, ``whole`` ones alone, or nan where there is ``none``."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    none: bool = False

    def read(self, text: str) -> float | int | None:
        """Return the number that a text is; None if it is not one of these."""
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            return None
        if math.isnan(value):
            return value if self.none else None
        inside = self.low - ROUNDING <= value <= self.high + ROUNDING
        return value if inside and math.isfinite(value) else None

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a finite number"
        start = f" from {self.low:g}" if self.low > -math.inf else ""
        return f"{kind}{start}{f' to {self.high:g}' if self.high < math.inf else ''}{', or nan' if self.none else ''}"


SHARE = Number(0, 1)
"""A share of one, such as an accuracy."""


def read_numbers(path: Path, columns: Mapping[str, Number | None]) -> list[dict[str, Any]]:
    """Return the rows of a CSV table: numbers where ``columns`` say so, else texts.

    Raises InputError, with line and column, for another text in a column of numbers and a blank in one of texts, and
    for a table without rows or one that :func:`featuresharing.data.texts.numbered_rows` refuses.
    """
    found = []
    for line, row in numbered_rows(path, list(columns)):
        values: dict[str, Any] = {}
        for name, kind in columns.items():
            values[name] = kind.read(row[name]) if kind else row[name] or None
            if values[name] is None:
                shown = f"found '{row[name]}'" if row[name] else "it is blank"
                raise InputError(
                    f"table {path}, line {line}, column '{name}': {shown}; accepted is {kind or 'a name'}."
                )
        found.append(values)
    if not found:
        raise InputError(f"table {path}: found no row; accepted is at least one.")
    return found


def check_whole(path: Path, rows: Sequence[Mapping[str, Any]], *, of: Sequence[str], along: str) -> None:
    """Raise InputError unless every combination of the values of columns ``of`` has the same numbers ``along``."""
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in of), []).append(row[along])
    wanted = max(groups.values(), key=len)
    combinations: list[tuple[Any, ...]] = [()]
    for name in of:
        combinations = [(*each, value) for each in combinations for value in dict.fromkeys(row[name] for row in rows)]
    for each in combinations:
        if (found := groups.get(each, [])) != wanted:
            place = ", ".join(f"{name} '{value}'" for name, value in zip(of, each, strict=True))
            raise InputError(
                f"table {path}: {place} has {len(found)} of {len(wanted)} rows, or others than the rest; "
                "accepted is a whole table."
            )
