"""Results as Datasets of xarray, whose axes have the names of units, images and classes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from featuresharing.errors import InputError
from featuresharing.estimators.result_columns import COLUMNS

Variables = dict[str, tuple[tuple[str, ...], Any]]
"""Arrays by name, each with the names of its axes."""

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from xarray import Dataset

UNIT, IMAGE, CLASS = "unit", "image", "class"


def class_axis(task: str) -> str:
    """Return the name of the axis of a task's classes, as files have it."""
    return f"{CLASS}_{task}"


def dataset_of(
    variables: Mapping[str, tuple[tuple[str, ...], Any]],
    *,
    coordinates: Mapping[str, "Sequence[Any] | NDArray[Any]"],
    attributes: Mapping[str, Any],
) -> "Dataset":
    """Return a Dataset of ``variables``, arrays with the names of their axes, with ``coordinates`` along these.

    Raises InputError where xarray is not installed, and for coordinates of another number than there are.
    """
    try:
        import xarray
    except ImportError as error:
        raise InputError(
            f"to_xarray needs the package xarray ({error}); accepted is a Python that has it: pip install xarray."
        ) from None
    lengths = {
        name: length for axes, values in variables.values() for name, length in zip(axes, values.shape, strict=True)
    }
    for name, names in coordinates.items():
        if len(names) != lengths.get(name, len(names)):
            what = {UNIT: "units", IMAGE: "images"}.get(name, f"classes of {name.removeprefix(f'{CLASS}_')}")
            raise InputError(f"{what}: found {len(names)} names; accepted are {lengths[name]}.")
    named = {name: (name, list(names)) for name, names in coordinates.items() if name in lengths}
    return xarray.Dataset(dict(variables), named, dict(attributes))


def column_variables(columns: Mapping[str, Any], tasks: Sequence[str]) -> Variables:
    """Return what estimators add, by the names that files have, with the names of their axes."""
    found: Variables = {}
    for column in COLUMNS:
        if column.name not in columns:
            continue
        values = columns[column.name]
        if column.per == CLASS:
            found |= {
                f"{column.name}_{task}": ((UNIT, IMAGE, class_axis(task)), each)
                for task, each in zip(tasks, values, strict=True)
            }
        else:
            found[column.name] = ((UNIT,) if column.per == UNIT else (UNIT, IMAGE), values)
    return found
