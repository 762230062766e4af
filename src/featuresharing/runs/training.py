"""Train a network into a folder: one process at a time, resumed after anything, and never twice."""

import hashlib
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.data.lists import ImageList
from featuresharing.errors import InputError
from featuresharing.files.locks import OutputLock
from featuresharing.networks.alexnet.names import checkpoint_names
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.runs.stopping import StoppedError, Stopper, stoppable
from featuresharing.runs.training_progress import LOG, STATES, TrainingProgress
from featuresharing.settings import TrainingSettings, check
from featuresharing.version import NUMERICS

if TYPE_CHECKING:
    from featuresharing.networks.alexnet.batches import Batches, Share
    from featuresharing.networks.alexnet.trainer import Trainer, TrainerSettings

SAVE_SECONDS = 10.0
"""At most this much training is lost by a kill, and as much again if the kill spoils what is being written."""


FRESH = ""
"""In place of the name of a state: there is none to go on from."""


@dataclass(frozen=True)
class Reading:
    """How images are read and varied: kept in memory and moved by up to ``shift`` pixels, or with ``resize`` read from
    files of any size by ``workers`` processes while training, in crops of a share ``crop`` of the area, and mirrored.
    """

    shift: int = 0
    resize: bool = False
    crop: tuple[float, float] = TrainingSettings.crop
    flip: bool = TrainingSettings.flip
    workers: int = TrainingSettings.workers

    def __post_init__(self) -> None:
        for name in ("shift", "crop", "flip", "workers"):
            check(TrainingSettings, name, getattr(self, name))


def train(
    images: ImageList,
    tasks: Sequence[str],
    shape: AlexNetShape,
    settings: "TrainerSettings",
    output: Path,
    *,
    checkpoints: Sequence[int],
    reading: Reading,
    share: "Share",
    device: str,
    threads: int,
    wait: float = 0.0,
    say: Callable[[str], None] = print,
) -> None:
    """Train a network on ``images`` and write ``STEP.pt`` for each of ``checkpoints`` and ``training.csv``.

    One training at a time writes into the folder ``output``: this one waits up to ``wait`` seconds for another, and
    goes on where it was left. Outputs that are there already with the same settings stay as they are; those that were
    removed since are put back. The process of rank 0 of ``share`` writes, and holds the lock until it ends.

    Raises InputError for what cannot be read, written or shared, StoppedError after a signal, with the step it kept.
    """
    from featuresharing.networks.alexnet.trainer import Trainer

    steps = sorted(set(checkpoints))
    batches, data = _make_batches(images, shape.image_size, settings, reading, share)
    trainer = Trainer(batches, tasks, shape, settings, device=device, share=share)
    names = dict(zip(steps, checkpoint_names(steps), strict=True))
    heeded = {name: value for name, value in vars(settings).items() if name != "log_every"}  # that changes no weight
    run = {"shape": shape.as_dict(), "settings": heeded, "checkpoints": steps, "threads": threads}
    run |= {"processes": share.processes, "data": data, "numerics": NUMERICS["training"], "tasks": list(tasks)}
    run |= {"device": device.partition(":")[0]}
    progress = TrainingProgress(output, run, {step: f"{name}.pt" for step, name in names.items()}, say)
    lock = OutputLock(output / LOG)
    with stoppable() as stopper:
        try:
            start = _begin(progress, lock, share, device, wait, say)
            if start is None:
                return
            if start != FRESH:
                progress.load(start, trainer)
                if share.rank == 0:
                    say(f"resumed at step {trainer.step} from {progress.folder / start}.")
            _advance(trainer, settings.steps, set(steps), progress if share.rank == 0 else None, lock, stopper)
            if share.rank == 0:
                with stopper.deferred():
                    progress.finish(trainer.log)
        finally:
            lock.release()


def check_shares(batch_size: int, processes: int) -> None:
    """Raise InputError unless ``processes`` can take equal parts of a batch."""
    if batch_size % processes:
        found = f"found {batch_size} for {processes} processes"
        raise InputError(f"--batch-size: {found}; accepted is a multiple of their number.")


def _begin(
    progress: TrainingProgress,
    lock: OutputLock,
    share: "Share",
    device: str,
    wait: float,
    say: Callable[[str], None],
) -> str | None:
    """Take the lock and return the state to go on from, :data:`FRESH` without one, None if nothing is to be done.

    The process of rank 0 finds out, all others are told.
    """
    choices = (None, FRESH, *STATES)
    choice = 0
    try:
        if share.rank == 0:
            lock.acquire(wait=wait, say=say)
            if progress.publish_finished():
                say(f"{progress.output} has all that is trained with these settings already.")
            else:
                progress.begin()
                choice = choices.index(progress.newest_state() or FRESH)
    finally:
        if share.processes > 1:
            choice = _told(choice, device)
    return choices[choice]


def _told(number: int, device: str) -> int:
    """Return the number that the process of rank 0 has."""
    import torch
    from torch import distributed

    told = torch.tensor([number], device=device)
    distributed.broadcast(told, src=0)
    return int(told.item())


def _advance(
    trainer: "Trainer",
    last: int,
    checkpoints: Set[int],
    progress: TrainingProgress | None,
    lock: OutputLock,
    stopper: Stopper,
) -> None:
    """Train up to the step ``last``; the process that has the ``progress`` stores checkpoints and states."""
    saved = time.monotonic()
    try:
        while True:
            with stopper.deferred():
                due = trainer.step in checkpoints
                if progress and due:
                    progress.save_checkpoint(trainer.step, trainer.checkpoint())
                if progress and (due or time.monotonic() - saved > SAVE_SECONDS):
                    progress.save(trainer)
                    lock.touch()
                    saved = time.monotonic()
                if trainer.step == last:
                    return
                trainer.advance()
    except StoppedError as stopped:
        if progress:
            progress.save(trainer)
        kept = f"step {trainer.step} of {last} is kept; the same command goes on there"
        raise StoppedError(stopped.number, f"{stopped.reason}: {kept}") from None


def _make_batches(
    images: ImageList, size: int, settings: "TrainerSettings", reading: Reading, share: "Share"
) -> "tuple[Batches, str]":
    """Return the batches of a training set, and what they depend on beside the settings and the network's sizes."""
    from featuresharing.data.images import imagenet_preprocessing, load_images
    from featuresharing.networks.alexnet.batches import Augmentation, FileBatches, MemoryBatches, Order

    order = Order(len(images.paths), settings.batch_size, settings.seed)
    if not reading.resize:
        pixels = load_images(images.paths, size=size)
        kept = MemoryBatches(pixels, images.targets, order, shift=reading.shift, share=share)
        return kept, _digest(pixels.tobytes(), images.targets.tobytes(), repr(reading.shift).encode())
    augmentation = Augmentation(reading.crop, reading.flip)
    look = imagenet_preprocessing(size)
    files = "\n".join(f"{path.name} {path.stat().st_size}" for path in images.paths)
    digest = _digest(files.encode(errors="surrogateescape"), images.targets.tobytes(), repr(augmentation).encode())
    made = FileBatches(images.paths, images.targets, order, look, augmentation, workers=reading.workers, share=share)
    return made, digest


def _digest(*contents: bytes) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()
