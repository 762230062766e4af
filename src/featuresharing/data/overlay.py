"""Words drawn over the images of a data set with one folder a class, such as ImageNet (the paper's label step)."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from featuresharing.data.class_folders import check_distinct, check_name, list_class_folders
from featuresharing.data.columns import WORDED
from featuresharing.data.fonts import check_words
from featuresharing.data.images import read_image
from featuresharing.data.table_files import frame_of, write_table
from featuresharing.data.words import WordStyle, overlay_word
from featuresharing.errors import InputError
from featuresharing.files.atomic import check_free, content_key
from featuresharing.files.identity import Identity
from featuresharing.files.partial import PartialFolder, write_piece
from featuresharing.files.records import Entry, fits, recorded_key
from featuresharing.randomness import keyed_generator

if TYPE_CHECKING:
    from pandas import DataFrame

SAVED = {".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".png": {}}
"""Kinds of files that are written, by the ends of their names, in small letters; others become .png."""


@dataclass(frozen=True)
class OverlaySettings:
    """What is drawn: one of ``words`` in a ``style``; ``seed``; whether images that cannot be decoded are skipped."""

    words: tuple[str, ...]
    style: WordStyle
    seed: int
    skip_undecodable: bool = False

    def key(self, folder: Path) -> str:
        """Return what names these settings with a ``folder``; raises InputError if the font cannot be read."""
        style = {**asdict(self.style), "font": content_key(self.style.font)}
        values = {**asdict(self), "style": style, "folder": os.fspath(folder.resolve())}
        return Identity("stimuli", values).key


def overlay_folder(
    folder: Path,
    output: Path,
    settings: OverlaySettings,
    *,
    hierarchy: Mapping[str, str] | None = None,
    jobs: int = 1,
    table: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> tuple["DataFrame", list[str]]:
    """Write a copy of every image of ``folder``, with a word over it, to the folder ``output``; both have one a class.

    Returns a frame of :data:`.columns.WORDED`, and what was wrong with images that were skipped; the file ``table``
    gets the frame as well. An image depends on (settings, its path in the folder) alone. What an interrupted run wrote
    is kept in a hidden folder beside ``output`` and continued; what was damaged since, or of an image that was changed
    since, is drawn again, and ``say`` told so. Raises InputError for an image that cannot be decoded, unless those are
    skipped, for an ``output`` that holds something else, words that the font cannot draw, and two images that would
    become one file.
    """
    check_name(output.name, "output folder")
    check_words(settings.words, settings.style.font, settings.style.font_sizes)
    classes = list_class_folders(folder)
    check_distinct(folder, {file: _written_name(file) for files in classes.values() for file in files})
    files = [(name, file) for name, files in classes.items() for file in files]
    partial = PartialFolder(output, settings.key(folder))
    if recorded_key(output) != partial.key:
        check_free(output)
    written = [_written_name(file) for _, file in files]
    if partial.is_complete(written) and all(_is_drawn(folder, output, file) for _, file in files):
        say(f"{output} is there already.")
        return _tabulate(table, [_row(output, name, file, settings, hierarchy) for name, file in files]), []
    partial.begin()
    for parent in {(partial.path / name).parent for name in written}:
        parent.mkdir(parents=True, exist_ok=True)
    rows, skipped, kept, damaged = [], [], [], 0
    draw = functools.partial(_draw, folder, partial.path, settings)
    tasks = [(file, partial.noted(name)) for (_, file), name in zip(files, written, strict=True)]
    for (name, file), drawn in zip(files, _mapped(draw, tasks, jobs), strict=True):
        if drawn.entry is None:
            skipped.append(drawn.problem)
            continue
        damaged += drawn.again
        kept.append(_written_name(file))
        partial.note(kept[-1], drawn.entry)
        rows.append(_row(output, name, file, settings, hierarchy))
    if not rows:
        raise InputError(f"folder {folder}: no image can be decoded; accepted are folders with images.")
    if damaged:
        say(f"Drawn again, since they or their originals were changed: {damaged} of {len(files)} in {partial.path}.")
    frame = _tabulate(table, rows)  # first: Snakemake removes the folder of a job that lacks its table
    partial.finish(kept)
    return frame, skipped


def _tabulate(table: Path | None, rows: Sequence[tuple[str, ...]]) -> "DataFrame":
    """Return a frame of the rows; a file ``table`` gets it."""
    frame = frame_of(WORDED, rows)
    if table is not None:
        write_table(table, frame, WORDED)
    return frame


def _row(
    output: Path, name: str, file: str, settings: OverlaySettings, hierarchy: Mapping[str, str] | None
) -> tuple[str, ...]:
    word, _ = _choose_word(settings, file)
    return f"{output.name}/{_written_name(file)}", name, hierarchy[name] if hierarchy else "", word


def _written_name(file: str) -> str:
    return file if Path(file).suffix.lower() in SAVED else f"{file}.png"


def _choose_word(settings: OverlaySettings, file: str) -> tuple[str, np.random.Generator]:
    """Return the word over a file, and the generator that draws the rest."""
    rng = keyed_generator(settings.seed, "overlay", file)
    return settings.words[int(rng.integers(len(settings.words)))], rng


def _is_drawn(folder: Path, output: Path, file: str) -> bool:
    """Return whether an image was not changed since it was drawn over."""
    try:
        return (folder / file).stat().st_mtime_ns <= (output / _written_name(file)).stat().st_mtime_ns
    except OSError:  # whoever reads it next says why
        return False


Task = tuple[str, Entry | None]
"""A file, and what was written of it, if anything."""


class _Drawn(NamedTuple):
    """What a file has become: the ``entry`` of the image, or the ``problem``; whether it was drawn ``again``."""

    entry: Entry | None
    problem: str = ""
    again: bool = False


def _mapped(draw: Callable[[Task], _Drawn], tasks: Sequence[Task], jobs: int) -> Iterator[_Drawn]:
    if jobs == 1:
        yield from map(draw, tasks)
        return
    # a fork copies the threads' locks of whoever calls, a spawned process starts clean
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(draw, tasks, chunksize=64)


def _draw(folder: Path, output: Path, settings: OverlaySettings, task: Task) -> _Drawn:
    """Write one image unless it is there as it was written."""
    file, noted = task
    target = output / _written_name(file)
    if noted is not None and fits(target, noted) and _is_drawn(folder, output, file):
        return _Drawn(noted)
    word, rng = _choose_word(settings, file)
    try:
        pixels = read_image(folder / file)
    except InputError as error:
        if not settings.skip_undecodable:
            raise
        return _Drawn(None, str(error))
    drawn = overlay_word(Image.fromarray(np.ascontiguousarray(pixels)), word, settings.style, rng)
    kind = Path(file).suffix.lower()
    content = BytesIO()
    drawn.save(content, "JPEG" if kind in (".jpg", ".jpeg") else "PNG", **SAVED.get(kind, {}))
    return _Drawn(write_piece(target, content.getvalue()), again=noted is not None)
