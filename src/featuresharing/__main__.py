"""The ``featuresharing`` command, also as ``python -m featuresharing``: one command, then the end of its process."""

import atexit
import gc
import os
import sys
import threading
from contextlib import suppress

from featuresharing.cli import main


def run() -> int:
    """Run the command that the process was started with; return its exit status."""
    try:
        status = main()
        if "torch" in sys.modules and threading.active_count() == 1:
            _end(status)
        return status
    finally:
        gc.freeze()  # or else all that was imported is searched for garbage once more


def _end(status: int) -> None:
    """End this process as Python does, but take nothing apart in memory: that takes a tenth of a second after torch."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # closed, or nobody reads it
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(run())
