"""The process that reads what may crash HDF5; :mod:`.trials` starts it and asks it."""

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

from featuresharing.hdf5.reading import examine
from featuresharing.hdf5.trials import MEMORY


def serve() -> None:
    """Answer questions from standard input until it ends: what the other process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(ValueError, OSError):  # not every system bounds memory
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for question in sys.stdin:
        path, seconds = json.loads(question)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        found = examine(Path(os.fsdecode(bytes.fromhex(path))))
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps({"reason": found.reason, "format": found.format, "changed": found.changed}), flush=True)
