"""Image files to arrays, the same way for training, baseline and marginalization."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from featuresharing.errors import InputError

MEAN = 127.5
"""Subtracted from every channel (0 to 255)."""
SCALE = 64.0
"""Divided by after that."""


def load_images(paths: Sequence[Path], *, size: int) -> NDArray[np.uint8]:
    """Read images as uint8 [N, 3, size, size] in RGB order.

    Raises InputError for a file that is no image or whose height and width are not ``size``.
    """
    images = np.empty((len(paths), 3, size, size), dtype=np.uint8)
    for index, path in enumerate(paths):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except FileNotFoundError:
            raise InputError(f"image {path} does not exist.") from None
        except (UnidentifiedImageError, OSError) as error:
            raise InputError(f"image {path} cannot be decoded ({error}).") from None
        if pixels.shape[:2] != (size, size):
            found = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise InputError(f"image {path} has {found} pixels; accepted are {size} x {size}, as the network takes.")
        images[index] = pixels.transpose(2, 0, 1)
    return images


def normalise(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what networks take: float32 of the same shape, ``(pixel - MEAN) / SCALE``."""
    return (images.astype(np.float32) - np.float32(MEAN)) / np.float32(SCALE)
