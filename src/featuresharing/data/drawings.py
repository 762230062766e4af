"""The embedded drawings: one sheet of equally large cells and a table that says what each cell shows."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from featuresharing.data.columns import DRAWINGS
from featuresharing.data.decoding import open_image
from featuresharing.data.table_files import read_table
from featuresharing.errors import InputError
from featuresharing.randomness import keyed_generator

CELL = 64
"""Height and width of a cell of the sheet, in pixels."""

# Two renderings of the same outline: a split that parts them would test on what was trained on.
SAME_OUTLINE = {"fluent3d": "fluent", "fluentflat": "fluent"}


@dataclass(frozen=True)
class Drawing:
    """One drawing: its place on the sheet, its two class names and the icon set it is from."""

    index: int
    row: int
    column: int
    basic: str
    subordinate: str
    set: str

    @property
    def outline(self) -> str:
        """The designer's outline; drawings of one class and outline stay on the same side of a split."""
        return SAME_OUTLINE.get(self.set, self.set)


def read_drawings(table: Path) -> list[Drawing]:
    """Read a table of :data:`.columns.DRAWINGS`; raises InputError if it cannot be used."""
    return [Drawing(*row) for row in read_table(table, DRAWINGS).itertuples(index=False, name=None)]


def choose_classes(drawings: Sequence[Drawing], basic_classes: Sequence[str]) -> list[Drawing]:
    """Keep the drawings of the named basic classes (none named: all); raises InputError for an unknown name."""
    known = sorted({drawing.basic for drawing in drawings})
    for name in basic_classes:
        if name not in known:
            raise InputError(f"basic class '{name}' has no drawings; accepted are {', '.join(known)}.")
    wanted = set(basic_classes or known)
    return [drawing for drawing in drawings if drawing.basic in wanted]


def split_drawings(
    drawings: Sequence[Drawing], *, test_outlines: int, seed: int
) -> tuple[list[Drawing], list[Drawing]]:
    """Hold out ``test_outlines`` designers of every subordinate class; return (train, test) drawings.

    The choice of a class depends on (seed, class) alone: adding classes changes no other split.
    """
    by_class: dict[str, set[str]] = defaultdict(set)
    for drawing in drawings:
        by_class[drawing.subordinate].add(drawing.outline)
    held_out = set()
    for name, outlines in by_class.items():
        if test_outlines >= len(outlines):
            raise InputError(
                f"subordinate class '{name}' has {len(outlines)} designers, {test_outlines} were to be held out; "
                f"accepted are 1 to {len(outlines) - 1}."
            )
        chosen = keyed_generator(seed, "split", name).choice(sorted(outlines), size=test_outlines, replace=False)
        held_out |= {(name, str(outline)) for outline in chosen}
    train = [d for d in drawings if (d.subordinate, d.outline) not in held_out]
    test = [d for d in drawings if (d.subordinate, d.outline) in held_out]
    return train, test


class DrawingSheet:
    """The sheet as an image; ``sheet[drawing]`` is that drawing as an RGBA image of CELL x CELL pixels."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_image(path) as image:
            self._image = image.convert("RGBA")

    def __getitem__(self, drawing: Drawing) -> Image.Image:
        left, top = drawing.column * CELL, drawing.row * CELL
        if left + CELL > self._image.width or top + CELL > self._image.height:
            raise InputError(
                f"sheet of drawings {self._path} has no cell in row {drawing.row}, column {drawing.column}; "
                f"accepted are {self._image.height // CELL} rows and {self._image.width // CELL} columns."
            )
        return self._image.crop((left, top, left + CELL, top + CELL))
