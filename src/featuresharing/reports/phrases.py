"""Numbers and names in words."""

import math
from collections.abc import Sequence

NUMERALS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return how many there are of something; ``nouns`` is its plural where that has more than an s.

    >>> counted(1, "network"), counted(12, "network"), counted(2, "class", "classes")
    ('one network', '12 networks', 'two classes')
    """
    numeral = NUMERALS[number] if number < len(NUMERALS) else f"{number:,}"
    return f"{numeral} {noun if number == 1 else nouns or f'{noun}s'}"


def joined(names: Sequence[str]) -> str:
    """Return names in a row.

    >>> joined(["a", "b", "c"]), joined(["a"])
    ('a, b and c', 'a')
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def spans(chosen: Sequence[str], order: Sequence[str]) -> str:
    """Return the ``chosen`` of names that have an ``order``, three and more in a row by the first and the last.

    >>> spans(["conv1", "conv2", "conv3", "fc7"], ["conv1", "conv2", "conv3", "fc6", "fc7"])
    'conv1 to conv3 and fc7'
    """
    runs: list[list[str]] = []
    for place, name in enumerate(order):
        if name in chosen:
            if place and order[place - 1] in chosen:
                runs[-1].append(name)
            else:
                runs.append([name])
    return joined([each for run in runs for each in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)])


def decimal(value: float, digits: int = 2) -> str:
    """Return a number without the zero before its point, and "-" for none.

    >>> decimal(0.756), decimal(-0.031), decimal(1.0), decimal(math.nan), decimal(-0.001)
    ('.76', '-.03', '1.00', '-', '.00')
    """
    if not math.isfinite(value):
        return "-"
    text = f"{abs(value):.{digits}f}"
    sign = "-" if value < 0 and float(text) else ""
    return sign + (text[1:] if text.startswith("0.") else text)


def interval(low: float, high: float, digits: int = 2) -> str:
    """Return the ends of an interval for a table.

    >>> interval(0.69, 0.783), interval(math.nan, math.nan)
    ('[.69, .78]', '-')
    """
    return f"[{decimal(low, digits)}, {decimal(high, digits)}]" if math.isfinite(low) and math.isfinite(high) else "-"


def p_value(p: float) -> str:
    """Return a p-value in words.

    >>> p_value(0.0334), p_value(0.0004), p_value(1.0), p_value(math.nan)
    ('p = .033', 'p < .001', 'p = 1', 'no p-value')
    """
    if not math.isfinite(p):
        return "no p-value"
    if p < 0.001:
        return "p < .001"
    return "p = 1" if p >= 0.9995 else f"p = {decimal(p, 3)}"


def percent(share: float) -> str:
    """Return a share in percent, and "-" for none.

    >>> percent(0.956), percent(1.0), percent(0.0512)
    ('96 %', '100 %', '5 %')
    """
    return f"{share * 100:.0f} %" if math.isfinite(share) else "-"
