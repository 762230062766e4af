"""Words drawn over images: the paper's second, unrelated task (the ``apply_random_label`` step of its data set)."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from featuresharing.errors import InputError


@dataclass(frozen=True)
class WordStyle:
    """How words look: a font file, the range of font sizes in pixels and the range of each colour channel (0 to 255).

    ``outline`` is the width in pixels of a dark rim that keeps the word readable on any background.
    """

    font: Path
    font_sizes: tuple[int, int]
    colours: tuple[int, int]
    outline: int = 0


def read_words(path: Path) -> list[str]:
    """Read one word a line; raises InputError for fewer than two words or a repeated one, naming its line."""
    if not path.is_file():
        raise InputError(f"list of words {path} does not exist.")
    words: list[str] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        word = line.strip()
        if not word:
            continue
        if word in words:
            raise InputError(f"{path}, line {number}: word '{word}' stands there twice; accepted are distinct words.")
        words.append(word)
    if len(words) < 2:
        raise InputError(f"{path}: found {len(words)} words; accepted are at least two, one a line.")
    return words


def overlay_word(image: Image.Image, word: str, style: WordStyle, rng: np.random.Generator) -> Image.Image:
    """Draw ``word`` over a copy of ``image`` with random size, colour and position, shrunk until it fits.

    Raises InputError if the word does not fit even at 1 pixel.
    """
    size = int(rng.integers(style.font_sizes[0], style.font_sizes[1] + 1))
    colour = tuple(int(c) for c in rng.integers(style.colours[0], style.colours[1] + 1, size=3))
    across, down = rng.random(2)
    font = _font(style.font, size)
    left, top, right, bottom = font.getbbox(word, stroke_width=style.outline)
    while right - left > image.width or bottom - top > image.height:
        size -= 1
        if size < 1:
            raise InputError(f"word '{word}' does not fit into an image of {image.width} x {image.height} pixels.")
        font = _font(style.font, size)
        left, top, right, bottom = font.getbbox(word, stroke_width=style.outline)
    x = round(across * (image.width - (right - left))) - left
    y = round(down * (image.height - (bottom - top))) - top
    drawn = image.copy()
    ImageDraw.Draw(drawn).text(
        (x, y), word, font=font, fill=colour, stroke_width=style.outline, stroke_fill=(20, 20, 20)
    )
    return drawn


@lru_cache(maxsize=256)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    # Pillow would look for a missing file among the system's fonts
    if not path.is_file():
        raise InputError(f"font {path} does not exist.")
    try:
        return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        raise InputError(f"{path} is no font that can be read; accepted are TrueType and OpenType files.") from None
