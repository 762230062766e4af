"""How a network's images were preprocessed, as torchvision's weights, timm's models or a user's function say it.

What the two libraries say is read into plain numbers, on which results then depend, and not on the libraries.
"""

from collections.abc import Callable
from importlib import import_module
from math import floor
from pathlib import Path
from typing import Any

import numpy as np

from featuresharing.data.images import own_values, read_stimulus, source_digest
from featuresharing.data.preprocessing import AnyPreprocessing, NoPreprocessing, OwnPreprocessing, Preprocessing
from featuresharing.errors import InputError
from featuresharing.settings import PreprocessingSettings
from featuresharing.settings.preprocessing_settings import INTERPOLATIONS, PILLOW, SHORTER_SIDE, STRETCH

TORCHVISION = "torchvision:"
"""Start of a name of torchvision's weights, such as torchvision:ResNet50_Weights.IMAGENET1K_V2."""

TIMM = "timm"
"""What stands for the configuration of a model of timm."""

NOTHING = "none"
"""What stands for arrays that are taken as they are."""

ACCEPTED = (
    "a block of keys, torchvision:WEIGHTS such as torchvision:ResNet50_Weights.IMAGENET1K_V2, timm, none for arrays, "
    "or file.py:function"
)
"""What a config says of preprocessing."""


def known_preprocessing(
    said: PreprocessingSettings | str, *, network: Callable[[], Any], first: Path
) -> AnyPreprocessing:
    """Return the preprocessing that a config has ``said``: a block, or one of the texts that ACCEPTED names.

    ``network`` makes the network, which is asked with timm alone. The ``first`` image tells the shape of arrays, and of
    what a function gives. Raises InputError for a library or weights that are not there, and for a function or an image
    that cannot be used; OwnCodeError where the function fails.
    """
    if isinstance(said, PreprocessingSettings):
        return Preprocessing.from_settings(said)
    if said.startswith(TORCHVISION):
        return torchvision_preprocessing(said.removeprefix(TORCHVISION))
    if said == TIMM:
        return timm_preprocessing(network())
    if said == NOTHING:
        values = np.asarray(read_stimulus(first, NoPreprocessing(())))
        bytes_of_pixels = values.dtype == np.uint8 and values.ndim > 1
        return NoPreprocessing(values.shape, values.dtype.kind in "iu" and not bytes_of_pixels)
    if ":" not in said:
        raise InputError(f"preprocessing: found '{said}'; accepted is {ACCEPTED}.")
    return own_preprocessing(said, first)


def own_preprocessing(function: str, first: Path) -> OwnPreprocessing:
    """Return a user's function with the digest of its source, and the shape that it gives for the ``first`` image.

    The digest is that of its file and of those beside it that it imports. Raises InputError and OwnCodeError.
    """
    digest = source_digest(function)
    values = own_values(first, read_stimulus(first, OwnPreprocessing(function, digest, ())), function)
    return OwnPreprocessing(function, digest, values.shape, values.dtype.kind == "i")


def torchvision_preprocessing(weights: str) -> Preprocessing:
    """Return what the transforms of torchvision's ``weights`` do, such as ``ResNet50_Weights.IMAGENET1K_V2``.

    Raises InputError where torchvision or the weights are not there, and for weights of other kinds than those that
    classify images.
    """
    models = _library("torchvision", f"{TORCHVISION}{weights}", "torchvision.models")
    accepted = "accepted are weights that classify images, such as ResNet50_Weights.IMAGENET1K_V2"
    try:
        made = models.get_weight(weights).transforms()
    except (KeyError, ValueError, AttributeError):
        raise InputError(f"preprocessing: torchvision has no weights '{weights}'; {accepted}.") from None
    if type(made).__name__ != "ImageClassification":
        raise InputError(f"preprocessing: '{weights}' are weights for {type(made).__name__}; {accepted}.")
    (size,), (resize_to,) = made.crop_size, made.resize_size
    kind = _interpolation(made.interpolation.value)
    return _plain(size, SHORTER_SIDE, resize_to, kind, made.mean, made.std)


def timm_preprocessing(network: Any) -> Preprocessing:
    """Return what timm's configuration of a model says; raises InputError where timm is not there, and for no model.

    Images are RGB and square, or stretched.
    """
    data = _library("timm", TIMM, "timm.data")
    if not getattr(network, "pretrained_cfg", None):
        kind = type(network).__name__
        raise InputError(f"preprocessing: timm, found a {kind} without a configuration; accepted is a model of timm.")
    found = data.resolve_data_config({}, model=network)
    channels, height, width = found["input_size"]
    sides = [floor(side / found["crop_pct"]) for side in (height, width)]
    stretched = found["crop_mode"] == "squash"
    if channels != 3 or found["crop_mode"] == "border" or (height != width and not stretched):
        what = f"{channels} x {height} x {width}, crop mode {found['crop_mode']}"
        raise InputError(f"preprocessing: timm, found images of {what}; accepted are square RGB images without border.")
    kind = _interpolation(found["interpolation"])
    size = height if height == width else (height, width)
    if stretched:
        return _plain(size, STRETCH, (sides[0], sides[1]), kind, found["mean"], found["std"])
    return _plain(size, SHORTER_SIDE, sides[0], kind, found["mean"], found["std"])


def _plain(
    size: int | tuple[int, int], resize: str, resize_to: int | tuple[int, int], kind: str, mean: Any, std: Any
) -> Preprocessing:
    means, deviations = (tuple(map(float, values)) for values in (mean, std))
    return Preprocessing(size, means, deviations, resize, resize_to, kind, antialias=True, white=1, decoding=PILLOW)


def _interpolation(name: str) -> str:
    if name not in INTERPOLATIONS:
        raise InputError(
            f"preprocessing: found interpolation '{name}'; accepted is one of {', '.join(INTERPOLATIONS)}."
        )
    return name


def _library(package: str, said: str, module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        needed = f"preprocessing: '{said}' needs the package {package}, which is not installed"
        raise InputError(f"{needed}; accepted is pip install {package}, or a block of keys.") from None
