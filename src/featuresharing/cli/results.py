"""Commands that look at results: ``status``, how far they got, and ``verify``, what is wrong with them."""

import argparse
from collections.abc import Iterator, Sequence
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

    if not options.folder.is_dir():
        raise InputError(f"{options.folder} is no folder; accepted is a folder of results.")
    layers = layer_statuses(options.folder, say=say)
    if not layers:
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
    say(f"{complete} of {len(layers)} layers that were started are complete, {done} of {units} units; {jobs} jobs run.")


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
    if not options.folder.is_dir():
        raise InputError(f"{options.folder} is no folder; accepted is a folder of results.")
    files = wrong = 0
    for path in sorted(path for path in options.folder.rglob("*") if path.is_file()):
        files += 1
        problems = list(_problems(path, options.folder))
        wrong += bool(problems)
        for problem in problems:
            say(problem)
    if wrong:
        raise InputError(f"{wrong} of {files} files in {options.folder} are wrong; the lines above say how.")
    say(f"All {files} files in {options.folder} are as they should be.")


def _problems(path: Path, folder: Path) -> Iterator[str]:
    from featuresharing.store import verification

    if path.name.endswith(".part"):
        yield f"{path} was left behind by a process that was killed; the next run of its job removes it."
    elif path.name.endswith(".progress"):
        yield from verification.problems_of_progress(path)
    elif path.suffix == ".done":
        yield from () if path.stat().st_nlink > 1 else verification.problems_of_final(path, whole=False)
    elif path.suffix == ".h5" and verification.is_conditionals(path):
        attributes = verification.attributes_of(path)
        block = path.parent.name == f"{attributes.get('alias')}_{attributes.get('checkpoint')}"
        yield from verification.problems_of_final(path, whole=not block)
        yield from _other_network(path, attributes, folder)
    elif path.suffix == ".h5":
        yield from _wrong_predictions(path)
    elif path.suffix in (".png", ".gif"):
        yield from _wrong_picture(path)
    elif path.suffix == ".pt":
        yield from _wrong_archive(path)
    elif path.suffix == ".csv":
        yield from _wrong_table(path)


def _other_network(path: Path, attributes: dict[str, object], folder: Path) -> Iterator[str]:
    from featuresharing.files import file_digest

    network = folder / f"networks/{attributes.get('experiment')}/{attributes.get('checkpoint')}.pt"
    if network.exists() and file_digest(network) != attributes.get("network_sha256"):
        yield f"{path} was computed from another network than {network} is now."


def _wrong_predictions(path: Path) -> Iterator[str]:
    import numpy as np

    from featuresharing.networks.predictions import read_predictions

    try:
        predictions = read_predictions(path)
    except InputError as error:
        yield str(error)
        return
    for task, values in predictions.probabilities.items():
        sums = values.astype(np.float64).sum(axis=1)
        if not (np.isfinite(values).all() and values.min() >= 0 and np.abs(sums - 1).max() < 1e-4):
            yield f"{path}: predictions of task '{task}' are no probabilities that sum to 1."


def _wrong_picture(path: Path) -> Iterator[str]:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            for frame in range(getattr(picture, "n_frames", 1)):
                picture.seek(frame)
                picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        yield f"{path} is no complete picture ({error})."


def _wrong_archive(path: Path) -> Iterator[str]:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(path) as archive:
            if spoilt := archive.testzip():
                yield f"{path} is damaged in {spoilt}."
    except (BadZipFile, OSError) as error:
        yield f"{path} is no complete checkpoint ({error})."


def _wrong_table(path: Path) -> Iterator[str]:
    import csv

    with path.open(newline="") as file:
        head, *rows = [*csv.reader(file)] or [[]]
    short = [number for number, row in enumerate(rows, start=2) if len(row) != len(head)]
    if short or not head:
        yield f"{path}, line {short[0] if short else 1} is not complete; accepted are rows of {len(head)} fields."
