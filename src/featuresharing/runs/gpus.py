"""Which GPU a job gets: its own, when several run on one machine."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

POLL_SECONDS = 1.0


def claim_gpu(say: Callable[[str], None]) -> str:
    """Return the device of a GPU that no other job of this user holds; it is held until this process ends.

    While all are held, wait for one and ``say`` so. Within a SLURM job the GPUs that SLURM assigned are the job's own.
    """
    import torch

    if "SLURM_JOB_ID" in os.environ:
        return "cuda"
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    names = [str(getattr(each, "uuid", index)) for index, each in enumerate(properties)]
    folder = Path(tempfile.gettempdir()) / f"featuresharing-{os.getuid()}"
    return f"cuda:{claim_first(names, folder, say)}"


def claim_first(names: Sequence[str], folder: Path, say: Callable[[str], None]) -> int:
    """Return the position of the first of ``names`` that no other process holds, and hold it until this process ends.

    Holders are told by locks on files in ``folder``.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    said = False
    while True:
        for index, name in enumerate(names):
            file = os.open(folder / f"gpu-{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
            else:
                return index  # the file stays open, and with it the lock
        if not said:
            say(f"All {len(names)} GPUs are held by other jobs: waiting for one.")
            said = True
        time.sleep(POLL_SECONDS)
