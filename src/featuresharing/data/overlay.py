"""Words drawn over the images of a data set with one folder a class, such as ImageNet (the paper's label step)."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from featuresharing.data.images import read_image
from featuresharing.data.words import WordStyle, overlay_word
from featuresharing.errors import InputError
from featuresharing.files import check_free
from featuresharing.randomness import keyed_generator

COLUMNS = ("image", "subordinate", "basic", "word")

SAVED = {".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".png": {}}
"""Kinds of files that are written, by the ends of their names, in small letters; others become .png."""


@dataclass(frozen=True)
class OverlaySettings:
    """What is drawn: one of ``words`` in a ``style``; ``seed``; whether images that cannot be decoded are skipped."""

    words: tuple[str, ...]
    style: WordStyle
    seed: int
    skip_undecodable: bool = False

    def key(self) -> str:
        """Return what names these settings."""
        values = asdict(self)
        values["style"]["font"] = hashlib.sha256(self.style.font.read_bytes()).hexdigest()
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def list_class_folders(folder: Path) -> dict[str, list[str]]:
    """Return the files of every class: names of the folders in ``folder``, and paths of files relative to it, sorted.

    Hidden files are left out. Raises InputError if there are no folders, or one without files.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"folder {folder} cannot be read ({error.strerror}); accepted is one folder a class."
        ) from None
    classes = {}
    for name in names:
        files = sorted(
            path.relative_to(folder).as_posix()
            for path in (folder / name).rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )
        if not files:
            raise InputError(f"folder {folder / name} has no images; accepted is one folder a class, with images.")
        classes[name] = files
    if len(classes) < 2:
        raise InputError(f"folder {folder} has {len(classes)} folders; accepted are two or more, one a class.")
    return classes


def read_hierarchy(path: Path, classes: Iterable[str]) -> dict[str, str]:
    """Read the basic class of every class folder from a table ``subordinate,basic``; raises InputError for a lack."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"table {path} cannot be read ({error}); accepted is one of subordinate,basic.") from None
    if any("subordinate" not in row or "basic" not in row for row in rows):
        raise InputError(f"table {path}: a column is missing; accepted is a table of subordinate,basic.")
    found = {row["subordinate"]: row["basic"] for row in rows}
    for name in classes:
        if name not in found:
            raise InputError(f"table {path}: class '{name}' is missing; accepted is a row for every folder.")
    return found


def overlay_folder(
    folder: Path, output: Path, settings: OverlaySettings, *, hierarchy: Mapping[str, str] | None = None, jobs: int = 1
) -> tuple[list[dict[str, str]], list[str]]:
    """Write a copy of every image of ``folder``, with a word over it, to the folder ``output``; both have one a class.

    Returns a row of COLUMNS for every image, and what was wrong with those that were skipped. An image depends on
    (settings, its path in the folder) alone. What an interrupted run wrote is kept in a hidden folder beside ``output``
    and continued. Raises InputError for an image that cannot be decoded, unless those are skipped,
    and for an ``output`` that holds something.
    """
    check_free(output)
    classes = list_class_folders(folder)
    part = output.with_name(f".{output.name}.{settings.key()}.part")
    part.mkdir(parents=True, exist_ok=True)
    rows, skipped = [], []
    files = [(name, file) for name, files in classes.items() for file in files]
    for parent in {(part / file).parent for _, file in files}:
        parent.mkdir(parents=True, exist_ok=True)
    draw = partial(_draw, folder, part, settings)
    for (name, _), (written, word, problem) in zip(files, _mapped(draw, [f for _, f in files], jobs), strict=True):
        if problem:
            skipped.append(problem)
            continue
        basic = hierarchy[name] if hierarchy else ""
        values = (f"{output.name}/{written}", name, basic, word)
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    if not rows:
        raise InputError(f"folder {folder}: no image can be decoded; accepted are folders with images.")
    os.sync()  # once for all images: one by one would take longer than drawing them
    part.rename(output)
    return rows, skipped


def _mapped(draw: partial[tuple[str, str, str]], files: Sequence[str], jobs: int) -> Iterator[tuple[str, str, str]]:
    if jobs == 1:
        yield from map(draw, files)
        return
    # a fork copies the threads' locks of whoever calls, a spawned process starts clean
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw, files, chunksize=64)


def _draw(folder: Path, output: Path, settings: OverlaySettings, file: str) -> tuple[str, str, str]:
    """Write one image unless it is there; return its path, its word, and what was wrong with it."""
    rng = keyed_generator(settings.seed, "overlay", file)
    word = settings.words[int(rng.integers(len(settings.words)))]
    kind = Path(file).suffix.lower()
    written = file if kind in SAVED else f"{file}.png"
    target = output / written
    if _is_whole(target):
        return written, word, ""
    try:
        pixels = read_image(folder / file)
    except InputError as error:
        if not settings.skip_undecodable:
            raise
        return written, word, str(error)
    drawn = overlay_word(Image.fromarray(np.ascontiguousarray(pixels)), word, settings.style, rng)
    temporary = target.with_name(f".{target.name}.part")
    drawn.save(temporary, "PNG" if written.lower().endswith(".png") else "JPEG", **SAVED.get(kind, {}))
    temporary.replace(target)
    return written, word, ""


def _is_whole(path: Path) -> bool:
    """Return whether an image is there to its end: a loss of power may have cut off what was just written."""
    try:
        read_image(path)
    except InputError:
        return False
    return True
