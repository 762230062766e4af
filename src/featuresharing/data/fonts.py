"""Whether words can be drawn with a font: their characters, the shaping of their script, and what tells them apart."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

from featuresharing.errors import InputError

LONGEST = 50
"""Characters of the longest word."""

LARGEST = 2000
"""The largest font size in pixels."""

PROBE = 64
"""Font size in pixels at which words are compared."""

JOINERS = "\u200c\u200d"
"""Invisible characters that scripts with shaping need."""

INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of characters that leave nothing to see."""

SIMPLE = (
    (0x0000, 0x058F),  # Latin, Greek, Cyrillic, Armenian
    (0x10A0, 0x10FF),  # Georgian
    (0x1200, 0x16FF),  # Ethiopic, Cherokee, Canadian syllables, Ogham, Runic
    (0x1C80, 0x1CBF),  # more Cyrillic and Georgian
    (0x1D00, 0x1FFF),  # phonetic letters, more Latin and Greek
    (0x2000, 0x2DDF),  # signs, Glagolitic, Coptic, Tifinagh
    (0x2E00, 0xA4FF),  # Chinese, Japanese, Yi
    (0xA640, 0xA7FF),  # more Cyrillic and Latin
    (0xAB30, 0xABBF),  # more Latin and Cherokee
    (0xAC00, 0xD7A3),  # Korean syllables
    (0xE000, 0xFB17),  # private use, more Chinese, ligatures of Latin and Armenian
    (0xFE10, 0xFE6F),  # forms of signs
    (0xFF01, 0xFFFD),  # wide and narrow letters
    (0x1D400, 0x1D7FF),  # mathematical letters
    (0x1F000, 0x1FAFF),  # pictures
    (0x20000, 0x3FFFD),  # more Chinese
)
"""First and last characters of scripts whose letters stand side by side from left to right."""


def needs_shaping(word: str) -> bool:
    """Return whether letters of ``word`` join, stack or run from right to left, so that their order is not enough."""
    return any(
        unicodedata.bidirectional(sign) in ("R", "AL", "AN")
        or unicodedata.category(sign).startswith("M")
        or not any(first <= ord(sign) <= last for first, last in SIMPLE)
        for sign in word
    )


def layout(word: str) -> ImageFont.Layout:
    """Return how ``word`` is laid out: by Raqm if it needs shaping; raises InputError where Pillow lacks Raqm."""
    if not needs_shaping(word):
        return ImageFont.Layout.BASIC
    if not features.check("raqm"):
        raise InputError(
            f"word '{word}' needs shaping, for which this machine's Pillow lacks Raqm or FriBiDi; "
            "accepted are words of scripts without it, or a Pillow with Raqm and FriBiDi."
        )
    return ImageFont.Layout.RAQM


@lru_cache(maxsize=256)
def load_font(path: Path, size: int, how: ImageFont.Layout = ImageFont.Layout.BASIC) -> ImageFont.FreeTypeFont:
    """Return a font of ``size`` pixels; raises InputError for a file that is missing or no font."""
    # Pillow would look for a missing file among the system's fonts
    if not path.is_file():
        raise InputError(f"font {path} does not exist; accepted is one that does.")
    try:
        return ImageFont.truetype(str(path), size, layout_engine=how)
    except (OSError, ValueError):
        raise InputError(f"{path} is no font that can be read; accepted are TrueType and OpenType files.") from None


@lru_cache(maxsize=16)
def _characters(path: Path) -> frozenset[int]:
    """Return the code points that a font has glyphs for."""
    from matplotlib.ft2font import FT2Font

    load_font(path, PROBE)
    try:
        return frozenset(FT2Font(str(path)).get_charmap())
    except (RuntimeError, ValueError):
        raise InputError(f"{path} is no font that can be read; accepted are TrueType and OpenType files.") from None


@lru_cache(maxsize=65536)
def check_word(word: str, font: Path) -> None:
    """Raise InputError, naming the characters, if ``font`` cannot draw ``word`` (in Unicode's composed form, NFC)."""
    if not 0 < len(word) <= LONGEST:
        raise InputError(f"word {word[:LONGEST]!a} has {len(word)} characters; accepted are 1 to {LONGEST}.")
    invisible = [sign for sign in word if unicodedata.category(sign) in INVISIBLE and sign not in JOINERS]
    how = layout(word) if not invisible else ImageFont.Layout.BASIC
    if how == ImageFont.Layout.BASIC:
        invisible += [sign for sign in word if sign in JOINERS]
    if invisible:
        raise InputError(f"word {word!a} holds {_names(invisible)}; accepted are characters that can be seen.")
    if lacking := [sign for sign in word if ord(sign) not in _characters(font) and sign not in JOINERS]:
        raise InputError(
            f"word '{word}': the font {font} lacks {_names(lacking)}; accepted are words whose characters it has."
        )
    parts = [sign for sign in word if not sign.isspace()] if how == ImageFont.Layout.BASIC else [word]
    if blank := [part for part in parts or [word] if not _picture(part, font, how)[0]]:
        found = f"word '{word}': the font {font} draws nothing for {_names(blank[0])}"
        raise InputError(f"{found}; accepted are words whose characters it draws.")


def check_words(words: Sequence[str], font: Path, sizes: tuple[int, int]) -> None:
    """Raise InputError for the first word that ``font`` cannot draw, or two that look the same in it.

    ``sizes`` is the range of font sizes in pixels, which has a limit.
    """
    if not 1 <= sizes[0] <= sizes[1] <= LARGEST:
        raise InputError(
            f"font sizes: found {sizes[0]} to {sizes[1]}; accepted are rising numbers from 1 to {LARGEST}."
        )
    seen: dict[tuple[bytes, tuple[float, float, float, float]], str] = {}
    for word in words:
        composed = unicodedata.normalize("NFC", word)
        check_word(composed, font)
        other = seen.setdefault(_picture(composed, font, layout(composed)), word)
        if other is not word:
            raise InputError(
                f"words '{other}' and '{word}' ({_names(word)}) look the same in the font {font}; "
                "accepted are words that can be told apart."
            )


def _picture(text: str, font: Path, how: ImageFont.Layout) -> tuple[bytes, tuple[float, float, float, float]]:
    """Return the pixels of a text, none if it leaves no ink, and their place."""
    loaded = load_font(font, PROBE, how)
    try:
        left, top, right, bottom = box = loaded.getbbox(text)
        drawn = Image.new("L", (max(1, int(right - left)), max(1, int(bottom - top))))
        ImageDraw.Draw(drawn).text((-left, -top), text, font=loaded, fill=255)
    except (OSError, ValueError) as error:
        raise InputError(f"font {font} cannot draw '{text}' ({error}); accepted are whole fonts.") from None
    return drawn.tobytes() if drawn.getbbox() else b"", box


def _names(signs: Sequence[str]) -> str:
    """Return characters with their numbers in Unicode, once each."""
    named = []
    for sign in dict.fromkeys(signs):
        number = f"U+{ord(sign):04X}"
        named.append(number if unicodedata.category(sign) in INVISIBLE else f"{sign} ({number})")
    return ", ".join(named)
