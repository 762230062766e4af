"""Image files of every mode and format: the right pixels, or one sentence."""

import io
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import EpsImagePlugin, Image

from featuresharing import InputError
from featuresharing.data.decoding import DIRECT, FORMATS, MOST_PIXELS, SIXTEEN_BIT, WITH_ALPHA, open_image, rgb
from featuresharing.data.drawings import DrawingSheet
from featuresharing.data.images import read_image, read_inputs
from featuresharing.data.preprocessing import Preprocessing, imagenet_preprocessing
from featuresharing.data.transforming import resize
from featuresharing.settings.preprocessing_settings import DECODINGS

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=2)
REFUSED = {"F", "I", "LAB", "La"}


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, bits: int, kind: int, rows: bytes, *more: bytes) -> bytes:
    """Return a PNG made by hand, since Pillow writes no 16-bit colours and no transparent grey of 2 bits."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(tags: dict[int, int], data: bytes) -> bytes:
    """Return a TIFF of grey levels made by hand, since Pillow writes none of 12 bits and no odd tiles."""
    tags = dict(sorted(({258: 8, 259: 1, 262: 1, 277: 1} | ({} if 322 in tags else {273: 0}) | tags).items()))
    start = 8 + 2 + 12 * len(tags) + 4
    tags |= {tag: start for tag in (273, 324) if tag in tags}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_image(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


def test_every_mode_of_pillow_has_a_rule() -> None:
    accepted = {*DIRECT, *WITH_ALPHA, *SIXTEEN_BIT}
    assert accepted | REFUSED >= set(Image.MODES)
    assert not accepted & REFUSED
    for mode in REFUSED:
        with pytest.raises(InputError, match=f"found pixels of mode {mode}; accepted are grey of 8 or 16 bits"):
            rgb(Path("x"), Image.new(mode, (2, 2)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LA", "PA", "RGBA", "RGBa"])
def test_modes_of_eight_bits_have_the_colours_that_they_stand_for(mode: str) -> None:
    # colours that every mode can hold: white, black, and red where it is not grey
    colours = [(255, 255, 255), (0, 0, 0)] + [(254, 0, 0)] * (mode not in ("1", "L", "LA"))
    source = Image.fromarray(np.array([colours], np.uint8))
    if mode in ("PA", "RGBa"):
        source = source.convert("RGBA")
    found = np.asarray(rgb(Path("x"), source.convert(mode)))
    assert np.abs(found[0].astype(int) - colours).max() <= 1


@pytest.mark.parametrize("name", ["little.tif", "big.tif", "a.png", "a.pgm", "a.jp2"])
def test_sixteen_bit_grey_becomes_256_levels(tmp_path: Path, name: str) -> None:
    levels = RAMP.astype(np.uint16) * 257
    image = Image.fromarray(levels)
    if name == "big.tif":
        image = Image.frombytes("I;16B", (16, 16), levels.astype(">u2").tobytes())
    if name == "a.pgm":
        (tmp_path / name).write_bytes(b"P5 16 16 65535\n" + levels.astype(">u2").tobytes())
    else:
        image.save(tmp_path / name)
    with Image.open(tmp_path / name) as opened:
        assert opened.mode in ("I;16", "I;16B", "I")
    assert np.array_equal(read_image(tmp_path / name), np.stack([RAMP] * 3, axis=2))


def test_sixteen_bit_grey_is_rounded(tmp_path: Path) -> None:
    levels = np.array([[0, 128, 129, 257 * 100 + 128, 257 * 100 + 129, 65535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0, :, 0].tolist() == [0, 0, 1, 100, 101, 255]


def test_tiff_files_whose_levels_have_no_certain_meaning_are_refused(tmp_path: Path) -> None:
    for mode in ("int32", "float32"):
        Image.fromarray(RAMP.astype(mode)).save(tmp_path / f"{mode}.tif")
        assert f"found pixels of mode {'F' if mode == 'float32' else 'I'}" in refused(tmp_path / f"{mode}.tif")
    (tmp_path / "a.pfm").write_bytes(b"Pf\n16 16\n-1.0\n" + RAMP.astype("<f4").tobytes())
    assert "cannot be decoded: found " in refused(tmp_path / "a.pfm")  # which older versions of Pillow do not know
    Image.fromarray(RAMP.astype(np.uint16)).save(tmp_path / "negative.tif")
    content = (tmp_path / "negative.tif").read_bytes()
    black_is_zero = struct.pack("<HHII", 262, 3, 1, 1)
    assert black_is_zero in content
    (tmp_path / "negative.tif").write_bytes(content.replace(black_is_zero, struct.pack("<HHII", 262, 3, 1, 0)))
    assert "found 16-bit grey with 0 as white" in refused(tmp_path / "negative.tif")


def test_tiff_of_twelve_bits_spans_its_own_range(tmp_path: Path) -> None:
    packed = np.array([0, 4095, 2048, 16], np.uint16)
    data = bytearray()
    for first, second in packed.reshape(-1, 2):
        data += bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    tags = {256: 4, 257: 1, 258: 12, 278: 1, 279: len(data), 339: 1}
    (tmp_path / "a.tif").write_bytes(tiff(tags, bytes(data)))
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 255, 128, 1]


def test_sixteen_bit_colours_keep_their_eight_high_bits(tmp_path: Path) -> None:
    colours = np.array([[0x1234, 0xFF00, 0x00FF], [0, 0x8080, 0xFFFF]], ">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in colours)
    (tmp_path / "a.png").write_bytes(png(1, 2, 16, 2, rows))
    assert read_image(tmp_path / "a.png").reshape(2, 3).tolist() == [[0x12, 0xFF, 0], [0, 0x80, 0xFF]]


def over_white(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.float64]:
    share = alpha[..., None] / 255
    return pixels * share + 255 * (1 - share)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp", "a.jp2"])
def test_what_is_transparent_shows_white(tmp_path: Path, name: str) -> None:
    pixels = COLOURS
    alpha = np.zeros((16, 16), np.uint8)
    alpha[4:8], alpha[8:12], alpha[12:] = 255, 128, 64
    image = Image.fromarray(np.concatenate([pixels, alpha[..., None]], axis=2))
    options: dict[str, Any] = {"lossless": True, "exact": True} if name == "a.webp" else {}
    image.save(tmp_path / name, **options)
    found = read_image(tmp_path / name)
    assert (found[:4] == 255).all()
    assert np.array_equal(found[4:8], pixels[4:8])
    assert np.abs(found - over_white(pixels, alpha)).max() <= 1


def test_opaque_alpha_changes_no_bit(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).convert("RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), COLOURS)


def test_grey_with_alpha_shows_white(tmp_path: Path) -> None:
    alpha = np.tile(np.array([0, 255], np.uint8), (16, 8))
    Image.merge("LA", [Image.fromarray(RAMP), Image.fromarray(alpha)]).save(tmp_path / "a.png")
    found = read_image(tmp_path / "a.png")
    assert (found[:, ::2] == 255).all()
    assert np.array_equal(found[:, 1::2, 1], RAMP[:, 1::2])


@pytest.mark.parametrize(("name", "transparency"), [("a.gif", 2), ("a.png", 2), ("a.png", b"\xff\x80\x00\xff")])
def test_transparent_colours_of_a_palette_show_white(tmp_path: Path, name: str, transparency: int | bytes) -> None:
    image = Image.new("P", (4, 1))
    image.putdata([0, 1, 2, 3])
    image.putpalette([0, 0, 0, 100, 0, 0, 0, 100, 0, 0, 0, 100])
    image.save(tmp_path / name, transparency=transparency)
    second = [100, 0, 0] if isinstance(transparency, int) else [177, 127, 127]
    found = read_image(tmp_path / name)[0].astype(int)
    assert np.abs(found - [[0, 0, 0], second, [255, 255, 255], [0, 0, 100]]).max() <= 1


def test_one_transparent_level_shows_white(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "grey.png", transparency=7)
    found = read_image(tmp_path / "grey.png")[..., 0]
    assert found[0, 7] == 255
    assert np.array_equal(np.delete(found, 7), np.delete(RAMP, 7))
    Image.fromarray(COLOURS).save(tmp_path / "colour.png", transparency=tuple(int(v) for v in COLOURS[3, 5]))
    wanted = COLOURS.copy()
    wanted[3, 5] = 255
    assert np.array_equal(read_image(tmp_path / "colour.png"), wanted)
    bits = Image.new("1", (2, 1))
    bits.putdata([0, 255])
    bits.save(tmp_path / "bits.png", transparency=0)
    assert read_image(tmp_path / "bits.png").min() == 255
    # two bits: levels 0, 1, 2, 3 in one byte; level 1 is transparent, which Pillow would seek among 0, 85, 170, 255
    for bit, packed, wanted_levels in ((2, b"\x1b", [0, 255, 170, 255]), (4, b"\x01\x2f", [0, 255, 34, 255])):
        (tmp_path / "few.png").write_bytes(png(4, 1, bit, 0, b"\0" + packed, chunk(b"tRNS", b"\0\1")))
        assert read_image(tmp_path / "few.png")[0, :, 0].tolist() == wanted_levels


def test_transparency_that_cannot_be_honoured_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1, 1, 16, 0, b"\0\1\2", chunk(b"tRNS", b"\1\2")))
    assert "found a transparent colour of 16 bits" in refused(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png(1, 1, 16, 2, b"\0" * 7, chunk(b"tRNS", b"\0" * 6)))
    assert "found a transparent colour of 16 bits" in refused(tmp_path / "a.png")
    Image.new("RGBA", (3, 3)).save(tmp_path / "a.png")
    assert "found pixels that are all transparent" in refused(tmp_path / "a.png")


def test_the_first_frame_counts_as_it_lies_in_the_file(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (6, 4), (200, 0, 0)), Image.new("RGB", (6, 4), (0, 0, 200))
    for name in ("a.gif", "a.png", "a.tif", "a.webp"):
        options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
        first.save(tmp_path / name, save_all=True, append_images=[second], **options)
        with open_image(tmp_path / name) as image:
            image.seek(1)  # there is a second frame
        assert (read_image(tmp_path / name) == [200, 0, 0]).all()
    turned = Image.Exif()
    turned[274] = 6  # a camera held upright
    first.save(tmp_path / "a.jpg", exif=turned, quality=100)
    assert read_image(tmp_path / "a.jpg").shape == (4, 6, 3)
    first.save(tmp_path / "profile.png", icc_profile=b"no profile")
    assert (read_image(tmp_path / "profile.png") == [200, 0, 0]).all()


@pytest.mark.parametrize("kind", ["EPS", "TGA", "PCX", "SGI", "ICO", "DDS", "ICNS", "PDF"])
def test_formats_that_are_not_accepted_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    Image.fromarray(COLOURS).resize((32, 32)).save(tmp_path / "a.png", kind)
    said = refused(tmp_path / "a.png")
    # the first bytes of TGA say nothing for certain
    found = "no known format" if kind == "PDF" else "what looks like " + kind.replace("TGA", "CUR")
    assert f"cannot be decoded: found {found}; accepted are whole files of PNG, JPEG, BMP" in said
    with pytest.raises(InputError, match="accepted are whole files of"):
        DrawingSheet(tmp_path / "a.png")


@pytest.mark.parametrize("kind", FORMATS)
def test_every_accepted_format_is_read_or_refused_when_cut(tmp_path: Path, kind: str) -> None:
    content = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(content, kind)
    data = content.getvalue()
    (tmp_path / "whole").write_bytes(data)
    whole = read_image(tmp_path / "whole")
    for share in np.linspace(0, 0.95, 12):
        (tmp_path / "cut").write_bytes(data[: int(share * len(data))])
        assert "cannot be decoded" in refused(tmp_path / "cut")
    (tmp_path / "longer").write_bytes(data + b"more")
    assert np.array_equal(read_image(tmp_path / "longer"), whole)


def test_strips_of_a_part_of_an_image_are_refused(tmp_path: Path) -> None:
    levels = bytes(range(64))
    (tmp_path / "a.tif").write_bytes(tiff({256: 8, 257: 8, 278: 8, 279: 64}, levels))
    assert read_image(tmp_path / "a.tif")[..., 0].tobytes() == levels
    (tmp_path / "a.tif").write_bytes(tiff({256: 8, 257: 9, 278: 8, 279: 64}, levels))
    assert "found pixels of a part of the image alone" in refused(tmp_path / "a.tif")


def test_files_that_hold_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    assert "found a file of 0 bytes" in refused(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    assert "cannot be decoded" in refused(tmp_path / "a.png")
    (tmp_path / "a.ppm").write_bytes(b"P6 0 0 255\n" + bytes(20))
    assert "found a damaged PPM file" in refused(tmp_path / "a.ppm")
    assert "Is a directory" in refused(tmp_path)


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), (10, 20, 30)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30]]]
    assert np.ptp(read_inputs([tmp_path / "a.png"], imagenet_preprocessing(8)), axis=(2, 3)).max() == 0


def test_small_files_of_huge_images_take_no_memory(tmp_path: Path) -> None:
    side = 13000
    rows = (b"\0" * (side // 8 + 1)) * side
    (tmp_path / "a.png").write_bytes(png(side, side, 1, 0, rows))
    assert (tmp_path / "a.png").stat().st_size < 25_000
    (tmp_path / "b.ppm").write_bytes(b"P6 60000 60000 255\n")
    (tmp_path / "c.gif").write_bytes(b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;")
    # a picture of 4 x 4 pixels in one tile of a gigabyte
    (tmp_path / "d.tif").write_bytes(
        tiff({256: 4, 257: 4, 322: 32768, 323: 32768, 259: 5, 324: 8, 325: 100}, bytes(100))
    )
    (tmp_path / "e.ppm").write_bytes(b"P1 8000 8000\n" + b"# comment\n" * 50_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert f"found 13000 x 13000 pixels; accepted are at most {MOST_PIXELS} pixels" in refused(tmp_path / "a.png")
    assert "found tiles of 32768 x 32768 pixels; accepted are at most" in refused(tmp_path / "d.tif")
    assert "found pixels written as text (P1, P2 or P3)" in refused(tmp_path / "e.ppm")
    for name in ("b.ppm", "c.gif"):
        assert f"accepted are at most {MOST_PIXELS} pixels" in refused(tmp_path / name)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 50e6


def test_resizing_is_the_same_for_bytes_and_floats() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    assert np.array_equal(resize(pixels, 24), resize(pixels.astype(np.float32), 24))


PILLOWS = {
    "transparent.png": [(53, 197, 83), (53, 197, 83)],  # colours show through what is transparent
    "level.png": [(53, 53, 53), (53, 53, 53)],
    "palette.png": [(53, 197, 83), (53, 197, 83)],
    "sixteen.png": [(53, 53, 53), (255, 255, 255)],  # levels above 255 are white
    "sixteen.tif": [(53, 53, 53), (255, 255, 255)],
    "integers.tif": [(53, 53, 53), (255, 255, 255)],
    "floating.tif": [(53, 53, 53), (255, 255, 255)],
    "fractions.tif": [(0, 0, 0), (0, 0, 0)],
    "turned.jpg": [(53, 53, 53), (53, 53, 53)],
}
"""By file, the colours that ``Image.open(path).convert("RGB")`` has at its left and its right end."""


def write_as_pillow(folder: Path) -> None:
    """Write files of two pixels, or of two halves, whose colours Pillow and this project differ on."""
    colours = np.array([[(53, 197, 83)] * 2], np.uint8)
    Image.fromarray(np.concatenate([colours, [[[0], [255]]]], axis=2).astype(np.uint8)).save(folder / "transparent.png")
    Image.fromarray(np.array([[53, 53]], np.uint8)).save(folder / "level.png", transparency=53)
    palette = Image.fromarray(np.zeros((1, 2), np.uint8))
    palette.putpalette([53, 197, 83])
    palette.save(folder / "palette.png", transparency=0)
    levels = np.array([[53, 300]])
    Image.fromarray(levels.astype(np.uint16)).save(folder / "sixteen.png")
    Image.fromarray(levels.astype(np.uint16)).save(folder / "sixteen.tif")
    Image.fromarray(levels.astype(np.int32)).save(folder / "integers.tif")
    Image.fromarray(levels.astype(np.float32)).save(folder / "floating.tif")
    Image.fromarray(np.array([[0.25, 0.9]], np.float32)).save(folder / "fractions.tif")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((8, 16), 53, np.uint8)).save(folder / "turned.jpg", exif=exif)


@pytest.mark.parametrize("name", PILLOWS)
def test_decoding_as_pillow_is_that_of_torchvisions_loader(tmp_path: Path, name: str) -> None:
    write_as_pillow(tmp_path)
    found = read_image(tmp_path / name, decoding="pillow")
    assert [tuple(found[0, 0]), tuple(found[0, -1])] == PILLOWS[name]
    assert found.shape[:2] == ((8, 16) if name == "turned.jpg" else (1, 2))
    with Image.open(tmp_path / name) as image:  # as torchvision.datasets.folder.pil_loader
        assert np.array_equal(found, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_both_decodings_agree_on_modes_without_transparency_of_eight_bits(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    Image.fromarray(COLOURS).convert(mode).save(path)
    with Image.open(path) as image:
        assert image.mode == mode
    assert np.array_equal(read_image(path, decoding="pillow"), read_image(path))


def test_preprocessing_says_how_files_are_decoded(tmp_path: Path) -> None:
    write_as_pillow(tmp_path)
    path = tmp_path / "transparent.png"
    looks = [Preprocessing((1, 2), (0,) * 3, (1,) * 3, resize=False, decoding=each) for each in DECODINGS]
    ours, pillows = (read_inputs([path], look)[0].transpose(1, 2, 0)[0].tolist() for look in looks)
    assert (ours, pillows) == ([[255, 255, 255], [53, 197, 83]], [[53, 197, 83]] * 2)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(tmp_path / "text.png", decoding="pillow")
