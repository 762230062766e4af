"""Animations: the frames of a layer over the checkpoints, as one GIF."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from featuresharing.data.decoding import open_image, rgb
from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.settings import FigureSettings, check

TRANSPARENT = 255
"""Palette index that keeps the pixel of the frame before."""

# The fewest pixels that make a colour one of a flat area, and a grey one of more than letters.
FLAT = 16
LETTERS = 200
GREYS = np.repeat(np.arange(0, 256, 17)[:, None], 3, axis=1)


def animate(frames: Sequence[Path], output: Path, *, milliseconds: int = FigureSettings.milliseconds) -> None:
    """Write images of one size to the GIF ``output``, which shows each for ``milliseconds`` and loops forever.

    Up to 239 colours of a frame's flat areas are kept exactly, more are reduced to as many; letters get greys. As many
    frames are written as given, equal ones included.

    Raises :class:`InputError` if there are no frames, one cannot be read, their sizes differ, or ``milliseconds`` is
    not what the config accepts (GIF counts hundredths of a second).
    """
    if not frames:
        raise InputError("an animation has no frames; accepted: at least one image")
    check(FigureSettings, "milliseconds", milliseconds)
    images = [_read(path) for path in frames]
    for path, image in zip(frames, images, strict=True):
        if image.size != images[0].size:
            raise InputError(f"frame {path} has {image.size} pixels; accepted: those of {frames[0]}, {images[0].size}")
    indexed = [_index_colours(image) for image in images]
    pixels = [image.tobytes() for image in images]
    # Pillow merges equal neighbours, so every second one of a run keeps its first pixel instead of repeating it.
    marked = False
    for index in range(1, len(indexed)):
        marked = not marked and pixels[index] == pixels[index - 1]
        if marked:
            indexed[index].putpixel((0, 0), TRANSPARENT)
    with replacing(output) as temporary:
        indexed[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=indexed[1:],
            duration=milliseconds,
            loop=0,
            transparency=TRANSPARENT,
            disposal=1,
            optimize=False,
        )


def _read(path: Path) -> Image.Image:
    with open_image(path) as image:
        return rgb(path, image)


def _index_colours(image: Image.Image) -> Image.Image:
    """Return the image with indices into a palette of at most 255 colours: those of its flat areas, and greys."""
    red, green, blue = np.moveaxis(np.asarray(image).astype(np.int64), -1, 0)
    packed, index, counts = np.unique(red << 16 | green << 8 | blue, return_inverse=True, return_counts=True)
    seen = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1)
    # weighted by area, the background and the letters' many greys would take the palette from the units
    letters = (np.ptp(seen, axis=1) == 0) & (counts < LETTERS)
    flat = seen[(counts >= FLAT) & ~letters]
    if len(flat) > TRANSPARENT - len(GREYS):
        colours = Image.fromarray(flat[None].astype(np.uint8))
        reduced = colours.quantize(TRANSPARENT - len(GREYS), Image.Quantize.MEDIANCUT, kmeans=3).convert("RGB")
        flat = np.unique(np.asarray(reduced)[0], axis=0)
    palette = np.concatenate([flat, GREYS])
    # Pillow's own look-up rounds colours before it compares them
    nearest = np.square(seen[:, None] - palette).sum(axis=2).argmin(axis=1).astype(np.uint8)
    indexed = Image.fromarray(nearest[index].reshape(image.height, image.width))
    indexed.putpalette(np.pad(palette, ((0, 256 - len(palette)), (0, 0))).ravel().tolist())
    return indexed
