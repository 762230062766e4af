"""Checks a trace where it was not made: on other images, and with other parameters of the layer.

What the tracer cannot see (code in other languages, numbers that leave torch by a way it does not know) would end in
the trace as a constant. So the network is recorded anew on a few images that differ as much as images can, and has to
do the same operators in the same order with the same constants; and the trace has to give the scores that it gives.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from featuresharing.errors import InputError
from featuresharing.marginal.recording import run_graph
from featuresharing.marginal.tracing import PLAIN, NumbersSeenError, Recording, Trace, make_trace, record

CLOSENESS = {torch.float32: 1e-3, torch.float64: 1e-9}
"""By how much of the largest score the trace's may differ: far more than rounding, far less than another branch."""


def check_trace(
    network: nn.Module,
    values: Mapping[str, Tensor],
    images: Tensor,
    others: Tensor,
    layer: Sequence[str],
    recording: Recording,
    trace: Trace,
) -> None:
    """Raise InputError if ``network`` does otherwise than ``trace``, which comes from its ``recording`` on ``images``.

    ``values`` are its parameters and buffers, ``layer`` the names of those that will change, ``others`` [N, ...] images
    like the first. Costs four passes on them: two of the network and two of the trace.
    """
    for probe, changed in _probes(images, others, values, layer):
        given = {**values, **changed}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numbers that no image has
                found = record(network, given, probe.clone())
        except NumbersSeenError:
            raise
        except InputError:  # the network does not take such images
            continue
        difference = _difference(recording, found)
        if difference and (difference := _difference(record(network, values, images.clone()), found)):
            raise _refuse(network, difference)  # even now that what is computed once in a process is there
        if not _gives_the_same(trace, given, probe, found) and not _gives_the_same_in_double(network, given, probe):
            raise _refuse(network, "its scores are not those of the operators that it ran")


def _probes(
    images: Tensor, others: Tensor, values: Mapping[str, Tensor], layer: Sequence[str]
) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    """Yield images unlike those traced, laid out as they are in memory, and other parameters of the layer."""
    mirrored = others.flip(list(range(1, others.ndim)))
    negated = {name: -values[name].flip(0) for name in layer}
    zeros = {name: torch.zeros_like(values[name]) for name in layer}
    if images.is_floating_point():
        yield torch.empty_like(images).copy_(-2 * mirrored), negated
        yield torch.zeros_like(images), zeros
    else:  # numbers of tokens: others may not exist
        yield torch.empty_like(images).copy_(mirrored), negated
        yield torch.empty_like(images).copy_(others), zeros


def _difference(one: Recording, other: Recording) -> str | None:
    """Return how two recordings differ; None if they do the same."""
    steps = list(zip(one.steps(), other.steps(), strict=False))
    for (mine, yours), node in zip(steps, one.graph.nodes, strict=False):
        if mine != yours:
            return f"operator '{_name(node.target)}' is not the same for all images and weights"
    if len(one.graph.nodes) != len(other.graph.nodes):
        return "some operators run for some images or weights only"
    for name, value in one.values.items():
        if name.startswith("constant_") and not _same(value, other.values[name]):
            return f"numbers {list(value.shape)} that come from elsewhere are not the same for all images and weights"
    return None


def _name(target: object) -> str:
    return target._schema.name.partition("::")[2] if isinstance(target, torch._ops.OpOverload) else str(target)


def _same(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape or one.layout != other.layout:
        return False
    if one.layout != torch.strided or one.is_quantized:
        return True
    return bool(((one == other) | (torch.isnan(one) & torch.isnan(other))).all())


def _gives_the_same(trace: Trace, values: Mapping[str, Tensor], images: Tensor, found: Recording) -> bool:
    with torch.no_grad():
        scores = run_graph(trace.graph, {**trace.values, **values}, images.clone())
    pairs = list(zip(scores, found.scores, strict=True))
    if any(mine.shape != yours.shape or mine.dtype != yours.dtype for mine, yours in pairs):
        return False
    for mine, yours in pairs:
        largest = float(torch.nan_to_num(yours, nan=0, posinf=0, neginf=0).abs().max())
        bound = CLOSENESS.get(yours.dtype, 0.05) * largest
        if not torch.allclose(mine, yours, rtol=0, atol=bound, equal_nan=True):
            return False
    return True


def _gives_the_same_in_double(network: nn.Module, values: Mapping[str, Tensor], images: Tensor) -> bool:
    """Whether the trace agrees where rounding, however the network may enlarge it, stays small."""
    if images.device.type == "mps":
        return False
    doubled = {name: value.double() if value.is_floating_point() else value for name, value in values.items()}
    images = images.double() if images.is_floating_point() else images
    try:
        found = record(network, doubled, images.clone())
        return _gives_the_same(make_trace(network, found, images.clone()), doubled, images, found)
    except InputError:
        return False


def _refuse(network: nn.Module, difference: str) -> InputError:
    name = type(network).__name__
    return InputError(f"{name} cannot be traced: its Python code depends on numbers ({difference}); {PLAIN}.")
