"""The stimulus set of all experiments: every drawing rendered several times, each time with a random word over it."""

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from featuresharing.data.columns import STIMULI
from featuresharing.data.drawings import Drawing, DrawingSheet
from featuresharing.data.fonts import check_words
from featuresharing.data.rendering import Variation, render_stimulus
from featuresharing.data.table_files import frame_of, read_texts, write_table
from featuresharing.data.words import WordStyle
from featuresharing.errors import InputError
from featuresharing.files.atomic import check_free, content_key
from featuresharing.files.identity import Identity
from featuresharing.files.partial import PartialFolder, write_piece
from featuresharing.files.records import Entry, fits
from featuresharing.randomness import keyed_generator

if TYPE_CHECKING:
    from pandas import DataFrame

OURS = r".+_\d{3,}_\d{2,}_.+\.png|\.snakemake_timestamp"
"""What a folder of stimuli may hold that is replaced."""


@dataclass(frozen=True)
class StimulusSettings:
    """What all stimuli have in common: ``size`` in pixels, ``words`` to choose from, their style and the variation."""

    size: int
    words: tuple[str, ...]
    style: WordStyle
    variation: Variation
    seed: int

    def key(self, sheet: Path) -> str:
        """Return what names these settings with a ``sheet`` of drawings; raises InputError if that cannot be read."""
        style = {**asdict(self.style), "font": content_key(self.style.font)}
        return Identity("stimuli", {**asdict(self), "style": style, "sheet": content_key(sheet)}).key


@dataclass(frozen=True)
class Stimulus:
    """Rendering ``number`` of a ``drawing``, with a ``word`` over it."""

    drawing: Drawing
    number: int
    word: str

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.drawing.subordinate}_{self.drawing.index:03d}_{self.number:02d}_{self.word}.png"

    def row(self, folder: str) -> tuple[str | int, ...]:
        """Return its row of :data:`.columns.STIMULI`, in a folder of this name."""
        of = self.drawing
        return f"{folder}/{self.name}", of.index, of.set, of.subordinate, of.basic, self.word


def render_stimuli(
    sheet: Path,
    drawings: Sequence[Drawing],
    folder: Path,
    *,
    renderings: int,
    settings: StimulusSettings,
    jobs: int = 1,
    table: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> "DataFrame":
    """Render every drawing ``renderings`` times into PNG files in ``folder``; return a frame of them.

    An image depends on (seed, drawing, number of the rendering) alone, not on ``jobs`` processes or on other drawings.
    The frame is one of :data:`.columns.STIMULI`; the file ``table`` gets it as well. What an interrupted run rendered
    is kept in a hidden folder beside ``folder`` and continued; what was damaged since is rendered again, and ``say``
    told so. Raises InputError for a ``folder`` that holds other things than stimuli.
    """
    check_words(settings.words, settings.style.font, settings.style.font_sizes)
    for part in (*settings.words, *(drawing.subordinate for drawing in drawings)):
        if "/" in part:
            raise InputError(f"'{part}' holds a slash; accepted are words and classes that fit into names of files.")
    check_free(folder, ours=OURS)
    stimuli = [_choose(settings, drawing, number) for drawing in drawings for number in range(renderings)]
    frame = frame_of(STIMULI, (stimulus.row(folder.name) for stimulus in stimuli))
    names = [stimulus.name for stimulus in stimuli]
    partial = PartialFolder(folder, settings.key(sheet))
    complete = partial.is_complete(names)
    if complete:
        say(f"{folder} is there already.")
    else:
        partial.begin()
        noted = [partial.noted(name) for name in names]
        tasks = [
            list(zip(stimuli[first : first + renderings], noted[first : first + renderings], strict=True))
            for first in range(0, len(stimuli), renderings)
        ]
        damaged = 0
        for drawn in _mapped(functools.partial(_render_drawing, sheet, partial.path, settings), tasks, jobs):
            for name, entry, again in drawn:
                damaged += again
                partial.note(name, entry)
        if damaged:
            say(f"Rendered again, since they were damaged: {damaged} of {len(names)} images in {partial.path}.")
    if table is not None:  # first: Snakemake removes the folder of a job that lacks its table
        write_table(table, frame, STIMULI)
    if not complete:
        partial.finish(names)
    return frame


def read_stimuli(path: Path, tasks: Sequence[str]) -> "DataFrame":
    """Read a table of stimuli, ours or yours: a frame of texts with all its columns.

    Raises InputError if it is missing, has no column for the images or one of the ``tasks``, or, with the number of the
    line, a blank there.
    """
    frame = read_texts(path, ("image",), filled=tasks, what=STIMULI.what)
    for task in tasks:
        if task not in frame:
            accepted = ", ".join(column for column in frame if column not in ("image", "drawing", "set"))
            raise InputError(
                f"{path}: task '{task}' has no column; accepted are {accepted or 'tables with columns for tasks'}."
            )
    return frame.reset_index(drop=True)


def _choose(settings: StimulusSettings, drawing: Drawing, number: int) -> Stimulus:
    rng = _generator(settings, drawing, number)
    return Stimulus(drawing, number, settings.words[int(rng.integers(len(settings.words)))])


def _generator(settings: StimulusSettings, drawing: Drawing, number: int) -> np.random.Generator:
    return keyed_generator(settings.seed, "stimulus", drawing.index, number)


Task = Sequence[tuple[Stimulus, Entry | None]]
"""The renderings of a drawing, and what was written of each, if anything."""


Rendered = tuple[str, Entry, bool]
"""A name, the file that has it, and whether it was rendered in place of a damaged one."""


def _mapped(render: Callable[[Task], list[Rendered]], tasks: Sequence[Task], jobs: int) -> Iterator[list[Rendered]]:
    if jobs == 1:
        yield from map(render, tasks)
        return
    # a fork copies the threads' locks of whoever calls, a spawned process starts clean
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(render, tasks, chunksize=16)


# a worker renders many drawings of one sheet
_open_sheet = lru_cache(maxsize=1)(DrawingSheet)


def _render_drawing(sheet: Path, folder: Path, settings: StimulusSettings, task: Task) -> list[Rendered]:
    """Render what is not there as it was written; return what every file is."""
    found = []
    for stimulus, noted in task:
        target = folder / stimulus.name
        if noted is not None and fits(target, noted):
            found.append((stimulus.name, noted, False))
            continue
        rng = _generator(settings, stimulus.drawing, stimulus.number)
        rng.integers(len(settings.words))  # it has chosen the word
        image = render_stimulus(
            _open_sheet(sheet)[stimulus.drawing],
            stimulus.word,
            size=settings.size,
            variation=settings.variation,
            style=settings.style,
            rng=rng,
        )
        content = BytesIO()
        image.save(content, "PNG")
        found.append((stimulus.name, write_piece(target, content.getvalue()), noted is not None))
    return found
