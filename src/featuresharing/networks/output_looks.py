"""What outputs of a network look like, and which heads do not fit them, all at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.networks.failures import reason_of
from featuresharing.networks.forward import evaluating
from featuresharing.networks.heads import Head
from featuresharing.networks.inputs import as_images
from featuresharing.networks.outputs import SURE, task_outputs
from featuresharing.networks.precision import precision_of
from featuresharing.networks.task_scores import attach_heads, detach_tasks
from featuresharing.networks.trial import trial_pass


@dataclass(frozen=True)
class OutputLook:
    """An output by its ``name``: its ``sizes`` behind the axis of images, and what its numbers ``look`` like."""

    name: str
    sizes: tuple[int, ...]
    look: str

    @classmethod
    def of(cls, name: str, values: Any) -> Self:
        """Return what an output [N, ...] looks like; whatever is no tensor of floating point is named by its type."""
        if not isinstance(values, Tensor) or not values.is_floating_point():
            kind = str(values.dtype).removeprefix("torch.") if isinstance(values, Tensor) else type(values).__name__
            return cls(name, (), kind)
        return cls(name, tuple(values.shape[1:]), _look(values.detach().double()))

    def in_words(self) -> str:
        """Return its sizes and what it looks like."""
        sizes = ", ".join(["images", *map(str, self.sizes)])
        return f"[{sizes}] {self.look}"


def _look(values: Tensor) -> str:
    low, high = (float(each) for each in (values.min(), values.max()))
    span = f"{low:.3g} to {high:.3g}"
    classes = values.ndim > 1 and values.shape[1] > 1
    if classes and low >= 0 and bool(((values.sum(dim=1) - 1).abs() < SURE).all()):
        return f"probabilities, {span}, which sum up to 1"
    if classes and high <= 0 and bool((values.logsumexp(dim=1).abs() < SURE).all()):
        return f"log-probabilities, {span}"
    if low >= 0 and high <= 1:
        return f"numbers from 0 to 1, {span}, as a sigmoid gives them"
    return f"scores, {span}"


def look_at_outputs(network: nn.Module, images: NDArray[Any]) -> list[OutputLook]:
    """Return what every output of a network looks like on a few images [N, ...], in words.

    A head that is attached to an output says what it returns: :class:`.heads.Head`. Raises InputError for what are no
    images, and where the network fails on them.

    >>> [(each.name, each.in_words()) for each in look_at_outputs(network, images)]
    [('word', '[images, 3] scores, -0.606 to 0.232'), ('basic', '[images, 2] scores, -0.289 to 0.726')]
    """
    given = as_images(images)
    if given.is_floating_point():
        given = given.to(precision_of(network.parameters(), given.dtype))
    try:
        with evaluating(network), torch.inference_mode():
            outputs = task_outputs(network(given))
    except InputError:
        raise
    except Exception as error:  # whatever the code of others does
        raise InputError(
            f"the network does not take images {list(images.shape)} ({reason_of(error)}); accepted is one that does."
        ) from error
    return [OutputLook.of(name, values) for name, values in outputs.items()]


def wrong_heads(
    network: nn.Module, heads: Mapping[str, Head], image_shape: Sequence[int], *, whole: bool = False
) -> dict[str, str]:
    """Return what is wrong with each of ``heads``, a sentence by task; of those that fit, nothing.

    Each is tried alone, by a pass of sizes, where the network has one; heads that were attached are taken off. With
    ``whole``, images are of whole numbers, such as tokens.
    """
    found = {}
    detach_tasks(network)
    try:
        trial_pass(network, image_shape, whole=whole)
    except (InputError, RuntimeError, ValueError, TypeError, IndexError, AttributeError):
        return {}  # its code looks at numbers: nobody can tell by sizes
    try:
        for task, head in heads.items():
            attach_heads(network, {task: head})
            try:
                trial_pass(network, image_shape, whole=whole)
            except (InputError, RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
                found[task] = str(error) if isinstance(error, InputError) else f"task '{task}': {reason_of(error)}."
    finally:
        detach_tasks(network)
    return found
