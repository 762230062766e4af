"""Letters of figures: how wide a text is, and how it is made to fit, by smaller letters, more lines or an ellipsis."""

from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from featuresharing.figures.style import SMALLEST

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"

FONT = "DejaVu Sans"
"""The font of all figures, which comes with matplotlib; named here, since looking settings up takes long."""

MEASURED = 100.0
"""Points of the letters that are measured: widths of other sizes are in proportion."""

HINTING = 1.04
"""How much wider small letters may be than in proportion, whose edges are put on pixels."""


def width_of(text: str, points: float, *, bold: bool = False) -> float:
    """Return the width in inches of the widest line of a text in letters of so many points."""
    return HINTING * max(_width(line, bold) for line in text.split("\n")) * points / MEASURED


@lru_cache(maxsize=4096)
def _width(line: str, bold: bool) -> float:
    font = FontProperties(family=FONT, weight="bold" if bold else "normal", size=MEASURED)
    width, _, _ = text_to_path.get_text_width_height_descent(line, font, ismath=False)
    return float(width) / 72


def fit(text: str, points: float, inches: float, *, bold: bool = False) -> float:
    """Return the size, from SMALLEST to ``points``, in which a text is at most so many inches wide, if there is one."""
    wide = width_of(text, points, bold=bold)
    return points if wide <= inches else max(SMALLEST, points * inches / wide)


def shorten(text: str, points: float, inches: float, *, bold: bool = False) -> str:
    """Return a text of one line as it is where it fits, else its beginning and end with an ellipsis between them."""
    if width_of(text, points, bold=bold) <= inches:
        return text
    for kept in range(len(text) - 1, 0, -1):
        head = (kept + 1) // 2
        shorter = text[:head].rstrip() + ELLIPSIS + text[len(text) - (kept - head) :].lstrip()
        if width_of(shorter, points, bold=bold) <= inches:
            return shorter
    return ELLIPSIS


def wrap(text: str, points: float, inches: float, *, most: int | None = None, bold: bool = False) -> str:
    """Return a text in lines of at most so many inches, broken between words; words that are too long are shortened.

    Of more than ``most`` lines, those beyond are left out, and an ellipsis ends the last.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and width_of(longer, points, bold=bold) > inches:
                lines.append(line)
                longer = word
            line = shorten(longer, points, inches, bold=bold) if longer == word else longer
        lines.append(line)
    if most is not None and len(lines) > most:
        last = lines[most - 1]
        while last and width_of(last + ELLIPSIS, points, bold=bold) > inches:
            last = last[:-1].rstrip()
        lines[most - 1 :] = [last + ELLIPSIS]
    return "\n".join(lines)
