"""Tables of a run that are read again, such as for figures: nothing may be missing in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.data.column_kinds import Table
from featuresharing.data.columns import LESIONS, TRAINING
from featuresharing.data.sharing_columns import SHARING
from featuresharing.data.table_files import read_table
from featuresharing.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame, Series


def read_curves(path: Path) -> "DataFrame":
    """Return a table of lesion curves (:data:`.columns.LESIONS`); raises InputError for one that is not whole."""
    curves = read_table(path, LESIONS)
    check_whole(path, curves, of=("experiment", "replicate", "checkpoint", "layer", "order", "task"), along="removed")
    if missing := {*curves["task"]} ^ {*curves["order"]}:
        raise InputError(f"table {path}: the curves of '{min(missing)}' are missing; accepted is a whole table.")
    return curves


def read_sharing(
    path: Path, *, checkpoints: Sequence[str], layers: Sequence[str], table: Table = SHARING
) -> "DataFrame":
    """Return the rows of ``checkpoints`` and ``layers`` of a table of :data:`.sharing_columns.SHARING`, in their order.

    ``table`` is the kind, which may be :data:`.sharing_columns.SHARING_OVER_NETWORKS`. There are none in a table
    without rows, which experiments of one task have. Raises InputError for a table that cannot be read, and for a
    checkpoint or layer that it does not have.
    """
    rows = read_table(path, table)
    if rows.empty:
        return rows
    _refuse_others(path, "checkpoint", checkpoints, rows["checkpoint"])
    rows = rows[rows["checkpoint"].isin(checkpoints)]
    for checkpoint in checkpoints:
        _refuse_others(
            path, f"layer of checkpoint {checkpoint}", layers, rows["layer"][rows["checkpoint"] == checkpoint]
        )
    places = {"at": _places(rows["checkpoint"], checkpoints), "place": _places(rows["layer"], layers)}
    sorted_rows = rows.assign(**places).dropna(subset="place").sort_values(["at", "place"], kind="stable")
    return sorted_rows.drop(columns=["at", "place"])


def _places(names: "Series[str]", order: Sequence[str]) -> "Series[float]":
    return names.map({name: place for place, name in enumerate(order)})


def _refuse_others(path: Path, what: str, asked: Sequence[str], known: "Series[str]") -> None:
    accepted = list(dict.fromkeys(known))
    if missing := next((name for name in asked if name not in accepted), None):
        raise InputError(f"{path}: there is no {what} '{missing}'; accepted are {', '.join(accepted)}.")


def read_log(path: Path) -> "DataFrame":
    """Return a log of training (:data:`.columns.TRAINING`); raises InputError for one that is not whole."""
    log = read_table(path, TRAINING)
    check_whole(path, log, of=("task",), along="step")
    return log


def check_whole(path: Path, frame: "DataFrame", *, of: Sequence[str], along: str) -> None:
    """Raise InputError unless every combination of the values of columns ``of`` has the same numbers ``along``."""
    from pandas import MultiIndex

    groups = frame.groupby(list(of), sort=False)[along].agg(list).to_dict()
    wanted = max(groups.values(), key=len)
    names = [frame[name].unique() for name in of]
    for place in MultiIndex.from_product(names):
        found = groups.get(place if len(of) > 1 else place[0], [])
        if found != wanted:
            said = ", ".join(f"{name} '{value}'" for name, value in zip(of, place, strict=True))
            raise InputError(
                f"table {path}: {said} has {len(found)} of {len(wanted)} rows, or others than the rest; "
                "accepted is a whole table."
            )
