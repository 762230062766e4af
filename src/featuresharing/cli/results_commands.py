"""Commands that look at results: ``status``, how far they got, and ``verify``, what is wrong with them."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featuresharing.cli.options import Commands, add_command, say
from featuresharing.errors import InputError

if TYPE_CHECKING:
    from featuresharing.store.status import LayerStatus


def add_commands(commands: Commands) -> None:
    for name, run, help_text in (
        ("status", _status, "show how far every layer got, while jobs run on any machine"),
        ("verify", _verify, "check every file of results and say what is wrong"),
    ):
        parser = add_command(commands, name, run, help_text)
        parser.add_argument("folder", type=Path, nargs="?", default=Path("results"), help="folder of results")


NUMBERS = range(3, 7)
"""Columns of the table of ``status`` that are set flush right."""


def _status(options: argparse.Namespace) -> None:
    from featuresharing.store.status import layer_statuses

    _check_folder(options.folder)
    unread: list[str] = []
    layers = layer_statuses(options.folder, say=unread.append)
    if not layers:
        for sentence in unread:
            say(sentence)
        say(f"No layer has been started in {options.folder}.")
        return
    head = ("experiment", "checkpoint", "layer", "units", "done", "a second", "left", "state")
    rows = [head, *map(_row, layers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        texts = [text.rjust(widths[i]) if i in NUMBERS else text.ljust(widths[i]) for i, text in enumerate(row)]
        say("  ".join(texts).rstrip())
    complete = sum(layer.done >= layer.units for layer in layers)
    units, done = sum(layer.units for layer in layers), sum(int(layer.done) for layer in layers)
    jobs = sum(layer.jobs for layer in layers)
    for sentence in unread:
        say(sentence)
    other = f"; {len(unread)} files cannot be read" if unread else ""
    say(
        f"{complete} of {len(layers)} layers that were started are complete, {done} of {units} units;"
        f" {jobs} jobs run{other}."
    )


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        found = "is no folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {found}; accepted is a folder of results, as a run of the workflow makes it.")


def _row(layer: "LayerStatus") -> Sequence[str]:
    share = int(1000 * layer.done / max(1, layer.units)) / 10
    rate = f"{layer.rate:.3g}" if layer.jobs else ""
    left = "" if layer.seconds_left is None or not layer.jobs else _duration(layer.seconds_left)
    state = "complete" if layer.done >= layer.units else f"{layer.jobs} jobs" if layer.jobs > 1 else "running"
    if state == "running" and not layer.jobs:
        state = "waiting" if layer.silent is None else f"stopped {_duration(layer.silent)} ago"
    counts = f"{int(layer.done + 1e-9)} of {layer.units}"
    return (layer.experiment, layer.checkpoint, layer.layer, counts, f"{share:.1f} %", rate, left, state)


def _duration(seconds: float) -> str:
    """Return a time in its two largest units."""
    whole = int(seconds + 0.5)
    for size, large, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // smaller} {small}"
    return f"{whole} s"


def _verify(options: argparse.Namespace) -> None:
    from featuresharing.runs.verification import summary, verify

    _check_folder(options.folder)
    result = verify(options.folder, say)
    if result.wrong:
        wrong, files = len(result.wrong), len(result.found)
        raise InputError(f"{wrong} of {files} files in {options.folder} are wrong; the lines above say how.")
    say(summary(result, options.folder))
