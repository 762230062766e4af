"""One progress line for a loop, written only where a person watches."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def progress_bar(items: Sequence[Item], *, label: str, show: bool) -> Iterator[Item]:
    """Yield ``items``; with ``show`` and a terminal, keep a line with items done, rate and time left on stderr."""
    visible = show and sys.stderr.isatty()
    start = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if visible:
            elapsed = time.monotonic() - start
            rate = done / max(elapsed, 1e-9)
            left = (len(items) - done) / rate
            sys.stderr.write(f"\r{label}: {done} of {len(items)}, {rate:.1f} a second, {left:.0f} s left ")
    if visible:
        sys.stderr.write("\n")
