"""Contributions that users of Python give to figures, as pairs of tasks: what would be drawn wrongly is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featuresharing.analysis.near_zero import said_below
from featuresharing.arguments import is_number, kind_of
from featuresharing.errors import InputError
from featuresharing.figures.unit_map import Pair, UnitMap, sorted_by
from featuresharing.settings import FigureSettings
from featuresharing.settings.sentences import listed, shown


def pairs_given(
    contributions: Mapping[str, Sequence[ArrayLike]], names: tuple[str, str], near_zero: float
) -> dict[str, Pair]:
    """Return what units of each layer contribute, near zero where the average unit does less than that to a task."""
    if not (is_number(near_zero) and near_zero >= 0):
        raise InputError(f"near_zero: found {near_zero!r}; accepted is a number from 0.")
    pairs = {}
    for layer, arrays in _arrays(contributions).items():
        called = _names(names, len(arrays))
        pair = Pair(called[0], arrays[0], called[1], arrays[1]) if len(arrays) > 1 else Pair(called[0], arrays[0])
        checked = pair.checked(np.arange(pair.first.size))
        low = any(values.mean() < near_zero for values in (checked.first, checked.second) if values is not None)
        pairs[layer] = replace(checked, near_zero=low)
    return pairs


def maps_given(
    contributions: Mapping[str, Sequence[ArrayLike]],
    names: tuple[str, str],
    orders: Mapping[str, ArrayLike] | None,
    near_zero: float,
    style: FigureSettings,
) -> dict[str, UnitMap]:
    """Return the map of each layer, sorted as the style says unless ``orders`` has its places."""
    pairs, orders = pairs_given(contributions, names, near_zero), orders or {}
    if other := next((layer for layer in orders if layer not in pairs), None):
        raise InputError(f"orders: found layer '{other}'; accepted is {listed(tuple(pairs))}.")
    maps = {}
    for layer, pair in pairs.items():
        sorting = "" if layer in orders or style.sort == "none" else pair.first_name
        places = sorted_by(pair.first, pair.second) if sorting else None
        if layer in orders:
            places = _order(f"order of {layer}" if layer else "order", orders[layer], len(pair.first))
        maps[layer] = UnitMap(layer, "", [pair], np.arange(len(pair.first)), places, sorting, _warning(pair, near_zero))
    return maps


def _warning(pair: Pair, near_zero: float) -> str:
    """Say why a pair is hatched; blank if it is not."""
    means = {pair.first_name: pair.first.mean()}
    if pair.second is not None:
        means[str(pair.second_name)] = pair.second.mean()
    low = [f"{task} {said_below(mean, near_zero)}" for task, mean in means.items() if mean < near_zero]
    said = f"Hatched: the average unit contributes less than {near_zero:g} ({', '.join(low)}), which says little."
    return said if low else ""


def _numbers(what: str, values: Any) -> NDArray[Any]:
    """Return numbers as an array; raises InputError for what are none, such as text."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        found = f"{kind_of(values)} that is no array"
        raise InputError(f"{what}: found {found}; accepted are numbers, one a unit.") from error
    if array.dtype.kind not in "iuf":
        raise InputError(f"{what}: found {shown(values)}; accepted are numbers, one a unit.")
    return array


def _order(what: str, order: Any, units: int) -> NDArray[np.intp]:
    """Return places of units; raises InputError unless every unit stands there once."""
    places = _numbers(what, order)
    if places.dtype.kind == "f" or not np.array_equal(np.sort(places, axis=None), np.arange(units)) or places.ndim != 1:
        raise InputError(f"{what}: found {shown(places.tolist())}; accepted is each of 0 to {units - 1} once.")
    return places.astype(np.intp)


def _names(names: Any, arrays: int) -> tuple[str, str]:
    """Return the names of two tasks, of which the second may be missing where there is one; raises InputError."""
    given = () if isinstance(names, str) or not isinstance(names, Sequence) else tuple(names)
    if not (arrays <= len(given) <= 2) or not all(isinstance(name, str) for name in given):
        accepted = 'one name or two, such as ("word", "basic")' if arrays == 1 else 'two, such as ("word", "basic")'
        raise InputError(f"names: found {names!r}; accepted are {accepted}.")
    return given[0], given[-1]


def _arrays(contributions: Any) -> dict[str, list[NDArray[Any]]]:
    """Return one or two arrays by the name of each layer; raises InputError unless all layers have as many."""
    if not isinstance(contributions, Mapping):
        found = kind_of(contributions)
        raise InputError(f"contributions: found {found}; accepted are two arrays by the name of each layer.")
    pairs = {}
    for layer, arrays in contributions.items():
        what = f"contributions of {layer}" if layer else "contributions"
        several = hasattr(arrays, "__len__") and not isinstance(arrays, str | Mapping)
        if not several or len(arrays) not in (1, 2):
            found = f"{len(arrays)} arrays" if several else kind_of(arrays)
            raise InputError(f"{what}: found {found}; accepted are two, of a task each, or one.")
        pairs[str(layer)] = [_numbers(what, array) for array in arrays]
    if len(counts := {len(arrays) for arrays in pairs.values()}) > 1:
        found = f"layers of {' and of '.join(map(str, sorted(counts)))} tasks"
        raise InputError(f"contributions: found {found}; accepted are as many in all layers.")
    return pairs
