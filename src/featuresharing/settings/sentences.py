"""Sentences about values: what was found, and what is accepted, in words that a key's limits give."""

import json
import reprlib
from typing import Any

from featuresharing.settings.fields import MOST_SEED, Key

ANY_OF = {object: "any value", bool: "true or false"}
"""What is accepted of kinds that have no limits."""

NUMERALS = {2: "two", 5: "five"}

_PRINTER = reprlib.Repr()
_PRINTER.maxstring = _PRINTER.maxother = 80
_PRINTER.maxlist = _PRINTER.maxdict = _PRINTER.maxtuple = 6
_PRINTER.maxlevel = 2


def shown(value: Any) -> str:
    """Print a value in a hundred characters or so, on one line, as YAML writes it where that is simple."""
    if isinstance(value, tuple):
        value = list(value)
    return json.dumps(value) if value is None or isinstance(value, bool) else _PRINTER.repr(value)


def listed(values: tuple[Any, ...]) -> str:
    """Return values as "a, b or c"."""
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if first else last


def accepted_item(key: Key) -> str:
    """Say what a single value, or an item of a list, may be."""
    limits = key.limits
    if limits.each or (limits.accepted and not key.many):
        return limits.each or limits.accepted
    unit = f" ({limits.unit})" if limits.unit else ""
    if key.kind in ANY_OF:
        return ANY_OF[key.kind]
    if key.is_block:
        return "a block of keys"
    if limits.choices:
        return ("one of " if key.many else "") + listed(limits.choices) + unit
    if key.kind is str:
        return "a text"
    noun = "an integer" if key.kind is int else "a number"
    if limits.multiple:
        noun = f"a multiple of {limits.multiple},"
    return f"{noun} {_span(key)}{unit}"


def accepted(key: Key) -> str:
    """Say what the whole value of a key may be."""
    limits = key.limits
    if limits.accepted:
        words = limits.accepted
    elif not key.many:
        words = accepted_item(key)
    else:
        plural = accepted_item(key)
        for one, several in (("an integer", "integers"), ("a number", "numbers"), ("an odd integer", "odd integers")):
            plural = plural.replace(one, several, 1) if plural.startswith(one) else plural
        words = f"{NUMERALS[key.length]} {plural}" if key.length else f"a list of {plural}"
    if key.nullable and not limits.optional:
        words += f", or null for {limits.null}" if limits.null else ", or null"
    return words


def found(key: Key, value: Any, *, item: bool = False) -> str:
    """Return "found ..., accepted is ..." for a value, or an ``item`` of it, that a key does not accept."""
    return f"found {shown(value)}; accepted is {accepted_item(key) if item else accepted(key)}"


def _span(key: Key) -> str:
    limits = key.limits
    if limits.most == MOST_SEED:
        return f"from {limits.least}, below 2^63"
    if limits.above is not None:
        upper = f"at most {limits.most:.15g}" if limits.below is None else f"below {limits.below:g}"
        return f"above {limits.above:g} and {upper}"
    upper = f"below {limits.below:g}" if limits.below is not None else f"{limits.most:.15g}"
    return f"from {limits.least:g} to {upper}"
