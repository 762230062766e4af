"""One progress line for a loop, written only where a person watches."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress_bar(items: Iterable[Item], *, total: int, label: str, show: bool) -> Iterator[Item]:
    """Yield ``items``; with ``show`` and a terminal, keep a line with items done, rate and time left on stderr."""
    visible = show and sys.stderr.isatty()
    start = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if visible:
            elapsed = time.monotonic() - start
            rate = done / max(elapsed, 1e-9)
            left = (total - done) / rate
            sys.stderr.write(f"\r{label}: {done} of {total}, {rate:.1f} a second, {left:.0f} s left ")
    if visible:
        sys.stderr.write("\n")
