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
        place = parser.add_mutually_exclusive_group()
        place.add_argument("folder", type=Path, nargs="?", help="folder of results (results)")
        place.add_argument("--results", type=Path, metavar="FOLDER", help="the same, as unit takes it")


def _folder(options: argparse.Namespace) -> Path:
    """Return the folder of results, by either name, which is there."""
    from featuresharing.store.status import check_results

    folder: Path = options.results or options.folder or Path("results")
    check_results(folder)
    return folder


def _status(options: argparse.Namespace) -> None:
    from featuresharing.runs.status_report import status_lines, training_lines
    from featuresharing.runs.trainings import training_statuses
    from featuresharing.store.status import layer_statuses

    folder = _folder(options)
    for line in training_lines(training_statuses(folder)):
        say(line)
    unread: list[str] = []
    for line in status_lines(layer_statuses(folder, say=unread.append), unread, folder):
        say(line)


def _verify(options: argparse.Namespace) -> None:
    from featuresharing.runs.verification import summary, verify

    folder = _folder(options)
    result = verify(folder, say)
    if result.wrong:
        wrong, files = len(result.wrong), len(result.found)
        are = "is" if wrong == 1 else "are"
        raise InputError(f"{wrong} of {files} files in {folder} {are} wrong; the lines above say how.")
    say(summary(result, folder))
