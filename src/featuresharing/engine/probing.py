"""Checks a trace where it was not made: on other images, and with other parameters of the layer.

What the tracer cannot see (code in other languages, numbers that leave torch by a way it does not know) would end in
the trace as a constant. So the network is recorded anew on a few images that differ as much as images can, and has to
do the same operators in the same order with the same constants; and the trace has to give the scores that it gives.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from featuresharing.engine.recording import name_of, nodes_behind, run_graph
from featuresharing.engine.tracing import NumbersSeenError, Recording, Trace, UntraceableError, record, sees_inputs
from featuresharing.errors import InputError
from featuresharing.networks.failures import reason_of
from featuresharing.networks.inputs import Inputs, to_input

CLOSENESS = {torch.float32: 1e-3, torch.float64: 1e-9}
"""By how much of the largest score the trace's may differ: far more than rounding, far less than another branch."""


def check_trace(
    network: nn.Module,
    values: Mapping[str, Tensor],
    inputs: Inputs,
    others: Inputs,
    layer: Sequence[str],
    recording: Recording,
    trace: Trace,
) -> None:
    """Raise UntraceableError if ``network`` does otherwise than ``trace``, made of its ``recording`` on ``inputs``.

    ``values`` are its parameters and buffers, ``layer`` the names of those that will change, ``others`` inputs
    like the first. Costs four passes on them: two of the network and two of the trace.
    """
    taken = {str(node.target) for node in nodes_behind(trace.graph)}
    constants = [name for name in recording.values if name not in values and name in taken]
    if sees_inputs(trace):
        others = replace(inputs, images=others.images)
    for probe, changed in _probes(inputs, others, values, layer):
        given = {**values, **changed}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numbers that no image has
                found = record(network, given, probe.clone())
        except NumbersSeenError:
            raise
        except UntraceableError:  # the network does not take such images
            continue
        except InputError as error:
            raise _refuse(network, f"outputs change their form: {reason_of(error)}") from error
        difference = _difference(recording, found, constants)
        if difference and (difference := _difference(record(network, values, inputs.clone()), found, constants)):
            raise _refuse(network, difference)  # even now that what is computed once in a process is there
        if not _gives_the_same(trace, given, probe, found) and not _gives_the_same_in_double(
            network, trace, given, probe
        ):
            raise _refuse(network, "its scores are not those of the operators that it ran")


def _probes(
    inputs: Inputs, others: Inputs, values: Mapping[str, Tensor], layer: Sequence[str]
) -> Iterator[tuple[Inputs, dict[str, Tensor]]]:
    """Yield images unlike those traced, laid out as they are in memory, and other parameters of the layer.

    Inputs beside them are those of the first images, then of ``others``: what numbers they may hold is not known.
    """
    images, last = inputs.images, others.images
    mirrored = last.flip(list(range(1, last.ndim)))
    negated = {name: -values[name].flip(0) for name in layer}
    zeros = {name: torch.zeros_like(values[name]) for name in layer}
    if images.is_floating_point():
        yield replace(inputs, images=torch.empty_like(images).copy_(-2 * mirrored)), negated
        yield replace(others, images=torch.zeros_like(images)), zeros
    else:  # numbers of tokens: others may not exist
        yield replace(inputs, images=torch.empty_like(images).copy_(mirrored)), negated
        first = last.flatten(1)[:, 0].view(-1, *[1] * (last.ndim - 1))
        yield replace(others, images=torch.empty_like(images).copy_(first.expand_as(images))), zeros


def _difference(one: Recording, other: Recording, constants: Sequence[str]) -> str | None:
    """Return how two recordings differ; None if they do the same."""
    steps = list(zip(one.steps(), other.steps(), strict=False))
    for (mine, yours), node in zip(steps, one.graph.nodes, strict=False):
        if mine != yours:
            return f"operator '{name_of(node.target)}' is not the same for all images and weights"
    if len(one.graph.nodes) != len(other.graph.nodes):
        return "some operators run for some images or weights only"
    for name in constants:
        value = one.values[name]
        if not _same(value, other.values[name]):
            return f"numbers {list(value.shape)} that come from elsewhere are not the same for all images and weights"
    return None


def _same(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape or one.layout != other.layout:
        return False
    if one.layout != torch.strided or one.is_quantized:
        return True
    return bool(((one == other) | (torch.isnan(one) & torch.isnan(other))).all())


def _gives_the_same(trace: Trace, values: Mapping[str, Tensor], inputs: Inputs, found: Recording) -> bool:
    with torch.no_grad():
        scores = run_graph(trace.graph, {**trace.values, **values}, inputs.clone())
    return are_close(scores, found.scores)


def are_close(scores: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    """Whether the scores of every task are those that are ``wanted``, up to rounding."""
    pairs = list(zip(scores, wanted, strict=True))
    if any(mine.shape != yours.shape or mine.dtype != yours.dtype for mine, yours in pairs):
        return False
    for mine, yours in pairs:
        largest = float(torch.nan_to_num(yours, nan=0, posinf=0, neginf=0).abs().max())
        bound = CLOSENESS.get(yours.dtype, 0.05) * largest
        if not torch.allclose(mine, yours, rtol=0, atol=bound, equal_nan=True):
            return False
    return True


def _gives_the_same_in_double(network: nn.Module, trace: Trace, values: Mapping[str, Tensor], inputs: Inputs) -> bool:
    """Whether the trace agrees where rounding, however the network may enlarge it, stays small."""
    if inputs.images.device.type == "mps":
        return False
    doubled = {name: _double(value) for name, value in {**trace.values, **values}.items()}
    given, inputs = {name: doubled[name] for name in values}, to_input(inputs, str(inputs.images.device), torch.float64)
    try:
        return _gives_the_same(trace, doubled, inputs, record(network, given, inputs.clone()))
    except (InputError, RuntimeError):  # one of the two has single precision for good
        return False


def _double(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value


def _refuse(network: nn.Module, difference: str) -> UntraceableError:
    name = type(network).__name__
    return UntraceableError(f"{name} cannot be traced: its Python code depends on numbers ({difference}).")
