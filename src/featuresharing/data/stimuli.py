"""The stimulus set of all experiments: every drawing rendered several times, each time with a random word over it."""

import csv
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

from featuresharing.data.drawings import Drawing, DrawingSheet
from featuresharing.data.fonts import check_words
from featuresharing.data.rendering import Variation, render_stimulus
from featuresharing.data.texts import numbered_rows
from featuresharing.data.words import WordStyle
from featuresharing.errors import InputError
from featuresharing.randomness import keyed_generator

COLUMNS = ("image", "drawing", "set", "subordinate", "basic", "word")


@dataclass(frozen=True)
class StimulusSettings:
    """What all stimuli have in common: ``size`` in pixels, ``words`` to choose from, their style and the variation."""

    size: int
    words: tuple[str, ...]
    style: WordStyle
    variation: Variation
    seed: int


def render_stimuli(
    sheet: Path,
    drawings: Sequence[Drawing],
    folder: Path,
    *,
    renderings: int,
    settings: StimulusSettings,
    jobs: int = 1,
) -> list[dict[str, str]]:
    """Render every drawing ``renderings`` times into PNG files in ``folder``; return a row of :data:`COLUMNS` for each.

    An image depends on (seed, drawing, number of the rendering) alone, not on ``jobs`` processes or on other drawings.
    """
    check_words(settings.words, settings.style.font, settings.style.font_sizes)
    for part in (*settings.words, *(drawing.subordinate for drawing in drawings)):
        if "/" in part:
            raise InputError(f"'{part}' holds a slash; accepted are words and classes that fit into names of files.")
    folder.mkdir(parents=True, exist_ok=True)
    render = partial(_render_drawing, sheet, folder, renderings, settings)
    if jobs == 1:
        return [row for drawing in drawings for row in render(drawing)]
    # a fork copies the threads' locks of whoever calls, a spawned process starts clean
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return [row for rows in pool.map(render, drawings, chunksize=16) for row in rows]


def write_stimuli(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write the table of stimuli."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_stimuli(path: Path, tasks: Sequence[str]) -> list[dict[str, str]]:
    """Read the table of stimuli.

    Raises InputError if it is missing, has no column for the images or one of the ``tasks``, or, with the number of the
    line, a blank there.
    """
    rows = numbered_rows(path, ("image",), what="table of stimuli")
    columns = list(rows[0][1]) if rows else []
    for task in tasks:
        if task not in columns:
            accepted = ", ".join(column for column in columns if column not in ("image", "drawing", "set"))
            raise InputError(f"{path}: task '{task}' has no column; accepted are {accepted or 'none of no rows'}.")
    for line, row in rows:
        if blank := next((name for name in ("image", *tasks) if not row[name]), None):
            raise InputError(f"{path}, line {line}: column '{blank}' is blank; accepted is a name.")
    return [row for _, row in rows]


# a worker renders many drawings of one sheet
_open_sheet = lru_cache(maxsize=1)(DrawingSheet)


def _render_drawing(
    sheet: Path, folder: Path, renderings: int, settings: StimulusSettings, drawing: Drawing
) -> list[dict[str, str]]:
    figure = _open_sheet(sheet)[drawing]
    rows = []
    for number in range(renderings):
        rng = keyed_generator(settings.seed, "stimulus", drawing.index, number)
        word = settings.words[int(rng.integers(len(settings.words)))]
        image = render_stimulus(
            figure, word, size=settings.size, variation=settings.variation, style=settings.style, rng=rng
        )
        name = f"{drawing.subordinate}_{drawing.index:03d}_{number:02d}_{word}.png"
        image.save(folder / name)
        rows.append(
            {
                "image": f"{folder.name}/{name}",
                "drawing": str(drawing.index),
                "set": drawing.set,
                "subordinate": drawing.subordinate,
                "basic": drawing.basic,
                "word": word,
            }
        )
    return rows
