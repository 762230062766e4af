"""What functions are given: which values are numbers, and what others are."""

import os
from pathlib import Path
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
    """Return what a value is, in words: None, the name of its class with an article, or that it is a class itself."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"a class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def check_whole(name: str, value: Any, least: int) -> None:
    """Raise InputError unless the argument ``name`` is an integer from ``least``."""
    if not (is_whole(value) and value >= least):
        raise InputError(f"{name}: found {value!r}; accepted is an integer from {least}.")


def as_path(name: str, value: Any) -> Path:
    """Return the argument ``name`` as a path; raises InputError for what is none."""
    if not isinstance(value, str | os.PathLike) or "\0" in os.fspath(value):
        found = repr(value) if isinstance(value, str) else kind_of(value)
        raise InputError(f"{name}: found {found}; accepted is a path.")
    return Path(value)
