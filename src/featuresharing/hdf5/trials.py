"""Reading by another process what may crash HDF5 or never end: files without a seal that fits.

One such process is kept for all files. It reads a file from end to end and says what it found; a file on which it takes
too long, too much memory, or dies, is refused.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock

SECONDS = 10.0
"""How long a small file may take."""

BYTES_PER_SECOND = 2**24
"""Large ones may take longer by this."""

MEMORY = 2**32
"""How much memory the process may have."""

_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True)
class Trial:
    """What the other process found: ``reason`` says why a file cannot be read, None if it can.

    ``format`` is what the file says of itself (0: nothing), ``changed`` names datasets that differ from their digests.
    """

    reason: str | None = None
    format: int = 0
    changed: list[str] = field(default_factory=list)


def try_reading(path: Path) -> Trial:
    """Let the other process read a file; raises FileNotFoundError if there is none."""
    found = path.stat()
    return _try_reading(path.absolute(), found.st_ino, found.st_size, found.st_mtime_ns)


def close() -> None:
    """End the other process, if there is one."""
    if _Reader._present is not None:
        _Reader._present.close()


@lru_cache(maxsize=1024)
def _try_reading(path: Path, inode: int, size: int, changed: int) -> Trial:
    with _ONE_AT_A_TIME:
        return _Reader.get().ask(path, SECONDS + size / BYTES_PER_SECOND)


class _Reader:
    """The other process; it dies with its standard input, and by an alarm of its own if a file takes too long."""

    _present: "_Reader | None" = None

    def __init__(self) -> None:
        folders = os.pathsep.join(each for each in sys.path if each)
        self._owner = os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from featuresharing.hdf5.trial_process import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": folders, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        atexit.register(self.close)

    @classmethod
    def get(cls) -> "_Reader":
        """Return the present process, a new one if there is none, it ended, or is that of a parent of this process."""
        present = cls._present
        if present and present._owner == os.getpid() and present._process.poll() is not None:
            present.close()
            present = None
        if present is None or present._owner != os.getpid():
            present = cls._present = cls()
        return present

    def ask(self, path: Path, seconds: float) -> Trial:
        """Let the process read a file for so long; start a new one next time if it dies."""
        question = json.dumps([os.fsencode(path).hex(), seconds]) + "\n"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(question.encode())
            self._process.stdin.flush()
        if answer := self._process.stdout.readline():
            return Trial(**json.loads(answer))
        self.close()
        late = self._process.returncode == -signal.SIGALRM
        return Trial(f"HDF5 did not end reading it in {seconds:.1f} s" if late else "HDF5 crashed while reading it")

    def close(self) -> None:
        """End the process."""
        if self._owner != os.getpid():
            return
        type(self)._present = None
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()
        atexit.unregister(self.close)
