"""Image files to arrays, the same way for training, baseline and marginalization."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.data.decoding import open_image, rgb
from featuresharing.errors import InputError


@dataclass(frozen=True)
class Preprocessing:
    """How images become what a network takes: ``(pixel - mean) / std`` by channel, pixels from 0 to 255.

    ``size`` is the height and width in pixels; with ``resize``, images of other sizes are brought to it, whatever their
    aspect, by bilinear interpolation without smoothing, as the paper's code does; without, they are refused.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain numbers and lists, as checkpoints store them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Preprocessing":
        """Return the settings that :meth:`as_dict` describes."""
        return cls(stored["size"], tuple(stored["mean"]), tuple(stored["std"]), stored["resize"])


def stimulus_preprocessing(size: int) -> Preprocessing:
    """Return how the embedded stimuli are preprocessed."""
    return Preprocessing(size, (127.5,) * 3, (64.0,) * 3, resize=False)


def imagenet_preprocessing(size: int) -> Preprocessing:
    """Return how the paper's images are preprocessed: RGB in [0, 1], resized, ImageNet's mean and deviation."""
    red, green, blue = (255 * value for value in (0.485, 0.456, 0.406))
    return Preprocessing(size, (red, green, blue), (255 * 0.229, 255 * 0.224, 255 * 0.225), resize=True)


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image as uint8 [H, W, 3] in RGB order, transparent pixels over white.

    Raises InputError for a file that is missing or cannot be decoded (:func:`featuresharing.data.decoding.rgb`).
    """
    with open_image(path) as image:
        return np.asarray(rgb(path, image))


def load_images(paths: Sequence[Path], *, size: int) -> NDArray[np.uint8]:
    """Read images as uint8 [N, 3, size, size] in RGB order.

    Raises InputError for a file that is no image or whose height and width are not ``size``.
    """
    images = np.empty((len(paths), 3, size, size), dtype=np.uint8)
    for index, path in enumerate(paths):
        images[index] = _check_size(path, read_image(path), size).transpose(2, 0, 1)
    return images


def read_inputs(paths: Sequence[Path], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Read images as networks take them: float32 [N, 3, size, size].

    Raises InputError for a file that is no image, or of another size if images are not resized.
    """
    inputs = np.empty((len(paths), 3, preprocessing.size, preprocessing.size), dtype=np.float32)
    for index, path in enumerate(paths):
        inputs[index] = preprocess(path, read_image(path), preprocessing)
    return inputs


def preprocess(path: Path, pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return an image [H, W, 3], read from ``path``, as float32 [3, size, size]."""
    size = preprocessing.size
    if preprocessing.resize and pixels.shape[:2] != (size, size):
        resized = resize(pixels, size)
    else:
        resized = _check_size(path, pixels, size).astype(np.float32)
    mean, std = (np.array(values, np.float32) for values in (preprocessing.mean, preprocessing.std))
    return np.ascontiguousarray(((resized - mean) / std).transpose(2, 0, 1))


def resize(pixels: NDArray[np.uint8] | NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return an image uint8 or float32 [H, W, 3] as float32 [size, size, 3]: bilinear, pixel centres at halves.

    Nothing is smoothed. Equals ``skimage.transform.resize(pixels, (size, size))`` of scikit-image 0.12, which the
    paper's code calls, but for enlarged images, whose outermost half pixel scikit-image fades to black and this repeats
    (docs/fidelity.md).
    """
    import torch
    from torch.nn.functional import interpolate

    resized = np.empty((size, size, 3), np.float32)
    for channel in range(3):  # one at a time: doubles of a large image take gigabytes
        plane = torch.from_numpy(pixels[..., channel].astype(np.float64))  # float32 positions have errors of 1e-5
        found = interpolate(plane[None, None], (size, size), mode="bilinear", align_corners=False, antialias=False)
        resized[..., channel] = found[0, 0].float().numpy()
    return resized


def _check_size(path: Path, pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    if pixels.shape[:2] != (size, size):
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise InputError(f"image {path} has {found} pixels; accepted are {size} x {size}, as the network takes.")
    return pixels
