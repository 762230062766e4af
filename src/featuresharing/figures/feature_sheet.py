"""Pictures of what drives units: one a unit, and a sheet of all units of a layer."""

from collections.abc import Mapping
from math import ceil, sqrt

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.figures.style import STYLE

DPI = 100
SHEET_PIXELS = 3000
"""Pixels that the pictures of a sheet take side by side at most; larger ones are reduced by a whole factor."""

READABLE_PIXELS = 96
"""Width up to which smaller pictures are enlarged by a whole factor, if the sheet has room for it."""

MARGIN = 0.55
HEAD = 0.85
"""Inches left of and above the pictures, for numbers and title."""

NARROWEST = 6.0
"""Inches that the title needs."""

FLAT = 127
"""Grey of an image that is the same everywhere."""


def feature_picture(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return an image [C, H, W] of any range as uint8 [H, W, 3], its lowest value 0 and its highest 255.

    Three channels are red, green and blue; of others the mean is shown in grey.
    """
    if len(image) != 3:
        image = np.repeat(image.mean(axis=0, keepdims=True), 3, axis=0)
    low, high = float(image.min()), float(image.max())
    if low == high:
        return np.full((*image.shape[1:], 3), FLAT, dtype=np.uint8)
    scaled: NDArray[np.uint8] = np.rint((image.transpose(1, 2, 0) - low) * (255 / (high - low))).astype(np.uint8)
    return scaled


@rc_context(STYLE)
def plot_features(
    pictures: Mapping[int, NDArray[np.uint8]], *, title: str, note: str = "", columns: int | None = None
) -> Figure:
    """Draw pictures [H, W, 3] of units in rows of ``columns`` (None: about a square), in the order given.

    Numbers at the left and above add up to that of the unit, where these are 0, 1, 2 and so on; else the left ones are
    those of the units that begin a row. Raises InputError for no pictures.
    """
    if not pictures:
        raise InputError("a sheet of units has no pictures; accepted: at least one")
    wide = columns or ceil(sqrt(len(pictures)))
    units, stacked = list(pictures), np.stack(list(pictures.values()))
    shown = _reduce(stacked, max(1, ceil(wide * stacked.shape[2] / SHEET_PIXELS)))
    larger = max(1, min(READABLE_PIXELS // shown.shape[2], SHEET_PIXELS // (wide * shown.shape[2])))
    shown = shown.repeat(larger, axis=1).repeat(larger, axis=2)
    sheet = _tile(shown, wide)
    size = (MARGIN + sheet.shape[1] / DPI + 0.15, HEAD + sheet.shape[0] / DPI + 0.15)
    figure = Figure(figsize=(max(size[0], NARROWEST), size[1]), dpi=DPI, facecolor="white")
    width, height = figure.get_size_inches()
    place = (MARGIN / width, 0.15 / height, sheet.shape[1] / DPI / width, sheet.shape[0] / DPI / height)
    axes = figure.add_axes(place)
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    axes.spines[:].set_visible(False)
    down, across = (shown.shape[1] + 1, shown.shape[2] + 1)
    rows = range(0, len(units), wide)
    every = max(1, ceil(16 / down))
    axes.set_yticks(
        [row * down + down / 2 for row in range(0, len(rows), every)], [str(units[first]) for first in rows[::every]]
    )
    every = max(1, ceil(30 / across))
    axes.set_xticks(
        [column * across + across / 2 for column in range(0, wide, every)], [f"+{c}" for c in range(0, wide, every)]
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=8, pad=2)
    figure.text(0.1 / width, 1 - 0.12 / height, title, va="top", fontweight="bold", fontsize=11)
    figure.text(0.1 / width, 1 - 0.36 / height, note, va="top", fontsize=9)
    return figure


def _reduce(pictures: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Return pictures [N, H, W, 3] with blocks of ``factor`` x ``factor`` pixels averaged; a rest is cut off."""
    count, height, width = (pictures.shape[0], pictures.shape[1] // factor, pictures.shape[2] // factor)
    if factor == 1 or not (height and width):
        return pictures
    blocks = pictures[:, : height * factor, : width * factor].reshape(count, height, factor, width, factor, 3)
    means: NDArray[np.uint8] = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return means


def _tile(pictures: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Return pictures [N, H, W, 3] in rows of ``columns``, one white pixel between them."""
    count, height, width = pictures.shape[:3]
    rows = ceil(count / columns)
    padded = np.full((rows * columns, height + 1, width + 1, 3), 255, dtype=np.uint8)
    padded[:count, :height, :width] = pictures
    grid = padded.reshape(rows, columns, height + 1, width + 1, 3).swapaxes(1, 2)
    return grid.reshape(rows * (height + 1), columns * (width + 1), 3)
