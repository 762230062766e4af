"""Tasks of any network: a hook on it turns what it returns into raw scores, one [images, classes] a task.

The network's modules keep their names, and its own code stays as it is. Whoever calls it gets a dict of scores by task.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featuresharing.arguments import kind_of
from featuresharing.errors import InputError
from featuresharing.networks.heads import BINARY, MEAN, Head
from featuresharing.networks.outputs import task_outputs
from featuresharing.networks.probe_reading import Reading
from featuresharing.networks.probes import Probe
from featuresharing.networks.wrappers import unwrap
from featuresharing.settings.experiment_settings import PROBABILITIES, SIGMOID, SIGMOID_SCORE

ROUNDING = 1e-3
"""How far a sum of probabilities may be from 1, in half precision too."""

Network = TypeVar("Network", bound=nn.Module)


class TaskScores:
    """A forward hook that returns raw scores by task, in the order of ``tasks``.

    ``heads`` say what a task takes of the outputs, ``probes`` from which features it is computed by buffers of the
    network.
    """

    def __init__(self, tasks: Sequence[str], heads: Mapping[str, Head], probes: Mapping[str, Reading]) -> None:
        self.tasks, self.heads, self.probes = tuple(tasks), dict(heads), dict(probes)

    def __call__(self, network: nn.Module, images: Any, result: Any) -> dict[str, Tensor]:
        """Return the raw scores [N, classes] of every task."""
        outputs = task_outputs(result) if self.heads else {}
        scores = {task: head_scores(task, head, outputs) for task, head in self.heads.items()}
        for number, (task, reading) in enumerate(self.probes.items()):
            weight, bias = (getattr(network, name) for name in _buffers(number))
            scores[task] = F.linear(reading.take().to(weight.dtype), weight, bias)
        return {task: scores[task] for task in self.tasks}

    def described(self) -> str:
        """Return all that scores depend on beside parameters and buffers, as a text."""
        readings = {task: (each.layer, each.side, each.pooling) for task, each in self.probes.items()}
        return f"{self.heads} {readings or ''} {self.tasks}"


def _buffers(number: int) -> tuple[str, str]:
    """Return the names of a probe's buffers: a child module would be run by a Sequential."""
    return f"_probe_weight_{number}", f"_probe_bias_{number}"


def attach_heads(network: Network, heads: Mapping[str, Head]) -> Network:
    """Let a network return raw scores by task from now on, in the order of ``heads``; return the network.

    Heads and probes that were attached before are replaced. Wrappers such as DataParallel are looked through. Raises
    InputError for no heads, and for what is none; a pass raises it where an output is not what its head says.

    >>> import copy
    >>> attached = attach_heads(copy.deepcopy(network), {"first two words": Head("word", columns=(0, 1))})
    >>> predict(attached, images)[0]
    ('first two words',)
    """
    _check_tasks("heads", heads, Head)
    return _attach(network, tuple(heads), heads, {})


def attach_probes(network: Network, probes: Mapping[str, Probe], tasks: Sequence[str] | None = None) -> Network:
    """Let a network return the raw scores of probes, behind those of its heads if such are attached; return it.

    Without heads, what the network itself returns is left out. ``tasks`` says another order of all tasks. Probes that
    were attached before are replaced. Their weights become buffers of the network, but for its state dict: whatever is
    marginalized out in front of their features moves their scores. A layer behind these is none of such a task: units
    contribute nothing to it. Raises InputError for probes that do not fit the network.

    >>> import copy
    >>> probe = Probe("hidden", np.eye(2, 6), np.zeros(2))
    >>> predict(attach_probes(copy.deepcopy(network), {"colour": probe}), images)[0]
    ('colour',)
    """
    _check_tasks("probes", probes, Probe)
    before = attached_to(network)
    heads = before.heads if before else {}
    if double := next((task for task in probes if task in heads), None):
        raise InputError(f"probes: found task '{double}', which a head has; accepted are other names.")
    order = tuple([*heads, *probes] if tasks is None else tasks)
    if sorted(order) != sorted([*heads, *probes]):
        raise InputError(f"tasks: found {', '.join(order)}; accepted is an order of {', '.join([*heads, *probes])}.")
    return _attach(network, order, heads, probes)


def _attach(network: Network, tasks: Sequence[str], heads: Mapping[str, Head], probes: Mapping[str, Probe]) -> Network:
    inside, _ = unwrap(network)
    detach_tasks(inside)
    readings = {task: Reading(probe.layer, probe.side, probe.pooling) for task, probe in probes.items()}
    dtype = next((value.dtype for value in inside.parameters() if value.dtype == torch.float64), torch.float32)
    device = next((value.device for value in inside.parameters()), torch.device("cpu"))
    for reading in readings.values():
        reading.check(inside)
    for number, (probe, reading) in enumerate(zip(probes.values(), readings.values(), strict=True)):
        reading.attach(inside)
        for name, values in zip(_buffers(number), (probe.weight, probe.bias), strict=True):
            inside.register_buffer(name, torch.tensor(values, dtype=dtype, device=device), persistent=False)
    inside.register_forward_hook(TaskScores(tasks, heads, readings))
    return network


def detach_tasks(network: nn.Module) -> None:
    """Take heads and probes off a network, which then returns what its own code does."""
    inside, _ = unwrap(network)
    for module in inside.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            own = [
                key for key, hook in hooks.items() if isinstance(getattr(hook, "__self__", hook), TaskScores | Reading)
            ]
            for key in own:
                del hooks[key]
    for name in [name for name in inside._buffers if name.startswith(("_probe_weight_", "_probe_bias_"))]:
        delattr(inside, name)


def _check_tasks(name: str, given: Any, kind: type) -> None:
    """Raise InputError unless ``given`` is a dict with one of a ``kind`` for the name of each task, one at least."""
    if not isinstance(given, Mapping) or not given:
        found = given if given == {} else kind_of(given)
        raise InputError(f"{name}: found {found}; accepted is a dict of a {kind.__name__} for each task.")
    for task, each in given.items():
        if not isinstance(task, str) or not isinstance(each, kind):
            accepted = f"accepted is a {kind.__name__} for the name of each task"
            raise InputError(f"{name}: found {task!r}: {kind_of(each)}; {accepted}.")


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
