"""The one way in which image files are opened, and how pixels of every kind become red, green and blue of 8 bits."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from featuresharing.errors import InputError
from featuresharing.files.records import checked_bytes

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "JPEG2000", "TIFF", "WEBP")
"""Pillow's names of the formats that are opened. Others may start programs, such as Ghostscript for EPS.

They are tried in this order: once one of the last is, Pillow loads what it has for all of its seventy formats.
"""

MOST_PIXELS = 2**26
"""Pixels of the largest image: a few kilobytes may stand for gigabytes."""

DIRECT = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")
"""Modes that Pillow brings to RGB as the file means them."""

WITH_ALPHA = ("LA", "PA", "RGBA", "RGBa")

SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")

BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO, TILE_WIDTH, TILE_HEIGHT = 258, 262, 0, 322, 323
"""Tags of TIFF files."""

GREY_STEPS = {"1": 255, "L;2": 85, "L;4": 17}
"""By kind of PNG: what one grey level becomes. Pillow spreads pixels, but not the level that is transparent."""


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file of one of FORMATS, whose pixels are read when the block asks for them.

    Raises InputError for a file that is missing, of another format, larger than MOST_PIXELS, or damaged, also where the
    block comes upon the damage, and ChangedError for one that is not what its record says.
    """
    try:
        # Pillow warns of metadata and of sizes that are refused here: pixels come whole or not at all
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = checked_bytes(path)
            with Image.open(path if content is None else BytesIO(content), formats=FORMATS) as image:
                _check_bounds(path, image)
                yield image
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"image {path} does not exist; accepted is one that does.") from None
    except UnidentifiedImageError:
        found = _found_format(path)
        raise InputError(f"image {path} cannot be decoded: found {found}; accepted are {_accepted()}.") from None
    except Image.DecompressionBombError as error:
        raise InputError(
            f"image {path} cannot be decoded ({error}); accepted are at most {MOST_PIXELS} pixels."
        ) from None
    except Exception as error:  # on damaged files, Pillow's decoders raise nearly anything
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).replace("\n", " ").rstrip(".")
        raise InputError(f"image {path} cannot be decoded ({reason}); accepted are whole image files.") from None


def _check_bounds(path: Path, image: Image.Image) -> None:
    """Refuse, by the header alone, what would take gigabytes or minutes to decode, or stay black in part."""
    tags = getattr(image, "tag_v2", {})
    for what, width, height in (("", *image.size), ("tiles of ", tags.get(TILE_WIDTH, 0), tags.get(TILE_HEIGHT, 0))):
        if width * height > MOST_PIXELS:
            raise _refused(path, f"{what}{width} x {height} pixels", f"are at most {MOST_PIXELS} pixels")
    if image.format == "TIFF" and _covered(image) < image.width * image.height:
        raise _refused(path, "pixels of a part of the image alone", "are whole files")
    if image.format == "PPM" and image.tile[0][0] == "ppm_plain":  # type: ignore[attr-defined]
        raise _refused(path, "pixels written as text (P1, P2 or P3)", "are binary files (P4, P5 or P6)")


def _covered(image: Image.Image) -> int:
    """Return how many pixels the strips or tiles of a file hold."""
    extents = [tile[1] for tile in image.tile]  # type: ignore[attr-defined]
    return sum((right - left) * (bottom - top) for left, top, right, bottom in extents)


def _accepted() -> str:
    return f"whole files of {', '.join(FORMATS[:-1])} and {FORMATS[-1]}"


def _found_format(path: Path) -> str:
    """Return what a file is by its first bytes; nothing of it is decoded."""
    with path.open("rb") as file:
        start = file.read(16)
    if len(start) < 16:
        return f"a file of {len(start)} bytes"
    Image.init()
    names = [name for name, (_, accept) in Image.OPEN.items() if accept and accept(start) is True]
    known = next((name for name in names if name in FORMATS), None)
    return f"a damaged {known} file" if known else f"what looks like {names[0]}" if names else "no known format"


def rgb(path: Path, image: Image.Image) -> Image.Image:
    """Return the first frame of an image from ``path`` in mode RGB, transparent pixels over white.

    docs/data.md has the rule of every mode. Profiles of colours and the orientation that a camera notes are left
    aside. Raises InputError for a mode whose values have no certain meaning as colours.
    """
    step = GREY_STEPS.get(_raw_mode(image), 1) if image.format == "PNG" else 1
    sixteen = "16" in _raw_mode(image)
    image.load()
    transparent = image.info.get("transparency")
    if transparent is not None and sixteen:
        raise _refused(path, "a transparent colour of 16 bits", "are colours of 8 bits, or an alpha channel")
    if image.mode in SIXTEEN_BIT or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return _from_sixteen_bits(path, image)
    if image.mode not in DIRECT + WITH_ALPHA:
        raise _refused(path, f"pixels of mode {image.mode}", "are grey of 8 or 16 bits, RGB, CMYK and YCbCr")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    if isinstance(transparent, int) and image.mode in ("1", "L"):
        image.info["transparency"] = min(255, transparent * step)
    return _over_white(path, image.convert("RGBA"))


def _raw_mode(image: Image.Image) -> str:
    """Return Pillow's name of how pixels lie in the file."""
    arguments = image.tile[0][3] if getattr(image, "tile", None) else ""  # type: ignore[attr-defined]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _over_white(path: Path, image: Image.Image) -> Image.Image:
    alpha = image.getchannel("A")
    if not alpha.getbbox():
        raise _refused(path, "pixels that are all transparent", "is an image that can be seen")
    ground = Image.new("RGB", image.size, (255, 255, 255))
    ground.paste(image.convert("RGB"), mask=alpha)
    return ground


def _from_sixteen_bits(path: Path, image: Image.Image) -> Image.Image:
    """Bring grey levels from 0 to 65535, or to 4095 in TIFF files of 12 bits, to 0 to 255, rounded."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        raise _refused(path, "16-bit grey with 0 as white", "is grey with 0 as black")
    highest = 4095 if tags.get(BITS_PER_SAMPLE) == (12,) else 65535
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > highest:
        raise _refused(path, f"grey levels from {levels.min()} to {levels.max()}", f"are 0 to {highest}")
    scaled = (levels.astype(np.uint32) * 255 + highest // 2) // highest
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")


def _refused(path: Path, found: str, accepted: str) -> InputError:
    return InputError(f"image {path} cannot be decoded: found {found}; accepted {accepted}.")
