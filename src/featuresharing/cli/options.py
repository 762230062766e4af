"""Options that several commands share, and how options become settings."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from featuresharing.errors import InputError

if TYPE_CHECKING:
    from featuresharing.data.lists import ImageList

Commands = Any  # argparse keeps the type of its subparsers private
Run = Callable[[argparse.Namespace], None]


def add_command(commands: Commands, name: str, run: Run, help_text: str) -> argparse.ArgumentParser:
    """Add a command whose options carry ``run``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help_text, description=help_text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.set_defaults(run=run)
    return parser


def whole(least: int) -> Callable[[str], int]:
    """Return a type of option: an integer from ``least``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"found '{text}'; accepted is an integer from {least}")
        return value

    return parse


def whole_range(text: str) -> range:
    """Return the integers that a text such as 3 or 0-127 stands for; a type of option."""
    first, dash, last = text.partition("-")
    if not (first.isdecimal() and (last.isdecimal() if dash else True)) or int(last or first) < int(first):
        raise argparse.ArgumentTypeError(f"found '{text}'; accepted is an integer from 0, or a range such as 0-127")
    return range(int(first), int(last or first) + 1)


def say(sentence: str, *, warning: bool = False) -> None:
    """Tell the user something now, whatever becomes of the process; a ``warning`` goes to stderr."""
    safe = sentence.encode(errors="backslashreplace").decode()  # names of files may not be UTF-8
    print(safe, file=sys.stderr if warning else sys.stdout, flush=True)


def number(least: float, below: float = math.inf) -> Callable[[str], float]:
    """Return a type of option: a number from ``least`` to below ``below``."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value < below:
            upper = "" if below == math.inf else f" to below {below:g}"
            raise argparse.ArgumentTypeError(f"found '{text}'; accepted is a number from {least:g}{upper}")
        return value

    return parse


def add_list(parser: argparse.ArgumentParser) -> None:
    """Add an image list and the classes of its tasks."""
    parser.add_argument("--list", type=Path, required=True, help="image list, 'path a,b' a line")
    parser.add_argument("--classes", type=Path, required=True, help="table of classes: task,index,name")


def read_list(options: argparse.Namespace) -> "tuple[dict[str, list[str]], ImageList]":
    """Return the classes by task and the images that the options of :func:`add_list` name."""
    from featuresharing.data.lists import read_classes, read_image_list

    classes = read_classes(options.classes)
    return classes, read_image_list(options.list, list(classes.values()))


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the file of a network."""
    parser.add_argument("--checkpoint", type=Path, required=True, help="network: a checkpoint, or a Torch7 model")
    parser.add_argument(
        "--image-size",
        type=whole(1),
        help="pixels of a Torch7 model's images (none: 224); checkpoints say it themselves",
    )


def add_layer(parser: argparse.ArgumentParser) -> None:
    """Add a layer and names for layers."""
    parser.add_argument("--layer", required=True, help="alias or module path")
    parser.add_argument("--aliases", nargs="*", default=[], metavar="NAME=PATH", help="aliases of module paths")


def read_aliases(options: argparse.Namespace) -> dict[str, str]:
    """Return the module paths by alias that the options of :func:`add_layer` name."""
    aliases = {}
    for pair in options.aliases:
        name, sign, path = pair.partition("=")
        if not (name and sign and path):
            raise InputError(f"--aliases: found '{pair}'; accepted is NAME=PATH, such as conv5=0.0.10.")
        aliases[name] = path
    return aliases


def switch(text: str) -> bool:
    """Return whether an option is on; a type of option: true or false."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"found '{text}'; accepted is true or false")
    return text == "true"


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add where and on how many threads torch computes."""
    parser.add_argument("--device", default="auto", help="auto (cuda where there is one), cpu, mps, cuda or cuda:N")
    parser.add_argument("--threads", type=whole(1), default=1, help="threads of torch on the CPU")


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the file that a command writes."""
    parser.add_argument("--output", type=Path, required=True, help=what)


def choose_device(options: argparse.Namespace) -> str:
    """Set torch's threads and return the device; raises InputError for one that is not there.

    Of several GPUs, ``cuda`` and ``auto`` take one that no other job holds.
    """
    import torch

    from featuresharing.cli.gpus import claim_gpu

    torch.set_num_threads(options.threads)
    if options.device == "auto":
        return claim_gpu(say) if torch.cuda.is_available() else "cpu"
    if options.device == "cuda" and torch.cuda.is_available():
        return claim_gpu(say)
    try:
        torch.empty(0, device=options.device)
    except (RuntimeError, AssertionError):
        raise InputError(
            f"--device: '{options.device}' is not here; accepted are auto, cpu, and cuda or mps with a GPU."
        ) from None
    return str(options.device)
