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

Operands = Mapping[fx.Node, tuple[Any, bool]]
"""The value of each operand, and whether it is stacked (one per variant) or the same for all variants."""


def spread(function: Any, args: Any, kwargs: Any, operands: Operands) -> Any:
    """Return ``function(*args, **kwargs)`` for every variant, stacked; nodes in ``args`` stand for ``operands``."""
    nodes = list(operands)
    values = [operands[node][0] for node in nodes]
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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


@contextmanager
def _no_performance_warning() -> Iterator[None]:
    """Let operators without a rule of their own go one after the other in silence: they are as right."""
    warn: Any = torch._C._functorch._set_vmap_fallback_warning_enabled  # type: ignore[attr-defined]
    try:
        warn(False)
        yield
    finally:
        warn(True)
