"""Signals: a stopped job keeps what it has done and says how far it got."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

Say = Callable[[str], None]
"""What is told whatever a user should know, a sentence each."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
"""What tells a process to stop; SIGALRM, shortly before the time limit of its SLURM job."""

MARGIN_SECONDS = 60.0
"""How long before the time limit of a SLURM job work ends, unless that is more than a tenth of what is left."""


class StoppedError(BaseException):
    """The process was told to stop; ``number`` is the signal, ``reason`` says it in words, ``kept`` how far it got."""

    def __init__(self, number: int, reason: str, kept: str = "") -> None:
        super().__init__(f"{reason}: {kept}; the same call goes on there" if kept else reason)
        self.number, self.reason, self.kept = number, reason, kept


class InterruptedWorkError(StoppedError, KeyboardInterrupt):
    """Ctrl-C, or the interrupt of a notebook: a KeyboardInterrupt that says how far the work got."""


class Stopper:
    """Raises StoppedError when the process is told to stop: at once, or at the end of a block that must not be torn."""

    def __init__(self) -> None:
        self._deferred = False
        self._waiting: StoppedError | None = None

    def handle(self, number: int, _: FrameType | None) -> None:
        """Handle a signal."""
        limit = "the time limit of its SLURM job is near"
        kind = InterruptedWorkError if number == signal.SIGINT else StoppedError
        stopped = kind(number, limit if number == signal.SIGALRM else signal.Signals(number).name)
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
def stoppable(kept: Callable[[], str] = lambda: "") -> Iterator[Stopper]:
    """Raise StoppedError in the block at SIGTERM, at SIGINT, and shortly before the time limit of a SLURM job.

    What is raised says what ``kept`` returns then: how much is done. Signals of which a caller has a handler of its own
    stay the caller's, and all do outside of the main thread, where Python sets none.
    """
    stopper = Stopper()
    main = current_thread() is main_thread()
    numbers = [number for number in SIGNALS if main and not _is_taken(number)]
    before = {number: signal.signal(number, stopper.handle) for number in numbers}
    left = seconds_left() if signal.SIGALRM in before else None
    if left is not None:
        signal.setitimer(signal.ITIMER_REAL, max(0.1, left - min(MARGIN_SECONDS, left / 10)))
    try:
        with keeping(kept):
            yield stopper
    finally:
        if left is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def keeping(kept: Callable[[], str]) -> Iterator[None]:
    """Let what stops the block say how much is done, which ``kept`` returns then."""
    try:
        yield
    except StoppedError as stopped:
        raise type(stopped)(stopped.number, stopped.reason, stopped.kept or kept()) from None


def _is_taken(number: signal.Signals) -> bool:
    """Return whether a caller has set a handler of its own."""
    handler = signal.getsignal(number)
    ours = isinstance(getattr(handler, "__self__", None), Stopper) or handler is signal.default_int_handler
    return handler is None or (callable(handler) and not ours)


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
