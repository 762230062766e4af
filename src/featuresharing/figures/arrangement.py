"""Where the parts of a unit map are on a page: titles, maps, keys and words; and how words are written there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from featuresharing.figures.lettering import fit, shorten, wrap
from featuresharing.figures.map_key import margins_of
from featuresharing.figures.style import LINE_HEIGHT, Box, Page

EDGE = 0.06
"""Inches around everything."""

GAP = 0.12
"""Inches between parts."""

BESIDE = 5.5
"""Inches of a page from which on the key of a single map stands beside it, else below."""

PANEL = 1.6
"""Least inches of a map among several."""

PROPORTION = 1.04
"""Height of a map for its width."""

WARNING_LINES = 5
"""Least lines kept for a warning in a narrow column, so that figures with and without one are equally large."""

Parts = Mapping[str, Sequence[Box]]
"""Boxes whose lower edges count from above: they are turned once the height of the whole is known."""


class Words(NamedTuple):
    """What a map says: how to read it, a ``warning``, and the ``note`` below its title."""

    sentences: Sequence[str]
    warning: str = ""
    note: str = ""

    @property
    def said(self) -> list[str]:
        """The sentences, and the warning if there is one."""
        return [*self.sentences, self.warning] if self.warning else [*self.sentences]


def lines_of(frames: Sequence[Words], between: str, points: float, inches: float, *, spare: int) -> int:
    """Return how many lines the words of every frame fit into; ``spare`` ones are kept for a warning at least."""
    texts = [between.join(words.said) for words in frames]
    lines = [spare + _count(between.join(words.sentences), points, inches) for words in frames]
    return max([*lines, *(_count(text, points, inches) for text in texts)])


def note_lines_of(frames: Sequence[Words], page: Page, inches: float, *, least: int) -> int:
    """Return how many lines the note of every frame fits into, and ``least`` at least."""
    return max(least, *(_count(words.note, page.small, inches) for words in frames))


def _count(text: str, points: float, inches: float) -> int:
    return wrap(text, points, inches).count("\n") + 1


@dataclass(frozen=True)
class Arrangement:
    """Where parts are. ``arrows`` are right of ``maps``; ``between`` parts the sentences of ``text``.

    A single map has neither ``headings`` nor ``notes``, and a figure of one checkpoint no ``bar``.
    """

    height: float
    between: str
    title: Box
    note: Box
    text: Box
    bar: tuple[Box, ...]
    maps: tuple[Box, ...]
    arrows: tuple[Box, ...]
    keys: tuple[Box, ...]
    headings: tuple[Box, ...]
    notes: tuple[Box, ...]


def arrange(page: Page, panels: int, frames: Sequence[Words], *, bar: bool) -> Arrangement:
    """Arrange so many maps, and room for the words of each of ``frames``, below a bar of training if there is one."""
    beside = panels == 1 and page.inches >= BESIDE
    between = "\n\n" if beside else "\n" if panels == 1 else " "
    wide = page.inches - 2 * EDGE
    title = Box(EDGE, EDGE, wide, page.lines(1.15, page.large))
    note_lines = note_lines_of(frames, page, wide, least=2 if page.inches >= BESIDE else 3)
    note = Box(EDGE, title.top, wide, page.lines(note_lines, page.small))
    bars = [Box(EDGE, note.top, wide, page.lines(1, page.small))] if bar else []
    start = (bars or [note])[-1].top + GAP
    parts = _beside(page, start, frames, between) if beside else _below(page, panels, start, frames, between)
    total = max(box.top for boxes in parts.values() for box in boxes) + EDGE

    def turned(boxes: Sequence[Box]) -> tuple[Box, ...]:
        return tuple(Box(box.left, total - box.top, box.width, box.height) for box in boxes)

    first, second, words = turned([title, note, *parts["text"]])
    others = (turned(parts[name]) for name in ("maps", "arrows", "keys", "headings", "notes"))
    return Arrangement(total, between, first, second, words, turned(bars), *others)


def _beside(page: Page, start: float, frames: Sequence[Words], between: str) -> Parts:
    """Place one map at the left, its key and words at the right."""
    wide = page.inches - 2 * EDGE
    left, below = margins_of(page)
    side, arrow = 0.6 * wide, page.lines(1.3, page.small)
    key = min(1.5, wide - side - left - GAP)
    column = Box(EDGE + side + 2 * GAP, start + key + below + GAP, wide - side - 2 * GAP, 0)
    words = lines_of(frames, between, page.small, column.width, spare=WARNING_LINES + 1)
    return {
        "maps": [Box(EDGE, start, side - arrow, PROPORTION * side)],
        "arrows": [Box(EDGE + side - arrow, start, arrow, PROPORTION * side)],
        "keys": [Box(EDGE + side + GAP + left, start, key, key)],
        "text": [column._replace(height=page.lines(words, page.small))],
        "headings": [],
        "notes": [],
    }


def _below(page: Page, panels: int, start: float, frames: Sequence[Words], between: str) -> Parts:
    """Place maps in rows, each with its key below; words are beside the key of a single one, else below all."""
    wide, single = page.inches - 2 * EDGE, panels == 1
    columns = min(panels, max(1, int((wide + GAP) / (PANEL + GAP))), 3 if panels < 7 else 4)
    side, arrow = (wide - (columns - 1) * GAP) / columns, page.lines(1.3, page.small)
    left, below = margins_of(page)
    key = min(1.1 if single else 1.0, 0.62 * (side - left))
    heading, note = (0.0, 0.0) if single else (page.lines(1.1), page.lines(1.1, page.small))
    square = side - arrow
    panel = heading + note + PROPORTION * square + GAP / 2 + key + below + (0.0 if single else GAP)
    corners = [(EDGE + index % columns * (side + GAP), start + index // columns * panel) for index in range(panels)]
    maps = [Box(x, y + heading + note, square, PROPORTION * square) for x, y in corners]
    keys = [Box(box.left + left, box.top + GAP / 2, key, key) for box in maps]
    if single:
        x = keys[0].right + 1.5 * GAP
        words = Box(x, keys[0].bottom, page.inches - EDGE - x, 0)
    else:
        words = Box(EDGE, start + ceil(panels / columns) * panel, wide, 0)
    lines = lines_of(frames, between, page.small, words.width, spare=WARNING_LINES if single else 3)
    return {
        "maps": maps,
        "arrows": [Box(box.right, box.bottom, arrow, box.height) for box in maps],
        "keys": [*keys],
        "text": [words._replace(height=max(page.lines(lines, page.small), key + below if single else 0.0))],
        "headings": [] if single else [Box(x, y, side, heading) for x, y in corners],
        "notes": [] if single else [Box(x, y + heading, side, note) for x, y in corners],
    }


def write_line(figure: Figure, box: Box, text: str, points: float, **options: Any) -> None:
    """Write one line at the top left of a box, smaller or with an ellipsis if it is too long; rotated: downwards."""
    bold = options.get("fontweight") == "bold"
    room = box.height if options.get("rotation") else box.width
    size = fit(text, points, room, bold=bold)
    shown = shorten(text, size, room, bold=bold)
    x = box.left + (box.width if options.get("rotation") else 0)
    side = "right" if options.get("rotation") else "left"
    figure.text(x, box.top, shown, fontsize=size, ha=side, va="top", transform=figure.dpi_scale_trans, **options)


def write_lines(figure: Figure, box: Box, text: str, points: float, **options: Any) -> None:
    """Write lines from the top left of a box, broken where they end; what does not fit is left out with an ellipsis."""
    most = max(1, int(box.height / (LINE_HEIGHT * points / 72) + 0.01))
    shown = wrap(text, points, box.width, most=most)
    figure.text(
        box.left,
        box.top,
        shown,
        fontsize=points,
        ha="left",
        va="top",
        linespacing=LINE_HEIGHT / 1.2,
        transform=figure.dpi_scale_trans,
        **options,
    )
