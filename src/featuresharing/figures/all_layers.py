"""All layers of a network side by side, with cells of one size: what their units contribute to tasks."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil

import numpy as np
from matplotlib.figure import Figure

from featuresharing.colours.palettes import colours
from featuresharing.errors import InputError
from featuresharing.figures.arrangement import EDGE, GAP, Words, lines_of, note_lines_of, write_line, write_lines
from featuresharing.figures.layer_map import LayerFrame, last_step, map_of, network_of, unit_of, when_of
from featuresharing.figures.lettering import shorten, width_of
from featuresharing.figures.map_key import draw_key, explanation, margins_of
from featuresharing.figures.shelves import Shelves, pack
from featuresharing.figures.style import GREY, Box, Page
from featuresharing.figures.training_bar import draw_bar
from featuresharing.figures.unit_cells import draw_squares, hatch
from featuresharing.figures.unit_map import Pair, UnitMap
from featuresharing.settings import FigureSettings

KEY = 0.9
"""Inches of the key."""

LARGEST = 0.25
"""Inches of the largest cell."""

SEEN = 0.025
"""Inches of the smallest cell that is seen well: a figure is higher than others for it."""

HIGHER = (1.0, 1.5, 2.2, 3.3)
"""By how much."""

NAME = 0.9
"""Inches of the longest name of a layer; longer ones are shortened."""

BAR_GAP = 0.03
"""Inches above the bar of training."""

WIDE, NARROW = 0.62, 1.1
"""Height of the layers of a wide page and of a narrow one for its width."""


@dataclass(frozen=True)
class LayersMap:
    """What a figure of all layers shows: a title, a note, and by the name of each layer its map."""

    title: str
    note: str
    layers: dict[str, UnitMap]
    warning: str = ""
    progress: tuple[int, int] | None = None


def draw_layers(content: LayersMap, style: FigureSettings, frames: Sequence[LayersMap] = ()) -> Figure:
    """Draw the units of all layers side by side as squares of one size; a block for each pair of tasks.

    It is as large as all ``frames`` of its animation (none: as it needs itself).

    Raises InputError if there are no layers, for contributions that are no finite numbers from 0 on, and if there is no
    room for all units.
    """
    if not content.layers:
        raise InputError("a figure of all layers has none; accepted: at least one")
    page = Page.of(style)
    first = next(iter(content.layers.values()))
    many = len(first.pairs) > 1
    with page.drawing():
        words = _words(content)
        plan = _Plan.of(content, [words, *map(_words, frames)], style, page)
        figure = page.figure(plan.height)
        top = plan.height - EDGE
        wide = page.inches - 2 * EDGE
        write_line(figure, Box(EDGE, top - 1, wide, 1), content.title, page.large, fontweight="bold")
        top -= page.lines(1.2, page.large)
        note = page.lines(plan.note_lines, page.small)
        write_lines(figure, Box(EDGE, top - note, wide, note), content.note, page.small, color=GREY)
        top -= note
        if content.progress:
            bar = page.lines(1, page.small)
            draw_bar(figure, Box(EDGE, top - BAR_GAP - bar, wide, bar), *content.progress, page)
            top -= bar + BAR_GAP
        for index, pair in enumerate(first.pairs):
            top -= GAP
            if many:
                heading = f"{pair.first_name} (first) and {pair.second_name} (second)"
                write_line(figure, Box(EDGE, top - 1, wide, 1), heading, page.font_size, fontweight="bold")
                top -= page.lines(1.1)
            _draw_block(figure, content, index, plan.shelves, top, style)
            top -= plan.shelves.height / style.dpi
        left, _ = margins_of(page)
        names = ("first task", "second task") if many else first.pairs[0].names
        draw_key(figure, Box(EDGE + left, top - GAP - KEY, KEY, KEY), names, style, page)
        start = EDGE + left + KEY + 1.5 * GAP
        box = Box(start, EDGE, page.inches - EDGE - start, top - GAP - EDGE)
        write_lines(figure, box, "\n".join(words.said), page.small, color="0.2")
    return figure


def _words(content: LayersMap) -> Words:
    first = next(iter(content.layers.values()))
    return Words(explanation("rectangle", first.pairs[0].names, first.sorting), content.warning, content.note)


@dataclass(frozen=True)
class _Plan:
    """How high the parts are that depend on others: all frames of an animation have the same."""

    shelves: Shelves
    note_lines: int
    height: float

    @classmethod
    def of(cls, content: LayersMap, frames: Sequence[Words], style: FigureSettings, page: Page) -> "_Plan":
        first = next(iter(content.layers.values()))
        wide, dpi, pairs = page.inches - 2 * EDGE, style.dpi, len(first.pairs)
        names = [shorten(name, page.font_size, NAME, bold=True) for name in content.layers]
        names_wide = [ceil(dpi * width_of(name, page.font_size, bold=True)) for name in names]
        units = [len(layer.numbers) for layer in content.layers.values()]
        height = dpi * wide * (WIDE if page.inches > 5 else NARROW) / (1 if pairs == 1 else 0.7 * pairs)
        shelves = _high_enough(units, names_wide, height, page)
        left, below = margins_of(page)
        words = lines_of(frames, "\n", page.small, wide - left - KEY - 1.5 * GAP, spare=3)
        note_lines = note_lines_of(frames, page, wide, least=2 if page.inches < 5 else 1)
        heading = page.lines(1.1) if pairs > 1 else 0.0
        parts = [
            page.lines(1.2, page.large) + page.lines(note_lines, page.small),
            page.lines(1, page.small) + BAR_GAP if content.progress else 0.0,
            pairs * (GAP + heading + shelves.height / dpi),
            GAP + max(KEY + below, page.lines(words, page.small)),
        ]
        return cls(shelves, note_lines, sum(parts) + 2 * EDGE)


def _high_enough(units: Sequence[int], names: Sequence[int], height: float, page: Page) -> Shelves:
    """Pack layers into about ``height`` pixels, or more where their cells would be too small to be seen."""
    given: dict[str, int] = {
        "width": int(page.dpi * (page.inches - 2 * EDGE)) - 2,
        "gap": round(page.dpi * GAP),
        "label": round(page.dpi * page.lines(1.1)),
        "largest": round(page.dpi * LARGEST),
    }
    for factor in HIGHER:
        with suppress(InputError):
            shelves = pack(units, names, height=int(factor * height), **given)
            if shelves.cell >= page.dpi * SEEN:
                return shelves
    return pack(units, names, height=int(HIGHER[-1] * height), **given)


def _draw_block(
    figure: Figure, content: LayersMap, index: int, shelves: Shelves, top: float, style: FigureSettings
) -> None:
    """Draw the pair ``index`` of all layers below ``top`` inches."""
    page, dpi = Page.of(style), style.dpi
    for place, (name, layer) in enumerate(content.layers.items()):
        pair: Pair = layer.pairs[index].checked(layer.numbers)
        order = np.arange(len(layer.numbers)) if layer.order is None else layer.order
        x, y = shelves.corners[place]
        corner = (EDGE + x / dpi, top - y / dpi)
        shades = colours(style.palette, *pair.brightness(style))[order]
        taken = draw_squares(figure, corner, shades, shelves.columns[place], shelves.cell / dpi, style)
        if pair.near_zero:
            hatch(figure, taken)
        label = page.lines(1.1)
        shown = shorten(name, page.font_size, NAME, bold=True)
        write_line(figure, Box(corner[0], corner[1], NAME + 1, label), shown, page.font_size, fontweight="bold")


def layers_of(
    frames: Sequence[LayerFrame],
    ordered: Sequence[LayerFrame],
    style: FigureSettings,
    *,
    sort_by: str | None = None,
    last: int = -1,
) -> LayersMap:
    """Return the map of all layers of a network at one checkpoint; units stand as those of the layers ``ordered`` do.

    ``last`` is the last step of training, for a bar. Raises InputError for layers in another order, of other tasks or
    of other units.
    """
    if [_name(frame) for frame in frames] != [_name(frame) for frame in ordered]:
        found, wanted = (" ".join(map(_name, each)) for each in (ordered, frames))
        raise InputError(f"layers of another checkpoint: found {found}; accepted are {wanted}.")
    maps = {
        _name(frame): map_of(frame, places, style, sort_by=sort_by, last=last)
        for frame, places in zip(frames, ordered, strict=True)
    }
    first = frames[0]
    low = list(dict.fromkeys(task for frame in frames for task in frame.low_tasks))
    warning = (
        f"Hatched: the average unit contributes less than {first.limit:g}{unit_of(first.evidence)} to"
        f" {' or '.join(low)}, which says little."
    )
    note = f"{len(frames)} layers, {sum(len(frame.layer.units) for frame in frames):,} units."
    progress = (first.step, last) if 0 <= first.step <= last else None
    return LayersMap(network_of(first) + when_of(first), note, maps, warning if low else "", progress)


def animate_layers(
    checkpoints: Sequence[Sequence[LayerFrame]], style: FigureSettings, *, sort_by: str | None = None
) -> Iterator[Figure]:
    """Yield the figure of all layers at each checkpoint, in the order of training; ``checkpoints`` have their layers.

    Raises InputError as :func:`draw_layers`, and for layers whose units or tasks differ between checkpoints.
    """
    chosen = {"first": checkpoints[0], "last": checkpoints[-1]}
    last = last_step([frame for frames in checkpoints for frame in frames])
    maps = [layers_of(each, chosen.get(style.sort, each), style, sort_by=sort_by, last=last) for each in checkpoints]
    for content in maps:
        yield draw_layers(content, style, maps)


def by_checkpoint(frames: Sequence[LayerFrame]) -> list[list[LayerFrame]]:
    """Return the layers of each checkpoint; checkpoints and layers stand as they first appear.

    Raises InputError unless every checkpoint has all layers once, of one network.
    """
    if len({network_of(frame) for frame in frames}) > 1:
        networks = " and ".join(dict.fromkeys(map(network_of, frames)))
        raise InputError(f"conditionals: found layers of {networks}; accepted are those of one network.")
    names = list(dict.fromkeys(_name(frame) for frame in frames))
    found: dict[str, dict[str, LayerFrame]] = {}
    for frame in frames:
        found.setdefault(str(frame.layer.attributes["checkpoint"]), {})[_name(frame)] = frame
    for checkpoint, layers in found.items():
        if missing := [name for name in names if name not in layers]:
            accepted = "accepted are files of all layers at every checkpoint"
            raise InputError(f"conditionals: found no {missing[0]} at checkpoint {checkpoint}; {accepted}.")
    return [[layers[name] for name in names] for layers in found.values()]


def _name(frame: LayerFrame) -> str:
    return str(frame.layer.attributes["alias"])
