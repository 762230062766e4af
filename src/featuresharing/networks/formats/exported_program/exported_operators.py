"""Operators of exported programs that are run: those of networks on images, which do nothing but compute.

Programs name operators by text. Of torch's own library these are taken by their names; no other name is looked up.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch

from featuresharing.errors import InputError, quoted

ATEN = "torch.ops.aten."

NUMBERWISE = """
abs add addcdiv addcmul celu ceil clamp clamp_max clamp_min clip cos div elu eq erf exp expm1 floor ge gelu glu gt
hardsigmoid hardswish hardtanh le leaky_relu log log1p log_sigmoid logical_and logical_not logical_or logical_xor lt
masked_fill fill fmod maximum minimum mish mul multiply ne neg pow prelu _prelu_kernel reciprocal relu relu6 round
remainder rsqrt rsub selu
sigmoid sign silu sin softplus sqrt square sub tanh threshold where bitwise_and bitwise_not bitwise_or
"""
REDUCING = """
all amax amin any cumsum linalg_vector_norm log_softmax _log_softmax logsumexp max mean min norm prod softmax
_softmax std
std_mean sum var var_mean
"""
MOVING = """
alias cat channel_shuffle chunk clone constant_pad_nd contiguous detach diagonal expand expand_as flatten flip gather
index index_select lift_fresh_copy matrix_H mT movedim narrow numpy_T pad permute pixel_shuffle pixel_unshuffle
reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d
replication_pad3d reshape _reshape_alias roll select slice split split_with_sizes squeeze stack swapaxes t tile to
_to_copy transpose tril triu type_as unbind unflatten unfold unsafe_split unsqueeze view view_as _unsafe_view
zeros_like ones_like full_like new_zeros new_ones new_full zeros ones full arange linspace scalar_tensor eye
"""
WINDOWS = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d
adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d
max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices upsample_bilinear2d upsample_linear1d
upsample_nearest1d upsample_nearest2d _upsample_nearest_exact2d upsample_bicubic2d upsample_trilinear3d
"""
PRODUCTS = """
addmm baddbmm bmm conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution _convolution dot
einsum embedding linear matmul mm scaled_dot_product_attention
"""
NORMALISING = """
alpha_dropout batch_norm dropout dropout_ feature_dropout group_norm instance_norm layer_norm native_batch_norm
_native_batch_norm_legit_no_training native_group_norm native_layer_norm native_dropout rms_norm
"""

NAMES = frozenset(" ".join((NUMBERWISE, REDUCING, MOVING, WINDOWS, PRODUCTS, NORMALISING)).split())
"""Operators of torch's own library, by their names without overloads; with _ at the end, numberwise ones in place."""

IN_PLACE = frozenset(f"{name}_" for name in (*NUMBERWISE.split(), "squeeze", "unsqueeze", "detach", "dropout"))

MULTIPLYING = frozenset(PRODUCTS.split())

CHECKS = frozenset(
    f"{ATEN}{name}"
    for name in (
        *("_assert_scalar.default", "_assert_async.msg", "_assert_async.default", "_assert_tensor_metadata.default"),
        *("sym_constrain_range.default", "sym_constrain_range_for_size.default"),
    )
)
"""Checks of sizes, which exporters leave in programs: they are passed over."""


def _size(value: torch.Tensor, dim: int) -> int:
    return value.shape[dim]


SIZES: dict[str, Callable[..., Any]] = {
    f"{ATEN}sym_size.int": _size,
    f"{ATEN}sym_numel.default": torch.Tensor.numel,
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in (
            *("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "eq", "ne", "lt", "le", "gt", "ge"),
            *("getitem", "and_", "or_"),
        )
    },
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_int": int,
    "torch.sym_float": float,
}
"""What is computed from sizes, by Python."""


def find_operator(target: str, place: str) -> Any:
    """Return what a program calls ``target``; raises InputError, which begins with ``place``, for an unknown name."""
    if target in SIZES:
        return SIZES[target]
    name, _, overload = target.removeprefix(ATEN).partition(".")
    known = target.startswith(ATEN) and (name in NAMES or name in IN_PLACE)
    found = getattr(getattr(torch.ops.aten, name, None), overload, None) if known and overload.isidentifier() else None
    if not isinstance(found, torch._ops.OpOverload) or overload == "out":
        accepted = "accepted are the operators of torch's own library for networks on images"
        raise InputError(f"{place}: operator {quoted(target)} is not known; {accepted}.")
    return found


def name_in(target: str) -> str:
    """Return the name of an operator without library and overload."""
    return target.removeprefix(ATEN).partition(".")[0]
