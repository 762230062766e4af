"""Training in several processes: started here, or by torchrun."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from featuresharing.cli.stopping import StoppedError, stoppable
from featuresharing.errors import InputError

if TYPE_CHECKING:
    from featuresharing.networks.batches import Share

SAVE_SECONDS = 60.0
"""How long the first process has to store its state when all are stopped."""


def is_one_of_several() -> bool:
    """Return whether this process has a rank: whether it was started by :func:`run_processes` or torchrun."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def process_group(device: str) -> Iterator[tuple["Share", str]]:
    """Join the group of processes for a block; yield this one's share of the work and its device."""
    from torch import distributed

    from featuresharing.networks.batches import Share

    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if device.startswith("cuda"):
        device = f"cuda:{os.environ.get('LOCAL_RANK', rank)}"
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo", rank=rank, world_size=count)
    try:
        yield Share(rank, count), device
    finally:
        distributed.destroy_process_group()


def run_processes(count: int, arguments: Sequence[str]) -> None:
    """Run this command in ``count`` processes, and pass signals on to the first, which stores what is done.

    Raises StoppedError after a signal, and InputError if a process failed, which has said why.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "featuresharing", *arguments]
    children: list[subprocess.Popen[bytes]] = []
    try:
        with stoppable():
            for rank in range(count):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                # a group of its own: Ctrl-C at the terminal comes to this process alone
                children.append(subprocess.Popen(command, env={**os.environ, **shared, **own}, start_new_session=True))
            while any(child.poll() is None for child in children):
                if any(child.poll() not in (None, 0) for child in children):
                    break
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
    failed = [child.returncode for child in children if child.returncode != 0]
    if failed:
        raise InputError(f"training in {count} processes failed; the lines above say why.")
