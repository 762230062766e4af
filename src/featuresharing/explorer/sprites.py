"""Small pictures in a page: many in one WebP, of which the page shows a cell each."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featuresharing.errors import InputError

MOST_SIDE = 16_383
"""Pixels of a side of the largest WebP."""

QUALITY = 80

Sprite = dict[str, Any]
"""Pictures: their ``side`` in pixels, how many stand in a row (``columns``), ``count``, and ``webp`` in base64."""


def sprite(pictures: Sequence[NDArray[np.uint8]], side: int) -> Sprite:
    """Put pictures [H, W, 3] or [H, W] of 8 bits into cells of ``side`` pixels, row by row.

    A picture keeps its proportions, in the middle of its cell. Raises InputError for more pictures than a WebP holds.
    """
    columns = max(1, math.isqrt(max(0, len(pictures) - 1)) + 1)
    if columns * side > MOST_SIDE:
        accepted = f"accepted are {(MOST_SIDE // side) ** 2}, or a smaller --thumbnail"
        raise InputError(f"{len(pictures)} pictures of {side} pixels do not fit into one WebP; {accepted}.")
    rows = max(1, math.ceil(len(pictures) / columns))
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for place, pixels in enumerate(pictures):
        picture = small(pixels, side)
        row, column = divmod(place, columns)
        corner = (column * side + (side - picture.width) // 2, row * side + (side - picture.height) // 2)
        sheet.paste(picture, corner)
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=QUALITY, method=4)
    webp = base64.b64encode(file.getvalue()).decode("ascii")
    return {"side": side, "columns": columns, "count": len(pictures), "webp": webp}


def small(pixels: NDArray[np.uint8], side: int) -> Image.Image:
    """Return a picture that fits into a square of ``side`` pixels; a smaller one is enlarged by a whole number."""
    picture = Image.fromarray(pixels).convert("RGB")
    longest = max(picture.size)
    if longest <= side:
        times = side // longest
        return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    width, height = (max(1, round(size * side / longest)) for size in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)
