"""Animations: a figure at each checkpoint, as one GIF."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featuresharing.errors import InputError
from featuresharing.files.atomic import replacing
from featuresharing.settings import FigureSettings, check

TRANSPARENT = 255
"""Palette index that keeps the pixel of the frame before."""

# The fewest pixels that make a colour one of a flat area, and a grey one of more than letters.
FLAT = 16
LETTERS = 200
GREYS = np.repeat(np.arange(0, 256, 17)[:, None], 3, axis=1)

Pixels = NDArray[np.uint8]


def animate(
    frames: Iterable[Pixels],
    output: Path,
    *,
    milliseconds: int = FigureSettings.milliseconds,
    hold: int = FigureSettings.hold,
) -> None:
    """Write ``frames`` [height, width, 3] to the GIF ``output``, which loops forever.

    Each is shown for ``milliseconds``, the last for ``hold`` more. Up to 239 colours of a frame's flat areas are kept
    exactly, more are reduced to as many; letters get greys. As many frames are written as given, equal ones included.

    Raises :class:`InputError` if there are no frames, their sizes differ, or the times are not what the config accepts
    (GIF counts hundredths of a second).
    """
    for name, value in {"milliseconds": milliseconds, "hold": hold}.items():
        check(FigureSettings, name, value)
    shown = list(frames)
    if not shown:
        raise InputError("an animation has no frames; accepted: at least one image")
    for number, frame in enumerate(shown):
        if frame.shape != shown[0].shape:
            sizes = " and ".join(f"{found.shape[1]} x {found.shape[0]}" for found in (shown[0], frame))
            raise InputError(f"frames 1 and {number + 1} have {sizes} pixels; accepted are frames of one size")
    indexed = [_index_colours(frame) for frame in shown]
    # Pillow merges equal neighbours, so every second one of a run keeps its first pixel instead of repeating it.
    marked = False
    for index, (before, frame) in enumerate(pairwise(shown), start=1):
        marked = not marked and bool(np.array_equal(before, frame))
        if marked:
            indexed[index].putpixel((0, 0), TRANSPARENT)
    with replacing(output) as temporary:
        indexed[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=indexed[1:],
            duration=[milliseconds] * (len(shown) - 1) + [milliseconds + hold],
            loop=0,
            transparency=TRANSPARENT,
            disposal=1,
            optimize=False,
        )


def _index_colours(frame: Pixels) -> Image.Image:
    """Return the image with indices into a palette of at most 255 colours: those of its flat areas, and greys."""
    red, green, blue = np.moveaxis(frame.astype(np.int64), -1, 0)
    values = (red << 16 | green << 8 | blue).ravel()
    # runs of equal pixels are few, and sorting them is many times faster than sorting pixels
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    lengths = np.diff(starts, append=len(values))
    packed, index = np.unique(values[starts], return_inverse=True)
    counts = np.bincount(index, weights=lengths)
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
    indexed = Image.fromarray(np.repeat(nearest[index], lengths).reshape(frame.shape[:2]))
    indexed.putpalette(np.pad(palette, ((0, 256 - len(palette)), (0, 0))).ravel().tolist())
    return indexed
