"""Errors in input or machine, explained in one sentence."""

from collections.abc import Sequence


class InputError(ValueError):
    """Bad input, described in one sentence that names the place, what was found and what is accepted.

    The command line prints it without a traceback; callers of the library may catch it as a ``ValueError``.

    >>> random_orders([0, 1], 0)
    Traceback (most recent call last):
        ...
    featuresharing.errors.InputError: repeats: found 0; accepted is an integer from 1.
    """


class DiskFullError(InputError):
    """No space is left for an output, or a quota is used up."""


def quoted(text: str, longest: int = 60) -> str:
    """Return a text of a file for a message: in quotes, its start if it is long, control characters as escapes."""
    return repr(text if len(text) <= longest else f"{text[: longest - 3]}...")


def first_names(names: Sequence[str], most: int) -> str:
    """Return names for a message, separated by commas; of more than ``most`` the first, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th ..."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
