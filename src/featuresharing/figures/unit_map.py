"""Unit maps: every unit of a layer as one cell, whose colour says how much each of two tasks, or one, relies on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from featuresharing.colours.palettes import brightness, colours
from featuresharing.errors import InputError
from featuresharing.figures.arrangement import Arrangement, Words, arrange, write_line, write_lines
from featuresharing.figures.map_key import draw_key, explanation
from featuresharing.figures.style import GREY, Page
from featuresharing.figures.training_bar import draw_bar
from featuresharing.figures.unit_cells import draw_cells, hatch
from featuresharing.settings import FigureSettings

Array = NDArray[np.floating[Any]]

NAMED_UNITS = 5
"""Units that a message names."""

TOO_SMALL = "The units' numbers need larger squares: a wider figure, or fewer units."
"""What is said where there is no room for numbers."""


@dataclass(frozen=True)
class Pair:
    """What units contribute to a task, ``first`` [U], and to another (None: there is one task), and a note on both.

    A pair with a task ``near_zero`` is hatched.
    """

    first_name: str
    first: Array
    second_name: str | None = None
    second: Array | None = None
    note: str = ""
    near_zero: bool = False

    @property
    def names(self) -> tuple[str, str | None]:
        """The names of both tasks."""
        return self.first_name, self.second_name

    def checked(self, units: NDArray[np.integer[Any]]) -> "Pair":
        """Return the pair with float64 contributions; raises InputError unless they are finite, from 0 on and [U]."""
        first = np.asarray(self.first, np.float64)
        second = None if self.second is None else np.asarray(self.second, np.float64)
        other = first if second is None else second
        if first.ndim != 1 or first.shape != other.shape or not first.size:
            raise InputError(
                f"contributions to {self.first_name} and {self.second_name or self.first_name} have shapes"
                f" {first.shape} and {other.shape}; accepted: one number a unit, for the same units"
            )
        for name, values in ((self.first_name, first), (self.second_name or self.first_name, other)):
            refuse_values(name, values, units)
        return Pair(self.first_name, first, self.second_name, second, self.note, self.near_zero)

    def brightness(self, style: FigureSettings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the brightness [U] of both tasks, each in multiples of its mean over the units."""
        first, second = (
            brightness(values / (values.mean() or 1), style)
            for values in (self.first, self.first if self.second is None else self.second)
        )
        return first, second


def refuse_values(name: str, values: NDArray[np.float64], units: NDArray[np.integer[Any]]) -> None:
    """Raise InputError, which names units, where contributions [U] to the task ``name`` are negative or not finite."""
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if not len(wrong):
        return
    shown = ", ".join(f"{values[index]:g} of unit {units[index]}" for index in wrong[:NAMED_UNITS])
    more = f" and {len(wrong) - NAMED_UNITS} units more" if len(wrong) > NAMED_UNITS else ""
    raise InputError(f"contributions to {name}: found {shown}{more}; accepted is a finite number from 0 on a unit.")


@dataclass(frozen=True)
class UnitMap:
    """What a map of units shows: a title, a note, and pairs of tasks.

    ``order`` [U] puts the units in their places (None: as they come) and ``sorting`` says by what, ``numbers`` [U] are
    their names, ``warning`` says which pairs say little and why, and ``progress`` is (step, last step) of training.
    """

    title: str
    note: str
    pairs: Sequence[Pair]
    numbers: NDArray[np.integer[Any]]
    order: NDArray[np.integer[Any]] | None = None
    sorting: str = ""
    warning: str = ""
    progress: tuple[int, int] | None = None


def sorted_by(first: Array, second: Array | None = None) -> NDArray[np.intp]:
    """Return units in the order of their contribution to a task; equal ones by the second task, then as they come."""
    values = np.asarray(first, np.float64)
    return np.lexsort((values if second is None else np.asarray(second, np.float64), values))


def plot_units(
    first: Array,
    second: Array | None = None,
    *,
    first_name: str = "first task",
    second_name: str | None = "second task",
    title: str = "",
    note: str = "",
    order: NDArray[np.integer[Any]] | None = None,
    style: FigureSettings | None = None,
) -> Figure:
    """Draw the contributions ``first`` and ``second`` [U] of a layer's units to two tasks, in bits.

    Colours show them as multiples of each task's mean over the U units, in the style's palette: units on which neither
    task relies are dark, those on which both rely white. A task without any contribution is dark everywhere. Without a
    second task (None), units are grey, bright where the task relies on them. Units stand in the ``order`` [U] given;
    else they are sorted by the first task (ties: the second, then the index), unless the style's ``sort`` is none.
    Figures of one style are equally large, and each depends on its own arguments only.

    Raises :class:`InputError` if the contributions are not two equally long vectors of finite numbers from 0 on, or if
    a rectangle of U cells has more rows or columns than the map has pixels.
    """
    style = style or FigureSettings()
    pair = Pair(first_name, first, None if second is None else second_name, second)
    sorting = ""
    if order is None and style.sort != "none":
        pair = pair.checked(np.arange(np.size(first)))
        order, sorting = sorted_by(pair.first, pair.second), first_name
    return draw_map(UnitMap(title, note, [pair], np.arange(np.size(first)), order, sorting), style)


def draw_map(content: UnitMap, style: FigureSettings, frames: Sequence[UnitMap] = ()) -> Figure:
    """Draw a map of units, as large as the maps of all ``frames`` of its animation (none: as it needs itself).

    Raises InputError as :func:`plot_units`.
    """
    page = Page.of(style)
    pairs = [pair.checked(content.numbers) for pair in content.pairs]
    order = np.arange(len(pairs[0].first)) if content.order is None else np.asarray(content.order)
    with page.drawing():
        words = [_words(each, style, numbered=not style.numbers) for each in [content, *frames]]
        plan = arrange(page, len(pairs), words, bar=content.progress is not None)
        figure = page.figure(plan.height)
        write_line(figure, plan.title, content.title, page.large, fontweight="bold")
        write_lines(figure, plan.note, content.note, page.small, color=GREY)
        if content.progress:
            draw_bar(figure, plan.bar[0], *content.progress, page)
        numbered = [_draw_pair(figure, plan, index, pair, order, content, style) for index, pair in enumerate(pairs)]
        said = _words(content, style, numbered=all(numbered)).said
        write_lines(figure, plan.text, plan.between.join(said), page.small, color="0.2")
    return figure


def _words(content: UnitMap, style: FigureSettings, *, numbered: bool) -> Words:
    """Return what a map says, where units have ``numbered`` cells or need none."""
    sentences = explanation(style.layout, content.pairs[0].names, content.sorting)
    return Words(sentences if numbered else (*sentences, TOO_SMALL), content.warning, content.note)


def _draw_pair(
    figure: Figure,
    plan: Arrangement,
    index: int,
    pair: Pair,
    order: NDArray[np.integer[Any]],
    content: UnitMap,
    style: FigureSettings,
) -> bool:
    """Draw the cells and the key of a pair; return whether there was room for numbers, if they are wanted."""
    page, box = Page.of(style), plan.maps[index]
    shades = colours(style.palette, *pair.brightness(style))[order]
    numbers = content.numbers[order] if style.numbers else None
    if content.sorting and style.layout == "sunflower":
        shades, numbers = shades[::-1], None if numbers is None else numbers[::-1]
    taken, room = draw_cells(figure, box, shades, style, numbers)
    if pair.near_zero:
        hatch(figure, taken)
    if plan.headings:
        both = pair.first_name if pair.second_name is None else f"{pair.first_name} and {pair.second_name}"
        write_line(figure, plan.headings[index], both, page.font_size, fontweight="bold")
        write_line(figure, plan.notes[index], pair.note, page.small, color=GREY)
    if content.sorting and style.layout == "rectangle":
        text = f"increasing contribution to {content.sorting} \N{RIGHTWARDS ARROW}"
        write_line(figure, plan.arrows[index], text, page.small, color=GREY, rotation=270)
    draw_key(figure, plan.keys[index], pair.names, style, page)
    return room
