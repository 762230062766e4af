"""Tasks of any network: a hook on it turns what it returns into raw scores, one [images, classes] a task.

The network's modules keep their names, and its own code stays as it is. Whoever calls it gets a dict of scores by task.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from featuresharing.arguments import kind_of
from featuresharing.errors import InputError
from featuresharing.networks.heads import (
    BINARY,
    MEAN,
    PROBABILITIES,
    SIGMOID,
    SIGMOID_SCORE,
    Head,
)
from featuresharing.networks.outputs import task_outputs
from featuresharing.networks.wrappers import unwrap

ROUNDING = 1e-3
"""How far a sum of probabilities may be from 1, in half precision too."""

Network = TypeVar("Network", bound=nn.Module)


class TaskScores:
    """A forward hook that returns raw scores by task; ``heads`` say what each task takes of the outputs."""

    def __init__(self, heads: Mapping[str, Head]) -> None:
        self.heads = dict(heads)

    def __call__(self, network: nn.Module, images: Any, result: Any) -> dict[str, Tensor]:
        """Return the raw scores [N, classes] of every task."""
        outputs = task_outputs(result)
        return {task: head_scores(task, head, outputs) for task, head in self.heads.items()}

    def described(self) -> str:
        """Return all that scores depend on beside parameters and buffers, as a text."""
        return repr(self.heads)


def attach_heads(network: Network, heads: Mapping[str, Head]) -> Network:
    """Let a network return raw scores by task from now on, in the order of ``heads``; return the network.

    Heads that were attached before are replaced. Wrappers such as DataParallel are looked through. Raises InputError
    for no heads, and for what is none; a pass raises it where an output is not what its head says.

    >>> from featuresharing.networks.heads import Head
    >>> import copy
    >>> attached = attach_heads(copy.deepcopy(network), {"first two words": Head("word", columns=(0, 1))})
    >>> predict(attached, images)[0]
    ('first two words',)
    """
    if not isinstance(heads, Mapping) or not heads:
        raise InputError(
            f"heads: found {heads if heads == {} else kind_of(heads)}; accepted is a dict of a Head a task."
        )
    for task, head in heads.items():
        if not isinstance(task, str) or not isinstance(head, Head):
            raise InputError(f"heads: found {task!r}: {kind_of(head)}; accepted is a Head for the name of each task.")
    inside, _ = unwrap(network)
    hooks = inside._forward_hooks
    for key in [key for key, hook in hooks.items() if isinstance(hook, TaskScores)]:
        del hooks[key]
    inside.register_forward_hook(TaskScores(heads))
    return network


def attached_to(network: nn.Module) -> TaskScores | None:
    """Return the hook by which a network returns scores by task; None for one that returns what its own code does."""
    inside, _ = unwrap(network)
    return next((hook for hook in inside._forward_hooks.values() if isinstance(hook, TaskScores)), None)


def refuse_head(network: nn.Module, task: str, image: int) -> InputError | None:
    """Return the error for an image on which a task's output is not the probability that its head says, else None.

    Scores are NaN there; None stands for heads that say something else, and for networks without heads.
    """
    tasks = attached_to(network)
    head = tasks.heads.get(task) if tasks else None
    if head is None or head.returns not in (PROBABILITIES, SIGMOID):
        return None
    summing = "" if head.returns == SIGMOID else " that sum up to 1"
    return InputError(
        f"task '{task}', returns: {head.returns}: found no probabilities on image {image}; accepted are numbers from 0 "
        f"to 1{summing}, or a head that says what its output returns."
    )


def head_scores(task: str, head: Head, outputs: Mapping[str, Any]) -> Tensor:
    """Return the raw scores [N, classes] of a task out of ``outputs`` by name; raises InputError where it has none."""
    name, values = _output(task, head, outputs)
    if not isinstance(values, Tensor) or not values.is_floating_point() or values.ndim == 0:
        kind = f"{values.dtype} {list(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise InputError(
            f"task '{task}': output '{name}' is {kind}; accepted are floating-point numbers [images, ...]."
        )
    if values.ndim == 1:
        if head.returns not in BINARY:
            raise InputError(
                f"task '{task}': output '{name}' is [images], one number an image; accepted are [images, classes], or "
                f"returns: {SIGMOID_SCORE} or {SIGMOID} for two classes."
            )
        values = values[:, None]
    columns = _columns(task, head, name, values)
    scores = _raw(head, columns)
    return scores if scores.ndim == 2 and head.reduce in (None, MEAN) else _reduced(task, head, name, scores)


def _output(task: str, head: Head, outputs: Mapping[str, Any]) -> tuple[str, Any]:
    names = list(outputs)
    if isinstance(head.output, str):
        name = head.output if head.output in outputs else None
    else:
        name = names[head.output] if head.output < len(names) else None
    if name is None:
        listed = ", ".join(f"'{each}'" for each in names)
        raise InputError(
            f"task '{task}': the network has no output {head.output!r}; accepted are the places 0 to {len(names) - 1} "
            f"or the names {listed}."
        )
    return name, outputs[name]


def _columns(task: str, head: Head, name: str, values: Tensor) -> Tensor:
    count = values.shape[1]
    if head.columns is not None:
        if max(head.columns) >= count:
            raise InputError(
                f"task '{task}': output '{name}' has no column {max(head.columns)}; accepted are 0 to {count - 1}."
            )
        return values.index_select(1, torch.tensor(head.columns, device=values.device))
    if head.returns in BINARY and count != 1:
        raise InputError(
            f"task '{task}': output '{name}' has {count} columns, and a {head.returns} is one; "
            "accepted is columns: with the place of one."
        )
    return values


def _raw(head: Head, values: Tensor) -> Tensor:
    """Return what is given of a head [N, classes, ...] as raw scores; what are no probabilities become NaN."""
    if head.returns == PROBABILITIES:
        wrong = _no_probability(values)
        if head.columns is None:
            wrong = wrong | ((values.sum(dim=1, keepdim=True) - 1).abs() > ROUNDING)
        return _log(values).masked_fill(wrong, torch.nan)
    if head.returns == SIGMOID:
        values = (_log(values) - _log(1 - values)).masked_fill(_no_probability(values), torch.nan)
    return torch.cat([torch.zeros_like(values), values], dim=1) if head.returns in BINARY else values


def _no_probability(values: Tensor) -> Tensor:
    return (values < 0) | (values > 1 + ROUNDING)


def _log(values: Tensor) -> Tensor:
    """Return logarithms of probabilities, that of 0 as of the smallest number that is not 0: scores stay finite."""
    return values.clamp_min(torch.finfo(values.dtype).tiny).log()


def _reduced(task: str, head: Head, name: str, scores: Tensor) -> Tensor:
    sizes = list(scores.shape[2:])
    if head.reduce is None:
        raise InputError(
            f"task '{task}': output '{name}' is a map of scores, at {sizes} positions; accepted is "
            f"reduce: {MEAN}, which averages scores over positions, or reduce: {[0] * len(sizes)}, which takes "
            "one position."
        )
    if head.reduce == MEAN:
        return scores.flatten(2).mean(dim=2)
    place = [int(each) for each in head.reduce]
    if len(place) != len(sizes) or any(each >= size for each, size in zip(place, sizes, strict=True)):
        raise InputError(
            f"task '{task}': output '{name}' has no position {place}; accepted are {len(sizes)} places below {sizes}."
        )
    where: tuple[int | slice, ...] = (slice(None), slice(None), *place)
    return scores[where]
