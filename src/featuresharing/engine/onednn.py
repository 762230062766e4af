"""Convolutions and products of oneDNN whose weights are packed once, with what follows them in the same operator.

On CPUs, torch's own convolutions arrange their weights anew in every call, leave small ones to slow code, and write
every bias, activation and addition behind them as a value of its own. Results differ from those by rounding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from featuresharing.engine.slabs import aten
from featuresharing.engine.tracing import bind_arguments

_operators = torch.ops.mkldnn


def is_available(device: str, dtype: torch.dtype) -> bool:
    """Whether operators on ``device`` in ``dtype`` can be had in oneDNN's."""
    there = device == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there) and all(
        hasattr(_operators, name)
        for name in ("_convolution_pointwise", "_linear_pointwise", "_reorder_convolution_weight")
    )


@dataclass(frozen=True)
class Activation:
    """An activation by oneDNN's ``name``, with its ``numbers`` and, if there are several, which ``kind``."""

    name: str = "none"
    numbers: tuple[float, ...] = ()
    kind: str = ""


NO_ACTIVATION, RELU = Activation(), Activation("relu")

_PLAIN = {
    aten.relu.default: RELU,
    aten.sigmoid.default: Activation("sigmoid"),
    aten.tanh.default: Activation("tanh"),
    aten.hardswish.default: Activation("hardswish"),
    aten.hardsigmoid.default: Activation("hardsigmoid"),
    aten.silu.default: Activation("swish"),
}


def find_activation(node: fx.Node) -> Activation | None:
    """Return the activation that an operator is; None if oneDNN has none like it."""
    if node.target in _PLAIN:
        return _PLAIN[node.target]
    if node.target is aten.gelu.default:
        return Activation("gelu", kind=bind_arguments(node)["approximate"])
    if node.target is aten.leaky_relu.default:
        return Activation("leaky_relu", (bind_arguments(node)["negative_slope"],))
    if node.target is aten.hardtanh.default:
        given = bind_arguments(node)
        return Activation("hardtanh", (float(given["min_val"]), float(given["max_val"])))
    return None


Packed = Callable[[Tensor, Tensor | None], Tensor]
"""Returns the result for what an operator takes, and for what is added to it before its activation, if anything is."""


def pack_convolution(
    weight: Tensor,
    bias: Tensor | None,
    geometry: tuple[Sequence[int], Sequence[int], Sequence[int], int],
    activation: Activation,
) -> Packed:
    """Return a convolution in two dimensions with ``weight`` [units, channels of a group, rows, columns].

    ``geometry`` are stride, padding, dilation and groups. It takes images [N, channels, rows, columns]; their results
    lie in memory with channels last. Where something is added, the activation is none or ReLU.
    """
    stride, padding, dilation, groups = geometry
    packed = _operators._reorder_convolution_weight(weight, padding, stride, dilation, groups)
    numbers = list(activation.numbers)

    def compute(images: Tensor, added: Tensor | None = None) -> Any:
        images = images.contiguous(memory_format=torch.channels_last)
        if added is None:
            return _operators._convolution_pointwise(
                images, packed, bias, padding, stride, dilation, groups, activation.name, numbers, activation.kind
            )
        added = added.contiguous(memory_format=torch.channels_last)
        behind = None if activation == NO_ACTIVATION else activation.name
        return _operators._convolution_pointwise.binary(
            images, added, packed, bias, padding, stride, dilation, groups, "add", 1.0, behind, [], ""
        )

    return compute


def pack_product(matrix: Tensor, bias: Tensor | None, activation: Activation) -> Packed:
    """Return the product of rows [M, inputs] with a ``matrix`` [inputs, outputs], and a ``bias`` [outputs].

    Where something is added, there is no activation.
    """
    packed = _operators._reorder_linear_weight(matrix.T.contiguous())
    numbers = list(activation.numbers)

    def compute(rows: Tensor, added: Tensor | None = None) -> Any:
        rows = rows.contiguous()
        if added is None:
            return _operators._linear_pointwise(rows, packed, bias, activation.name, numbers, activation.kind)
        return _operators._linear_pointwise.binary(rows, added.contiguous(), packed, bias, "add")

    return compute
