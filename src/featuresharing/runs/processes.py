"""Training in several processes: started here, or by torchrun."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from featuresharing.errors import InputError
from featuresharing.runs.stopping import StoppedError, stoppable

if TYPE_CHECKING:
    from featuresharing.networks.alexnet.batches import Share

SAVE_SECONDS = 60.0
"""How long the first process has to store its state when all are stopped."""


def is_one_of_several() -> bool:
    """Return whether this process has a rank: whether it was started by :func:`run_processes` or torchrun."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def process_group(device: str, *, wait: float = 0.0) -> Iterator[tuple["Share", str]]:
    """Join the group of processes for a block; yield this one's share of the work and its device.

    A process that is not one of several has all of the work. The others wait for each other ``wait`` seconds longer
    than torch has them wait.
    """
    from torch import distributed

    from featuresharing.networks.alexnet.batches import Share

    if not is_one_of_several():
        yield Share(), device
        return
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if device.startswith("cuda"):
        device = f"cuda:{os.environ.get('LOCAL_RANK', rank)}"
    kind = "nccl" if device.startswith("cuda") else "gloo"
    timeout = distributed.default_pg_timeout + timedelta(seconds=wait)
    distributed.init_process_group(kind, timeout=timeout, rank=rank, world_size=count)
    try:
        yield Share(rank, count), device
    except RuntimeError as error:
        if rank == 0 or not ("gloo" in str(error) or isinstance(error, distributed.DistError)):
            raise
        raise SystemExit(1) from None  # another process ended and has said why
    finally:
        distributed.destroy_process_group()


def run_processes(count: int, command: Sequence[str]) -> None:
    """Run a command in ``count`` processes, and pass signals on to the first, which stores what is done.

    Raises StoppedError after a signal, and InputError if a process failed, which has said why, or was killed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    children: list[subprocess.Popen[bytes]] = []
    ends: list[int | None] = []
    try:
        with stoppable():
            for rank in range(count):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                # a group of its own: Ctrl-C at the terminal comes to this process alone
                children.append(subprocess.Popen(command, env={**os.environ, **shared, **own}, start_new_session=True))
            while None in (ends := [child.poll() for child in children]) and not any(ends):
                time.sleep(0.05)
    except StoppedError:
        if children:
            children[0].send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                children[0].wait(SAVE_SECONDS)
        raise
    finally:
        for child in children:
            child.kill()
            child.wait()
    if killed := [-end for end in ends if end and end < 0]:
        signal_name = signal.Signals(killed[0]).name
        raise InputError(f"one of {count} processes was ended by {signal_name}; the same command goes on.")
    if any(ends):
        raise InputError(f"training in {count} processes failed; the lines above say why.")
