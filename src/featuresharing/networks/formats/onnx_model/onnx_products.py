"""Products of matrices, and normalisations."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from featuresharing.networks.formats.onnx_model.onnx_arguments import axis_of, given
from featuresharing.networks.formats.onnx_model.onnx_elementwise import Operator, as_tensor, factors
from featuresharing.networks.formats.onnx_model.onnx_graph import Node


def _matmul(node: Node, inputs: Sequence[Any]) -> Tensor:
    return torch.matmul(*factors(node, inputs))


def _gemm(node: Node, inputs: Sequence[Any]) -> Tensor:
    one, other = factors(node, inputs[:2])
    one = one.t() if node.flag("transA", False) else one
    other = other.t() if node.flag("transB", False) else other
    product = one @ other * node.number("alpha", 1)
    added = given(inputs, 2)
    return product if added is None else product + as_tensor(added, product) * node.number("beta", 1)


def _einsum(node: Node, inputs: Sequence[Any]) -> Tensor:
    equation = node.text("equation", "").replace(" ", "")
    if not re.fullmatch(r"[A-Za-z]+(,[A-Za-z]+)*->[A-Za-z]*", equation) or equation.count(",") != len(inputs) - 1:
        raise node.refuse(f"equation '{equation[:60]}'; accepted are letters for axes, such as 'bij,bjk->bik'")
    return torch.einsum(equation, *factors(node, inputs))


def _batch_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    if node.flag("training_mode", False) or not node.flag("spatial", True):
        raise node.refuse(
            "it normalises by the images of a batch or every place by itself; accepted is evaluation by channels"
        )
    weight, bias, mean, variance = (as_tensor(each, value) for each in inputs[1:5])
    return F.batch_norm(value, mean, variance, weight, bias, False, 0.0, node.number("epsilon", 1e-5))


def _instance_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    weight, bias = (as_tensor(each, value) for each in inputs[1:3])
    return F.group_norm(value, value.shape[1], weight, bias, node.number("epsilon", 1e-5))


def _group_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    groups = node.integer("num_groups")
    weight, bias = (as_tensor(each, value) for each in inputs[1:3])
    channels = value.shape[1]
    if groups < 1 or channels % groups:
        raise node.refuse(f"{groups} groups of {channels} channels; accepted are groups that divide them")
    if len(weight) == groups != channels:  # of operators of version 18, each group has one
        weight, bias = (each.reshape(-1, 1).expand(-1, channels // groups).reshape(-1) for each in (weight, bias))
    return F.group_norm(value, groups, weight, bias, node.number("epsilon", 1e-5))


def _layer_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    axis = axis_of(node, node.integer("axis", -1), value.ndim)
    shape = value.shape[axis:]
    weight = as_tensor(inputs[1], value)
    bias = given(inputs, 2)
    bias = None if bias is None else as_tensor(bias, value)
    epsilon = node.number("epsilon", 1e-5)
    if weight.shape == shape and (bias is None or bias.shape == shape):
        return F.layer_norm(value, shape, weight, bias, epsilon)
    result = F.layer_norm(value, shape, None, None, epsilon) * weight
    return result if bias is None else result + bias


def _rms_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    axes = list(range(axis_of(node, node.integer("axis", -1), value.ndim), value.ndim))
    size = value.square().mean(axes, keepdim=True) + node.number("epsilon", 1e-5)
    return value * torch.rsqrt(size) * as_tensor(inputs[1], value)


def _local_response_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    size = node.integer("size")
    if not 1 <= size <= 255:
        raise node.refuse(f"attribute 'size' is {size}; accepted are 1 to 255 channels")
    settings = node.number("alpha", 1e-4), node.number("beta", 0.75), node.number("bias", 1)
    if size % 2:
        return F.local_response_norm(value, size, *settings)
    return F.local_response_norm(value.flip(1), size, *settings).flip(1)  # of an even size, torch begins earlier


def _length_norm(node: Node, inputs: Sequence[Any]) -> Tensor:
    value: Tensor = inputs[0]
    axis = axis_of(node, node.integer("axis", -1), value.ndim)
    if node.integer("p", 2) == 1:
        return value / value.abs().sum(axis, keepdim=True)
    return value / value.square().sum(axis, keepdim=True).sqrt()


PRODUCTS: dict[str, Operator] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "GroupNormalization": _group_norm,
    "LayerNormalization": _layer_norm,
    "RMSNormalization": _rms_norm,
    "LRN": _local_response_norm,
    "LpNormalization": _length_norm,
}
"""Operators by name."""
