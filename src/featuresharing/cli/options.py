"""Options that several commands share, and how options become settings."""

import argparse
import gc
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from featuresharing.cli.setting_options import add_setting, add_settings
from featuresharing.errors import InputError, quoted
from featuresharing.replicates import FIRST, MOST_REPLICATES
from featuresharing.runs.stopping import StoppedError
from featuresharing.settings import Config, JobSettings
from featuresharing.settings.network_settings import MOST_UNITS
from featuresharing.settings.preprocessing_settings import MOST_SIDE

if TYPE_CHECKING:
    from featuresharing.data.lists import ListFiles
    from featuresharing.data.preprocessing import ImageSize

Commands = Any  # argparse keeps the type of its subparsers private
Run = Callable[[argparse.Namespace], None]


WRITTEN = ("output", "exported", "page", "reuse")
"""Options of paths that need not be there, as do those that begin with the first of them."""

CALLED = {
    "accuracy": "table of accuracy",
    "blocks": "file of conditionals",
    "class_map": "class map",
    "classes": "table of classes",
    "conditionals": "file of conditionals",
    "contributions": "table of contributions",
    "curves": "table of curves",
    "frames": "frame",
    "held_out": "image list",
    "images": "folder of images",
    "list": "image list",
    "kept": "table of kept images",
    "lesions": "table of lesions",
    "logs": "log of training",
    "predictions": "file of predictions",
    "resources": "folder of resources",
    "results": "folder",
    "sharing": "table of sharing",
    "stimuli": "table of stimuli",
    "trends": "table of trends",
    "words": "list of words",
}
"""What messages call a path that does not exist, where its option does not say it."""


class _Help(argparse.HelpFormatter):
    """Names the defaults of options, where they have any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        value = action.default
        if action.required or value in (None, [], (), argparse.SUPPRESS):
            return action.help
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, tuple):
            value = " ".join(f"{each:g}" for each in value)
        return f"{action.help} (default: {value})"


class CommandParser(argparse.ArgumentParser):
    """Parses options: required ones stand first in its help, and whatever is wrong is said in one sentence."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, add_help=False, formatter_class=_Help)
        self._required = self.add_argument_group("required options")
        self._optional = self.add_argument_group("options")
        self._optional.add_argument("-h", "--help", action="help", help="show this help and end")
        self._read: list[str] = []

    def add_argument(self, *names: Any, **settings: Any) -> argparse.Action:
        """Add an option where it belongs."""
        if not names[0].startswith("-"):
            return super().add_argument(*names, **settings)
        group = self._required if settings.get("required") else self._optional
        action = group.add_argument(*names, **settings)
        if settings.get("type") in (Path, named_path) and not action.dest.startswith(WRITTEN):
            self._read.append(action.dest)
        return action

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse options, after a look for names that do not exist: what else is wrong often comes from them."""
        for word in args or ():
            if word == "--":
                break
            name = word.partition("=")[0]
            if re.fullmatch(r"--?[A-Za-z][^\s]*", name) and not self._knows(name):
                raise InputError(f"{self._command()}{suggest(name, 'option', self._names())}")
        return super().parse_known_args(args, namespace)

    def check_paths(self, options: argparse.Namespace) -> None:
        """Raise InputError if a path that the options name is not there, or would be replaced by the output."""
        output = getattr(options, "output", None)
        for option in self._read:
            given = getattr(options, option)
            for value in given if isinstance(given, list) else [given]:
                path = value[1] if isinstance(value, tuple) else value
                if path is None:
                    continue
                called = CALLED.get(option, option)
                if not os.path.exists(path):
                    unsaid = f"; --{option} names another" if path == self.get_default(option) else ""
                    raise InputError(f"{called} {path} does not exist; accepted is one that does{unsaid}.")
                if output is not None and os.path.realpath(output) == os.path.realpath(path):
                    raise InputError(f"--output: found {output}, the {called} that is read; accepted is another name.")

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one sentence, without the usage in front."""
        raise InputError(f"{self._command()}{message}.")

    def _command(self) -> str:
        command = self.prog.partition(" ")[2]
        return f"{command}: " if command else ""

    def _names(self) -> list[str]:
        return [name for action in self._actions for name in action.option_strings]

    def _knows(self, name: str) -> bool:
        return any(known.startswith(name) for known in self._names())


def suggest(found: str, kind: str, accepted: Sequence[str]) -> str:
    """Return a sentence about a name that does not exist, with the nearest of those that do."""
    near = get_close_matches(found, accepted, n=1, cutoff=0.5)
    meant = f"; did you mean '{near[0]}'?" if near else "; accepted is what --help lists."
    return f"there is no {kind} {quoted(found)}{meant}"


def add_command(commands: Commands, name: str, run: Run, help_text: str, *, torch: bool = False) -> CommandParser:
    """Add a command whose options carry ``run``, which begins once every path that they name is there.

    And once its output can have its name: a command may take days. ``torch`` says that it always computes with torch.
    """
    parser: CommandParser = commands.add_parser(name, description=help_text)

    def checked(options: argparse.Namespace) -> None:
        from featuresharing.files.atomic import check_place

        parser.check_paths(options)
        if "output" in options:
            check_place(options.output)
        if torch:
            load_torch()
        run(options)

    parser.set_defaults(run=checked, command=name)
    return parser


MOST = 10**9
"""Largest integer of options that have no bound of their own."""

MOST_MINUTES = 1e6


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """Return a type of option: an integer from ``least`` to ``most``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"found '{text}'; accepted is an integer from {least} to {most}")
        return value

    return parse


def whole_range(text: str) -> range:
    """Return the integers that a text such as 3 or 0-127 stands for; a type of option."""
    first, dash, last = text.partition("-")
    right = len(text) < 20 and first.isdecimal() and (last.isdecimal() if dash else True)
    if not right or not int(first) <= int(last or first) < MOST_UNITS:
        accepted = f"accepted is an integer from 0 to {MOST_UNITS - 1}, or a range such as 0-127"
        raise argparse.ArgumentTypeError(f"found '{text}'; {accepted}")
    return range(int(first), int(last or first) + 1)


def named_folder(text: str) -> Path:
    """Return a folder that has a name of its own, beside which hidden files can lie; a type of option."""
    path = Path(text)
    if path.name in ("", ".."):
        raise argparse.ArgumentTypeError(f"found '{text}'; accepted is the name of a folder, such as {text}/new")
    return path


def named_path(text: str) -> tuple[str, Path]:
    """Return a name and the path that belongs to it; a type of option: NAME=PATH."""
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"found '{text}'; accepted is NAME=PATH")
    return name, Path(path)


def say(sentence: str, *, warning: bool = False) -> None:
    """Tell the user something now, whatever becomes of the process; a ``warning`` goes to stderr.

    Raises StoppedError if nobody reads standard output, InputError where it cannot be written to.
    """
    stream = sys.stderr if warning else sys.stdout
    kind = getattr(stream, "encoding", None) or "utf-8"
    try:
        print(printable(sentence).encode(kind, "backslashreplace").decode(kind), file=stream, flush=True)
    except BrokenPipeError:
        if not warning:
            raise StoppedError(signal.SIGPIPE, "nobody reads its output") from None
    except OSError as error:
        if not warning:
            raise InputError(
                f"standard output cannot be written to ({error.strerror}); accepted is one with room."
            ) from None


def printable(text: str) -> str:
    """Return a text whose characters all show: others, such as what colours a terminal, as escapes."""
    shown = (sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode() for sign in text)
    return "".join(shown)


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


def list_files(options: argparse.Namespace) -> "ListFiles":
    """Return the files that the options of :func:`add_list` name."""
    from featuresharing.data.lists import ListFiles

    return ListFiles(options.list, options.classes)


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the file of a network."""
    parser.add_argument("--checkpoint", type=Path, required=True, help="network, in any format")
    add_image_size(parser)


def add_image_size(parser: argparse.ArgumentParser) -> None:
    """Add the size of images, for networks whose files do not say it."""
    parser.add_argument(
        "--image-size",
        type=image_size,
        metavar="PIXELS",
        help="pixels of a side, or HEIGHTxWIDTH, of the RGB images of networks whose files do not say it (none: 224)",
    )


def image_size(text: str) -> "ImageSize":
    """Return the pixels of a side, or the shape of an image; a type of option."""
    parse = whole(1, MOST_SIDE)
    height, times, width = text.partition("x")
    return (3, parse(height), parse(width)) if times else parse(text)


def add_replicate(parser: argparse.ArgumentParser) -> None:
    """Add which of an experiment's networks it is."""
    parser.add_argument(
        "--replicate",
        type=whole(FIRST, MOST_REPLICATES),
        default=FIRST,
        help="which of the experiment's networks, for tables",
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


def read_units(options: argparse.Namespace) -> list[int] | None:
    """Return the units that ``--units`` names; None for all."""
    return None if options.units is None else [unit for units in options.units for unit in units]


def read_memory(options: argparse.Namespace, device: str) -> int | None:
    """Return the bytes of ``--memory``, which are those of main memory; None without it, and on a GPU."""
    return None if options.memory is None or device.startswith("cuda") else options.memory * 2**20


def switch(text: str) -> bool:
    """Return whether an option is on; a type of option: true or false."""
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"found '{text}'; accepted is true or false")
    return text == "true"


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add where and on how many threads torch computes."""
    add_setting(parser, Config, "device", help="auto (cuda where there is one), cpu, mps, cuda or cuda:N")
    add_settings(parser, JobSettings, "threads")


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add how long to wait for another process that writes the same output."""
    parser.add_argument(
        "--wait",
        type=number(0, MOST_MINUTES),
        default=0,
        metavar="MINUTES",
        help="wait for another process that computes the output",
    )


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the file that a command writes."""
    parser.add_argument("--output", type=Path, required=True, help=what)


def load_torch() -> None:
    """Import torch, and leave what it made out of every search for garbage: hundreds of thousands of objects that stay.

    While they are made nothing is searched either; it would take a tenth of the import.
    """
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.enable()
    gc.freeze()


def tune_process(threads: int) -> None:
    """Set how many threads torch has in this process, and let it keep memory that it frees."""
    import torch

    from featuresharing.runs.heap import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()


def choose_device(options: argparse.Namespace) -> str:
    """Set torch's threads and return the device; raises InputError for one that is not there.

    Of several GPUs, ``cuda`` and ``auto`` take one that no other job holds.
    """
    import torch

    from featuresharing.runs.gpus import claim_gpu

    tune_process(options.threads)
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
