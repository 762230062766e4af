"""One progress line for a loop, written only where a person watches."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress_bar(
    items: Iterable[Item], *, total: int, label: str, show: bool, size: Callable[[Item], float] = lambda _: 1.0
) -> Iterator[Item]:
    """Yield ``items``; with ``show`` and a terminal, keep a line with how much is done, rate and time left on stderr.

    ``size`` is what an item counts towards ``total``.
    """
    visible = show and sys.stderr.isatty()
    start = time.monotonic()
    done = 0.0
    for item in items:
        yield item
        done += size(item)
        if visible:
            elapsed = time.monotonic() - start
            rate = done / max(elapsed, 1e-9)
            left = (total - done) / rate
            sys.stderr.write(f"\r{label}: {int(done + 1e-6)} of {total}, {rate:.1f} a second, {left:.0f} s left ")
    if visible:
        sys.stderr.write("\n")
