"""How tasks look: the same colour in every figure of a run, and lines that differ in grey too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Dashes = Any
"""A dash pattern as matplotlib takes it: a name, or an offset and lengths of dashes and gaps."""

# Okabe and Ito's palette for colour-blind readers, without its yellow, which is too light for lines. The first three
# differ in grey as well (lightness 58, 46 and 71 of 100), as do the next two (54 and 0).
PALETTE = ("#009E73", "#0072B2", "#E69F00", "#D55E00", "#000000", "#CC79A7", "#56B4E9")

DASHES: tuple[Dashes, ...] = (
    "solid",
    (0, (4, 1.5)),
    (0, (6, 1.3, 1.3, 1.3)),
    (0, (2, 1)),
    (0, (6, 1.3, 1.3, 1.3, 1.3, 1.3)),
)
DOTS: Dashes = (0, (0.9, 1.6))
"""Of lines that stand for chance, which no task has."""

MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class Look:
    """How a line looks: no two of 35 have both the same colour and dashes, nor of 40 the same dashes and marker."""

    colour: str
    dashes: Dashes
    marker: str


def looks_of(names: Sequence[str], *, other_than: int = 0) -> dict[str, Look]:
    """Return the look of each of ``names``, such as tasks, by its place among them; colours begin after so many others.

    >>> looks_of(["object", "word"])["word"].colour
    '#0072B2'
    """
    return {
        name: Look(
            PALETTE[(place + other_than) % len(PALETTE)], DASHES[place % len(DASHES)], MARKERS[place % len(MARKERS)]
        )
        for place, name in enumerate(dict.fromkeys(names))
    }


def colours_of(tasks: Sequence[str]) -> dict[str, str]:
    """Return the colour of each task by its place among ``tasks``, which are all of a run in order of appearance.

    >>> colours_of(["object", "word"])
    {'object': '#009E73', 'word': '#0072B2'}
    """
    return {task: look.colour for task, look in looks_of(tasks).items()}
