"""What a network takes: one array or tensor [images, ...], and other inputs by name that do not change.

Inputs by name are arguments of the forward pass, such as an attention mask. An array or tensor whose first dimension is
that of the images has a row for each of them, and is cut as they are; anything else is passed on as it is.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from featuresharing.arguments import kind_of
from featuresharing.errors import InputError
from featuresharing.networks.finite import first_not_finite
from featuresharing.networks.image_batches import are_batches, join_batches

ACCEPTED = "accepted is one array or tensor [images, ...]"


def as_images(images: Any) -> Tensor:
    """Return images [N, ...] as a plain tensor, which shares memory with an array or tensor where it can.

    Integers stay integers: networks that take tokens get them as they are. What comes in batches, such as a DataLoader,
    is joined (:func:`.image_batches.join_batches`). Raises InputError for what is no array of
    numbers, for no images, and for images that are NaN or infinite.
    """
    images = join_batches(images) if are_batches(images) else images
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


def _from_array(images: Any, what: str = "images") -> Tensor:
    if isinstance(images, Mapping | Sequence) or not hasattr(images, "__array__"):
        few = f" of {len(images)}" if isinstance(images, Mapping | list | tuple) else ""
        hint = ", such as numpy.stack makes of a list" if isinstance(images, list | tuple) else ""
        if what == "images" and hasattr(images, "__getitem__") and not isinstance(images, Mapping | Sequence):
            hint = ", or batches of them: DataLoader(dataset, batch_size=32)"
        elif what == "images" and isinstance(images, list | tuple):
            hint += ", or batches: iter(batches)"
        raise InputError(f"{what}: found {kind_of(images)}{few}; {ACCEPTED}{hint}.")
    array: NDArray[Any] = np.asarray(images)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{what}: found an array of {array.dtype}; {ACCEPTED} of numbers.")
    if array.dtype.kind == "f" and array.itemsize > 8:
        array = array.astype(np.float64)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an array is read-only: nothing writes into images
        try:
            return torch.from_numpy(array)
        except ValueError:  # strides that torch does not have, such as negative ones
            return torch.from_numpy(np.ascontiguousarray(array))


@dataclass(frozen=True, eq=False)
class Inputs:
    """What some passes of a network take: ``images`` [N, ...], and others by the names of its arguments.

    ``by_image`` are tensors [N, ...], ``fixed`` values of any kind that are the same for all images.
    """

    images: Tensor
    by_image: Mapping[str, Tensor] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice | list[int]) -> Self:
        """Return those of some images."""
        return self.map(lambda value: value[part])

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Tensors [N, ...] by the names that they have in graphs, the images first."""
        return {IMAGES: self.images, **{f"{IMAGES}:{name}": value for name, value in self.by_image.items()}}

    @property
    def named(self) -> dict[str, Any]:
        """The keyword arguments of a pass."""
        return {**self.by_image, **self.fixed}

    def map(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Return inputs whose tensors [N, ...] have been changed."""
        others = {name: change(value) for name, value in self.by_image.items()}
        return type(self)(change(self.images), others, self.fixed)

    def clone(self) -> Self:
        """Return copies of the tensors [N, ...], into which a network may write."""
        return self.map(torch.clone)

    def split(self, size: int) -> list[Self]:
        """Return parts of ``size`` images, the last of what is left."""
        return [self[first : first + size] for first in range(0, len(self), size)]


IMAGES = "images"
"""The name of the images in a graph; those of other inputs begin with it."""


def is_input(name: Any) -> bool:
    """Whether a name in a graph is that of images, or of another input [N, ...]."""
    return isinstance(name, str) and (name == IMAGES or name.startswith(f"{IMAGES}:"))


def as_inputs(images: Any, others: Any = None) -> Inputs:
    """Return images as :func:`as_images`, and inputs by name; arrays become tensors.

    Raises InputError for inputs that are no dict with names of arguments.
    """
    tensor = as_images(images)
    given = as_fixed(others)
    cut = {
        name: value
        for name, value in given.items()
        if isinstance(value, Tensor) and value.ndim > 0 and len(value) == len(tensor)
    }
    return Inputs(tensor, cut, {name: value for name, value in given.items() if name not in cut})


def as_fixed(others: Any) -> dict[str, Any]:
    """Return inputs by name (None: none), arrays of numpy as tensors.

    Raises InputError for what is no dict with names of arguments.
    """
    if others is None:
        return {}
    if not isinstance(others, Mapping) or not all(isinstance(name, str) for name in others):
        raise InputError(
            f"inputs: found {kind_of(others)}; accepted is a dict of inputs by the names of arguments, such as "
            "{'attention_mask': mask}."
        )
    given: dict[str, Any] = {}
    for name, value in others.items():
        array = isinstance(value, np.ndarray | np.generic)
        given[name] = _from_array(value, f"inputs['{name}']") if array else value
        given[name] = value.detach() if isinstance(value, Tensor) else given[name]
    return given


def to_input(inputs: Inputs, device: str, dtype: torch.dtype, *, copy: bool = True) -> Inputs:
    """Return inputs on ``device``, those of floating point in ``dtype``: a ``copy``, as a network may write into it."""

    def move(value: Tensor) -> Tensor:
        return value.to(device, dtype if value.is_floating_point() else None, copy=copy)

    moved = inputs.map(move)
    fixed = {name: move(value) if isinstance(value, Tensor) else value for name, value in inputs.fixed.items()}
    return Inputs(moved.images, moved.by_image, fixed)
