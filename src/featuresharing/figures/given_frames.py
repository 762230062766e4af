"""Frames that users of Python give to figures: those that would be drawn wrongly, or not at all, are refused."""

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from featuresharing.arguments import kind_of
from featuresharing.data.column_kinds import Table
from featuresharing.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame


def check_frame(
    what: str, frame: Any, table: Table, key: Sequence[str], *, one: Sequence[str] = (), name: str = "table"
) -> "DataFrame":
    """Return a frame of a kind of table, of which each row is another by the columns ``key``.

    Raises InputError, which calls the frame ``what``, for anything else, for columns that are missing or hold other
    values, for a row that stands there twice, and for several values in a column of ``one``; it then shows how one is
    chosen from the argument ``name``.
    """
    from pandas import DataFrame

    like = f"read_table(path, TABLES['{table.name}'])"
    if not isinstance(frame, DataFrame):
        found = repr(str(frame)) if isinstance(frame, str | PathLike) else kind_of(frame)
        raise InputError(f"{what}: found {found}; accepted is a frame, such as {like}.")
    if missing := next((name for name in table.needed if name not in frame), None):
        raise InputError(f"{what}: found no column '{missing}'; accepted is a frame as of {like}.")
    if not len(frame):
        return frame
    for column in (column for column in table.columns if column.name in frame):
        _check_column(what, frame, column.name, like, text=column.kind == "text")
    for column_name in one:
        values = list(frame[column_name].unique())
        if len(values) > 1:
            some = f"{len(values)} {column_name}s, {values[0]} to {values[-1]}"
            chosen = f"{name}[{name}.{column_name} == {_quoted(values[-1])}]"
            raise InputError(f"{what}: found {some}; accepted is one, such as {chosen}.")
    twice = frame.duplicated(list(key))
    if twice.any():
        row = ", ".join(f"{column_name} {frame.loc[twice, column_name].iloc[0]}" for column_name in key)
        raise InputError(f"{what}: found two rows of {row}; accepted is one.")
    return frame


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _check_column(what: str, frame: "DataFrame", name: str, like: str, *, text: bool) -> None:
    from pandas.api.types import is_numeric_dtype

    values = frame[name]
    if not text and not is_numeric_dtype(values):
        raise InputError(f"{what}: column '{name}' holds {values.dtype}; accepted are numbers, as {like} reads them.")
    wrong = [value for value in values.unique() if not isinstance(value, str)] if text else []
    if wrong:
        raise InputError(f"{what}: column '{name}' holds {wrong[0]}; accepted are texts, as {like} reads them.")


def task_names(tasks: Any) -> tuple[str, ...]:
    """Return the names of all tasks of a run; raises InputError for anything else, such as one text."""
    if isinstance(tasks, str) or not isinstance(tasks, Sequence) or not all(isinstance(task, str) for task in tasks):
        raise InputError(f"tasks: found {tasks!r}; accepted is a list of names, such as ['word', 'basic'].")
    return tuple(tasks)
