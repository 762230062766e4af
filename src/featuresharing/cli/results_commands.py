"""Commands that look at results: ``status``, how far they got, and ``verify``, what is wrong with them."""

import argparse
from pathlib import Path

from featuresharing.cli.options import Commands, add_command, say
from featuresharing.errors import InputError


def add_commands(commands: Commands) -> None:
    for name, run, help_text in (
        ("status", _status, "show how far every layer got, while jobs run on any machine"),
        ("verify", _verify, "check every file of results and say what is wrong"),
    ):
        parser = add_command(commands, name, run, help_text)
        parser.add_argument("folder", type=Path, nargs="?", default=Path("results"), help="folder of results")


def _status(options: argparse.Namespace) -> None:
    from featuresharing.runs.status_report import status_lines
    from featuresharing.store.status import check_results, layer_statuses

    check_results(options.folder)
    unread: list[str] = []
    for line in status_lines(layer_statuses(options.folder, say=unread.append), unread, options.folder):
        say(line)


def _verify(options: argparse.Namespace) -> None:
    from featuresharing.runs.verification import summary, verify
    from featuresharing.store.status import check_results

    check_results(options.folder)
    result = verify(options.folder, say)
    if result.wrong:
        wrong, files = len(result.wrong), len(result.found)
        are = "is" if wrong == 1 else "are"
        raise InputError(f"{wrong} of {files} files in {options.folder} {are} wrong; the lines above say how.")
    say(summary(result, options.folder))
