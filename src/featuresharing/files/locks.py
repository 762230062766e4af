"""One process at a time for each output: a lock that dies with its process, wherever on a cluster that runs.

The lock is on a small file beside the output, in which the holder says who it is. Where a file system has no locks, the
holder touches the file as a sign of life instead.
"""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from featuresharing.arguments import is_number, kind_of
from featuresharing.errors import InputError

STALE_SECONDS = 120.0
"""Without locks: a holder that gave no sign of life for so long is gone."""

SIGN_SECONDS = 20.0
"""How often a holder gives a sign of life, whatever it computes meanwhile."""

POLL_SECONDS = 1.0

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems without locks answer."""


class OutputLock:
    """A lock on ``output``; :meth:`acquire` it before work, :meth:`release` it after."""

    def __init__(self, output: Path) -> None:
        self._output, self._path = output, output.with_name(f".{output.name}.lock")
        self._file: int | None = None

    def acquire(self, *, wait: float = 0.0, say: Callable[[str], None] = print) -> None:
        """Take the lock; while another process has it, wait up to ``wait`` seconds and ``say`` for whom.

        Raises InputError if the lock is not to be had, or the folder not to be written to.
        """
        if not (is_number(wait) and wait >= 0):
            raise InputError(f"wait: found {wait!r}; accepted is a number of seconds from 0.")
        if not callable(say):
            raise InputError(f"say: found {kind_of(say)}; accepted is a function that takes a text.")
        deadline = time.monotonic() + wait
        said = False
        while not self._try():
            holder = self._holder()
            if time.monotonic() >= deadline:
                raise InputError(f"{self._output} is being computed by {holder}; accepted is one at a time.")
            if not said:
                say(f"{self._output} is being computed by {holder}: waiting.")
                said = True
            time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))

    def touch(self) -> None:
        """Give a sign of life."""
        if self._file is not None:
            os.utime(self._file)

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _try(self) -> bool:
        try:
            self._output.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(
                f"{self._output.parent} cannot be written to ({error.strerror}); accepted is a writable folder."
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = self._is_current(file)
        except OSError as error:
            free = error.errno in NO_LOCKS and self._is_abandoned(file)
        if not free:
            os.close(file)
            return False
        owner = {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        if job := os.environ.get("SLURM_JOB_ID"):
            owner["job"] = job
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(owner).encode(), 0)
        except OSError as error:
            self._path.unlink(missing_ok=True)
            os.close(file)
            raise InputError(
                f"{self._path} cannot be written ({error.strerror}); accepted is a disk with room."
            ) from None
        self._file = file
        return True

    def _is_current(self, file: int) -> bool:
        """Return whether the file that was locked still has its name: the last holder may have removed it."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False

    def _is_abandoned(self, file: int) -> bool:
        """Without locks: return whether the file is new, or its holder gave no sign of life for long."""
        found = os.fstat(file)
        return found.st_size == 0 or time.time() - found.st_mtime > STALE_SECONDS

    def _holder(self) -> str:
        try:
            owner = json.loads(self._path.read_text())
            job = f", job {owner['job']}" if "job" in owner else ""
            return f"process {owner['process']} on {owner['host']}{job} since {owner['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


@contextmanager
def holding(output: Path, *, wait: float = 0.0, say: Callable[[str], None] = print) -> Iterator[None]:
    """Hold the lock on ``output`` in the block and give signs of life; else as :meth:`OutputLock.acquire`."""
    lock, ended = OutputLock(output), Event()

    def live() -> None:
        while not ended.wait(SIGN_SECONDS):
            with suppress(OSError):
                lock.touch()

    signs = Thread(target=live, daemon=True)
    try:
        lock.acquire(wait=wait, say=say)
        signs.start()
        yield
    finally:
        ended.set()
        if signs.is_alive():
            signs.join()
        lock.release()
