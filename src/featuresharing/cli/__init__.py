"""The command line: one interface for Snakemake, for SLURM and for a person.

Commands read and write files; the library below knows arrays. Every command imports what it needs when it runs, so that
those without torch start in a fraction of a second.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from featuresharing.cli import archives, data, features, figures, lesions, marginal, networks, results, tables
from featuresharing.cli.logs import described
from featuresharing.errors import InputError
from featuresharing.runs.stopping import StoppedError
from featuresharing.version import PACKAGE


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage in front."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{self.prog}: {message}.".removeprefix("featuresharing").lstrip(": "))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status.

    It is 0, 2 after one sentence on stderr about bad input, or 128 and the number of the signal that stopped it.
    """
    parser = _Parser(
        prog="featuresharing", description="Which units does each task of a network rely on, and which are shared?"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {PACKAGE}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for group in (data, archives, networks, marginal, lesions, features, tables, figures, results):
        group.add_commands(commands)
    try:
        options = parser.parse_args(arguments)
        with described(options):
            options.run(options)
    except InputError as error:
        print(f"featuresharing: {error}", file=sys.stderr)
        return 2
    except StoppedError as stopped:
        print(f"featuresharing: stopped, {stopped.reason}.", file=sys.stderr)
        return 128 + stopped.number
    except KeyboardInterrupt:
        print("featuresharing: stopped, SIGINT.", file=sys.stderr)
        return 128 + signal.SIGINT
    return 0
