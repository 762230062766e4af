"""Operators on operands that lie in memory in another order than their axes."""

from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from featuresharing.engine.stacking import LAYOUT_FREE, TAKES_ROWS, as_traced, operators

aten = torch.ops.aten
Operator = Callable[..., Tensor]

TAKEN_AS_THEY_LIE: dict[str, tuple[Operator, tuple[tuple[int, ...], ...], tuple[object, ...]]] = {
    "_scaled_dot_product_flash_attention_for_cpu": (
        lambda *given: aten._scaled_dot_product_flash_attention_for_cpu(*given)[0],
        ((2, 3, 5, 6),) * 3,
        (),
    ),
    "convolution": (aten.convolution, ((2, 4, 6, 5), (4, 4, 3, 3)), (None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)),
    "mm": (aten.mm, ((5, 6), (6, 4)), ()),
    "addmm": (aten.addmm, ((5, 4), (5, 6), (6, 4)), ()),
    "bmm": (aten.bmm, ((3, 5, 6), (3, 6, 4)), ()),
    "baddbmm": (aten.baddbmm, ((3, 5, 4), (3, 5, 6), (3, 6, 4)), ()),
    "cat": (lambda *given: aten.cat(given, 1), ((2, 3, 5), (2, 4, 5)), ()),
    "clone": (aten.clone, ((2, 3, 5),), ()),
    "hardswish": (aten.hardswish, ((2, 3, 5),), ()),
    "native_batch_norm": (
        lambda x: aten.native_batch_norm(x, torch.arange(3.0), None, *torch.ones(2, 3), False, 0.1, 1e-5)[0],
        ((2, 3, 5, 4),),
        (),
    ),
    "reshape": (aten.reshape, ((2, 3, 4),), ((6, 4),)),
    "permute": (aten.permute, ((2, 3, 4),), ((2, 0, 1),)),
    "transpose.int": (aten.transpose.int, ((2, 3, 4),), (1, 2)),
    "t": (aten.t, ((3, 4),), ()),
    "expand": (aten.expand, ((2, 3, 4),), ((2, 2, 3, 4),)),
    "slice.Tensor": (aten.slice.Tensor, ((2, 5, 4),), (1, 1, 4, 2)),
    "select.int": (aten.select.int, ((2, 5, 4),), (1, 2)),
    "squeeze.dim": (aten.squeeze.dim, ((2, 1, 4),), (1,)),
    "squeeze.dims": (aten.squeeze.dims, ((2, 1, 4),), ((1,),)),
    "unsqueeze": (aten.unsqueeze, ((2, 3, 4),), (1,)),
    "mean.dim": (aten.mean.dim, ((2, 3, 4),), ((1,),)),
    "sum.dim_IntList": (aten.sum.dim_IntList, ((2, 3, 4),), ((1, 2),)),
    "amax": (aten.amax, ((2, 3, 4),), ((2,),)),
    "amin": (aten.amin, ((2, 3, 4),), ((0,),)),
    "max_pool2d_with_indices": (
        lambda x: aten.max_pool2d_with_indices(x, [3, 3], [2, 2])[0],
        ((2, 3, 7, 6),),
        (),
    ),
    "avg_pool2d": (aten.avg_pool2d, ((2, 3, 7, 6),), ([3, 3], [2, 2])),
    "_adaptive_avg_pool2d": (aten._adaptive_avg_pool2d, ((2, 3, 7, 6),), ([2, 2],)),
    "upsample_nearest2d": (aten.upsample_nearest2d, ((2, 3, 4, 5),), ([7, 6],)),
    "upsample_bilinear2d": (aten.upsample_bilinear2d, ((2, 3, 4, 5),), ([7, 6], False)),
    "_to_copy": (lambda x: aten._to_copy(x, dtype=torch.float64), ((2, 3, 4),), ()),
}
"""What is applied, the shapes of the operands, and the other arguments."""


def lying_in_order(value: Tensor, order: tuple[int, ...]) -> Tensor:
    """Return the same numbers with axes that lie in memory in another order."""
    back = sorted(range(value.ndim), key=order.__getitem__)
    return value.permute(order).contiguous().permute(back)


def test_every_operator_that_takes_operands_as_they_lie_is_compared() -> None:
    assert set(operators(*TAKEN_AS_THEY_LIE)) == LAYOUT_FREE | TAKES_ROWS


@pytest.mark.parametrize("name", TAKEN_AS_THEY_LIE)
def test_results_do_not_depend_on_the_layout_of_operands_in_memory(name: str) -> None:
    function, shapes, others = TAKEN_AS_THEY_LIE[name]
    (target,) = operators(name)
    generator = torch.Generator().manual_seed(5)
    values = [torch.randn(4, *shape, generator=generator) for shape in shapes]
    wanted = torch.stack([function(*parts, *others) for parts in zip(*values, strict=True)])
    for changed, value in enumerate(values):
        for order in permutations(range(value.ndim)):
            given = [*values[:changed], lying_in_order(value, order), *values[changed + 1 :]]
            taken = [as_traced(target, each) for each in given]
            found = vmap(lambda *parts: function(*parts, *others))(*taken)
            torch.testing.assert_close(found, wanted, msg=f"operand {changed} in the order {order}")
