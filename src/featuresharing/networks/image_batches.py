"""Images that come in batches, as a DataLoader of torch gives them, put together into one tensor."""

from collections.abc import Iterable, Mapping, Sequence
from operator import length_hint
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from featuresharing.arguments import kind_of
from featuresharing.errors import InputError
from featuresharing.networks.free_memory import free_memory

ACCEPTED = "accepted are tensors or arrays [images, ...], or (images, labels), whose labels are ignored"

SHUFFLING = RandomSampler | SubsetRandomSampler | WeightedRandomSampler


def are_batches(images: Any) -> bool:
    """Return whether images come in batches: from an iterable that is no array, list or dict."""
    told = isinstance(images, Tensor | Mapping | Sequence) or hasattr(images, "__array__")
    return isinstance(images, Iterable) and not told


def join_batches(batches: Iterable[Any]) -> Tensor:
    """Return the images of all batches, [N, ...] in their order.

    A batch is a tensor or array [images, ...], or a tuple or list that begins with one. Raises InputError for a loader
    that shuffles, for batches that are something else or of different shapes, and where memory does not hold them.
    """
    if isinstance(batches, DataLoader) and isinstance(batches.sampler, SHUFFLING):
        raise InputError(
            "images: found a DataLoader that shuffles, so that images come in another order each time; accepted is one "
            "with shuffle=False."
        )
    parts: list[Tensor] = []
    taken = 0
    total = length_hint(batches)  # 0 where nobody says it
    for number, batch in enumerate(batches):
        part = _images_of(batch, number)
        if parts and (part.shape[1:] != parts[0].shape[1:] or part.dtype != parts[0].dtype):
            shapes = [f"{str(each.dtype).removeprefix('torch.')} {list(each.shape[1:])}" for each in (part, parts[0])]
            raise InputError(f"images: batch {number} has images {shapes[0]}; accepted are {shapes[1]}, as before.")
        parts.append(part)
        taken += part.numel() * part.element_size()
        # they lie in memory twice while they are joined
        expected = taken * max(1.0, total / len(parts)) + taken
        if expected > free_memory("cpu") + taken:
            raise InputError(
                f"images: batches {'' if total else 'so far '}take {expected / 2**30:.1f} GiB, more than is free; "
                "accepted are fewer images: the method needs some tens to hundreds."
            )
    if not parts:
        used = " (an iterator gives them only once)" if iter(batches) is batches else ""
        raise InputError(f"images: found no batches{used}; accepted is at least one.")
    return torch.cat(parts)


def _images_of(batch: Any, number: int) -> Tensor:
    found = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if isinstance(found, np.ndarray) and found.dtype.kind in "fiub":
        found = torch.from_numpy(np.ascontiguousarray(found))
    if isinstance(batch, Mapping):
        keys = ", ".join(map(repr, list(batch)[:5]))
        first = next(iter(batch), "images")
        raise InputError(
            f"images: batch {number} is {kind_of(batch)} with {keys}; {ACCEPTED}, such as "
            f"(batch[{first!r}] for batch in loader)."
        )
    if not isinstance(found, Tensor) or found.ndim == 0:
        raise InputError(f"images: batch {number} is {kind_of(found)}; {ACCEPTED}.")
    return found.detach()
