"""Dense operators of a plan that oneDNN computes as one: a convolution or product with what follows it.

Behind a convolution that is a batch norm at evaluation, which goes into weights and bias, then the addition of another
branch or not, then an activation or not; behind a product, an added bias, then either of the two, with views between
them. Weights are whatever follows from parameters alone (:mod:`.constants`).
"""

import operator
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import Tensor, fx

from featuresharing.engine.constants import Constants
from featuresharing.engine.onednn import (
    NO_ACTIVATION,
    RELU,
    Activation,
    Packed,
    find_activation,
    pack_convolution,
    pack_product,
)
from featuresharing.engine.plan import Plan
from featuresharing.engine.rules import VIEWS, is_fixed_norm, scale_and_shift
from featuresharing.engine.slabs import aten, shape_of

LEAST = 2**12
"""Numbers in a matrix that is worth packing."""


@dataclass(eq=False)
class Fusion:
    """Operators ``members``, in order, that are computed as one from ``source``; the last gives the result.

    ``added`` is another stacked value that is added before the ``activation``. ``packed`` is the operator; of a
    product, ``columns`` are its outputs (None: a convolution).
    """

    members: list[fx.Node]
    source: fx.Node
    activation: Activation = NO_ACTIVATION
    added: fx.Node | None = None
    columns: int | None = None
    norms: list[fx.Node] = field(default_factory=list)
    biases: list[fx.Node] = field(default_factory=list)
    packed: Packed | None = None

    @property
    def inputs(self) -> list[fx.Node]:
        """The stacked values that it takes."""
        return [self.source] if self.added is None else [self.source, self.added]

    def run(self, value: Tensor, added: Tensor | None) -> Tensor:
        """Return the stacked result for the stacked operands."""
        assert self.packed is not None
        variants, last = len(value), self.members[-1]
        if self.columns is None:
            found = self.packed(value.flatten(0, 1), None if added is None else added.flatten(0, 1))
            return found.unflatten(0, (variants, -1))  # type: ignore[no-untyped-call, no-any-return]
        rows = value.reshape(-1, value.shape[-1])
        found = self.packed(rows, None if added is None else added.reshape(-1, self.columns))
        return found.view(variants, *shape_of(last))


def find_fusions(plan: Plan, constants: Constants) -> list[Fusion]:
    """Return what can be computed as one in the dense part of a ``plan``; no operator is in two of them."""
    taken: set[fx.Node] = set()
    found = []
    for node in plan.dense:
        if node in plan.compute or node in taken or (plan.layer and node is plan.layer.node):
            continue
        fusion = _convolution(node, plan, constants) or _product(node, plan, constants)
        if fusion:
            _extend(fusion, plan, constants, taken)
            taken.update(fusion.members)
            found.append(fusion)
    return found


def pack_fusions(
    fusions: list[Fusion], constants: Constants, packed: MutableMapping[tuple[object, ...], Packed]
) -> None:
    """Pack the weights of ``fusions``, or take them from those that were ``packed`` before for other traces."""
    for fusion in fusions:
        first = fusion.members[0]
        sources = [first, *fusion.norms, *fusion.biases]
        parameters = [node for each in sources for node in each.all_input_nodes if node is not fusion.source]
        words = [constants.words(node) for node in parameters if constants.of(node) is not None]
        plain = [argument for each in sources for argument in each.args if not isinstance(argument, fx.Node)]
        key = (first.target, *words, str(plain), fusion.activation, fusion.added is None)
        if key not in packed:
            packed[key] = _pack(fusion, constants)
        fusion.packed = packed[key]


def packed_numbers(fusions: list[Fusion], constants: Constants) -> int:
    """Return how many numbers the packed weights of ``fusions`` hold."""
    weights = (constants.of(_weight_of(fusion.members[0])) for fusion in fusions)
    return sum(
        prod(weight.shape[-2:] if fusion.columns else weight.shape)
        for fusion, weight in zip(fusions, weights, strict=True)
        if weight is not None
    )


def _weight_of(node: fx.Node) -> Any:
    return node.args[1 if node.target in (aten.convolution.default, aten.mm.default, aten.bmm.default) else 2]


def _convolution(node: fx.Node, plan: Plan, constants: Constants) -> Fusion | None:
    if node.target is not aten.convolution.default or node.kwargs:
        return None
    given: Any = node.args
    source, weight, bias, _, _, _, transposed, _, _ = given
    known = constants.of(weight) is not None and (bias is None or constants.of(bias) is not None)
    if transposed or source not in plan.dense or not known or len(shape_of(node)) != 4:
        return None
    return Fusion([node], source)


def _product(node: fx.Node, plan: Plan, constants: Constants) -> Fusion | None:
    """Rows times a matrix that is the same for all: [rows, inputs] x [inputs, outputs], or the same for many."""
    if node.target not in (aten.mm.default, aten.addmm.default, aten.bmm.default) or node.kwargs:
        return None
    *bias, source, weight = node.args
    matrix = constants.of(weight)
    if source not in plan.dense or matrix is None or prod(matrix.shape[-2:]) < LEAST:
        return None
    if matrix.ndim == 3 and matrix.shape[0] > 1 and matrix.stride(0) != 0:
        return None
    if any(_bias_of(each, matrix.shape[-1], constants) is None for each in bias):
        return None
    return Fusion([node], source, columns=int(matrix.shape[-1]))  # type: ignore[arg-type]


def _bias_of(node: Any, columns: int, constants: Constants) -> Tensor | None:
    """Return a constant that is added to every row, as [columns]."""
    value = constants.of(node)
    return value.reshape(-1) if value is not None and value.shape[-1:] == (columns,) == (value.numel(),) else None


def _extend(fusion: Fusion, plan: Plan, constants: Constants, taken: set[fx.Node]) -> None:
    """Take in what follows, as far as oneDNN has it."""
    node = fusion.members[0]
    if fusion.columns is None:
        if norm := _norm_behind(node, plan, constants):
            fusion.norms.append(norm)
            fusion.members += [norm, node := next(iter(norm.users))]
    elif len(node.args) == 2 and (bias := _bias_behind(node, fusion.columns, plan, constants)):
        fusion.biases.append(bias[-1])
        fusion.members += bias
        node = bias[-1]
    if addition := _addition_behind(node, fusion, plan, taken):
        *_, last = addition
        arguments: Any = last.args
        (fusion.added,) = (each for each in arguments if each not in (node, *addition))
        fusion.members += addition
        node = last
    chain = _followers(node, plan, views=fusion.columns is not None)
    activation = find_activation(chain[-1]) if chain else None
    fits = activation is not None if fusion.added is None else activation == RELU and fusion.columns is None
    if activation and fits and not taken.intersection(chain):
        fusion.activation = activation
        fusion.members += chain


def _followers(node: fx.Node, plan: Plan, *, views: bool) -> list[fx.Node]:
    """Return the operator that alone takes a value, behind the views between them; none if several do."""
    chain: list[fx.Node] = []
    while len(node.users) == 1 and node not in plan.outputs:
        (node,) = node.users
        if node not in plan.dense or node in plan.compute:
            return []
        chain.append(node)
        if not (views and (node.target in VIEWS or node.target is aten.reshape.default)):
            return chain
    return []


def _norm_behind(node: fx.Node, plan: Plan, constants: Constants) -> fx.Node | None:
    """Return a batch norm with known statistics that alone takes a value, and gives nothing but the normalised one."""
    chain = _followers(node, plan, views=False)
    if not chain or not is_fixed_norm(chain[-1]) or chain[-1].args[0] is not node:
        return None
    (norm,) = chain
    parts = list(norm.users)
    whole = len(parts) == 1 and parts[0].target is operator.getitem and parts[0].args[1] == 0
    known = all(constants.of(each) is not None for each in norm.args[1:5] if isinstance(each, fx.Node))
    return norm if whole and known and isinstance(norm.args[3], fx.Node) else None


def _bias_behind(node: fx.Node, columns: int, plan: Plan, constants: Constants) -> list[fx.Node] | None:
    """Return an addition of a constant to every row, with the views before it."""
    chain = _followers(node, plan, views=True)
    if not chain or not _is_addition(chain[-1]) or shape_of(chain[-1])[-1:] != (columns,):
        return None
    others = [each for each in chain[-1].args if each not in (node, *chain)]
    return chain if len(others) == 1 and _bias_of(others[0], columns, constants) is not None else None


def _addition_behind(node: fx.Node, fusion: Fusion, plan: Plan, taken: set[fx.Node]) -> list[fx.Node] | None:
    """Return an addition of another stacked value of the same shape, with the views before it."""
    chain = _followers(node, plan, views=fusion.columns is not None)
    if not chain or not _is_addition(chain[-1]) or taken.intersection(chain):
        return None
    shape = shape_of(chain[-1])
    others = [each for each in chain[-1].args if each not in (node, *chain)]
    fits = len(others) == 1 and others[0] in plan.dense and shape_of(others[0]) == shape  # type: ignore[arg-type]
    return chain if fits and (fusion.columns is None or shape[-1] == fusion.columns) else None


def _is_addition(node: fx.Node) -> bool:
    return node.target is aten.add.Tensor and len(node.args) == 2 and not node.kwargs


def _pack(fusion: Fusion, constants: Constants) -> Packed:
    first: Any = fusion.members[0]
    weight = constants.of(_weight_of(first))
    assert weight is not None
    if fusion.columns is not None:
        given = list(first.args[:-2]) + [each for node in fusion.biases for each in node.args]
        biases = [found for each in given if (found := _bias_of(each, fusion.columns, constants)) is not None]
        matrix = weight[0] if weight.ndim == 3 else weight
        return pack_product(matrix, biases[0].contiguous() if biases else None, fusion.activation)
    _, _, given_bias, stride, padding, dilation, _, _, groups = first.args
    bias = constants.of(given_bias)
    for norm in fusion.norms:
        weight, bias = _fold_norm(norm, weight, bias, constants)
    return pack_convolution(weight, bias, (stride, padding, dilation, groups), fusion.activation)


def _fold_norm(norm: fx.Node, weight: Tensor, bias: Tensor | None, constants: Constants) -> tuple[Tensor, Tensor]:
    """Return weights [units, ...] and biases [units] of a convolution with the batch norm behind it; in float64."""

    def take(node: fx.Node) -> Tensor:
        value = constants.of(node)
        assert value is not None
        return value.double()

    scale, shift = scale_and_shift(norm, take)
    spread = weight.double() * scale.view(-1, *(1,) * (weight.ndim - 1))
    moved = shift if bias is None else shift + bias.double() * scale
    return spread.to(weight.dtype), moved.to(weight.dtype)
