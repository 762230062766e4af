"""Images to arrays, the same way for training, baseline and marginalization."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from featuresharing.data.array_files import array_place, read_place
from featuresharing.data.decoding import open_image, rgb
from featuresharing.data.preprocessing import AnyPreprocessing, NoPreprocessing, OwnPreprocessing, Preprocessing
from featuresharing.data.transforming import as_pixels, check_size, preprocess
from featuresharing.errors import InputError
from featuresharing.files.identity import digest_of_bytes
from featuresharing.own_code import call_own, load_function, source_files
from featuresharing.settings.preprocessing_settings import OURS

Stored = NDArray[Any] | Image.Image
"""An image as its file holds it: decoded, or for a user's own function as Pillow opens it."""


def read_image(path: Path, *, decoding: str = OURS) -> NDArray[np.uint8]:
    """Read an image as uint8 [H, W, 3] in RGB order, transparent pixels over white.

    With ``decoding`` as pillow does, colours are those of ``Image.open(path).convert("RGB")``. Raises InputError for a
    file that is missing or cannot be decoded (:func:`featuresharing.data.decoding.rgb`).
    """
    if array_place(path):
        pixels = np.rint(as_pixels(path, read_place(path))).astype(np.uint8)
        return pixels if pixels.shape[2] == 3 else pixels[..., [0, 0, 0]]
    with open_image(path) as image:
        return np.asarray(rgb(path, image) if decoding == OURS else image.convert("RGB"))


def load_images(paths: Sequence[Path], *, size: int) -> NDArray[np.uint8]:
    """Read images as uint8 [N, 3, size, size] in RGB order.

    Raises InputError for a file that is no image or whose height and width are not ``size``.
    """
    images = np.empty((len(paths), 3, size, size), dtype=np.uint8)
    for index, path in enumerate(paths):
        images[index] = check_size(path, read_image(path), (size, size)).transpose(2, 0, 1)
    return images


def read_inputs(paths: Sequence[Path], preprocessing: AnyPreprocessing) -> NDArray[Any]:
    """Read images as networks take them: [N, ...] in float32, or in whole numbers where they are such.

    Raises InputError for what is no image, or of another size if images are not resized.
    """
    check_source(preprocessing)
    inputs = np.empty((len(paths), *preprocessing.shape), dtype=np.float32)
    for index, path in enumerate(paths):
        found = prepare_stimulus(path, read_stimulus(path, preprocessing), preprocessing)
        if not index and found.dtype != inputs.dtype:
            inputs = np.empty(inputs.shape, dtype=found.dtype)
        inputs[index] = found
    return inputs


def read_stimulus(path: Path, preprocessing: AnyPreprocessing) -> Stored:
    """Return what a file holds, as :func:`prepare_stimulus` takes it; raises InputError for what cannot be decoded."""
    if array_place(path):
        values = read_place(path)
        return as_pixels(path, values) if isinstance(preprocessing, Preprocessing) else values
    if isinstance(preprocessing, Preprocessing):
        return read_image(path, decoding=preprocessing.decoding)
    if isinstance(preprocessing, NoPreprocessing):
        raise InputError(f"image {path} is a file of an image; accepted without preprocessing are arrays.")
    with open_image(path) as image:
        image.load()
        return image.copy()


def prepare_stimulus(path: Path, stored: Stored, preprocessing: AnyPreprocessing) -> NDArray[Any]:
    """Return an image as a network takes it: [C, H, W] in float32, or what a user's function gives.

    Raises InputError for one of another size where images are not resized, and for what the function gives if that is
    not of the shape; OwnCodeError where it fails.
    """
    if isinstance(preprocessing, OwnPreprocessing):
        values = own_values(path, stored, preprocessing.function)
        return _of_shape(f"'{preprocessing.function}' gives", path, values, preprocessing)
    assert not isinstance(stored, Image.Image)
    if isinstance(preprocessing, NoPreprocessing):
        kind = np.int64 if stored.dtype.kind in "iu" and preprocessing.whole else np.float32
        return _of_shape("found", path, stored.astype(kind), preprocessing)
    return preprocess(path, stored, preprocessing)


def check_source(preprocessing: AnyPreprocessing) -> None:
    """Raise InputError for a user's function whose source is another than when it was described."""
    if isinstance(preprocessing, OwnPreprocessing) and source_digest(preprocessing.function) != preprocessing.sha256:
        raise InputError(
            f"'{preprocessing.function}' has changed since the network was described; accepted is the code as it was, "
            "or a new description."
        )


def source_digest(function: str) -> str:
    """Return the digest of the source of a user's function, with what it imports from beside its file.

    Raises InputError for one that is not there.
    """
    return digest_of_bytes(*(path.read_bytes() for path in source_files(function, Path())))


def own_values(path: Path, stored: Stored, function: str) -> NDArray[Any]:
    """Return what a user's function makes of an image; floating point becomes float32.

    Raises InputError for what is no array of numbers, OwnCodeError where the function fails.
    """
    found = call_own(f"'{function}' fails for image {path}", load_function(function, Path()), stored)
    if hasattr(found, "detach"):  # a tensor
        found = found.detach().cpu().numpy()
    values: NDArray[Any] = np.asarray(found)
    if values.dtype.kind not in "fiub":
        kind = type(found).__name__
        raise InputError(f"'{function}' gives a {kind} for image {path}; accepted is an array or tensor of numbers.")
    return values.astype(np.float32 if values.dtype.kind in "fb" else np.int64)


def _of_shape(
    sentence: str, path: Path, values: NDArray[Any], wanted: OwnPreprocessing | NoPreprocessing
) -> NDArray[Any]:
    """Return what a network takes; raises InputError, which begins with ``sentence``, for another shape or kind."""
    if values.shape != wanted.shape or (values.dtype.kind == "i") != wanted.whole:
        kinds = [
            f"{kind} {list(shape)}"
            for kind, shape in ((values.dtype, values.shape), ("int64" if wanted.whole else "float32", wanted.shape))
        ]
        raise InputError(f"{sentence} {kinds[0]} for image {path}; accepted is {kinds[1]}.")
    return values
