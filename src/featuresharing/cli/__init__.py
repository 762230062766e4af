"""The command line: one interface for Snakemake, for SLURM and for a person.

Commands read and write files; the library below knows arrays. Every command imports what it needs when it runs, so that
those without torch start in a fraction of a second.
"""

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from featuresharing.cli import (
    archives_commands,
    curves_commands,
    data_commands,
    explorer_commands,
    features_commands,
    figures_commands,
    inspection_commands,
    lesions_commands,
    marginal_commands,
    networks_commands,
    probes_commands,
    reports_commands,
    results_commands,
    tables_commands,
    unit_commands,
)
from featuresharing.cli.logs import described
from featuresharing.cli.options import CommandParser, say, suggest
from featuresharing.errors import InputError
from featuresharing.runs.stopping import StoppedError
from featuresharing.version import PACKAGE

PROGRAM = "featuresharing"

GROUPS = {
    "first of all": (inspection_commands,),
    "results": (results_commands, unit_commands),
    "images and archives": (data_commands, archives_commands),
    "networks": (networks_commands, probes_commands),
    "units": (marginal_commands, lesions_commands, features_commands),
    "tables, figures and words": (
        tables_commands,
        figures_commands,
        curves_commands,
        explorer_commands,
        reports_commands,
    ),
}
"""What commands are for, in the order of the help: first what people type."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status.

    It is 0, 2 after one sentence on stderr about bad input, or 128 and the number of the signal that stopped it.
    """
    _isolate_matplotlib()
    try:
        return _main(sys.argv[1:] if arguments is None else list(arguments))
    finally:
        _close_output()


def _main(arguments: list[str]) -> int:
    try:
        options = _parse(arguments)
        with described(options):
            options.run(options)
    except InputError as error:
        _complain(str(error))
        return 2
    except StoppedError as stopped:
        if stopped.number != signal.SIGPIPE:  # who closed the pipe knows
            kept = f": {stopped.kept}; the same command goes on there" if stopped.kept else ""
            _complain(f"stopped, {stopped.reason}{kept}.")
        return 128 + stopped.number
    except BrokenPipeError:
        if _is_heard():
            raise
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        _complain("stopped, SIGINT.")
        return 128 + signal.SIGINT
    return 0


class _Commands(dict[str, CommandParser]):
    """The commands by name."""

    def add_parser(self, name: str, **settings: Any) -> CommandParser:
        """Add a command."""
        self[name] = CommandParser(prog=f"{PROGRAM} {name}", **settings)
        return self[name]


def _parse(arguments: list[str]) -> Namespace:
    """Return the options of the command that the arguments name."""
    commands, lines = _Commands(), []
    for title, modules in GROUPS.items():
        known = set(commands)
        for module in modules:
            module.add_commands(commands)
        lines.append(f"\n{title}:")
        lines += [f"  {name:24}{commands[name].description}" for name in commands if name not in known]
    if not arguments:
        raise InputError(f"no command is given; accepted is one of those that '{PROGRAM} --help' lists.")
    name, *rest = arguments
    if name in ("-h", "--help"):
        _show(
            f"usage: {PROGRAM} COMMAND [OPTIONS]",
            "\nWhich units does each task of a network rely on, and which are shared?",
            *lines,
            f"\n'{PROGRAM} COMMAND --help' lists the options of a command, '{PROGRAM} --version' shows the version.",
        )
    if name == "--version":
        _show(f"{PROGRAM} {PACKAGE}")
    if name not in commands:
        kind, accepted = ("option", ["--help", "--version"]) if name.startswith("-") else ("command", list(commands))
        raise InputError(suggest(name, kind, accepted))
    return commands[name].parse_args(rest, Namespace(command=name))


def _show(*lines: str) -> None:
    """Show lines and end."""
    say("\n".join(lines))
    raise SystemExit(0)


def _complain(sentence: str) -> None:
    say(f"{PROGRAM}: {sentence}", warning=True)


def _is_heard() -> bool:
    """Return whether somebody reads what is said."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return False
    return True


def _close_output() -> None:
    """Write what is left to say; where nobody reads it, let the interpreter not complain about that when it ends."""
    if sys.stdout and not _is_heard():
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _isolate_matplotlib() -> None:
    """Keep a user's settings of matplotlib out of this process: they change figures, or end its import."""
    package = find_spec("matplotlib")
    if "matplotlib" not in sys.modules and package and package.origin:
        os.environ.pop("MPLBACKEND", None)
        os.environ["MATPLOTLIBRC"] = str(Path(package.origin).with_name("mpl-data") / "matplotlibrc")
