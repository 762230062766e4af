"""Tables of a run that are read again, such as for figures: nothing may be missing in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.data.columns import LESIONS, TRAINING
from featuresharing.data.sharing_columns import SHARING
from featuresharing.data.table_files import read_table
from featuresharing.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame


def read_curves(path: Path) -> "DataFrame":
    """Return a table of lesion curves (:data:`.columns.LESIONS`); raises InputError for one that is not whole."""
    curves = read_table(path, LESIONS)
    check_whole(path, curves, of=("experiment", "replicate", "checkpoint", "layer", "order", "task"), along="removed")
    if missing := {*curves["task"]} ^ {*curves["order"]}:
        raise InputError(f"table {path}: the curves of '{min(missing)}' are missing; accepted is a whole table.")
    return curves


def read_sharing(path: Path, *, checkpoint: str, layers: Sequence[str]) -> "DataFrame":
    """Return the rows of a checkpoint in a table of :data:`.columns.SHARING`, by ``layers`` in their order.

    There are none in a table without rows, which experiments of one task have. Raises InputError for a table that
    cannot be read, and for a checkpoint or layer that it does not have.
    """
    table = read_table(path, SHARING)
    if table.empty:
        return table
    rows = table[table["checkpoint"] == checkpoint]
    for what, asked, known in (
        ("checkpoint", [checkpoint], table["checkpoint"]),
        (f"layer of checkpoint {checkpoint}", layers, rows["layer"]),
    ):
        accepted = list(dict.fromkeys(known))
        if missing := next((name for name in asked if name not in accepted), None):
            raise InputError(f"{path}: there is no {what} '{missing}'; accepted are {', '.join(accepted)}.")
    places = rows["layer"].map({name: place for place, name in enumerate(layers)})
    return rows.assign(place=places).dropna(subset="place").sort_values("place", kind="stable").drop(columns="place")


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
