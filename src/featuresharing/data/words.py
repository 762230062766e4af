"""Words drawn over images: the paper's second, unrelated task (the ``apply_random_label`` step of its data set)."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from featuresharing.data.fonts import check_word, layout, load_font
from featuresharing.data.texts import read_lines
from featuresharing.errors import InputError
from featuresharing.settings import FolderSettings


@dataclass(frozen=True)
class WordStyle:
    """How words look: a font file, the range of font sizes in pixels and the range of each colour channel (0 to 255).

    ``outline`` is the width in pixels of a dark rim that keeps the word readable on any background.
    """

    font: Path
    font_sizes: tuple[int, int]
    colours: tuple[int, int]
    outline: int = FolderSettings.outline


def read_words(path: Path) -> list[str]:
    """Read one word a line, in Unicode's composed form (NFC).

    Raises InputError for fewer than two words, or, naming its line, for a repeated one or one in quotes.
    """
    words: dict[str, None] = {}  # keeps their order, and finds them at once
    for number, line in read_lines(path, "list of words"):
        word = unicodedata.normalize("NFC", line)
        if word in words:
            raise InputError(f"{path}, line {number}: word '{word}' stands there twice; accepted are distinct words.")
        if len(word) > 1 and word[0] == word[-1] == '"':
            raise InputError(f"{path}, line {number}: found {word} in quotes; accepted are words without them.")
        words[word] = None
    if len(words) < 2:
        raise InputError(f"{path}: found {len(words)} words; accepted are at least two, one a line.")
    return list(words)


def overlay_word(image: Image.Image, word: str, style: WordStyle, rng: np.random.Generator) -> Image.Image:
    """Draw ``word`` over a copy of ``image`` with random size, colour and position, shrunk until it fits.

    Raises InputError if the word does not fit even at 1 pixel, if the font lacks one of its characters, or if its
    script needs shaping that Pillow lacks here.
    """
    word = unicodedata.normalize("NFC", word)
    check_word(word, style.font)
    how = layout(word)
    size = int(rng.integers(style.font_sizes[0], style.font_sizes[1] + 1))
    colour = tuple(int(c) for c in rng.integers(style.colours[0], style.colours[1] + 1, size=3))
    across, down = rng.random(2)
    font = load_font(style.font, size, how)
    left, top, right, bottom = font.getbbox(word, stroke_width=style.outline)
    while right - left > image.width or bottom - top > image.height:
        size -= 1
        if size < 1:
            found = f"word '{word}' does not fit into an image of {image.width} x {image.height} pixels"
            raise InputError(f"{found}; accepted are shorter words, or larger images.")
        font = load_font(style.font, size, how)
        left, top, right, bottom = font.getbbox(word, stroke_width=style.outline)
    x = round(across * (image.width - (right - left))) - left
    y = round(down * (image.height - (bottom - top))) - top
    drawn = image.copy()
    ImageDraw.Draw(drawn).text(
        (x, y), word, font=font, fill=colour, stroke_width=style.outline, stroke_fill=(20, 20, 20)
    )
    return drawn
