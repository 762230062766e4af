"""Commands for networks: ``train``, ``predict``, ``define-network`` and ``select-images``."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from featuresharing.arguments import kind_of
from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_list,
    add_network,
    add_output,
    add_replicate,
    add_wait,
    choose_device,
    list_files,
    say,
    switch,
    tune_process,
)
from featuresharing.cli.setting_options import add_seed, add_settings, read_settings
from featuresharing.errors import InputError, quoted
from featuresharing.settings import (
    BaselineSettings,
    ImageSettings,
    NetworkSettings,
    PreprocessingSettings,
    TrainingSettings,
)
from featuresharing.settings.fields import keys_of


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands, "train", _train, "train a multi-task AlexNet and save a series of checkpoints", torch=True
    )
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

    parser = add_command(commands, "predict", _predict, "predict the classes of a list of images", torch=True)
    add_list(parser)
    add_network(parser)
    add_settings(parser, BaselineSettings, "undecodable")
    parser.add_argument("--experiment", default="", help="name of the experiment, for tables")
    add_replicate(parser)
    parser.add_argument("--checkpoint-name", default="", help="name of the checkpoint, for tables")
    add_device(parser)
    add_output(parser, "HDF5 file of predictions")

    parser = add_command(commands, "define-network", _define, "say what a network of your own is made of, in a file")
    parser.add_argument("--definition", required=True, metavar="JSON", help="build, weights, heads and so on, by name")
    parser.add_argument("--preprocessing", metavar="JSON", help="keys and values, or a text, as a config has them")
    parser.add_argument("--list", type=Path, help="image list, whose first image tells what the preprocessing does not")
    parser.add_argument("--probes", type=Path, help="file of probes, which are more tasks")
    add_output(parser, "JSON file, which every command takes as a network")

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
    from featuresharing.runs.processes import is_one_of_several, run_processes
    from featuresharing.runs.training import check_shares, train_files

    check_shares(options.batch_size, options.processes)
    if options.processes > 1 and not is_one_of_several():
        run_processes(options.processes, [sys.executable, "-m", "featuresharing", *sys.argv[1:]])
        return
    train_files(
        list_files(options),
        options.image_size,
        read_settings(options, NetworkSettings),
        read_settings(options, TrainingSettings),
        options.output_folder,
        resize=options.resize,
        device=_torch_device(options) if is_one_of_several() else choose_device(options),
        threads=options.threads,
        wait=60 * options.wait,
        say=say,
    )


def _torch_device(options: argparse.Namespace) -> str:
    """Set torch's threads and return the kind of device; each process of several has a GPU of its own."""
    import torch

    tune_process(options.threads)
    if options.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(options.device)


def _predict(options: argparse.Namespace) -> None:
    from featuresharing.runs.baseline import predict_to_file

    predict_to_file(
        options.checkpoint,
        list_files(options),
        options.output,
        image_size=options.image_size,
        device=choose_device(options),
        skip=options.undecodable == "skip",
        experiment=options.experiment,
        name=options.checkpoint_name,
        replicate=options.replicate,
        say=say,
    )


def _define(options: argparse.Namespace) -> None:
    from featuresharing.data.lists import first_image
    from featuresharing.networks.definitions import NetworkDefinition
    from featuresharing.runs.defining_networks import define_to_file
    from featuresharing.settings.checking import check_block

    values = _json("--definition", options.definition, dict)
    said = _json("--preprocessing", options.preprocessing or "null", dict, str, type(None))
    if isinstance(said, dict):
        said = check_block(PreprocessingSettings, "preprocessing", said)
    definition = replace(NetworkDefinition.from_values(values), probes=options.probes)
    first = first_image(options.list) if options.list else None
    define_to_file(definition, options.output, preprocessing=said, first=first, say=say)


def _json(option: str, text: str, *kinds: type) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{option}: found {quoted(text)}, which is no JSON; accepted is JSON.") from None
    if not isinstance(found, kinds):
        raise InputError(f"{option}: found {kind_of(found)}; accepted are values by name.")
    return found


def _select_images(options: argparse.Namespace) -> None:
    from featuresharing.runs.selection import select_to_file

    select_to_file(
        options.predictions,
        list_files(options),
        options.output,
        most=options.max_images,
        seed=options.seed,
        say=say,
        warn=lambda sentence: say(f"warning: {sentence}", warning=True),
    )
