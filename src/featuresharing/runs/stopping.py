"""Signals: a stopped job keeps what it has done and says how far it got."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MARGIN_SECONDS = 60.0
"""How long before the time limit of a SLURM job work ends, unless that is more than a tenth of what is left."""


class StoppedError(BaseException):
    """The process was told to stop; ``number`` is the signal, ``reason`` says it in words."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number, self.reason = number, reason


class Stopper:
    """Raises StoppedError when the process is told to stop: at once, or at the end of a block that must not be torn."""

    def __init__(self) -> None:
        self._deferred = False
        self._waiting: StoppedError | None = None

    def handle(self, number: int, _: FrameType | None) -> None:
        """Handle a signal."""
        limit = "the time limit of its SLURM job is near"
        stopped = StoppedError(number, limit if number == signal.SIGALRM else signal.Signals(number).name)
        if not self._deferred:
            raise stopped
        self._waiting = stopped

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold signals back until the block ends."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._waiting:
            raise self._waiting


@contextmanager
def stoppable() -> Iterator[Stopper]:
    """Raise StoppedError in the block at SIGTERM, at SIGINT, and shortly before the time limit of a SLURM job."""
    stopper = Stopper()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.signal(number, stopper.handle) for number in numbers}
    left = seconds_left()
    if left is not None:
        signal.setitimer(signal.ITIMER_REAL, max(0.1, left - min(MARGIN_SECONDS, left / 10)))
    try:
        yield stopper
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def seconds_left() -> float | None:
    """Return the seconds until the time limit of the SLURM job that this process is in; None without one."""
    job, end = os.environ.get("SLURM_JOB_ID"), os.environ.get("SLURM_JOB_END_TIME", "")
    if job is None:
        return None
    if end.isdigit():
        return int(end) - time.time()
    try:
        asked = subprocess.run(
            ["squeue", "--noheader", "--job", job, "--format", "%L"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return _seconds(asked.stdout.strip())


def _seconds(text: str) -> float | None:
    """Return the seconds of a time as SLURM writes it, such as 1-02:03:04 or 03:04; None for UNLIMITED and the like."""
    days, _, clock = text.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in [days or "0", *parts]):
        return None
    total = int(days or 0) * 24
    hours, minutes, seconds = [0] * (3 - len(parts)) + [int(part) for part in parts]
    return float(((total + hours) * 60 + minutes) * 60 + seconds)
