"""Commands for networks: ``train``, ``predict`` and ``select-images``."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_list,
    add_network,
    add_output,
    add_wait,
    choose_device,
    read_list,
    say,
    switch,
)
from featuresharing.cli.setting_options import add_seed, add_settings, read_settings
from featuresharing.errors import InputError
from featuresharing.settings import BaselineSettings, ImageSettings, NetworkSettings, TrainingSettings
from featuresharing.settings.fields import keys_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from featuresharing.networks.opening import StoredNetwork

PREDICT_BATCH = 256
"""Images that are read and predicted at a time."""


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "train", _train, "train a multi-task AlexNet and save a series of checkpoints")
    add_list(parser)
    add_settings(parser, ImageSettings, "image_size")
    add_settings(parser, NetworkSettings)
    add_settings(parser, TrainingSettings, *(name for name in keys_of(TrainingSettings) if name != "threads"))
    parser.add_argument("--resize", type=switch, default=False, help="read images of any size while training")
    add_wait(parser)
    add_device(parser)
    parser.add_argument(
        "--output-folder", type=Path, required=True, help="gets STEP.pt for each checkpoint and training.csv"
    )

    parser = add_command(commands, "predict", _predict, "predict the classes of a list of images")
    add_list(parser)
    add_network(parser)
    add_settings(parser, BaselineSettings, "undecodable")
    parser.add_argument("--experiment", default="", help="name of the experiment, for tables")
    parser.add_argument("--checkpoint-name", default="", help="name of the checkpoint, for tables")
    add_device(parser)
    add_output(parser, "HDF5 file of predictions")

    parser = add_command(commands, "select-images", _select_images, "keep images that are right in every task")
    add_list(parser)
    parser.add_argument("--predictions", type=Path, required=True, help="predictions on the list")
    add_settings(parser, BaselineSettings, "max_images")
    add_seed(parser, "the choice among more")
    parser.add_argument(
        "--output",
        type=_list_name,
        required=True,
        help="image list of the kept images; a .csv beside it has their positions in the full list",
    )


def _list_name(text: str) -> Path:
    if Path(text).suffix.lower() == ".csv":
        raise argparse.ArgumentTypeError(f"found '{text}'; accepted is another ending: the table beside it has .csv")
    return Path(text)


def _train(options: argparse.Namespace) -> None:
    from featuresharing.networks.alexnet.batches import Share
    from featuresharing.networks.alexnet.sizes import AlexNetShape
    from featuresharing.networks.alexnet.trainer import TrainerSettings
    from featuresharing.runs.processes import is_one_of_several, process_group, run_processes
    from featuresharing.runs.training import Reading, check_shares, train

    check_shares(options.batch_size, options.processes)
    if options.processes > 1 and not is_one_of_several():
        run_processes(options.processes, [sys.executable, "-m", "featuresharing", *sys.argv[1:]])
        return
    training, network = read_settings(options, TrainingSettings), read_settings(options, NetworkSettings)
    classes, images = read_list(options)
    heads = tuple(len(names) for names in classes.values())
    shape = AlexNetShape(options.image_size, classes=heads, **network.sizes())
    names = (
        *("batch_size", "learning_rate", "weight_decay", "dropout", "log_every", "seed", "optimiser", "decay"),
        *("momentum", "batch_norm", "precision"),
    )
    given = {name: getattr(options, name) for name in names}
    settings = TrainerSettings(training.checkpoints[-1], decay_at=training.decay_at, **given)
    reading = Reading(training.shift, options.resize, training.crop, training.flip, training.workers)
    wait = 60 * options.wait
    with ExitStack() as stack:
        share, device = Share(), ""
        if is_one_of_several():
            share, device = stack.enter_context(process_group(_torch_device(options), wait=wait))
            check_shares(options.batch_size, share.processes)
        train(
            images,
            tuple(classes),
            shape,
            settings,
            options.output_folder,
            checkpoints=options.checkpoints,
            reading=reading,
            share=share,
            device=device or choose_device(options),
            threads=options.threads,
            wait=wait,
            say=say,
        )


def _torch_device(options: argparse.Namespace) -> str:
    """Set torch's threads and return the kind of device; each process of several has a GPU of its own."""
    import torch

    torch.set_num_threads(options.threads)
    if options.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(options.device)


def _predict(options: argparse.Namespace) -> None:
    from featuresharing.networks.opening import check_fits, open_network
    from featuresharing.networks.predictions import Predictions, write_predictions

    classes, images = read_list(options)
    stored = open_network(options.checkpoint, image_size=options.image_size)
    check_fits(options.checkpoint, stored, classes)
    device = choose_device(options)
    probabilities, read = _predict_files(stored, images.paths, device, skip=options.undecodable == "skip")
    if len(read) == 0:
        raise InputError(
            f"{options.list}: none of {len(images.paths)} images can be decoded; accepted is at least one."
        )
    targets = dict(zip(classes, images.targets[read].T, strict=True))
    positions = None if len(read) == len(images.paths) else read
    by_task = dict(zip(classes, probabilities, strict=True))
    names = options.experiment, options.checkpoint_name
    predictions = Predictions(by_task, targets, stored.step, positions, *names)
    write_predictions(options.output, predictions)


def _predict_files(
    stored: "StoredNetwork", paths: "Sequence[Path]", device: str, *, skip: bool
) -> "tuple[list[NDArray[np.float32]], NDArray[np.int64]]":
    """Return what each head predicts on the images that can be decoded, and their positions; few are in memory."""
    import numpy as np

    from featuresharing.data.images import preprocess, read_image
    from featuresharing.files.records import ChangedError
    from featuresharing.networks.predicting import predict

    read: list[int] = []
    found: list[tuple[NDArray[Any], ...]] = []
    for first in range(0, len(paths), PREDICT_BATCH):
        inputs = []
        for position, path in enumerate(paths[first : first + PREDICT_BATCH], start=first):
            try:
                pixels = read_image(path)
            except InputError as error:
                if not skip or isinstance(error, ChangedError):
                    raise
                say(f"skipped: {error}")
                continue
            inputs.append(preprocess(path, pixels, stored.preprocessing))
            read.append(position)
        if inputs:
            found.append(predict(stored.network, np.stack(inputs), device=device)[1])
    if skipped := len(paths) - len(read):
        say(f"{skipped} of {len(paths)} images cannot be decoded and are left out.")
    probabilities = [np.concatenate(parts).astype(np.float32, copy=False) for parts in zip(*found, strict=True)]
    return probabilities, np.array(read, dtype=np.int64)


def _select_images(options: argparse.Namespace) -> None:
    from featuresharing.analysis.sharing import few_images
    from featuresharing.data.columns import KEPT
    from featuresharing.data.lists import kept_table, write_image_list
    from featuresharing.data.table_files import write_table
    from featuresharing.networks.predictions import choose_images, read_predictions

    classes, images = read_list(options)
    predictions = read_predictions(options.predictions)
    positions = slice(None) if predictions.images is None else predictions.images
    listed = dict(zip(classes, images.targets[positions].T, strict=True))
    if list(predictions.targets) != list(classes) or any(
        list(targets) != list(listed[task]) for task, targets in predictions.targets.items()
    ):
        raise InputError(f"{options.predictions} has predictions for other images than {options.list}.")
    kept = choose_images(predictions, most=options.max_images, seed=options.seed)
    if sentence := few_images(len(kept)):
        say(f"{options.list}: {sentence}")
    chosen = images.select(kept)
    table = options.output.with_suffix(".csv")
    write_table(table, kept_table(images, kept, classes), KEPT)
    if odd := sum(path.name.encode(errors="replace").decode() != path.name for path in chosen.paths):
        say(
            f"names of {odd} images are not UTF-8: {table} has escapes for them, {options.output} their bytes.",
            warning=True,
        )
    write_image_list(options.output, chosen.paths, chosen.targets)
    say(f"{len(kept)} of {len(images.paths)} images are listed in {options.output}.")
