"""Apply an operator to many variants of its operands at once.

Variants are stacked along a first axis: a value [N, ...] of the trace becomes [B, N, ...]. ``torch.func.vmap`` folds
that axis into the operator's own batch axis where the operator has one, and gives every operator its meaning on one
variant.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch.func import vmap
from torch.utils._pytree import tree_map

from featuresharing.networks.failures import is_out_of_memory


def operators(*names: str) -> list[Any]:
    """Return operators by ``name.overload``; versions of torch that lack one go without."""
    found = []
    for name in names:
        packet, _, overload = name.partition(".")
        operator = getattr(getattr(torch.ops.aten, packet, None), overload or "default", None)
        if operator is not None:
            found.append(operator)
    return found


LAYOUT_FREE = frozenset(
    operators(
        *("convolution", "addmm", "mm", "bmm", "baddbmm", "cat", "clone", "_to_copy", "native_batch_norm", "hardswish"),
        *("reshape", "permute", "transpose.int", "t", "expand", "slice.Tensor", "select.int", "squeeze.dim"),
        *("squeeze.dims", "unsqueeze", "mean.dim", "sum.dim_IntList", "amax", "amin", "max_pool2d_with_indices"),
        *("avg_pool2d", "_adaptive_avg_pool2d", "upsample_nearest2d", "upsample_bilinear2d"),
    )
)
"""Operators, beside those element by element, that are right and fast for channels-last and other layouts."""

TAKES_ROWS = frozenset(operators("_scaled_dot_product_flash_attention_for_cpu"))
"""Operators that are right for any layout whose last axis lies together in memory; wrong, in silence, for others."""

Operands = Mapping[fx.Node, tuple[Any, bool]]
"""The value of each operand, and whether it is stacked (one per variant) or the same for all variants."""


def spread(function: Any, args: Any, kwargs: Any, operands: Operands) -> Any:
    """Return ``function(*args, **kwargs)`` for every variant, stacked; nodes in ``args`` stand for ``operands``."""
    nodes = list(operands)
    values = [as_traced(function, operands[node][0]) for node in nodes]
    stacked = [operands[node][1] for node in nodes]

    def call(*tensors: Tensor) -> Any:
        table = dict(zip(nodes, tensors, strict=True))
        given = fx.node.map_arg(args, table.__getitem__)
        return function(*given, **fx.node.map_arg(kwargs, table.__getitem__))

    try:
        with _no_performance_warning():
            return vmap(call, in_dims=tuple(0 if each else None for each in stacked))(*values)
    except (RuntimeError, ValueError) as error:  # no rule for many variants at once: one after the other
        if is_out_of_memory(error):
            raise
    count = next(len(value) for value, each in zip(values, stacked, strict=True) if each)
    results = [
        call(*(value[index] if each else value for value, each in zip(values, stacked, strict=True)))
        for index in range(count)
    ]
    return tree_map(lambda *parts: torch.stack(parts) if isinstance(parts[0], Tensor) else parts[0], *results)


def is_pointwise(function: Any) -> bool:
    """Whether an operator works element by element."""
    return torch.Tag.pointwise in getattr(function, "tags", ())


def as_traced(function: Any, value: Any) -> Any:
    """Return an operand as an operator expects it: contiguous, unless it takes the layout that it has in memory."""
    if not isinstance(value, Tensor) or function in LAYOUT_FREE or is_pointwise(function):
        return value
    return value if function in TAKES_ROWS and value.stride(-1) == 1 else value.contiguous()


@contextmanager
def _no_performance_warning() -> Iterator[None]:
    """Let operators without a rule of their own go one after the other in silence: they are as right."""
    warn: Any = torch._C._functorch._set_vmap_fallback_warning_enabled  # type: ignore[attr-defined]
    try:
        warn(False)
        yield
    finally:
        warn(True)
