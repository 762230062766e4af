"""Pixels of an image to the numbers that a network takes: channels, size, mean and standard deviation."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featuresharing.data.decoding import MOST_PIXELS
from featuresharing.data.preprocessing import Preprocessing
from featuresharing.errors import InputError
from featuresharing.settings import PreprocessingSettings
from featuresharing.settings.preprocessing_settings import BGR, GREY, NO_RESIZE, SHORTER_SIDE

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
"""Pillow's filters by interpolation."""

Pixels = NDArray[np.uint8] | NDArray[np.float32]


def preprocess(place: Path | str, pixels: Pixels, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return an image uint8 or float32 [H, W, 3 or 1] of 0 to 255, which was at ``place``, as float32 [C, H, W].

    Raises InputError for one of another size where images are not resized.
    """
    brought = _resized(place, _coloured(pixels, preprocessing.colour), preprocessing).astype(np.float32)
    if preprocessing.white != 255:
        brought = brought / np.float32(255 / preprocessing.white)
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    return np.ascontiguousarray(((brought - mean) / std).transpose(2, 0, 1))


def as_pixels(place: Path | str, values: NDArray[Any]) -> Pixels:
    """Return an image of an array as uint8, or float32 of 0 to 255, [H, W, 3 or 1].

    It is [H, W], [H, W, C] or, where the last axis has neither one nor three channels, [C, H, W]: of bytes, of truth
    values, or of floating point from 0 to 1. Raises InputError for others.
    """
    layout = values[..., None] if values.ndim == 2 else values
    if layout.ndim == 3 and layout.shape[2] not in (1, 3):
        layout = layout.transpose(1, 2, 0)
    kind = values.dtype
    right = layout.ndim == 3 and layout.shape[2] in (1, 3) and (kind == np.uint8 or kind.kind in "fb")
    if not right or (kind.kind == "f" and not (values.min() >= 0 and values.max() <= 1)):
        span = f" from {values.min():g} to {values.max():g}" if right else ""
        raise InputError(
            f"image {place}: found {kind} {list(values.shape)}{span}; accepted are [H, W], [H, W, 3] and [3, H, W] of "
            "uint8, or of floating point from 0 to 1; preprocessing: none takes arrays as they are."
        )
    return layout if kind == np.uint8 else (layout * np.float32(255)).astype(np.float32)


def _coloured(pixels: Pixels, colour: str) -> Pixels:
    """Return the channels of an image in the order of a colour."""
    if colour == GREY:
        return _grey(pixels)
    if pixels.shape[2] == 1:
        return pixels[..., [0, 0, 0]]
    return pixels[..., ::-1] if colour == BGR else pixels


def _grey(pixels: Pixels) -> Pixels:
    if pixels.shape[2] == 1:
        return pixels
    if pixels.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))[..., None]
    return pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)


def _resized(place: Path | str, pixels: Pixels, look: Preprocessing) -> Pixels:
    height, width = look.sides
    if look.resize == NO_RESIZE:
        return check_size(place, pixels, (height, width))
    wanted = look.size if look.resize_to is None else look.resize_to
    if look.resize == SHORTER_SIDE:
        assert isinstance(wanted, int) or look.resize_to is None
        shorter = wanted if isinstance(wanted, int) else max(wanted)
        sides = _sides_with_shorter(pixels.shape[0], pixels.shape[1], shorter)
    else:
        sides = (wanted, wanted) if isinstance(wanted, int) else wanted
    if sides[0] * sides[1] > MOST_PIXELS:  # of an image that is a line
        found = f"{pixels.shape[1]} x {pixels.shape[0]} pixels, which would become {sides[1]} x {sides[0]}"
        raise InputError(f"image {place} has {found}; accepted are at most {MOST_PIXELS} pixels.")
    return _centre(_brought_to(pixels, sides, look), height, width)


def _sides_with_shorter(height: int, width: int, shorter: int) -> tuple[int, int]:
    """Return height and width when the shorter side is brought to ``shorter``; the longer is cut to whole pixels."""
    if height <= width:
        return shorter, int(shorter * width / height)
    return int(shorter * height / width), shorter


def _centre(pixels: Pixels, height: int, width: int) -> Pixels:
    """Cut out the centre, of an image that is smaller with black around it; places are those of torchvision.

    Where the centre cannot be in the middle, they are rounded to even numbers.
    """
    missing = [max(0, wanted - found) for found, wanted in zip(pixels.shape, (height, width), strict=False)]
    if any(missing):
        around: NDArray[Any] = np.pad(pixels, [*((each // 2, (each + 1) // 2) for each in missing), (0, 0)])
        return _centre(around, height, width)
    top, left = (round((found - wanted) / 2) for found, wanted in zip(pixels.shape, (height, width), strict=False))
    return pixels[top : top + height, left : left + width]


def _brought_to(pixels: Pixels, sides: tuple[int, int], look: Preprocessing) -> Pixels:
    if pixels.shape[:2] == sides:
        return pixels
    if not look.antialias and look.interpolation != "nearest":  # of single pixels there is nothing to smooth
        return resize(pixels, sides, interpolation=look.interpolation)
    planes = (np.ascontiguousarray(pixels[..., channel]) for channel in range(pixels.shape[2]))
    kind = FILTERS[look.interpolation]
    return np.stack([np.asarray(Image.fromarray(plane).resize(sides[::-1], kind)) for plane in planes], axis=2)


def resize(
    pixels: Pixels, size: int | tuple[int, int], *, interpolation: str = PreprocessingSettings.interpolation
) -> NDArray[np.float32]:
    """Return an image uint8 or float32 [H, W, C] as float32 [size, size, C] or of two sizes: pixel centres at halves.

    Nothing is smoothed. Bilinear it equals ``skimage.transform.resize(pixels, (size, size))`` of scikit-image 0.12,
    which the paper's code calls, but for enlarged images, whose outermost half pixel scikit-image fades to black and
    this repeats (docs/fidelity.md).
    """
    import torch
    from torch.nn.functional import interpolate

    sides = (size, size) if isinstance(size, int) else size
    options: dict[str, Any] = {"mode": interpolation, "align_corners": False, "antialias": False}
    resized = np.empty((*sides, pixels.shape[2]), np.float32)
    for channel in range(pixels.shape[2]):  # one at a time: doubles of a large image take gigabytes
        plane = torch.from_numpy(pixels[..., channel].astype(np.float64))  # float32 positions have errors of 1e-5
        resized[..., channel] = interpolate(plane[None, None], sides, **options)[0, 0].float().numpy()
    return resized


def check_size(place: Path | str, pixels: Pixels, sides: tuple[int, int]) -> Pixels:
    """Return an image [H, W, C]; raises InputError for one of another height and width."""
    if pixels.shape[:2] != sides:
        found, wanted = (f"{width} x {height}" for height, width in (pixels.shape[:2], sides))
        raise InputError(f"image {place} has {found} pixels; accepted are {wanted}, as the network takes.")
    return pixels
