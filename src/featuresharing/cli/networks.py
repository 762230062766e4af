"""Commands for networks: ``train``, ``predict`` and ``select-images``."""

import argparse
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_list,
    add_output,
    choose_device,
    number,
    read_list,
    whole,
)
from featuresharing.cli.stopping import StoppedError, stoppable
from featuresharing.errors import InputError

if TYPE_CHECKING:
    from featuresharing.networks.training import Trainer

SAVE_SECONDS = 10.0
"""At most this much training is lost by a kill."""


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "train", _train, "train a multi-task AlexNet and save a series of checkpoints")
    add_list(parser)
    parser.add_argument("--image-size", type=whole(1), default=48, help="height and width of the images in pixels")
    parser.add_argument("--stride", type=whole(1), default=2, help="stride of conv1")
    parser.add_argument(
        "--channels", type=whole(1), nargs="+", default=(32, 64, 64, 64, 48), help="units of conv1 to 5"
    )
    parser.add_argument(
        "--kernels", type=whole(1), nargs="+", default=(7, 5, 3, 3, 3), help="kernel sizes of conv1 to conv5"
    )
    parser.add_argument("--hidden", type=whole(1), nargs="+", default=(256, 256), help="units of fc6 and fc7")
    parser.add_argument(
        "--checkpoints", type=whole(0), nargs="+", required=True, help="steps at which to save; the last ends"
    )
    parser.add_argument("--batch-size", type=whole(2), default=64, help="images a step")
    parser.add_argument("--learning-rate", type=number(0), default=0.003, help="peak of the one-cycle schedule")
    parser.add_argument("--weight-decay", type=number(0), default=0.05, help="of AdamW")
    parser.add_argument("--dropout", type=number(0, 1), default=0.3, help="before fc6 and fc7")
    parser.add_argument("--shift", type=whole(0), default=3, help="largest random shift of an image in pixels")
    parser.add_argument("--log-every", type=whole(1), default=20, help="steps a row of the log averages over")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of weights, order, shifts and dropout")
    add_device(parser)
    parser.add_argument(
        "--output-folder", type=Path, required=True, help="gets STEP.pt for each checkpoint and training.csv"
    )

    parser = add_command(commands, "predict", _predict, "predict the classes of a list of images")
    add_list(parser)
    parser.add_argument("--checkpoint", type=Path, required=True, help="network")
    add_device(parser)
    add_output(parser, "HDF5 file of predictions")

    parser = add_command(commands, "select-images", _select_images, "keep images that are right in every task")
    add_list(parser)
    parser.add_argument("--predictions", type=Path, required=True, help="predictions on the list")
    parser.add_argument("--max-images", type=whole(1), default=60, help="most images to keep")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the choice among more")
    add_output(parser, "image list of the kept images; a .csv beside it has their positions in the full list")


def _train(options: argparse.Namespace) -> None:
    from featuresharing.data.images import load_images
    from featuresharing.files import write_table
    from featuresharing.networks.alexnet import AlexNetShape
    from featuresharing.networks.checkpoints import save_checkpoint
    from featuresharing.networks.names import checkpoint_names
    from featuresharing.networks.training import Trainer, TrainingSettings
    from featuresharing.version import NUMERICS

    steps = sorted(set(options.checkpoints))
    if steps[-1] < 1:
        raise InputError(f"--checkpoints: found {steps}; accepted are steps from 0, the last at least 1.")
    classes, images = read_list(options)
    shape = AlexNetShape(
        options.image_size,
        options.stride,
        tuple(options.channels),
        tuple(options.kernels),
        tuple(options.hidden),
        tuple(len(names) for names in classes.values()),
    )
    names = ("batch_size", "learning_rate", "weight_decay", "dropout", "shift", "log_every", "seed")
    settings = TrainingSettings(steps[-1], **{name: getattr(options, name) for name in names})
    device = choose_device(options)
    pixels = load_images(images.paths, size=shape.image_size)
    trainer = Trainer(pixels, images.targets, tuple(classes), shape, settings, device=device)

    progress = options.output_folder / ".progress"
    final = dict(zip(steps, checkpoint_names(steps), strict=True))
    run = {"shape": shape.as_dict(), "settings": vars(settings), "checkpoints": steps, "threads": options.threads}
    state = TrainingState(progress / "state.pt", {**run, "numerics": NUMERICS, "data": _digest(pixels, images.targets)})
    state.resume(trainer)
    saved = time.monotonic()
    try:
        with stoppable() as stopper:
            while True:
                with stopper.deferred():
                    if trainer.step in final:
                        save_checkpoint(progress / f"{final[trainer.step]}.pt", trainer.checkpoint())
                    if trainer.step in final or time.monotonic() - saved > SAVE_SECONDS:
                        state.save(trainer)
                        saved = time.monotonic()
                    if trainer.step == settings.steps:
                        break
                    trainer.advance()
    except StoppedError as stopped:
        state.save(trainer)
        kept = f"step {trainer.step} of {settings.steps} is kept; the same command goes on there"
        raise StoppedError(stopped.number, f"{stopped.reason}: {kept}") from None
    rows = ((row.step, row.task, f"{row.loss:.6g}", f"{row.accuracy:.6g}") for row in trainer.log)
    write_table(options.output_folder / "training.csv", ("step", "task", "loss", "accuracy"), rows)
    for name in final.values():
        (progress / f"{name}.pt").replace(options.output_folder / f"{name}.pt")
    shutil.rmtree(progress)


class TrainingState:
    """The file that an interrupted training goes on from; one of another ``run`` is not continued, with a word why."""

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        self._path, self._run = path, json.dumps(run, sort_keys=True)

    def resume(self, trainer: "Trainer") -> None:
        """Bring ``trainer`` to the stored step, if there is one of the same run."""
        import torch

        if not self._path.exists():
            return
        stored = torch.load(self._path, map_location="cpu", weights_only=True)
        if stored["run"] != self._run:
            print(f"{self._path} is of other settings or images: training starts afresh.", flush=True)
            shutil.rmtree(self._path.parent)
            return
        trainer.load_state_dict(stored["trainer"])
        print(f"resumed at step {trainer.step} from {self._path}.", flush=True)

    def save(self, trainer: "Trainer") -> None:
        """Store the trainer's step, whole or not at all."""
        import torch

        from featuresharing.files import replacing

        with replacing(self._path) as temporary:
            torch.save({"run": self._run, "trainer": trainer.state_dict()}, temporary)


def _predict(options: argparse.Namespace) -> None:
    from featuresharing.data.images import load_images, normalise
    from featuresharing.networks.checkpoints import check_fits, load_checkpoint
    from featuresharing.networks.forward import predict
    from featuresharing.networks.predictions import Predictions, write_predictions

    classes, images = read_list(options)
    checkpoint = load_checkpoint(options.checkpoint)
    check_fits(options.checkpoint, checkpoint, list(classes.values()))
    device = choose_device(options)
    pixels = normalise(load_images(images.paths, size=checkpoint.shape.image_size))
    _, probabilities = predict(checkpoint.network, pixels, batch_size=256, device=device)
    targets = dict(zip(classes, images.targets.T, strict=True))
    predictions = Predictions(dict(zip(classes, probabilities, strict=True)), targets, checkpoint.step)
    write_predictions(options.output, predictions)


def _select_images(options: argparse.Namespace) -> None:
    from featuresharing.data.lists import write_image_list
    from featuresharing.files import write_table
    from featuresharing.networks.predictions import choose_images, read_predictions

    classes, images = read_list(options)
    predictions = read_predictions(options.predictions)
    listed = dict(zip(classes, images.targets.T, strict=True))
    if list(predictions.targets) != list(classes) or any(
        list(targets) != list(listed[task]) for task, targets in predictions.targets.items()
    ):
        raise InputError(f"{options.predictions} has predictions for other images than {options.list}.")
    kept = choose_images(predictions, most=options.max_images, seed=options.seed)
    chosen = images.select(kept)
    rows = (
        (index, path.name, *(names[target] for names, target in zip(classes.values(), targets, strict=True)))
        for index, path, targets in zip(kept, chosen.paths, chosen.targets, strict=True)
    )
    write_table(options.output.with_suffix(".csv"), ("index", "image", *classes), rows)
    write_image_list(options.output, chosen.paths, chosen.targets)


def _digest(*arrays: Any) -> str:
    import hashlib

    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()
