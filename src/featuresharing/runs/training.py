"""Train a network into a folder: one process at a time, resumed after anything, and never twice."""

import time
from collections.abc import Set
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.data.lists import ImageList, ListFiles, refuse_missing
from featuresharing.errors import InputError
from featuresharing.files.identity import Identity, digest_of_bytes
from featuresharing.files.locks import holding
from featuresharing.networks.alexnet.names import checkpoint_names
from featuresharing.networks.alexnet.sizes import AlexNetShape
from featuresharing.runs.stopping import Say, StoppedError, Stopper, keeping, stoppable
from featuresharing.runs.training_progress import LOG, STATES, TrainingProgress
from featuresharing.settings import NetworkSettings, TrainingSettings, check

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


@dataclass(frozen=True)
class Training:
    """What is trained: ``tasks``, one a head of a network of a ``shape``, up to the last of ``checkpoints``."""

    tasks: tuple[str, ...]
    shape: AlexNetShape
    settings: "TrainerSettings"
    checkpoints: tuple[int, ...]
    reading: Reading

    def identity(self, data: str, processes: int, device: str, threads: int) -> Identity:
        """Return what the weights depend on: all of this but the log, ``data``, and what computes."""
        heeded = {name: value for name, value in vars(self.settings).items() if name != "log_every"}
        run = {"shape": self.shape.as_dict(), "settings": heeded, "checkpoints": self.checkpoints, "threads": threads}
        run |= {"processes": processes, "data": data, "tasks": self.tasks, "device": device.partition(":")[0]}
        return Identity("training", run)


def train_files(
    listed: ListFiles,
    image_size: int,
    network: NetworkSettings,
    training: TrainingSettings,
    output: Path,
    *,
    resize: bool,
    device: str,
    threads: int,
    wait: float = 0.0,
    say: Say = print,
) -> None:
    """Train a multi-task AlexNet on listed images of ``image_size`` pixels, and save a series of checkpoints.

    The folder ``output`` gets ``STEP.pt`` for each and ``training.csv``; :func:`train` says how. With ``resize``,
    images of any size are read while training. A process of several takes its share of each batch.
    """
    from featuresharing.networks.alexnet.trainer import TrainerSettings
    from featuresharing.runs.processes import process_group

    classes, images = listed.read()
    refuse_missing(images, "training")
    shape = AlexNetShape(image_size, classes=tuple(len(names) for names in classes.values()), **network.sizes())
    names = {field.name for field in fields(TrainerSettings)} & {field.name for field in fields(training)}
    given = {name: getattr(training, name) for name in names}
    settings = TrainerSettings(training.checkpoints[-1], batch_norm=network.batch_norm, **given)
    reading = Reading(training.shift, resize, training.crop, training.flip, training.workers)
    with process_group(device, wait=wait) as (share, own):
        check_shares(training.batch_size, share.processes)
        trained = Training(tuple(classes), shape, settings, training.checkpoints, reading)
        train(images, trained, output, share=share, device=own, threads=threads, wait=wait, say=say)


def train(
    images: ImageList,
    training: Training,
    output: Path,
    *,
    share: "Share",
    device: str,
    threads: int,
    wait: float = 0.0,
    say: Say = print,
) -> None:
    """Train a network on ``images`` and write ``STEP.pt`` for each checkpoint and ``training.csv``.

    One training at a time writes into the folder ``output``: this one waits up to ``wait`` seconds for another, and
    goes on where it was left. Outputs that are there already with the same settings stay as they are; those that were
    removed since are put back. The process of rank 0 of ``share`` writes, and holds the lock until it ends.

    Raises InputError for what cannot be read, written or shared, StoppedError after a signal, with the step it kept.
    """
    from featuresharing.networks.alexnet.trainer import Trainer

    steps, last = training.checkpoints, training.settings.steps
    batches, data = _make_batches(images, training, share)
    trainer = Trainer(batches, training.tasks, training.shape, training.settings, device=device, share=share)
    names = {step: f"{name}.pt" for step, name in zip(steps, checkpoint_names(steps), strict=True)}
    identity = training.identity(data, share.processes, device, threads)
    progress = TrainingProgress(output, identity, names, say)
    with stoppable() as stopper, ExitStack() as held:
        start = _begin(progress, held, share, device, wait, say)
        if start is None:
            return
        if start != FRESH:
            progress.load(start, trainer)
            if share.rank == 0:
                say(f"resumed at step {trainer.step} from {progress.folder / start}.")
        with keeping(lambda: f"step {trainer.step} of {last} is kept"):
            _advance(trainer, last, set(steps), progress if share.rank == 0 else None, stopper, say)
        if share.rank == 0:
            with stopper.deferred():
                progress.finish(trainer.log)


def check_shares(batch_size: int, processes: int) -> None:
    """Raise InputError unless ``processes`` can take equal parts of a batch."""
    if batch_size % processes:
        found = f"found {batch_size} for {processes} processes"
        raise InputError(f"--batch-size: {found}; accepted is a multiple of their number.")


def _begin(
    progress: TrainingProgress,
    held: ExitStack,
    share: "Share",
    device: str,
    wait: float,
    say: Say,
) -> str | None:
    """Hold the lock and return the state to go on from, :data:`FRESH` without one, None if nothing is to be done.

    The process of rank 0 finds out, all others are told.
    """
    choices = (None, FRESH, *STATES)
    choice = 0
    try:
        if share.rank == 0:
            held.enter_context(holding(progress.output / LOG, wait=wait, say=say))
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
    stopper: Stopper,
    say: Say,
) -> None:
    """Train up to the step ``last``; the process that has the ``progress`` stores checkpoints and states.

    It tells ``say`` at every checkpoint how far it is.
    """
    saved = time.monotonic()
    try:
        while True:
            with stopper.deferred():
                due = trainer.step in checkpoints
                if progress and due:
                    progress.save_checkpoint(trainer.step, trainer.checkpoint())
                if progress and (due or time.monotonic() - saved > SAVE_SECONDS):
                    progress.save(trainer)
                    saved = time.monotonic()
                if progress and due:
                    say(_how_far(trainer, last))
                if trainer.step == last:
                    return
                trainer.advance()
    except StoppedError:
        if progress:
            progress.save(trainer)
        raise


def _how_far(trainer: "Trainer", last: int) -> str:
    """Return a sentence on the step of a training, with the newest rows of its log, which are of training batches."""
    step = f"step {trainer.step} of {last}"
    if not trainer.log:
        return f"{step}."
    newest = [row for row in trainer.log if row.step == trainer.log[-1].step]
    tasks = "; ".join(f"{row.task} loss {row.loss:.3f} nats, accuracy {row.accuracy:.1%}" for row in newest)
    return f"{step}: {tasks} (on training batches before step {newest[0].step})."


def _make_batches(images: ImageList, training: Training, share: "Share") -> "tuple[Batches, str]":
    """Return the batches of a training set, and what they depend on beside the settings and the network's sizes."""
    from featuresharing.data.array_files import file_of
    from featuresharing.data.images import load_images
    from featuresharing.data.preprocessing import imagenet_preprocessing
    from featuresharing.networks.alexnet.batches import Augmentation, FileBatches, MemoryBatches, Order

    reading, size = training.reading, training.shape.image_size
    order = Order(len(images.paths), training.settings.batch_size, training.settings.seed)
    if not reading.resize:
        pixels = load_images(images.paths, size=size)
        kept = MemoryBatches(pixels, images.targets, order, shift=reading.shift, share=share)
        return kept, digest_of_bytes(pixels.tobytes(), images.targets.tobytes(), repr(reading.shift).encode())
    augmentation = Augmentation(reading.crop, reading.flip)
    look = imagenet_preprocessing(size)
    files = "\n".join(f"{path.name} {file_of(path).stat().st_size}" for path in images.paths)
    digest = digest_of_bytes(
        files.encode(errors="surrogateescape"), images.targets.tobytes(), repr(augmentation).encode()
    )
    made = FileBatches(images.paths, images.targets, order, look, augmentation, workers=reading.workers, share=share)
    return made, digest
