"""Commands for probes: ``train-probes`` and ``split-list``."""

import argparse
from pathlib import Path

from featuresharing.cli.options import (
    Commands,
    add_command,
    add_device,
    add_list,
    add_network,
    add_output,
    choose_device,
    list_files,
    say,
)
from featuresharing.cli.setting_options import add_seed, add_settings
from featuresharing.errors import InputError
from featuresharing.settings import BaselineSettings, ProbeSettings, TaskSettings


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands,
        "train-probes",
        _train,
        "train linear classifiers on features of a network, which stays as it is",
        torch=True,
    )
    add_network(parser)
    add_list(parser)
    parser.add_argument(
        "--probes",
        type=_probe,
        nargs="+",
        required=True,
        metavar="TASK[=LAYER]",
        help="tasks, and the modules whose output is read (none: what the last linear layer takes)",
    )
    _add_shares(parser, required=False)
    parser.add_argument("--held-out", type=Path, help="image list to test on; then every listed image trains")
    add_settings(parser, ProbeSettings)
    add_settings(parser, BaselineSettings, "undecodable")
    add_seed(parser, "the choice of images and folds")
    add_device(parser)
    add_output(parser, "file of probes (.npz)")

    parser = add_command(commands, "split-list", _split, "list what is left to analyse of images that train probes")
    add_list(parser)
    _add_shares(parser, required=True)
    add_seed(parser, "the choice of images")
    add_output(parser, "image list, with - for the class of an image that trains the task's probe")


def _add_shares(parser: argparse.ArgumentParser, *, required: bool) -> None:
    parser.add_argument(
        "--shares",
        type=_share,
        nargs="+",
        required=required,
        default=[],
        metavar="TASK=SHARE",
        help="share of each class's images that trains the task's probe"
        f" (a task that is not named: {TaskSettings.share})",
    )


def _probe(text: str) -> tuple[str, str | None]:
    task, sign, layer = text.partition("=")
    if not task or (sign and not layer):
        raise argparse.ArgumentTypeError(f"found '{text}'; accepted is TASK, or TASK=LAYER")
    return task, layer or None


def _share(text: str) -> tuple[str, float]:
    task, _, value = text.rpartition("=")
    try:
        share = float(value)
    except ValueError:
        share = 0.0
    if not task or not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"found '{text}'; accepted is TASK=SHARE, a share above 0 and below 1")
    return task, share


def _shares(options: argparse.Namespace) -> dict[str, float]:
    shares = dict(options.shares)
    if len(shares) < len(options.shares):
        raise InputError("--shares: found a task twice; accepted is one share of each.")
    return shares


def _train(options: argparse.Namespace) -> None:
    from featuresharing.runs.probe_training import train_probes_to_file

    layers = dict(options.probes)
    if len(layers) < len(options.probes):
        raise InputError("--probes: found a task twice; accepted is one probe of each.")
    train_probes_to_file(
        options.checkpoint,
        list_files(options),
        layers,
        options.output,
        shares=_shares(options),
        held_out=options.held_out,
        image_size=options.image_size,
        pooling=options.pooling,
        seed=options.seed,
        folds=options.folds,
        device=choose_device(options),
        skip=options.undecodable == "skip",
        say=say,
    )


def _split(options: argparse.Namespace) -> None:
    from featuresharing.runs.probe_training import list_left_over

    list_left_over(list_files(options), _shares(options), options.output, seed=options.seed, say=say)
