"""What a network takes: one array or tensor [images, ...], whatever its precision and its layout in memory."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.arguments import kind_of
from featuresharing.errors import InputError
from featuresharing.networks.finite import first_not_finite

ACCEPTED = "accepted is one array or tensor [images, ...]"


def as_images(images: Any) -> Tensor:
    """Return images [N, ...] as a plain tensor, which shares memory with an array or tensor where it can.

    Integers stay integers: networks that take tokens get them as they are. Raises InputError for what is no array of
    numbers, for no images, and for images that are NaN or infinite.
    """
    tensor = images.detach() if isinstance(images, Tensor) else _from_array(images)
    if tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized or tensor.is_meta:
        kind = "on the meta device" if tensor.is_meta else f"{tensor.dtype}, {tensor.layout}"
        raise InputError(f"images: found a tensor ({kind}); {ACCEPTED} of real numbers.")
    if type(tensor) is not Tensor:  # such as an image of torchvision: its operators may be others
        tensor = tensor.as_subclass(Tensor)
    if tensor.ndim == 0:
        raise InputError(f"images: found a single number; {ACCEPTED}.")
    if len(tensor) == 0:
        raise InputError("images: found none; accepted is at least one.")
    if tensor.is_inference():
        with torch.inference_mode(False):
            tensor = tensor.clone()
    for first in range(0, len(tensor), 16):  # in parts: it takes memory
        if place := first_not_finite(tensor[first : first + 16]):
            image = first + place[0]
            raise InputError(f"images: found values that are NaN or infinite in image {image}; accepted are finite.")
    return tensor


def _from_array(images: Any) -> Tensor:
    if isinstance(images, Mapping | Sequence) or not hasattr(images, "__array__"):
        few = f" of {len(images)}" if isinstance(images, Mapping | list | tuple) else ""
        hint = ", such as numpy.stack makes of a list" if isinstance(images, list | tuple) else ""
        raise InputError(f"images: found {kind_of(images)}{few}; {ACCEPTED}{hint}.")
    array: NDArray[Any] = np.asarray(images)
    if array.dtype.kind not in "fiub":
        raise InputError(f"images: found an array of {array.dtype}; {ACCEPTED} of numbers.")
    if array.dtype.kind == "f" and array.itemsize > 8:
        array = array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an array is read-only: nothing writes into images
        try:
            return torch.from_numpy(array)
        except ValueError:  # strides that torch does not have, such as negative ones
            return torch.from_numpy(np.ascontiguousarray(array))


def to_input(images: Tensor, device: str, dtype: torch.dtype, *, copy: bool = True) -> Tensor:
    """Return images on ``device``, those of floating point in ``dtype``: a ``copy``, as a network may write into it."""
    return images.to(device, dtype if images.is_floating_point() else None, copy=copy)
