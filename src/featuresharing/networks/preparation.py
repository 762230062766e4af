"""What every analysis asks of a network and images before it begins: the same questions, the same sentences.

A network enters an analysis through :func:`prepare`, which runs it on the first and the last image, together and each
alone. So whatever is wrong with it, with the images or with what it returns is said once, in the same words, whichever
function or engine is called.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from featuresharing.computation import Computation
from featuresharing.errors import InputError
from featuresharing.networks.failures import reason_of
from featuresharing.networks.finite import first_not_finite
from featuresharing.networks.forward import computing, network_values, score_images
from featuresharing.networks.inputs import Inputs, as_inputs
from featuresharing.networks.outputs import check_classes, first_undefined, refuse_probabilities, refuse_undefined
from featuresharing.networks.precision import precision_of
from featuresharing.networks.task_scores import refuse_head
from featuresharing.networks.wrappers import unwrap
from featuresharing.settings import MarginalizationSettings, check

ROUNDING = 1e-4
"""What the size of a batch may change by rounding, in float64 too: some networks compute parts in float32."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network without wrappers, and ``inputs`` of N images that it takes, to be computed on ``device`` in ``dtype``.

    ``values`` are its parameters and buffers by name, there and in that precision. ``tasks`` are the names of its
    outputs, and ``classes`` the number of scores of each.
    """

    network: nn.Module
    values: Mapping[str, Tensor]
    inputs: Inputs
    device: str
    dtype: torch.dtype
    tasks: tuple[str, ...]
    classes: tuple[int, ...]


def prepare(
    network: nn.Module,
    images: Any,
    computation: Computation | None = None,
    *,
    inputs: Any = None,
    softmax: bool = True,
) -> Prepared:
    """Check that a network, images and a computation fit together; ``softmax`` says whether scores will go through one.

    ``inputs`` are other arguments of the forward pass by name (:func:`.inputs.as_inputs`; None: there are none).

    Raises InputError for what :func:`check_network` refuses; for images that are no finite array or that the network
    does not take; for outputs that are not finite raw scores [images, classes]; for one class where softmax is wanted;
    for scores that depend on the other images of a batch, or on chance; and where softmax is wanted, for outputs that
    are probabilities already.
    """
    inside = check_network(network, inputs if isinstance(inputs, Mapping) else {})
    settings = computation or Computation()
    device = str(settings.device)
    check_device(device)
    precision = choose_precision(inside, settings.dtype)
    given = as_inputs(images, inputs)
    with computing():
        values = network_values(inside, device, precision)
        scores = _examine(inside, values, given, device, precision)
    tasks, classes = tuple(scores), tuple(task.shape[1] for task in scores.values())
    if softmax:
        check_classes(tasks, classes)
        refuse_probabilities(scores)
    return Prepared(inside, values, given, device, precision, tasks, classes)


def choose_precision(network: nn.Module, dtype: str | None = None) -> torch.dtype:
    """Return the precision by name; None stands for float64 for networks in float64, and float32 for all others."""
    if dtype is not None:
        check(MarginalizationSettings, "dtype", dtype)
        return torch.float64 if dtype == "float64" else torch.float32
    return torch.float64 if precision_of(network.parameters()) == torch.float64 else torch.float32


def check_device(device: str) -> None:
    """Raise InputError for a device that is not there."""
    try:
        found = torch.empty(0, device=device).device.type
        reason = "tensors without values" if found == "meta" else None
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        reason = reason_of(error)
    if reason:
        raise InputError(f"device '{device}' cannot be used ({reason}); accepted are cpu, and cuda or mps with a GPU.")


def check_network(network: nn.Module, inputs: Mapping[str, Any] | None = None) -> nn.Module:
    """Return the network without wrappers such as DataParallel; raises InputError for one that cannot be analysed.

    That is one which is no torch.nn.Module or is TorchScript, takes other arguments than images and ``inputs`` by name,
    has parameters without values or that are not finite, or normalises with the statistics of a batch.
    """
    inside, _ = unwrap(network)
    kind = type(inside).__name__
    for module in inside.modules():
        if dotted := next((child for child in module._modules if "." in child), None):
            raise InputError(f"{kind}: module '{dotted}' has a dot in its own name; accepted are names without.")
    _check_arguments(inside, inputs or {})
    for name, parameter in inside.named_parameters():
        _check_values(f"parameter '{name}'", parameter)
    for name, value in inside.named_buffers():
        if is_lazy(value) or value.is_meta or name.rpartition(".")[2] in ("running_mean", "running_var"):
            _check_values(f"buffer '{name}'", value)
    for name, module in inside.named_modules():
        if isinstance(module, _BatchNorm) and (module.running_mean is None or module.running_var is None):
            raise InputError(
                f"{type(module).__name__} '{name}' has no running statistics, so that predictions depend on which "
                "images are in a batch; accepted are networks that treat every image by itself."
            )
    return inside


def _check_arguments(network: nn.Module, inputs: Mapping[str, Any]) -> None:
    try:
        parameters = list(inspect.signature(network.forward).parameters.values())
    except (TypeError, ValueError):  # functions of C++ do not tell
        return
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_name = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_name = [name for name in by_name if not positional or name != positional[0].name]
    kind = type(network).__name__
    if not positional and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise InputError(f"{kind} takes no images: its forward pass has no arguments; accepted is one that takes them.")
    unknown = next((name for name in inputs if name not in by_name), None)
    if unknown is not None and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        accepted = f"accepted are {', '.join(by_name)}" if by_name else "accepted are none beside images"
        raise InputError(f"inputs: {kind} takes no argument '{unknown}'; {accepted}.")
    needed = [p.name for p in positional if p.default is p.empty]
    needed += [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    first = positional[0].name if positional else None
    missing = [name for name in needed if name not in inputs and name != first]
    if missing:
        given = ", ".join(f"'{name}': ..." for name in missing)
        others = f"others that do not change by name: inputs={{{given}}}"
        if not set(missing) <= set(by_name):
            others = f"others by name; put the network into a module that gives it {' and '.join(missing)}"
        raise InputError(
            f"{kind} takes more than images: its forward pass needs {', '.join(needed)}; "
            f"accepted is one argument, and {others}."
        )


def _check_values(what: str, value: Tensor) -> None:
    if is_lazy(value):
        raise InputError(f"{what} has no shape yet; accepted are networks that have seen images: run it on some once.")
    if value.is_meta:
        raise InputError(f"{what} is on the meta device; accepted are networks whose weights have values.")
    first = first_not_finite(value)
    if first is None:
        return
    place = f" at unit {first[0]}" if first else ""
    found = "NaN" if bool(torch.isnan(value.detach()[first])) else "an infinite number"
    raise InputError(f"{what}: found {found}{place}; accepted are finite numbers.")


def _examine(
    network: nn.Module, values: Mapping[str, Tensor], inputs: Inputs, device: str, dtype: torch.dtype
) -> Mapping[str, Tensor]:
    """Return the raw scores of the first and the last image, which are the same for each alone."""
    positions = [0, len(inputs) - 1][: len(inputs)]
    pair = inputs[positions]

    def run(part: Inputs) -> dict[str, Tensor]:
        return score_images(network, values, part, device=device, dtype=dtype, total=len(inputs))

    with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
        together = run(pair)
        for task, scores in together.items():
            if (undefined := first_undefined(scores)) is not None:
                raise refuse_head(network, task, positions[undefined]) or refuse_undefined(task, positions[undefined])
        alone = [run(image) for image in pair.split(1)]  # of a single image, the same once more
        if other := next((part for part in alone if _form(part) != _form(together)), None):
            raise InputError(
                f"outputs: found {', '.join(_form(together))} on two images and {', '.join(_form(other))} on one; "
                "accepted are networks that treat every image by itself."
            )
        difference = _difference(together, alone)
        if difference and _difference(run(pair), [together]):
            raise InputError(
                f"{type(network).__name__} draws random numbers at evaluation: the same images give other scores; "
                "accepted are none."
            )
        if difference:
            task, size = difference
            raise InputError(
                f"output '{task}': scores of an image change by {size:.2g} with the other images of its batch; "
                "accepted are networks that treat every image by itself."
            )
    return together


def _form(scores: Mapping[str, Tensor]) -> list[str]:
    return [f"'{task}' [images, {values.shape[1]}]" for task, values in scores.items()]


def _difference(together: Mapping[str, Tensor], parts: list[dict[str, Tensor]]) -> tuple[str, float] | None:
    """Return the first task whose scores on two images differ from those of parts, and by how much.

    Rounding is no difference: it is small compared with the scores, or moves no prediction.
    """
    for task, scores in together.items():
        others = torch.cat([part[task] for part in parts])
        finite = [torch.nan_to_num(values, neginf=0.0) for values in (scores, others)]
        size = float((finite[0] - finite[1]).abs().max())
        moved = (torch.softmax(scores, dim=-1) - torch.softmax(others, dim=-1)).abs().max()
        relative = size > ROUNDING * float(finite[0].abs().max())
        if relative and (scores.shape[1] == 1 or not float(moved) <= ROUNDING):
            return task, size
    return None
