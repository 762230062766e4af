"""What a task takes of a network's outputs, and what that output returns: raw scores, probabilities, one score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from featuresharing.arguments import is_whole, kind_of
from featuresharing.errors import InputError
from featuresharing.settings.experiment_settings import (
    LOG_PROBABILITIES,
    PROBABILITIES,
    SCORES,
    SIGMOID,
    SIGMOID_SCORE,
)

RETURNS = {
    SCORES: "raw scores, one a class, as a softmax takes them",
    LOG_PROBABILITIES: "the logarithm of a softmax",
    PROBABILITIES: "a softmax",
    SIGMOID_SCORE: "one raw score of the second of two classes, as a sigmoid takes it",
    SIGMOID: "one probability of the second of two classes, as a sigmoid gives it",
}
"""What an output may return, and what that is. Regression is nothing of these."""

BINARY = (SIGMOID_SCORE, SIGMOID)

MEAN = "mean"


@dataclass(frozen=True)
class Head:
    """A task as one of a network's outputs, or as some columns of one; several tasks may be of the same output.

    ``output`` is its place, counted from 0, or its name (:func:`.outputs.task_outputs`). ``columns`` are the outputs
    that are the task's classes, in their order (None: all); its predictions are those among these classes. ``returns``
    is one of :data:`RETURNS`: nobody can tell from numbers alone whether they are raw scores, and numbers of a
    regression look like raw scores, too. ``reduce`` says what becomes of maps [N, classes, H, W]: ``mean`` averages raw
    scores over positions, (row, column) takes one; None refuses them.

    Raises InputError for values that are none of these.

    >>> Head("word", returns="probabilities").returns
    'probabilities'
    """

    output: int | str = 0
    columns: tuple[int, ...] | None = None
    returns: str = SCORES
    reduce: str | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.output, str) or (is_whole(self.output) and self.output >= 0)):
            raise _refuse("output", self.output, "the place of an output, counted from 0, or its name")
        if self.returns not in RETURNS:
            known = ", ".join(RETURNS)
            raise _refuse(
                "returns", self.returns, f"one of {known}; an output of anything else, such as a regression, is no task"
            )
        for name, value in (("columns", self.columns), ("reduce", self.reduce)):
            if isinstance(value, Sequence) and not isinstance(value, str):
                object.__setattr__(self, name, tuple(value))
        if self.columns is not None and not _are_places(self.columns, distinct=True):
            raise _refuse("columns", self.columns, "a list of distinct places of classes, counted from 0")
        if self.returns in BINARY and self.columns is not None and len(self.columns) != 1:
            raise _refuse("columns", self.columns, f"one column where an output returns a {self.returns}")
        if self.reduce not in (None, MEAN) and not _are_places(self.reduce):
            raise _refuse("reduce", self.reduce, f"'{MEAN}', or a position such as [0, 0]")


def head_of(values: Mapping[str, Any]) -> Head:
    """Return the head that plain values, such as those of a JSON file, describe; raises InputError for other names."""
    names = [field.name for field in fields(Head)]
    if unknown := next((name for name in values if name not in names), None):
        raise InputError(f"head: found '{unknown}'; accepted are {', '.join(names)}.")
    return Head(**values)


def _are_places(value: Any, *, distinct: bool = False) -> bool:
    if not isinstance(value, tuple) or not value or not all(is_whole(place) and place >= 0 for place in value):
        return False
    return not distinct or len(set(value)) == len(value)


def _refuse(name: str, found: Any, accepted: str) -> InputError:
    said = repr(found) if isinstance(found, str | int | float | tuple | list) else kind_of(found)
    return InputError(f"{name} of a head: found {said}; accepted is {accepted}.")
