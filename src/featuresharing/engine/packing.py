"""Matrix products with a fixed large matrix, packed once into the layout of oneDNN's kernels.

On CPUs this makes products of a few hundred rows two to three times as fast as torch's own, which reads the matrix as
it lies in memory. Sums are taken in another order: results differ by rounding.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from featuresharing.engine.plan import Plan
from featuresharing.engine.slabs import aten, shape_of
from featuresharing.networks.inputs import is_input

Product = Callable[[Tensor], Tensor]

LEAST = 2**18
"""Numbers in a matrix that is worth packing."""


def products_to_pack(plan: Plan) -> list[fx.Node]:
    """Return the dense products x @ matrix (+ bias) of a plan whose matrix is a large parameter."""
    found = []
    for node in plan.dense:
        if node.target not in (aten.addmm.default, aten.mm.default) or node in plan.compute or node.kwargs:
            continue
        given: Any = node.args
        *bias, rows, matrix = given
        parameters = _source(matrix) and all(each.op == "placeholder" and len(shape_of(each)) == 1 for each in bias)
        if rows in plan.dense and parameters and packed_numbers(node) >= LEAST:
            found.append(node)
    return found


def packed_numbers(node: fx.Node) -> int:
    """Return how many numbers the matrix of a product holds."""
    matrix: Any = node.args[-1]
    return prod(shape_of(matrix))


def factors_of(node: fx.Node) -> tuple[str, ...]:
    """Return the names of the parameters in a product, which tell it from others: the matrix, and the bias if any."""
    given: Any = node.args
    *bias, _, matrix = given
    source = _source(matrix)
    assert source is not None
    return str(source.target), *(str(each.target) for each in bias)


def pack_product(node: fx.Node, values: Mapping[str, Tensor]) -> Product:
    """Pack one of :func:`products_to_pack`; ``values`` are parameters by name."""
    given: Any = node.args
    *bias, _, matrix = given
    source = _source(matrix)
    assert source is not None
    value = values[str(source.target)]
    if source is not matrix:
        value = matrix.target(value, *matrix.args[1:])
    return pack(value, values[bias[0].target] if bias else None)


def can_pack(device: str, dtype: torch.dtype) -> bool:
    """Whether products on ``device`` in ``dtype`` gain from packing."""
    return device == "cpu" and dtype == torch.float32 and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


def pack(matrix: Tensor, bias: Tensor | None) -> Product:
    """Return the function x [..., in] -> x @ ``matrix`` [in, out] + ``bias`` [out]."""
    weight = matrix.T.contiguous().to_mkldnn()
    shift = (torch.zeros(matrix.shape[1]) if bias is None else bias).to_mkldnn()

    def product(rows: Tensor) -> Tensor:
        flat = rows.reshape(-1, rows.shape[-1]).to_mkldnn()
        result: Tensor = torch._C._nn.mkldnn_linear(flat, weight, shift).to_dense()
        return result.view(*rows.shape[:-1], -1)

    return product


def _source(matrix: Any) -> fx.Node | None:
    """Return the parameter that a matrix is, or is the transpose of."""
    if matrix.target in (aten.t.default, aten.transpose.int, aten.permute.default):
        matrix = matrix.args[0]
    return matrix if matrix.op == "placeholder" and not is_input(matrix.target) else None
