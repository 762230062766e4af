"""Commands for networks: ``train``, ``predict`` and ``select-images``."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.cli.options import (
    MOST_SEED,
    MOST_SIDE,
    MOST_THREADS,
    Commands,
    add_command,
    add_device,
    add_list,
    add_network,
    add_output,
    add_wait,
    choose_device,
    number,
    read_list,
    say,
    switch,
    whole,
)
from featuresharing.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from featuresharing.networks.opening import StoredNetwork

PREDICT_BATCH = 256
"""Images that are read and predicted at a time."""


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "train", _train, "train a multi-task AlexNet and save a series of checkpoints")
    add_list(parser)
    parser.add_argument(
        "--image-size", type=whole(1, MOST_SIDE), default=48, help="height and width of the images in pixels"
    )
    parser.add_argument("--stride", type=whole(1), default=2, help="stride of conv1")
    parser.add_argument(
        "--channels", type=whole(1), nargs="+", default=(32, 64, 64, 64, 48), help="units of conv1 to 5"
    )
    parser.add_argument(
        "--kernels", type=whole(1), nargs="+", default=(7, 5, 3, 3, 3), help="kernel sizes of conv1 to conv5"
    )
    parser.add_argument("--hidden", type=whole(1), nargs="+", default=(256, 256), help="units of fc6 and fc7")
    parser.add_argument("--pool", type=whole(2), default=2, help="width of the poolings")
    parser.add_argument("--padding", type=whole(0), help="of conv1 (none: half its kernel)")
    parser.add_argument("--batch-norm", type=switch, default=True, help="train with batch norms, folded in afterwards")
    parser.add_argument(
        "--checkpoints", type=whole(0), nargs="+", required=True, help="steps at which to save; the last ends"
    )
    parser.add_argument("--batch-size", type=whole(2), default=64, help="images a step, of all processes together")
    parser.add_argument("--optimiser", default="adamw", help="adamw (one cycle) or sgd (momentum, steps)")
    parser.add_argument("--learning-rate", type=number(0), default=0.003, help="of sgd at first, or peak of the cycle")
    parser.add_argument("--decay-at", type=whole(1), nargs="*", default=[], help="steps at which the rate of sgd falls")
    parser.add_argument("--decay", type=number(0), default=0.1, help="factor by which it falls")
    parser.add_argument("--momentum", type=number(0, 1), default=0.9, help="of sgd")
    parser.add_argument("--weight-decay", type=number(0), default=0.05, help="for both optimisers")
    parser.add_argument("--dropout", type=number(0, 1), default=0.3, help="before fc6 and fc7")
    parser.add_argument("--shift", type=whole(0), default=3, help="largest random shift of an image in pixels")
    parser.add_argument("--resize", type=switch, default=False, help="read images of any size while training")
    parser.add_argument("--crop", type=number(0), nargs=2, default=(1, 1), help="with --resize: area of random crops")
    parser.add_argument("--flip", type=switch, default=False, help="with --resize: mirror half of the images")
    parser.add_argument("--precision", default="float32", help="of products: float32, bfloat16 or float16")
    parser.add_argument(
        "--workers", type=whole(0, MOST_THREADS), default=0, help="with --resize: processes that read ahead"
    )
    parser.add_argument(
        "--processes", type=whole(1, MOST_THREADS), default=1, help="processes that share batches, one a GPU"
    )
    parser.add_argument("--log-every", type=whole(1), default=20, help="steps a row of the log averages over")
    parser.add_argument(
        "--seed", type=whole(0, MOST_SEED), default=0, help="seed of weights, order, shifts and dropout"
    )
    add_wait(parser)
    add_device(parser)
    parser.add_argument(
        "--output-folder", type=Path, required=True, help="gets STEP.pt for each checkpoint and training.csv"
    )

    parser = add_command(commands, "predict", _predict, "predict the classes of a list of images")
    add_list(parser)
    add_network(parser)
    parser.add_argument(
        "--undecodable", choices=("stop", "skip"), default="stop", help="what to do about files that are not images"
    )
    add_device(parser)
    add_output(parser, "HDF5 file of predictions")

    parser = add_command(commands, "select-images", _select_images, "keep images that are right in every task")
    add_list(parser)
    parser.add_argument("--predictions", type=Path, required=True, help="predictions on the list")
    parser.add_argument("--max-images", type=whole(1), default=60, help="most images to keep")
    parser.add_argument("--seed", type=whole(0, MOST_SEED), default=0, help="seed of the choice among more")
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
    from featuresharing.networks.alexnet.trainer import TrainingSettings
    from featuresharing.runs.processes import is_one_of_several, process_group, run_processes
    from featuresharing.runs.training import Reading, check_shares, train

    check_shares(options.batch_size, options.processes)
    if options.processes > 1 and not is_one_of_several():
        run_processes(options.processes, [sys.executable, "-m", "featuresharing", *sys.argv[1:]])
        return
    last = max(options.checkpoints)
    if last < 1:
        found = sorted(set(options.checkpoints))
        raise InputError(f"--checkpoints: found {found}; accepted are steps from 0, the last at least 1.")
    classes, images = read_list(options)
    shape = AlexNetShape(
        options.image_size,
        options.stride,
        tuple(options.channels),
        tuple(options.kernels),
        tuple(options.hidden),
        tuple(len(names) for names in classes.values()),
        options.pool,
        options.padding,
    )
    names = (
        *("batch_size", "learning_rate", "weight_decay", "dropout", "log_every", "seed", "optimiser", "decay"),
        *("momentum", "batch_norm", "precision"),
    )
    given = {name: getattr(options, name) for name in names}
    settings = TrainingSettings(last, decay_at=tuple(options.decay_at), **given)
    reading = Reading(options.shift, options.resize, tuple(options.crop), options.flip, options.workers)
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
    predictions = Predictions(dict(zip(classes, probabilities, strict=True)), targets, stored.step, positions)
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
    from featuresharing.data.lists import write_image_list
    from featuresharing.files.atomic import write_table
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
    rows = (
        (index, path.name, *(names[target] for names, target in zip(classes.values(), targets, strict=True)))
        for index, path, targets in zip(kept, chosen.paths, chosen.targets, strict=True)
    )
    table = options.output.with_suffix(".csv")
    write_table(table, ("index", "image", *classes), rows)
    if odd := sum(path.name.encode(errors="replace").decode() != path.name for path in chosen.paths):
        say(
            f"names of {odd} images are not UTF-8: {table} has escapes for them, {options.output} their bytes.",
            warning=True,
        )
    write_image_list(options.output, chosen.paths, chosen.targets)
    say(f"{len(kept)} of {len(images.paths)} images are listed in {options.output}.")
