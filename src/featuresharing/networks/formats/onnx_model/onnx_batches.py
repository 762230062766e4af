"""Graphs of files that were written for one image at a time, made to take any number of them.

Exporters that are given one image write its shapes into the graph: a reshape to [1, 196, 768]. The graph runs on the
shapes of one image and of three, and where both differ by the number of images, it follows how many there are.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from featuresharing.errors import InputError
from featuresharing.networks.formats.onnx_model.onnx_arguments import reshaped
from featuresharing.networks.formats.onnx_model.onnx_network import OnnxNetwork, Step, spend
from featuresharing.networks.precision import precision_of
from featuresharing.networks.trial import Allowance, without_numbers

SEVERAL = 3

HOW = "accepted are files of which the first size is free (torch.onnx.export(..., dynamic_shapes=({0: 'images'},)))"


def free_images(network: OnnxNetwork, shape: Sequence[int]) -> None:
    """Let a network for one image [1, *shape] take any number.

    Raises InputError, naming the operator, where it cannot.
    """
    comparison = _Comparison(network)
    values = without_numbers(comparison)
    kind = precision_of(values.values())
    images = tuple(torch.empty(count, *shape, dtype=kind, device="meta") for count in (1, SEVERAL))
    with torch.no_grad():
        functional_call(comparison, values, images)


class _Comparison(nn.Module):
    """Runs a network on one image and on several, step by step."""

    def __init__(self, network: OnnxNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, one: Tensor, several: Tensor) -> None:
        """Free the network where both differ."""
        network = self.network
        alone: dict[str, Any] = {network.image: network.entering(one)}
        together: dict[str, Any] = {network.image: network.entering(several)}
        inside: dict[str, int] = {}
        left = Allowance(one)
        for place, step in enumerate(network.steps):
            alone.update(zip(step.outputs, network.run(place, step, alone, one), strict=False))
            spend(step, alone, left)
            if _only_reshapes(step, alone):
                _free_reshape(network, place, step, alone, together, inside)
            try:
                together.update(zip(step.outputs, network.run(place, step, together, several), strict=False))
            except InputError as error:
                raise step.node.refuse(f"it takes one image at a time ({str(error).rstrip('.')}); {HOW}") from error
            _follow(step, alone, together, inside)
        for output in network.outputs:
            before, now = list(alone[output].shape), list(together[output].shape)
            if before[:1] != [1] or now != [SEVERAL, *before[1:]]:
                found = f"output '{output}' is {before} for one image, and {now} for {SEVERAL}"
                raise InputError(f"{found}; {HOW}.")


def _only_reshapes(step: Step, values: dict[str, Any]) -> bool:
    """Whether a step gives a value another shape: a reshape, or what takes all numbers of a row in their order."""
    if step.node.op == "Reshape":
        return not step.on_host
    if step.node.op != "Gather" or step.on_host or not isinstance(step.sources[1], np.ndarray):
        return False
    shape, places = values[step.node.inputs[0]].shape, step.sources[1]
    return len(shape) == 1 and np.array_equal(places.reshape(-1), np.arange(shape[0]))


def _free_reshape(
    network: OnnxNetwork,
    place: int,
    step: Step,
    alone: dict[str, Any],
    together: dict[str, Any],
    inside: dict[str, int],
) -> None:
    """Find which axis of a reshape's result follows the number of images; note it where the file does not say it."""
    name = step.node.inputs[0]
    result = list(alone[step.outputs[0]].shape)
    axis = _changed_axis(alone[name], together[name])
    if axis is None:
        return
    before = prod(alone[name].shape[:axis]) * inside.get(name, 1)
    new, within = _axis_behind(before, result)
    wanted = [size * SEVERAL if place == new else size for place, size in enumerate(result)]
    sizes = step.sources[1] if len(step.sources) > 1 else None
    given = [together[name], sizes if isinstance(sizes, np.ndarray) else together.get(str(sizes))]
    try:
        as_said = reshaped(step.node, given) if step.node.op == "Reshape" else []
    except InputError:
        as_said = []
    if as_said != wanted:
        network.freed[place] = (tuple(result), new)
    if within > 1:
        inside[step.outputs[0]] = within


def _axis_behind(before: int, sizes: Sequence[int]) -> tuple[int, int]:
    """Return the axis that images are on, and how many of its numbers come before them, given how many do in all.

    An axis of its own is preferred, then the beginning of an axis. The last axis holds features, which never grow by
    the number of images.
    """
    passed = 1
    found: list[tuple[int, int]] = []
    for axis, size in enumerate(sizes):
        if passed == before and size == 1:
            return axis, 1
        if before % passed == 0 and size % max(before // passed, 1) == 0 and before >= passed:
            found.append((axis, before // passed))
        passed *= size
    if not found:
        return 0, 1
    starts = [each for each in found if each[1] == 1 and (each[0] < len(sizes) - 1 or len(found) == 1)]
    return starts[0] if starts else found[0]


def _changed_axis(alone: Any, together: Any) -> int | None:
    """Return the axis along which values of several images are longer; None where they are not."""
    pairs = zip(alone.shape, together.shape, strict=True)
    return next((axis for axis, (before, now) in enumerate(pairs) if before != now), None)


def _follow(step: Step, alone: dict[str, Any], together: dict[str, Any], inside: dict[str, int]) -> None:
    """Note where images lie inside of an axis, for values that operators make of such ones."""
    if step.node.op == "Reshape":
        return
    within = next((inside[name] for name in step.node.inputs if name in inside), 1)
    for name in step.outputs:
        values = alone.get(name), together.get(name)
        if within > 1 and all(isinstance(value, Tensor) for value in values):
            inside[name] = within
