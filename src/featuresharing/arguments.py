"""What functions are given: which values are numbers, and what others are."""

from typing import Any

import numpy as np

from featuresharing.errors import InputError


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer, of Python or numpy; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return whether a value is a real number, of Python or numpy; True and False are none."""
    return is_whole(value) or isinstance(value, float | np.floating)


def kind_of(value: Any) -> str:
    """Return what a value is, in words: the name of its class, or that it is a class itself."""
    return f"class {value.__name__}" if isinstance(value, type) else type(value).__name__


def check_whole(name: str, value: Any, least: int) -> None:
    """Raise InputError unless the argument ``name`` is an integer from ``least``."""
    if not (is_whole(value) and value >= least):
        raise InputError(f"{name}: found {value!r}; accepted is an integer from {least}.")
