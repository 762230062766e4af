"""Pictures of what drives units: one a unit, and a sheet of all units of a layer."""

from collections.abc import Mapping
from math import ceil, sqrt

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from featuresharing.errors import InputError
from featuresharing.figures.arrangement import write_line
from featuresharing.figures.style import GREY, SCREEN, Box, Page

SHEET_PIXELS = 3000
"""Pixels that the pictures of a sheet take side by side at most; larger ones are reduced by a whole factor."""

LARGEST = 0.96
"""Inches of a picture's side where the page has room for it."""

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


def plot_features(
    pictures: Mapping[int, NDArray[np.uint8]],
    *,
    title: str,
    note: str = "",
    columns: int | None = None,
    page: Page = SCREEN,
) -> Figure:
    """Draw pictures [H, W, 3] of units in rows of ``columns`` (None: about a square), in the order given.

    Numbers at the left and above add up to that of the unit, where these are 0, 1, 2 and so on; else the left ones are
    those of the units that begin a row. Raises InputError for no pictures.
    """
    if not pictures:
        raise InputError("a sheet of units has no pictures; accepted: at least one")
    with page.drawing():
        return _plot_features(pictures, title, note, columns or ceil(sqrt(len(pictures))), page)


def _plot_features(pictures: Mapping[int, NDArray[np.uint8]], title: str, note: str, wide: int, page: Page) -> Figure:
    units, stacked = list(pictures), np.stack(list(pictures.values()))
    shown = _reduce(stacked, max(1, ceil(wide * stacked.shape[2] / SHEET_PIXELS)))
    down, across = (shown.shape[1] + 1, shown.shape[2] + 1)
    sheet = _tile(shown, wide)
    left, right, below = page.lines(4), 0.1, 0.1
    above = 0.1 + page.lines(1, page.large) + page.lines(2.5)
    pixel = min(LARGEST / across, (page.inches - left - right) / (wide * across))
    # as many dots an inch as give every pixel of a picture the same whole number of dots, which begin at a whole one
    dots = ceil(page.dpi * pixel)
    left, below = (round(side / pixel) * pixel for side in (left, below))
    figure = page.figure(above + below + pixel * sheet.shape[0])
    figure.set_dpi(dots / pixel)
    width, height = figure.get_size_inches()
    place = (left / width, below / height, pixel * sheet.shape[1] / width, pixel * sheet.shape[0] / height)
    axes = figure.add_axes(place)
    axes.imshow(sheet, interpolation="nearest", aspect="auto")
    axes.spines[:].set_visible(False)
    rows = range(0, len(units), wide)
    every = max(1, ceil(page.lines(1, page.small) / (pixel * down)))
    axes.set_yticks(
        [row * down + down / 2 for row in range(0, len(rows), every)], [str(units[first]) for first in rows[::every]]
    )
    every = max(1, ceil(page.lines(2.5, page.small) / (pixel * across)))
    axes.set_xticks(
        [column * across + across / 2 for column in range(0, wide, every)], [f"+{c}" for c in range(0, wide, every)]
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=page.small, pad=2)
    first = Box(right, height - right - page.lines(1, page.large), page.inches - 2 * right, page.lines(1, page.large))
    write_line(figure, first, title, page.large, fontweight="bold")
    write_line(figure, first._replace(bottom=first.bottom - first.height), note, page.font_size, color=GREY)
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
