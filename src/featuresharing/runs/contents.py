"""What is wrong with a file of results by what it holds, whoever wrote it."""

import csv
from collections.abc import Iterator
from pathlib import Path

from featuresharing.errors import InputError


def problems_of_work(path: Path) -> Iterator[str]:
    """Yield what is wrong with a hidden file: work in progress, or a second name."""
    from featuresharing.store import soundness

    name = path.name
    if name.endswith(".part"):
        yield f"{path} was left behind by a process that was killed; the next run of its job removes it."
    elif name.endswith(".progress"):
        yield from soundness.problems_of_progress(path)
    elif name.endswith(".done") and ".h5." in name and path.stat().st_nlink == 1:
        yield from soundness.problems_of_final(path, whole=False)
    elif name.endswith(".measured"):
        from featuresharing.runs.measurements import damaged_lines

        if damaged := damaged_lines(path):
            yield f"{path}: {damaged} lines are damaged; the next run measures their orders again."


def problems_of(path: Path, folder: Path, *, recorded: bool) -> Iterator[str]:
    """Yield what is wrong with a file in a ``folder`` of results; ``recorded`` ones have been compared with that."""
    from featuresharing.store import soundness

    if path.suffix == ".h5":
        try:
            conditionals = soundness.is_conditionals(path)
        except InputError as error:
            yield str(error)
            return
        yield from _wrong_conditionals(path, folder) if conditionals else _wrong_predictions(path)
    elif recorded:
        return
    elif path.suffix in (".png", ".gif", ".jpg", ".jpeg"):
        yield from _wrong_picture(path)
    elif path.suffix == ".pt":
        yield from _wrong_archive(path)
    elif path.suffix == ".csv":
        yield from _wrong_table(path)


def _wrong_conditionals(path: Path, folder: Path) -> Iterator[str]:
    from featuresharing.files.atomic import file_digest
    from featuresharing.files.records import refuse_changed
    from featuresharing.store import soundness

    attributes = soundness.attributes_of(path)
    block = path.parent.name == f"{attributes.get('alias')}_{attributes.get('checkpoint')}"
    yield from soundness.problems_of_final(path, whole=not block)
    network = folder / f"networks/{attributes.get('experiment')}/{attributes.get('checkpoint')}.pt"
    if not network.is_file() or file_digest(network) == attributes.get("network_sha256"):
        return
    try:
        refuse_changed(network)
    except InputError:
        return  # its own line says so
    yield f"{path} was computed from another network than {network} is now."


def _wrong_predictions(path: Path) -> Iterator[str]:
    from featuresharing.networks.predictions import read_predictions

    try:
        read_predictions(path)
    except InputError as error:
        yield str(error)


def _wrong_picture(path: Path) -> Iterator[str]:
    from PIL import Image

    from featuresharing.data.decoding import FORMATS

    try:
        with Image.open(path, formats=FORMATS) as picture:
            for frame in range(getattr(picture, "n_frames", 1)):
                picture.seek(frame)
                picture.load()
    except Exception as error:  # on damaged files, Pillow's decoders raise nearly anything
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
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        head, *rows = [*csv.reader(file)] or [[]]
    short = [number for number, row in enumerate(rows, start=2) if len(row) != len(head)]
    if short or not head:
        yield f"{path}, line {short[0] if short else 1} is not complete; accepted are rows of {len(head)} fields."
