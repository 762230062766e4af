"""Words drawn over the images of a data set with one folder a class, such as ImageNet (the paper's label step)."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from featuresharing.data.class_folders import check_distinct, check_name, list_class_folders
from featuresharing.data.fonts import check_words
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


def overlay_folder(
    folder: Path, output: Path, settings: OverlaySettings, *, hierarchy: Mapping[str, str] | None = None, jobs: int = 1
) -> tuple[list[dict[str, str]], list[str]]:
    """Write a copy of every image of ``folder``, with a word over it, to the folder ``output``; both have one a class.

    Returns a row of COLUMNS for every image, and what was wrong with those that were skipped. An image depends on
    (settings, its path in the folder) alone. What an interrupted run wrote is kept in a hidden folder beside ``output``
    and continued. Raises InputError for an image that cannot be decoded, unless those are skipped,
    for an ``output`` that holds something, words that the font cannot draw, and two images that would become one file.
    """
    check_free(output)
    check_name(output.name, "output folder")
    check_words(settings.words, settings.style.font, settings.style.font_sizes)
    classes = list_class_folders(folder)
    check_distinct(folder, {file: _written_name(file) for files in classes.values() for file in files})
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


def _written_name(file: str) -> str:
    return file if Path(file).suffix.lower() in SAVED else f"{file}.png"


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
    written = _written_name(file)
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
    drawn.save(temporary, "PNG" if written.lower().endswith(".png") else "JPEG", **SAVED[Path(written).suffix.lower()])
    temporary.replace(target)
    return written, word, ""


def _is_whole(path: Path) -> bool:
    """Return whether an image is there to its end: a loss of power may have cut off what was just written."""
    try:
        read_image(path)
    except InputError:
        return False
    return True
