"""Damaged files, read one after the other: what becomes of them, how long it takes, and how much memory."""

import argparse
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable

from featuresharing.errors import InputError

SECONDS, MEGABYTES = 20, 4096
"""What a file may take."""

LONGEST = 2000
"""Letters of a sentence."""


def check_sentence(error: InputError) -> None:
    """Raise ValueError for a refusal that is no line to be printed, is long, or does not say what is accepted."""
    text = str(error)
    if not text.isprintable() or len(text) > LONGEST or "accepted" not in text:
        raise ValueError(f"this sentence is none: {text[:200]!r}") from error


def count_outcomes(attempts: Iterable[Callable[[], str]]) -> Counter[str]:
    """Return how often attempts say "refused" and "read", and how many "tracebacks" they end in; print it.

    An attempt is over before the next one is asked for. ``over`` is 1 if one took too long, or all too much memory.
    """
    found: Counter[str] = Counter()
    cases, slowest = 0, 0.0
    for attempt in attempts:
        start = time.monotonic()
        try:
            found[attempt()] += 1
        except Exception:
            found["tracebacks"] += 1
            print(f"case {cases}:", traceback.format_exc(limit=-3))
        slowest = max(slowest, time.monotonic() - start)
        cases += 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found["over"] = int(slowest > SECONDS or memory > MEGABYTES)
    print(
        f"{cases} cases: {found['refused']} refused, {found['read']} read, {found['tracebacks']} tracebacks; "
        f"slowest {slowest:.1f} s, largest memory {memory:.0f} MB"
    )
    return found


def run_script(description: str, run: Callable[[int, int], Counter[str]], cases: int) -> None:
    """Call ``run`` with the cases and the seed of the command line; exit with 1 for tracebacks, time and memory."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cases", type=int, default=cases)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = run(options.cases, options.seed)
    sys.exit(found["tracebacks"] + found["over"] > 0)
