"""Memory that a process frees and takes again: kept by glibc, not given back to the system each time.

By default glibc returns large blocks to the system as soon as they are freed. A training frees and takes tens of
megabytes a step: the system then clears as many pages, and each is a fault.
"""

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers that glibc's mallopt has for its parameters."""

KEPT = 2**28
"""Bytes at the end of the heap that may lie unused before they are given back."""

LARGEST = 2**25
"""Bytes of the largest block that comes from the heap; glibc takes no larger number."""


def keep_freed_memory() -> None:
    """Let this process keep memory that it frees, on Linux with glibc, unless the environment tunes it otherwise."""
    tuned = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    mallopt = None if tuned or sys.platform != "linux" else getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
