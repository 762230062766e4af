"""What a network returns: named raw scores, one [images, classes] a task, whatever containers hold them."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from featuresharing.errors import InputError

ACCEPTED = "accepted are raw scores [images, classes]"
BINARY = (
    "a head with one score s for two classes has to give [0, s] for each image, which Head(returns='sigmoid-score') "
    "makes of it"
)

SURE = 1e-5
"""How far from 1 sums of what is taken for probabilities may be."""


def task_outputs(result: Any) -> dict[str, Any]:
    """Name a network's outputs: a tensor is task "0", a list or tuple counts from "0".

    A dict keeps its keys; named tuples and dataclasses keep the names of their fields. Containers in containers join
    names by dots. What is None is left out, and whatever a ModelOutput of Hugging Face holds beside logits. Raises
    InputError for two outputs of one name, or none at all.
    """
    named: dict[str, Any] = {}
    for name, value in _leaves(result, ()):
        if name in named:
            raise InputError(f"output '{name}': found two of that name; accepted are outputs of different names.")
        named[name] = value
    if not named:
        raise InputError("outputs: found none; accepted are raw scores [images, classes], one tensor a task.")
    return named


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    parts = _parts(value)
    if parts is None:
        if value is not None:
            yield ".".join(path) or "0", value
        return
    for name, part in parts:
        yield from _leaves(part, (*path, str(name)))


def _parts(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return names and parts of a container; None for what is no container.

    Of a ModelOutput of Hugging Face these are its logits, if it has any: beside them it may hold hidden states,
    attention and caches.
    """
    if isinstance(value, Mapping):
        scores = (
            [(name, part) for name, part in value.items() if "logits" in str(name)] if _is_model_output(value) else []
        )
        return scores or value.items()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return zip(value._fields, value, strict=True)
    if isinstance(value, tuple | list):
        return enumerate(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def _is_model_output(value: Any) -> bool:
    return any(kind.__name__ == "ModelOutput" for kind in type(value).__mro__)


def raw_scores(result: Any, images: int) -> dict[str, Tensor]:
    """Return the outputs of a pass on so many ``images`` by name, each a floating-point tensor [images, classes].

    Raises InputError that names the first one which is something else.
    """
    outputs = task_outputs(result)
    others = "; attach_heads can leave other outputs out" if len(outputs) > 1 else ""
    for task, scores in outputs.items():
        if found := _no_scores(scores, images):
            raise InputError(f"output '{task}': found {found}; {ACCEPTED}{others}.")
        if scores.ndim == 1:
            raise InputError(f"output '{task}': found [images], one number an image; {ACCEPTED}: {BINARY}.")
    return outputs


def _no_scores(scores: Any, images: int) -> str | None:
    """Return what is no floating-point tensor [images, classes] or [images], in words."""
    if not isinstance(scores, Tensor):
        return type(scores).__name__
    if scores.ndim == 0 or len(scores) != images:
        return f"{list(scores.shape)} on {images} images"
    sizes = f"[{', '.join(['images', *map(str, scores.shape[1:])])}]"
    if not scores.is_floating_point():
        return f"{str(scores.dtype).removeprefix('torch.')} {sizes}"
    return sizes if scores.ndim > 2 or scores.shape[-1] == 0 else None


def check_classes(tasks: Sequence[str], classes: Sequence[int]) -> None:
    """Raise InputError for a task of one class: softmax gives it probability 1 whatever the network does."""
    for task, count in zip(tasks, classes, strict=True):
        if count < 2:
            raise InputError(
                f"output '{task}': found 1 class, whose softmax is always 1; accepted are two classes or more: "
                f"{BINARY}."
            )


def refuse_probabilities(scores: Mapping[str, Tensor]) -> None:
    """Raise InputError if scores [N, classes] of a task are probabilities: softmax would be applied a second time.

    That is if on two images or more no score is negative and each image's sum up to 1: raw scores hardly ever do.
    """
    for task, values in scores.items():
        if len(values) > 1 and bool((values >= 0).all() & ((values.sum(dim=1) - 1).abs() < SURE).all()):
            raise InputError(
                f"output '{task}': found probabilities, which sum up to 1 for each image; accepted are raw scores, "
                "or a head that says so: returns: probabilities in a config, attach_heads with "
                "Head(returns='probabilities') in Python."
            )


def first_undefined(scores: Tensor) -> int | None:
    """Return the first image whose scores [..., images, classes] have no softmax.

    That is where one is NaN or infinite, but for -inf: that rules a class out, unless all are.
    """
    undefined = torch.isnan(torch.softmax(scores, dim=-1)).any(dim=-1)
    return int(undefined.nonzero()[0, -1]) if bool(undefined.any()) else None


def refuse_undefined(task: str, image: int) -> InputError:
    """Return the error for an image on which a task's scores are NaN or infinite."""
    return InputError(
        f"output '{task}': found scores that are NaN or infinite on image {image}; accepted are finite numbers."
    )
