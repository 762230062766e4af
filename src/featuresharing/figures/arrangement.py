"""Where the parts of a unit map are on its page: titles, maps, keys and words, from the width and the size of letters."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

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
"""Lines kept for a warning in a narrow column, so that figures with and without one are equally large."""


@dataclass(frozen=True)
class Arrangement:
    """Where parts are: boxes in inches. ``arrows`` are right of maps; ``between`` parts sentences."""

    height: float
    title: Box
    note: Box
    bar: Box | None
    maps: tuple[Box, ...]
    arrows: tuple[Box, ...]
    keys: tuple[Box, ...]
    headings: tuple[Box, ...]
    notes: tuple[Box, ...]
    text: Box
    between: str


def arrange(page: Page, panels: int, sentences: Sequence[str], *, bar: bool) -> Arrangement:
    """Arrange so many maps and the sentences on how to read them, below a bar of training if there is one."""
    wide = page.inches - 2 * EDGE
    single = panels == 1
    beside = single and page.inches >= BESIDE
    lines = 2 if page.inches >= BESIDE else 3
    # heights from the top down; turned upside down once the whole is known
    title = (EDGE, page.lines(1.15, page.large))
    note = (sum(title), page.lines(lines, page.small))
    strip = (sum(note) + 0.02, page.lines(1, page.small)) if bar else (sum(note), 0.0)
    start = sum(strip) + GAP
    arrow = page.lines(1.3, page.small)
    left, below = margins_of(page)
    if beside:
        side = 0.6 * wide
        key = min(1.5, wide - side - left - GAP)
        maps = [(EDGE, start, side - arrow, PROPORTION * side)]
        keys = [(EDGE + side + GAP + left, start, key, key)]
        text = (EDGE + side + 2 * GAP, start + key + below + GAP, wide - side - 2 * GAP)
        between = "\n\n"
        words = _lines(sentences, between, page, text[2]) + WARNING_LINES + 2
        end = max(start + maps[0][3], text[1] + page.lines(words, page.small))
        return _turned(page, end, title, note, strip if bar else None, maps, arrow, keys, (), text, end, between)
    columns = min(panels, max(1, int((wide + GAP) / (PANEL + GAP))), 3 if panels < 7 else 4)
    side = (wide - (columns - 1) * GAP) / columns
    key = min(1.1 if single else 1.0, 0.62 * (side - left))
    above = 0.0 if single else page.lines(1.1) + page.lines(1.1, page.small)
    panel = above + PROPORTION * (side - arrow) + GAP / 2 + key + below + (0.0 if single else GAP)
    maps, keys, heads = [], [], []
    for index in range(panels):
        x, y = EDGE + index % columns * (side + GAP), start + index // columns * panel
        heads.append((x, y, side, page.lines(1.1)))
        maps.append((x, y + above, side - arrow, PROPORTION * (side - arrow)))
        keys.append((x + left, y + above + PROPORTION * (side - arrow) + GAP / 2, key, key))
    end = start + ceil(panels / columns) * panel
    if single:
        text = (keys[0][0] + key + 1.5 * GAP, keys[0][1], page.inches - EDGE - keys[0][0] - key - 1.5 * GAP)
        between, more = "\n", WARNING_LINES
    else:
        text, between, more = (EDGE, end, wide), " ", 3
    words = _lines(sentences, between, page, text[2]) + more
    end = max(end, text[1] + page.lines(words, page.small))
    heads = [] if single else heads
    return _turned(page, end, title, note, strip if bar else None, maps, arrow, keys, heads, text, end, between)


def _lines(sentences: Sequence[str], between: str, page: Page, inches: float) -> int:
    return wrap(between.join(sentences), page.small, inches).count("\n") + 1


def _turned(
    page: Page,
    end: float,
    title: tuple[float, float],
    note: tuple[float, float],
    strip: tuple[float, float] | None,
    maps: Sequence[tuple[float, ...]],
    arrow: float,
    keys: Sequence[tuple[float, ...]],
    heads: Sequence[tuple[float, ...]],
    text: tuple[float, float, float],
    text_end: float,
    between: str,
) -> Arrangement:
    """Return boxes from the lower left of a page, of parts that are (left, from above, width, height)."""
    total = end + EDGE
    wide = page.inches - 2 * EDGE

    def box(left: float, top: float, width: float, height: float) -> Box:
        return Box(left, total - top - height, width, height)

    heading = page.lines(1.1)
    return Arrangement(
        total,
        box(EDGE, title[0], wide, title[1]),
        box(EDGE, note[0], wide, note[1]),
        box(EDGE, strip[0], wide, strip[1]) if strip else None,
        tuple(box(*part) for part in maps),
        tuple(box(x + w, y, arrow, h) for x, y, w, h in maps),
        tuple(box(*part) for part in keys),
        tuple(box(*part) for part in heads),
        tuple(box(x, y + heading, w, page.lines(1.1, page.small)) for x, y, w, _ in heads),
        box(text[0], text[1], text[2], text_end - text[1]),
        between,
    )


def write_line(figure: Figure, box: Box, text: str, points: float, **options: Any) -> None:
    """Write one line at the top left of a box, smaller or with an ellipsis if it is too long; down, if it is rotated."""
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
