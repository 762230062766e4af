"""The stimulus set of all experiments: every drawing rendered several times, each time with a random word over it."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from featuresharing.data.drawings import Drawing, DrawingSheet
from featuresharing.data.fonts import check_words
from featuresharing.data.rendering import Variation, render_stimulus
from featuresharing.data.texts import numbered_rows
from featuresharing.data.words import WordStyle
from featuresharing.errors import InputError
from featuresharing.files.atomic import check_free, content_key, write_table
from featuresharing.files.identity import Identity
from featuresharing.files.partial import PartialFolder, write_piece
from featuresharing.files.records import Entry, fits
from featuresharing.randomness import keyed_generator

OURS = r".+_\d{3,}_\d{2,}_.+\.png|\.snakemake_timestamp"
"""What a folder of stimuli may hold that is replaced."""

COLUMNS = ("image", "drawing", "set", "subordinate", "basic", "word")


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

    def row(self, folder: str) -> dict[str, str]:
        """Return its row of :data:`COLUMNS`, in a folder of this name."""
        of = self.drawing
        values = (f"{folder}/{self.name}", str(of.index), of.set, of.subordinate, of.basic, self.word)
        return dict(zip(COLUMNS, values, strict=True))


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
) -> list[dict[str, str]]:
    """Render every drawing ``renderings`` times into PNG files in ``folder``; return a row of :data:`COLUMNS` for each.

    An image depends on (seed, drawing, number of the rendering) alone, not on ``jobs`` processes or on other drawings.
    ``table`` gets the rows as well. What an interrupted run rendered is kept in a hidden folder beside ``folder`` and
    continued; what was damaged since is rendered again, and ``say`` told so. Raises InputError for a ``folder`` that
    holds other things than stimuli.
    """
    check_words(settings.words, settings.style.font, settings.style.font_sizes)
    for part in (*settings.words, *(drawing.subordinate for drawing in drawings)):
        if "/" in part:
            raise InputError(f"'{part}' holds a slash; accepted are words and classes that fit into names of files.")
    check_free(folder, ours=OURS)
    stimuli = [_choose(settings, drawing, number) for drawing in drawings for number in range(renderings)]
    rows = [stimulus.row(folder.name) for stimulus in stimuli]
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
        write_stimuli(table, rows)
    if not complete:
        partial.finish(names)
    return rows


def write_stimuli(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write the table of stimuli."""
    write_table(path, COLUMNS, ([row[column] for column in COLUMNS] for row in rows))


def read_stimuli(path: Path, tasks: Sequence[str]) -> list[dict[str, str]]:
    """Read the table of stimuli.

    Raises InputError if it is missing, has no column for the images or one of the ``tasks``, or, with the number of the
    line, a blank there.
    """
    rows = numbered_rows(path, ("image",), what="table of stimuli")
    if not rows:
        raise InputError(f"{path}: found no row; accepted is one for every image.")
    columns = list(rows[0][1])
    for task in tasks:
        if task not in columns:
            accepted = ", ".join(column for column in columns if column not in ("image", "drawing", "set"))
            raise InputError(
                f"{path}: task '{task}' has no column; accepted are {accepted or 'tables with columns for tasks'}."
            )
    for line, row in rows:
        if blank := next((name for name in ("image", *tasks) if not row[name]), None):
            raise InputError(f"{path}, line {line}: column '{blank}' is blank; accepted is a name.")
    return [row for _, row in rows]


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
