"""Words and fonts: what cannot be drawn as it is written is refused, and what was drawn before stays as it was."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont, features

from featuresharing import InputError
from featuresharing.cli import main
from featuresharing.data import fonts
from featuresharing.data.fonts import check_word, check_words, needs_shaping
from featuresharing.data.words import WordStyle, overlay_word, read_words
from tests.support.commands import FONT

HEBREW, ARABIC = "\u05e9\u05dc\u05d5\u05dd", "\u0633\u0644\u0627\u0645"


def drawn(word: str) -> Image.Image:
    """Return the ink of a word in white, 20 pixels high."""
    image = overlay_word(
        Image.new("RGB", (300, 60)), word, WordStyle(FONT, (20, 20), (255, 255)), np.random.default_rng(1)
    )
    return image.crop(image.getbbox())


def side_by_side(word: str) -> Image.Image:
    """Return the ink of characters one after the other, from left to right."""
    font = ImageFont.truetype(str(FONT), 20, layout_engine=ImageFont.Layout.BASIC)
    image = Image.new("RGB", (300, 60))
    ImageDraw.Draw(image).text((10, 10), word, font=font, fill=(255, 255, 255))
    return image.crop(image.getbbox())


@pytest.mark.parametrize(
    "word", ["sun", "Wörter", "naïve", "Ελλάδα", "слово", "AVATAR ½ µ ª", "3.14", "Hayastan Հ", "→ ☃"]
)
def test_words_without_shaping_are_drawn_side_by_side(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda _: False)
    assert not needs_shaping(word)
    assert drawn(word) == side_by_side(word)


def test_scripts_without_shaping() -> None:
    assert not any(needs_shaping(chr(code)) for code in range(0x590) if unicodedata.category(chr(code))[0] != "M")
    for word in ("漢字", "ひらがな", "カタカナ", "한국어", "ქართული", "አማርኛ"):
        assert not needs_shaping(word)
    for word in (HEBREW, ARABIC, "हिन्दी", "ไทย", "বাংলা", "தமிழ்", "မြန်မာ", "ខ្មែរ", "ދިވެހި", "a\u0301\u0323", "\u0661"):
        assert needs_shaping(word)


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow has no Raqm here")
def test_words_that_run_from_right_to_left_or_join_are_shaped() -> None:
    assert drawn(HEBREW) == side_by_side(HEBREW[::-1])
    # seen at the start, lam-alef at the end, a meem of its own
    joined, found = side_by_side("\ufee1\ufefc\ufeb3"), drawn(ARABIC)
    assert np.abs(np.subtract(joined.size, found.size)).max() <= 1
    assert side_by_side(ARABIC).width > 1.2 * found.width
    check_words([HEBREW, ARABIC, "sun"], FONT, (9, 12))


def test_without_raqm_words_that_need_it_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda _: False)
    check_word.cache_clear()
    for word in (HEBREW, ARABIC, "x\u0323"):
        with pytest.raises(InputError, match=f"word '{word}' needs shaping, for which this .* lacks Raqm"):
            drawn(word)
    check_word.cache_clear()


def test_composed_and_decomposed_letters_are_the_same(tmp_path: Path) -> None:
    assert drawn("cafe\u0301") == drawn("caf\u00e9")
    (tmp_path / "words.txt").write_text("cafe\u0301\nmap\n")
    assert read_words(tmp_path / "words.txt") == ["caf\u00e9", "map"]
    (tmp_path / "words.txt").write_text("cafe\u0301\ncaf\u00e9\n")
    with pytest.raises(InputError, match=r"line 2: word 'café' stands there twice"):
        read_words(tmp_path / "words.txt")
    (tmp_path / "words.txt").write_text('"sun"\n"map"\n')
    with pytest.raises(InputError, match=r'words\.txt, line 1: found "sun" in quotes; accepted are words without'):
        read_words(tmp_path / "words.txt")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        (
            "你好",
            r"the font .*Bold\.ttf lacks 你 \(U\+4F60\), 好 \(U\+597D\); accepted are words whose",
        ),
        ("sun你", r"lacks 你 \(U\+4F60\)"),
        ("\U0001f3fb", r"lacks .* \(U\+1F3FB\)"),
        ("हिन्दी", r"(lacks|needs shaping)"),
        ("a\u200bb", r"word 'a\\u200bb' holds U\+200B; accepted are characters that can be seen"),
        ("a\u200db", r"holds U\+200D"),
        ("a\u202eb", r"holds U\+202E"),
        ("a\tb", r"holds U\+0009"),
        ("a\nb", r"holds U\+000A"),
        ("a\x1b[2J", r"holds U\+001B"),
        ("\ud800", r"holds U\+D800"),
        ("soft\u00adhyphen", r"holds U\+00AD"),
        ("\ufeffmark", r"holds U\+FEFF"),
        ("a\u2800", r"draws nothing for ⠀ \(U\+2800\)"),
        (" ", "draws nothing for"),
        ("", r"has 0 characters; accepted are 1 to 50"),
        ("x" * 51, r"has 51 characters; accepted are 1 to 50"),
    ],
)
def test_words_that_cannot_be_drawn_name_their_characters(word: str, found: str) -> None:
    with pytest.raises(InputError, match=found) as error:
        drawn(word)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    with pytest.raises(InputError, match=found):
        check_words(["sun", word], FONT, (9, 12))


def test_words_that_look_the_same_are_refused() -> None:
    # Cyrillic, as on many lists by mistake
    with pytest.raises(InputError, match=r"words 'BAT' and '.*' \(. \(U\+0412\), . \(U\+0410\), . \(U\+0422\)\) look"):
        check_words(["sun", "BAT", "\u0412\u0410\u0422"], FONT, (9, 12))
    check_words(["Ill", "lll", "-", "_", "'", ","], FONT, (9, 12))
    with pytest.raises(InputError, match="font sizes: found 9 to 5000; accepted are rising numbers from 1 to 2000"):
        check_words(["sun"], FONT, (9, 5000))


def test_fonts_without_letters_are_refused(tmp_path: Path) -> None:
    symbols = Path(get_data_path()) / "fonts/ttf/STIXSizFourSymReg.ttf"
    with pytest.raises(InputError, match=r"FourSymReg\.ttf lacks s \(U\+0073\), u"):
        check_words(["sun"], symbols, (9, 12))
    if (boxes := Path(get_data_path()) / "fonts/ttf/LastResortHE-Regular.ttf").exists():
        with pytest.raises(InputError, match=r"words '你好' and '再见' .* look the same in the font"):
            check_words(["你好", "再见"], boxes, (9, 12))
    with pytest.raises(InputError, match=r"nowhere\.ttf does not exist"):
        check_words(["sun"], tmp_path / "nowhere.ttf", (9, 12))
    (tmp_path / "font.ttf").write_bytes(FONT.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"font\.ttf is no font that can be read"):
        check_words(["sun"], tmp_path / "font.ttf", (9, 12))


def test_a_list_is_checked_before_work_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "data" / name / "a.png")
    words = tmp_path / "words.txt"
    options = {"folder": tmp_path / "data", "words": words, "font": FONT, "output-folder": tmp_path / "out"}
    command = ["overlay-words", *(str(word) for name, value in options.items() for word in (f"--{name}", value))]
    words.write_text("sun\nmap\n你好\n再见\n")
    assert main(command) == 2
    assert "lacks 你 (U+4F60), 好 (U+597D)" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "words.txt"]
    words.write_bytes(b"\xef\xbb\xbfsun\r\nmap\r\n")
    assert main(command) == 0
    found = {line.split(",")[3] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]}
    assert found <= {"sun", "map"}


def test_the_words_of_the_demo_can_be_drawn() -> None:
    words = read_words(FONT.parents[1] / "words.txt")
    check_words(words, FONT, (13, 15))
    assert not any(map(needs_shaping, words))
    assert fonts.layout(words[0]) == ImageFont.Layout.BASIC
