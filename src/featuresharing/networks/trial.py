"""What a network of a file takes and gives, found without computing: a bounded pass of sizes alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from featuresharing.errors import InputError
from featuresharing.networks.forward import evaluating
from featuresharing.networks.outputs import task_outputs
from featuresharing.networks.precision import precision_of

MOST_VALUES = 5_000
"""Numbers that all modules may give together, for each number of an image; DenseNets give about 1,000."""

MOST_WORK = 10_000_000
"""Products that all modules may sum up together, for each number of an image; VGG-19 takes 130,000."""


LEAST_IMAGE = 2**16
"""Numbers for which a pass of a file's own operators may take memory and time, however small an image is."""

MOST_IMAGE = 2**24
"""Numbers of an image that a file may state."""

USUAL = (3, 224, 224)
"""Sizes of an image with which a network is tried where its file leaves them free."""


class TooLargeError(InputError):
    """A pass would take absurd memory or time."""


class Allowance:
    """What operators of a file may give and sum up in a pass on ``images``, as modules of other networks may."""

    def __init__(self, images: Tensor) -> None:
        numbers = max(images.numel(), LEAST_IMAGE * len(images))
        self._numbers, self._products = MOST_VALUES * numbers, MOST_WORK * numbers

    def spend(self, place: str, numbers: int, products: int) -> None:
        """Count what the operator at ``place`` gives, and the products for each; raises TooLargeError for too many."""
        self._numbers -= numbers
        self._products -= numbers * products
        if min(self._numbers, self._products) < 0:
            raise TooLargeError(
                f"{place}: with it, one image takes absurdly many {'numbers' if self._numbers < 0 else 'products'}; "
                f"accepted are at most {MOST_VALUES} numbers and {MOST_WORK} products for each number of the image."
            )


def stated_shape(sizes: Sequence[int | None]) -> tuple[int, ...] | None:
    """Return the shape of an image as a file states it; None where it leaves a size free (None), or says nothing.

    Raises InputError for an image of absurdly many numbers.
    """
    known = tuple(size for size in sizes if size is not None)
    if prod(known) > MOST_IMAGE:
        raise InputError(f"one image has the shape {list(sizes)}; accepted are up to {MOST_IMAGE} numbers.")
    return known if known and len(known) == len(sizes) else None


def shape_to_try(sizes: Sequence[int | None]) -> tuple[int, ...] | None:
    """Return the shape that a file states, with usual sizes where they are free; None where its axes are not known.

    Raises InputError as :func:`stated_shape`.
    """
    stated = stated_shape(sizes)
    if stated is None and len(sizes) == len(USUAL):
        return tuple(size or usual for size, usual in zip(sizes, USUAL, strict=True))
    return stated


def without_numbers(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a network by name, as tensors that have sizes alone."""
    values = [*network.named_parameters(), *network.named_buffers()]
    return {name: torch.empty_like(value, device="meta") for name, value in values}


def trial_pass(network: nn.Module, image_shape: Sequence[int], *, whole: bool = False) -> dict[str, list[int]]:
    """Return the sizes of what ``network`` gives for one image of a shape, by task; nothing is computed, only sizes.

    With ``whole``, the image is of whole numbers, such as tokens.

    Raises InputError, naming the module, where the pass would take absurd memory or time; RuntimeError, ValueError,
    TypeError, IndexError or AttributeError as the pass itself would.
    """
    shapes = without_numbers(network)
    kind = torch.int64 if whole else precision_of(shapes.values())
    images = torch.empty(1, *image_shape, dtype=kind, device="meta")
    with evaluating(network), torch.inference_mode(), _counted(network, images.numel()):
        outputs = task_outputs(functional_call(network, shapes, (images,)))
    return {task: list(scores.shape) for task, scores in outputs.items()}


@contextmanager
def _counted(network: nn.Module, numbers: int) -> Iterator[None]:
    """Raise InputError in the block when modules of the network give or sum up too much for images of ``numbers``."""
    left = {"numbers": MOST_VALUES * numbers, "products": MOST_WORK * numbers}

    def count(name: str, module: nn.Module, _: Any, result: Any) -> None:
        if not isinstance(result, Tensor) or isinstance(module, nn.Sequential):
            return
        left["numbers"] -= result.numel()
        left["products"] -= result.numel() * _products(module)
        for what, rest in left.items():
            if rest < 0:
                most = {"numbers": MOST_VALUES, "products": MOST_WORK}[what]
                raise InputError(
                    f"with module {name or 'the network itself'}, one image takes more than {most * numbers:.1e} "
                    f"{what}; accepted are at most {most} for each number of the image."
                )

    hooks = [module.register_forward_hook(partial(count, name)) for name, module in network.named_modules()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _products(module: nn.Module) -> int:
    """Return how many products are summed up for each number that a module gives, roughly."""
    if isinstance(module, nn.Conv2d):
        return prod(module.weight.shape[1:])
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return prod(module.kernel_size) if isinstance(module.kernel_size, tuple) else module.kernel_size**2
    return module.size if isinstance(module, nn.LocalResponseNorm) else 1
