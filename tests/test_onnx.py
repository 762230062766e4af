"""Networks in ONNX: operators against the reference of the package onnx, layers, batches, and hostile files."""

import copy
import re
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from featuresharing import InputError, load_network, marginalize, prior_draws  # noqa: E402
from featuresharing.networks.formats import digest_of_file, onnx_model  # noqa: E402
from featuresharing.networks.formats.onnx_model.onnx_layers import path_of_scopes  # noqa: E402
from featuresharing.networks.formats.onnx_model.onnx_network import KNOWN  # noqa: E402
from featuresharing.networks.network_digest import digest_of_network  # noqa: E402
from featuresharing.networks.opening import open_network  # noqa: E402
from featuresharing.networks.outputs import task_outputs  # noqa: E402
from tests.support.commands import ROOT  # noqa: E402
from tests.support.naive import marginalize_naively  # noqa: E402
from tests.support.onnx_files import every_kind, model, node, write  # noqa: E402

Array = NDArray[Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def reference(made: Any, images: Array) -> list[Array]:
    """What onnxruntime computes, image by image where the file is for one; it shares no code with torch."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    alone = session.get_inputs()[0].shape[0] == 1
    parts = np.split(images, len(images)) if alone else [images]
    return [np.concatenate(each) for each in zip(*(session.run(None, {"x": part}) for part in parts), strict=True)]


def computed(path: Path, images: Array) -> list[Array]:
    with torch.no_grad():
        return [scores.numpy() for scores in task_outputs(load_network(path)(torch.from_numpy(images))).values()]


IMAGE = (2, 4, 9, 8)
W = numbers(6, 4, 3, 3)
C4 = {name: np.abs(numbers(4, seed=seed)) + 0.5 for seed, name in enumerate(("s", "b", "m", "v"))}
INT = np.int64

OPERATORS: dict[str, tuple[Any, dict[str, Any], int, tuple[int, ...]]] = {}
"""What is tested: nodes (or one, from x to y), weights, the version of operators, the shape of images."""


def case(name: str, nodes: Any, weights: dict[str, Any] | None = None, opset: int = 18, shape: Any = IMAGE) -> None:
    assert name not in OPERATORS
    OPERATORS[name] = (nodes if isinstance(nodes, list) else [nodes], weights or {}, opset, tuple(shape))


for op in ("Neg", "Abs", "Exp", "Erf", "Relu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus", "Softsign"):
    case(op, node(op, "x", "y"))
for op in ("LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Mish", "Floor", "Ceil", "Round", "Sign", "Sin"):
    case(op, node(op, "x", "y"))
for op in ("Cos", "Identity", "GlobalAveragePool", "GlobalMaxPool", "Softmax", "LogSoftmax", "Transpose"):
    case(op, [node(op, "x", "h"), node("Neg", "h", "y")])
case(
    "attributes of activations",
    [
        node("LeakyRelu", "x", "a", alpha=0.3),
        node("Elu", "a", "b", alpha=0.7),
        node("Selu", "b", "c", alpha=1.5, gamma=1.1),
        node("HardSigmoid", "c", "d", alpha=0.3, beta=0.4),
        node("Celu", "d", "y", alpha=0.6),
    ],
)
case("Gelu", node("Gelu", "x", "y"), opset=20)
case("Gelu tanh", node("Gelu", "x", "y", approximate="tanh"), opset=20)
case(
    "Sqrt Log Reciprocal",
    [
        node("Abs", "x", "a"),
        node("Add", "a one", "b"),
        node("Sqrt", "b", "c"),
        node("Log", "c", "d"),
        node("Add", "d one", "e"),
        node("Reciprocal", "e", "y"),
    ],
    {"one": np.float32(1)},
)
case("PRelu", node("PRelu", "x s", "y"), {"s": numbers(4, 1, 1)})
for op in ("Add", "Sub", "Mul", "Div", "Min", "Max"):
    case(op, node(op, "x s", "y"), {"s": np.abs(numbers(4, 1, 1)) + 0.5})
    case(f"{op} from the left", node(op, "s x", "y"), {"s": numbers(1, 8)})
    case(
        f"{op} of a number",
        [node("Abs", "x", "a"), node("Add", "a s", "b"), node(op, "s b", "y")],
        {"s": np.float32(0.7)},
    )
case("Pow", [node("Abs", "x", "a"), node("Pow", "a s", "y")], {"s": np.float32(1.7)})
case("Pow of whole numbers", node("Pow", "x s", "y"), {"s": np.array(2, INT)})
case("Sum and Mean", [node("Sum", "x x s", "a"), node("Mean", "a x s", "y")], {"s": numbers(4, 1, 1)})
case("Clip", node("Clip", "x low high", "y"), {"low": np.float32(-0.5), "high": np.float32(0.4)})
case("Clip above", node("Clip", "x _ high", "y"), {"high": np.float32(0.4)})
case("Clip of version 6", node("Clip", "x", "y", min=-0.2, max=0.3), opset=6 + 1)
case("Where", [node("Greater", "x s", "a"), node("Where", "a x t", "y")], {"s": np.float32(0.1), "t": numbers(8)})
case(
    "comparisons",
    [
        node("Less", "x s", "a"),
        node("Not", "a", "b"),
        node("GreaterOrEqual", "x t", "c"),
        node("And", "b c", "d"),
        node("LessOrEqual", "x t", "e"),
        node("Or", "d e", "f"),
        node("Equal", "x s", "g"),
        node("Xor", "f g", "h"),
        node("Cast", "h", "i", to=1),
        node("Mul", "i x", "y"),
    ],
    {"s": np.float32(0.1), "t": numbers(8)},
)
case("BatchNormalization", node("BatchNormalization", "x s b m v", "y", epsilon=1e-3), C4)
case("InstanceNormalization", node("InstanceNormalization", "x s b", "y"), C4)
case(
    "GroupNormalization of groups",
    node("GroupNormalization", "x s b", "y", num_groups=2),
    {"s": numbers(2), "b": numbers(2, seed=1)},
)
case("GroupNormalization", node("GroupNormalization", "x s b", "y", num_groups=2), C4, opset=21)
case("LayerNormalization", node("LayerNormalization", "x s b", "y"), {"s": numbers(8), "b": numbers(8, seed=1)})
case(
    "LayerNormalization of maps", node("LayerNormalization", "x s", "y", axis=1, epsilon=1e-3), {"s": numbers(4, 9, 8)}
)
case(
    "LayerNormalization, spread",
    node("LayerNormalization", "x s b", "y", axis=-2),
    {"s": numbers(8), "b": numbers(9, 1)},
)
case("RMSNormalization", node("RMSNormalization", "x s", "y"), {"s": numbers(8)}, opset=23)
case("LRN", node("LRN", "x", "y", size=3, alpha=0.2, beta=0.6, bias=1.5), shape=(2, 7, 3, 3))
case("LpNormalization", [node("LpNormalization", "x", "a", axis=1), node("LpNormalization", "a", "y", p=1)])
for op in (
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
    "ReduceLogSumExp",
):
    case(op, node(op, "x axes", "y", keepdims=0), {"axes": np.array([1, -1])})
    case(f"{op} by attribute", node(op, "x", "y", axes=[2, 3]), opset=11)
case("ReduceSum", node("ReduceSum", "x axes", "y"), {"axes": np.array([-2])})
case("ReduceSum by attribute", node("ReduceSum", "x", "y", axes=[1], keepdims=0), opset=11)
case("ReduceSum of no axes", node("ReduceSum", "x", "y", noop_with_empty_axes=1))
case("Softmax of version 11", [node("Softmax", "x", "a", axis=1), node("Neg", "a", "y")], opset=11)
case("Softmax along channels", [node("Softmax", "x", "a", axis=1), node("Neg", "a", "y")])
case("MatMul", [node("Transpose", "x", "a", perm=[0, 1, 3, 2]), node("MatMul", "x a", "y")])
case("MatMul, weights", node("MatMul", "x w", "y"), {"w": numbers(8, 5)})
case("MatMul and Add", [node("MatMul", "x w", "a"), node("Add", "b a", "y")], {"w": numbers(8, 5), "b": numbers(5)})
case("MatMul of three axes", node("MatMul", "x w", "y"), {"w": numbers(4, 8, 5)})
case("MatMul, weights before", node("MatMul", "w x", "y"), {"w": numbers(5, 9)})
case("Gemm", node("Gemm", "x w b", "y", alpha=0.5, beta=2.0), {"w": numbers(5, 3), "b": numbers(3)}, shape=(4, 5))
case("Gemm of rows", node("Gemm", "x w", "y", transB=1), {"w": numbers(3, 5)}, shape=(4, 5))
case("Einsum", node("Einsum", "x w", "y", equation="nchw,cd->ndhw"), {"w": numbers(4, 3)})
case("Conv", node("Conv", "x w b", "y"), {"w": W, "b": numbers(6)})
case("Conv, padded to one side", node("Conv", "x w", "y", pads=[0, 1, 2, 1], strides=[2, 1]), {"w": W})
case("Conv, dilated", node("Conv", "x w", "y", pads=[2, 2, 2, 2], dilations=[2, 2]), {"w": W})
case("Conv in groups", node("Conv", "x w", "y", group=2), {"w": numbers(6, 2, 3, 3)})
for auto in ("SAME_UPPER", "SAME_LOWER", "VALID"):
    case(f"Conv {auto}", node("Conv", "x w", "y", auto_pad=auto, strides=[2, 3]), {"w": numbers(6, 4, 4, 3)})
    case(f"MaxPool {auto}", node("MaxPool", "x", "y", auto_pad=auto, kernel_shape=[2, 3], strides=[2, 3]))
    case(f"AveragePool {auto}", node("AveragePool", "x", "y", auto_pad=auto, kernel_shape=[2, 3], strides=[2, 1]))
case("Conv along a line", node("Conv", "x w", "y", pads=[1, 1]), {"w": numbers(6, 4, 3)}, shape=(2, 4, 9))
case("Conv in space", node("Conv", "x w", "y"), {"w": numbers(3, 2, 2, 3, 2)}, shape=(2, 2, 4, 5, 6))
case(
    "Conv with computed weights",
    [node("Mul", "x w", "a"), node("ReduceMean", "a", "c", axes=[0], keepdims=1), node("Conv", "x c", "y")],
    {"w": numbers(1, 4, 1, 1)},
    opset=13,
)
case(
    "ConvTranspose",
    node("ConvTranspose", "x w b", "y", strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0]),
    {"w": numbers(4, 3, 3, 3), "b": numbers(3)},
)
case(
    "ConvTranspose, padded to one side",
    node("ConvTranspose", "x w", "y", strides=[2, 1], pads=[1, 0, 0, 1]),
    {"w": numbers(4, 3, 3, 3)},
)
case("ConvTranspose in groups", node("ConvTranspose", "x w", "y", group=2, strides=[2, 2]), {"w": numbers(4, 3, 2, 2)})
case("MaxPool", node("MaxPool", "x", "y", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]))
case("MaxPool, rounded up", node("MaxPool", "x", "y", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1))
case("MaxPool, dilated", node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 3]))
case("MaxPool, padded to one side", node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 2, 1]))
case("MaxPool along a line", node("MaxPool", "x", "y", kernel_shape=[3], strides=[2]), shape=(2, 4, 9))
case("AveragePool", node("AveragePool", "x", "y", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 1, 1, 1]))
case(
    "AveragePool with padding",
    node("AveragePool", "x", "y", kernel_shape=[3, 2], pads=[1, 1, 1, 1], count_include_pad=1),
)
case(
    "AveragePool, padded to one side",
    node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 2, 0]),
)
case(
    "AveragePool of one side, with padding",
    node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[0, 1, 2, 0], count_include_pad=1),
)
case("AveragePool, rounded up", node("AveragePool", "x", "y", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1))
case("AveragePool along a line", node("AveragePool", "x", "y", kernel_shape=[3], pads=[2, 0]), shape=(2, 4, 9))
case("Flatten", node("Flatten", "x", "y", axis=2))
case("Reshape", node("Reshape", "x s", "y"), {"s": np.array([0, 2, -1, 4])})
case(
    "Squeeze and Unsqueeze",
    [node("Unsqueeze", "x a", "b"), node("Squeeze", "b c", "d"), node("Unsqueeze", "d a", "y")],
    {"a": np.array([-1, 1]), "c": np.array([1])},
)
case(
    "Squeeze and Unsqueeze by attribute",
    [node("Unsqueeze", "x", "a", axes=[2, 0]), node("Squeeze", "a", "y", axes=[0])],
    opset=11,
)
case("Concat and Split", [node("Split", "x", "a b", axis=1), node("Concat", "b x a", "y", axis=-3)], opset=13)
case(
    "Split into parts",
    [node("Split", "x s", "a b c", axis=3), node("Concat", "c a b", "y", axis=3)],
    {"s": np.array([1, 5, 2])},
)
case(
    "Split by attribute",
    [node("Split", "x", "a b", axis=3, split=[3, 5]), node("Concat", "b a", "y", axis=3)],
    opset=11,
)
case("Split unevenly", [node("Split", "x", "a b c", axis=3, num_outputs=3), node("Concat", "c a b", "y", axis=3)])
case(
    "Slice",
    node("Slice", "x s e a t", "y"),
    {"s": np.array([1, -2, 7]), "e": np.array([2**62, -9, 1]), "a": np.array([1, 2, -1]), "t": np.array([2, -2, -3])},
)
case(
    "Slice to the beginning",
    node("Slice", "x s e a t", "y"),
    {"s": np.array([-1]), "e": np.array([-(2**62)]), "a": np.array([2]), "t": np.array([-1])},
)
case("Gather", node("Gather", "x i", "y", axis=2), {"i": np.array([[0, -1], [3, 3]])})
case("Gather one", node("Gather", "x i", "y", axis=1), {"i": np.array(-2)})
case(
    "Expand", [node("ReduceMean", "x", "a", axes=[1]), node("Expand", "a s", "y")], {"s": np.array([3, 1, 1])}, opset=13
)
case("Tile", node("Tile", "x s", "y"), {"s": np.array([1, 2, 1, 3])})
case("Pad", node("Pad", "x p v", "y"), {"p": np.array([0, 1, 2, 0, 0, 0, 1, 3]), "v": np.float32(0.5)})
case(
    "Pad some axes",
    node("Pad", "x p v a", "y"),
    {"p": np.array([1, 2, 3, -1]), "v": np.float32(0), "a": np.array([-1, 2])},
)
case("Pad by attribute", node("Pad", "x", "y", pads=[0, 0, 1, 1, 0, 0, 2, 0], value=1.5), opset=10)
for mode in ("reflect", "edge", "wrap"):
    case(f"Pad {mode}", node("Pad", "x p", "y", mode=mode), {"p": np.array([0, 0, 2, 1, 0, 0, 1, 3])}, opset=19)
case(
    "DepthToSpace",
    [
        node("DepthToSpace", "x", "a", blocksize=2),
        node("SpaceToDepth", "a", "b", blocksize=2),
        node("DepthToSpace", "b", "y", blocksize=2, mode="CRD"),
    ],
)
case(
    "shapes",
    [
        node("Shape", "x", "a"),
        node("Gather", "a zero", "b"),
        node("Unsqueeze", "b zeros", "c"),
        node("Concat", "c rest", "d", axis=0),
        node("Reshape", "x d", "e"),
        node("Shape", "e", "f", start=1),
        node("ReduceProd", "f", "g", keepdims=0),
        node("Range", "zero g two", "h"),
        node("Gather", "e h", "i", axis=1),
        node("Size", "i", "j"),
        node("Div", "j seven", "k"),
        node("Cast", "k", "l", to=1),
        node("Mul", "i l", "y"),
    ],
    {"zero": np.array(0), "zeros": np.array([0]), "rest": np.array([-1]), "two": np.array(2), "seven": np.array(7)},
)
for place in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"):
    case(
        f"Resize {place}",
        node("Resize", "x _ s", "y", coordinate_transformation_mode=place, mode="linear"),
        {"s": np.array([1, 1, 1.7, 0.6], np.float32)},
    )
    case(
        f"Resize {place}, nearest",
        node("Resize", "x _ _ s", "y", coordinate_transformation_mode=place, nearest_mode="floor"),
        {"s": np.array([2, 4, 5, 13])},
    )
case("Resize, nearest", node("Resize", "x _ s", "y"), {"s": np.array([1, 1, 2, 2], np.float32)})
case("Upsample", node("Upsample", "x s", "y"), {"s": np.array([1, 1, 2, 3], np.float32)}, opset=9)
case("Dropout", [node("Dropout", "x", "a", ratio=0.4), node("Neg", "a", "y")], opset=10)
case(
    "Constant",
    [
        node("Constant", "", "c", value_floats=[1.0, 2.0]),
        node("Constant", "", "d", value_int=1),
        node("Gather", "c d", "e"),
        node("Mul", "x e", "y"),
    ],
)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_agree_with_an_independent_runner(name: str, tmp_path: Path) -> None:
    nodes, weights, opset, shape = OPERATORS[name]
    made = model(nodes, weights, shape=("N", *shape[1:]), opset=opset)
    images = numbers(*shape, seed=5)
    (wanted,) = reference(made, images)
    (found,) = computed(write(tmp_path / "x.onnx", made), images)
    assert (found.dtype, found.shape) == (np.float32, wanted.shape)
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=5e-6)


@pytest.mark.parametrize("size", [3, 4])
def test_local_response_norm_sums_over_the_channels_that_onnx_says(size: int, tmp_path: Path) -> None:
    made = model([node("LRN", "x", "y", size=size, alpha=0.2, beta=0.6, bias=1.5)], {}, shape=("N", 7, 3, 3))
    images = numbers(2, 7, 3, 3)
    wanted = np.empty_like(images)
    for channel in range(7):
        first, last = channel - (size - 1) // 2, channel + int(np.ceil((size - 1) / 2))
        total = (images[:, max(0, first) : last + 1].astype(float) ** 2).sum(axis=1)
        wanted[:, channel] = images[:, channel] / (1.5 + 0.2 / size * total) ** 0.6
    np.testing.assert_allclose(computed(write(tmp_path / "x.onnx", made), images)[0], wanted, rtol=1e-5)


@pytest.mark.parametrize("images", ["N", 1])
def test_a_classifier_agrees_with_onnxruntime_for_any_number_of_images(images: Any, tmp_path: Path) -> None:
    """Also one whose file is for a single image: reshapes in it say 1."""
    made = every_kind(images=images)
    path = write(tmp_path / "x.onnx", made)
    contents = onnx_model.read(path)
    assert (contents.tasks, contents.image_shape) == (("y", "z"), (3, 8, 8))
    for count in (1, 2, 5):
        given = numbers(count, 3, 8, 8, seed=count)
        first, second = computed(path, given)
        wanted = reference(made, given)
        np.testing.assert_allclose(first, wanted[0], rtol=1e-4, atol=1e-6)
        powers = np.exp(second - second.max(axis=1, keepdims=True))
        np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), wanted[1], rtol=1e-4, atol=1e-6)
    place = "operator 'Softmax' of node 'n16'"
    assert sum(note.startswith(place) and "output 'z' was left out" in note for note in contents.notes) == 1
    assert any("one image at a time" in note for note in contents.notes) == (images == 1)


@pytest.mark.parametrize("images", ["N", 1])
@pytest.mark.parametrize("layer", ["stem", "deep", "tokens"])
def test_layers_agree_with_a_naive_loop(images: Any, layer: str, tmp_path: Path) -> None:
    network = load_network(write(tmp_path / "x.onnx", every_kind(images=images)))
    given = torch.from_numpy(numbers(3, 3, 8, 8))
    units = [0, 3]
    found = list(marginalize(network, layer, given, samples=10, units=units, tolerance=0))
    draws = [prior_draws(network, layer, unit, samples=10) for unit in units]
    for mine, wanted in zip(found, marginalize_naively(network, layer, given, units, draws), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-5)


def layers(path: Path) -> dict[str, nn.Module]:
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return {name: each for name, each in load_network(path).named_modules() if isinstance(each, kinds)}


def test_layers_are_modules_at_paths_made_of_names(tmp_path: Path) -> None:
    """Of a weight as torch calls it, else of a node's name, else of what it gives."""
    found = layers(write(tmp_path / "x.onnx", every_kind()))
    assert list(found) == ["stem", "deep", "tokens", "first", "second_head"]
    assert found["tokens"].bias is not None
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in every_kind().graph.initializer}
    np.testing.assert_array_equal(found["tokens"].bias.detach(), weights["added"])
    np.testing.assert_array_equal(found["tokens"].weight.detach(), weights["mixed"].T)
    np.testing.assert_array_equal(found["deep"].weight.detach(), weights["deep.weight"])
    scopes = {
        "/layer1/layer1.0/conv1/Conv": "layer1.0.conv1",
        "/features/features.0/Conv_2": "features.0",
        "model/block 1/Conv2D": "model.block_1.Conv2D",
        "Conv@12": "Conv_12",
        "fc.weight": "fc.weight_",
        "/training/forward/Conv": "training_.forward_",
        "Conv": "Conv",
    }
    assert {name: path_of_scopes(name, "Conv") for name in scopes} == scopes


def test_layers_of_one_name_and_inside_of_others_have_paths_of_their_own(tmp_path: Path) -> None:
    weights = {"a.weight": numbers(4, 3, 1, 1), "a.b.weight": numbers(4, 4, 1, 1), "w": numbers(4, 4, 1, 1)}
    nodes = [node("Conv", "x a.weight", "q"), node("Conv", "q a.b.weight", "r"), node("Conv", "r w", "s", name="a")]
    nodes += [node("Conv", "s w2", "unnamed"), node("GlobalAveragePool", "unnamed", "t"), node("Flatten", "t", "y")]
    made = model(nodes, weights | {"w2": numbers(2, 4, 1, 1)})
    path = write(tmp_path / "x.onnx", made)
    assert list(layers(path)) == ["a", "a.b", "a_2", "unnamed"]
    images = numbers(2, 3, 8, 8)
    np.testing.assert_allclose(computed(path, images)[0], reference(made, images)[0], rtol=1e-4, atol=1e-6)


def test_a_weight_in_two_places_is_one_parameter(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "a"),
        node("Relu", "a", "b"),
        node("Conv", "b w", "c"),
        node("GlobalAveragePool", "c", "d"),
    ]
    path = write(tmp_path / "x.onnx", model([*nodes, node("Flatten", "d", "y")], {"w": numbers(3, 3, 1, 1)}))
    one, other = layers(path).values()
    assert one.weight is other.weight
    with pytest.raises(InputError, match="used 2 times in one pass"):
        list(marginalize(load_network(path), "a", numbers(2, 3, 8, 8)))


def test_a_product_that_others_take_keeps_its_bias_apart(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "a"), node("Add", "a b", "c"), node("Add", "c a", "y")]
    path = write(tmp_path / "x.onnx", model(nodes, {"w": numbers(5, 4), "b": numbers(4)}, shape=("N", 5)))
    ((name, layer),) = layers(path).items()
    assert (name, layer.bias) == ("a", None)


def test_a_softmax_that_is_not_at_the_end_stays(tmp_path: Path) -> None:
    nodes = [node("Softmax", "x", "a"), node("Neg", "a", "y")]
    contents = onnx_model.read(write(tmp_path / "x.onnx", model(nodes, {}, shape=("N", 5))))
    assert contents.notes == ()
    along_images = model([node("Softmax", "x", "y", axis=0)], {}, shape=("N", 5))
    assert onnx_model.read(write(tmp_path / "x.onnx", along_images)).notes == ()


def test_images_with_channels_last_are_taken_as_others(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "x", "a", perm=[0, 3, 1, 2]),
        node("Conv", "a w", "b"),
        node("GlobalAveragePool", "b", "c"),
    ]
    made = model([*nodes, node("Flatten", "c", "y")], {"w": numbers(4, 3, 3, 3)}, shape=("N", 9, 8, 3))
    path = write(tmp_path / "x.onnx", made)
    contents = onnx_model.read(path)
    assert contents.image_shape == (3, 9, 8)
    assert contents.notes == ("images are [N, H, W, C] in the file; the network takes [N, C, H, W], as others do.",)
    images = numbers(2, 3, 9, 8)
    wanted = reference(made, np.ascontiguousarray(images.transpose(0, 2, 3, 1)))[0]
    np.testing.assert_allclose(computed(path, images)[0], wanted, rtol=1e-4, atol=1e-6)


def attention(count: Any) -> Any:
    """Attention with tokens first, as torch's own has it: images lie inside of an axis."""
    shapes = {"first": [5, count, 6], "heads": [5, count * 2, 3], "rows": [5 * count, 6], "back": [5, count, 6]}
    weights: dict[str, Any] = {name: np.array(shape) for name, shape in shapes.items()}
    weights |= {"q": numbers(6, 6), "k": numbers(6, 6, seed=1), "o": numbers(6, 4, seed=2)}
    nodes = [
        node("Transpose", "x", "a", perm=[1, 0, 2]),
        node("MatMul", "a q", "b"),
        node("MatMul", "a k", "c"),
        *(node("Reshape", f"{name} heads", f"{name}1") for name in "bc"),
        node("Transpose", "b1", "b2", perm=[1, 0, 2]),
        node("Transpose", "c1", "c2", perm=[1, 2, 0]),
        node("MatMul", "b2 c2", "d"),
        node("Softmax", "d", "e", axis=-1),
        node("MatMul", "e b2", "f"),
        node("Transpose", "f", "g", perm=[1, 0, 2]),
        node("Reshape", "g split", "h"),
        node("Reshape", "h rows", "i"),
        node("MatMul", "i o", "j"),
        node("Reshape", "j back4", "k2"),
        node("Transpose", "k2", "l", perm=[1, 0, 2]),
        node("ReduceMean", "l", "y", axes=[1], keepdims=0),
    ]
    weights |= {"split": np.array([5, count, 2, 3]), "back4": np.array([5, count, 4])}
    return model(nodes, weights, shape=(count, 5, 6), opset=13)


def test_images_inside_of_an_axis_are_found(tmp_path: Path) -> None:
    path = write(tmp_path / "x.onnx", attention(1))
    images = numbers(3, 5, 6)
    np.testing.assert_allclose(computed(path, images)[0], reference(attention(1), images)[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(computed(path, images)[0], reference(attention(3), images)[0], rtol=1e-4, atol=1e-6)


def test_double_and_half_precision(tmp_path: Path) -> None:
    weights = {"w": np.random.default_rng(0).normal(size=(5, 4))}
    double = write(
        tmp_path / "double.onnx", model([node("MatMul", "x w", "y")], weights, shape=("N", 5), kind=np.float64)
    )
    assert next(load_network(double).parameters()).dtype == torch.float64
    half = {"w": weights["w"].astype(np.float16)}
    made = model([node("MatMul", "x w", "y")], half, shape=("N", 5), kind=np.float16)
    (layer,) = layers(write(tmp_path / "half.onnx", made)).values()
    np.testing.assert_array_equal(layer.weight.detach(), half["w"].T.astype(np.float32))


def test_what_a_network_does_counts_for_its_digest(tmp_path: Path) -> None:
    weights = {"w": numbers(5, 4)}
    digests = [
        digest_of_network(load_network(write(tmp_path / "x.onnx", model(nodes, weights, shape=("N", 5)))))
        for nodes in (
            [node("MatMul", "x w", "a"), node("Elu", "a", "y", alpha=0.5)],
            [node("MatMul", "x w", "a"), node("Elu", "a", "y", alpha=0.6)],
            [node("MatMul", "x w", "a"), node("Relu", "a", "y")],
        )
    ]
    assert len(set(digests)) == 3


def external(folder: Path, location: str) -> Path:
    made = every_kind()
    tensor = made.graph.initializer[0]
    (folder / "weights.bin").write_bytes(b"\0" * 8 + tensor.raw_data)
    onnx.external_data_helper.set_external_data(tensor, location, offset=8, length=len(tensor.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    return write(folder / "x.onnx", made)


def test_weights_in_another_file_belong_to_the_network(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    images = numbers(2, 3, 8, 8)
    for mine, wanted in zip(
        computed(path, images), computed(write(tmp_path / "y.onnx", every_kind()), images), strict=True
    ):
        np.testing.assert_array_equal(mine, wanted)
    assert onnx_model.files(path) == (path, tmp_path / "weights.bin")
    before = digest_of_file(path)
    (tmp_path / "weights.bin").write_bytes(b"\1" + (tmp_path / "weights.bin").read_bytes()[1:])
    assert digest_of_file(path) != before
    (tmp_path / "weights.bin").write_bytes(b"\0" * 100)
    with pytest.raises(
        InputError, match=r"takes 648 bytes of weights\.bin, which gives it 648; accepted are as many|gives"
    ):
        load_network(path)


@pytest.mark.parametrize(
    "location", ["../weights.bin", "/etc/passwd", "link", "", ".", "nowhere", "weights.bin/../../x"]
)
def test_weights_outside_of_the_folder_are_not_read(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(b"\0" * 10000)
    (folder / "link").symlink_to(tmp_path / "weights.bin")
    path = external(folder, location)
    with pytest.raises(InputError, match=r"is kept in '.*'; accepted is a file that lies in the folder of x\.onnx"):
        load_network(path)


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "unknown": (
        [node("Foo", "x", "y", name="n")],
        {},
        "operator 'Foo' of node 'n' (the 1st): it is not known; accepted",
    ),
    "of others": ([node("Gelu", "x", "y", domain="com.microsoft")], {}, "operator 'com.microsoft.Gelu' (the 1st)"),
    "quantized": ([node("QuantizeLinear", "x w", "y")], {"w": np.float32(1)}, "the network is quantized"),
    "chosen": ([node("ArgMax", "x", "y")], {}, "operator 'ArgMax' (the 1st): it chooses among classes"),
    "a mask": ([node("Dropout", "x", "a m"), node("Not", "m", "y")], {}, "it takes the mask 'm' of a dropout"),
    "sizes of what images show": (
        [node("Cast", "x", "a", to=1), node("Expand", "x a", "y")],
        {},
        "depend on what images show",
    ),
    "no weights": ([node("Conv", "x w", "y")], {"w": np.zeros((0, 3, 3, 3), np.float32)}, "weights [0, 3, 3, 3]"),
    "groups": ([node("Conv", "x w", "y", group=0)], {"w": numbers(4, 3, 3, 3)}, "attribute 'group' is 0"),
    "a constant": ([node("Neg", "w", "y")], {"w": numbers(4)}, "output 'y' does not depend on images"),
    "another axis": ([node("Softmax", "x", "a", axis=7), node("Neg", "a", "y")], {}, "axis 7 of a value with 4 axes"),
    "a strange mode": ([node("Pad", "x p", "y", mode="dream")], {"p": np.zeros(8, INT)}, "attribute 'mode' is 'dream'"),
    "training": (
        [node("BatchNormalization", "x w w w w", "y", training_mode=1)],
        {"w": numbers(3)},
        "accepted is evaluation",
    ),
    "unfitting": (
        [node("Add", "x w", "y")],
        {"w": numbers(5)},
        "operator 'Add' (the 1st): it does not take its inputs (",
    ),
    "unmade": ([node("Add", "x nothing", "y")], {}, "operator 'Add' (the 1st) takes 'nothing'"),
    "a second output": (
        [node("MaxPool", "x", "a i", kernel_shape=[2, 2]), node("Cast", "i", "b", to=1), node("Add", "a b", "y")],
        {},
        "operator 'MaxPool' (the 1st): its output 'i' is taken",
    ),
    "made twice": ([node("Neg", "x", "y"), node("Abs", "x", "y")], {}, "operator 'Abs' (the 2nd) makes 'y' again"),
    **{
        f"an absurd {op}": ([node(op, f"{taken} s", "y")], {"s": np.array(sizes), "z": numbers(1)}, said)
        for op, taken, sizes, said in (
            ("Expand", "x", [10**6, 10**6, 1, 3, 8, 8], "absurdly many numbers"),
            ("Tile", "x", [1, 10**5, 10**5, 1], "absurdly many numbers"),
            ("Pad", "x", [0, 0, 10**6, 10**6, 0, 0, 10**6, 0], "absurdly many numbers"),
            ("Expand", "z", [10**6, 10**6], "it makes 1000000000000 numbers out of sizes"),
            ("Reshape", "x", [2**40, -1], "do not fit into sizes"),
        )
    },
    "an absurd ConstantOfShape": (
        [node("ConstantOfShape", "s", "a"), node("Add", "x a", "y")],
        {"s": np.array([2**31, 9])},
        "numbers out of sizes",
    ),
    "an absurd Range": (
        [node("Range", "a b c", "d"), node("Add", "x d", "y")],
        {"a": np.array(0), "b": np.array(2**60), "c": np.array(1)},
        "numbers out of",
    ),
    "an absurd Resize": (
        [node("Resize", "x _ s", "y")],
        {"s": np.array([1, 1, 1e6, 1e6], np.float32)},
        "it makes an axis of",
    ),
    "an absurd product": (
        [node("Add", "v w", "a"), node("Add", "x a", "y")],
        {"v": numbers(10**5, 1), "w": numbers(1, 10**5)},
        "numbers out of sizes",
    ),
    "absurd pads": ([node("Conv", "x w", "y", pads=[2**23] * 4)], {"w": numbers(4, 3, 3, 3)}, "absurdly many numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_in_a_sentence(name: str, tmp_path: Path) -> None:
    nodes, weights, said = REFUSED[name]
    path = write(tmp_path / "x.onnx", model(nodes, weights))
    with pytest.raises(InputError) as error:
        load_network(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert said in text
    assert "; accepted " in text
    assert text.isprintable()


def changed_model(change: Any) -> Any:
    made = every_kind()
    change(made)
    return made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda made: made.graph.input.append(made.graph.output[0]), "its inputs are 'x', 'y'; accepted is one input"),
        (lambda made: made.graph.ClearField("output"), "it has no outputs"),
        (lambda made: made.functions.add(), "it has 1 functions of its own; accepted are files without: onnx.inliner"),
        (lambda made: made.graph.sparse_initializer.add(), "it has sparse weights"),
        (
            lambda made: setattr(made.opset_import[0], "version", 6),
            "its operators are of version 6; accepted are versions",
        ),
        (lambda made: setattr(made.graph.initializer[0], "data_type", 8), "weight 'stem.weight' is of type STRING"),
        (
            lambda made: made.graph.initializer[0].dims.append(2),
            "weight 'stem.weight' of sizes [6, 3, 3, 3, 2] is damaged",
        ),
        (
            lambda made: setattr(made.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 4),
            "batches of 4 images",
        ),
        (
            lambda made: setattr(made.graph.input[0].type.tensor_type.shape.dim[2], "dim_value", 2**40),
            "one image has the shape",
        ),
    ],
)
def test_files_that_are_no_networks_on_images_are_refused(change: Any, said: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.onnx", changed_model(change))
    with pytest.raises(InputError, match=f"^{path}: ") as error:
        load_network(path)
    assert said in str(error.value)


def test_a_file_for_one_image_that_cannot_be_freed_says_how_to_export_it(tmp_path: Path) -> None:
    nodes = [node("Squeeze", "x zero", "a"), node("Unsqueeze", "a zero", "b"), node("Flatten", "b", "y")]
    path = write(tmp_path / "x.onnx", model(nodes, {"zero": np.array([0])}, shape=(1, 3, 8, 8)))
    with pytest.raises(InputError, match=r"'Squeeze' \(the 1st\): it takes one image at a time .*dynamic_shapes"):
        load_network(path)


def test_without_the_package_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.onnx", every_kind())
    monkeypatch.setitem(sys.modules, "onnx", None)
    needed = (
        r"x\.onnx needs the package onnx, which is not installed; accepted is: pip install 'featuresharing\[formats\]'"
    )
    with pytest.raises(InputError, match=needed):
        load_network(path)


def test_networks_can_be_copied(tmp_path: Path) -> None:
    network = load_network(write(tmp_path / "x.onnx", every_kind()))
    images = torch.from_numpy(numbers(2, 3, 8, 8))
    with torch.no_grad():
        one, other = network(images), copy.deepcopy(network)(images)
    assert all(torch.equal(one[task], other[task]) for task in one)


def test_damaged_and_hostile_files_are_refused_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """More cases: benchmarks/fuzz_onnx.py."""
    script = runpy.run_path(str(ROOT / "benchmarks/fuzz_onnx.py"))
    found = script["run"](120, 3)
    assert not found["tracebacks"], capsys.readouterr().out
    assert found["refused"] > 60
    assert found["read"] > 5


def test_a_file_opens_with_what_it_says_of_its_images(tmp_path: Path) -> None:
    stored = open_network(write(tmp_path / "x.onnx", every_kind()))
    assert (stored.preprocessing.shape, stored.classes) == ((3, 8, 8), (3, 4))


def test_the_documentation_lists_the_operators_that_are_read() -> None:
    section = (ROOT / "docs/formats.md").read_text().split("**Operators.**")[1].split("Any other")[0]
    listed = re.findall("`([A-Za-z0-9]+)`", section)
    assert listed == sorted([*KNOWN, "Constant", "Dropout"])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("form", [(4,), (1, 4), (4, 1, 1), (1, 4, 1, 1), (1, 1, 1, 4)])
def test_what_is_added_to_maps_is_a_bias_where_it_is_one_number_a_channel(
    last: bool, form: tuple[int, ...], tmp_path: Path
) -> None:
    nodes = [node("Conv", "x w", "a", pads=[0, 0, 0, 0], name="c")]
    nodes += [node("Cast", "a", "a2", to=1), node("Transpose", "a2", "b", perm=[0, 2, 3, 1])] if last else []
    made = model(
        [*nodes, node("Add", f"bias {'b' if last else 'a'}", "y")], {"w": numbers(4, 3, 5, 5), "bias": numbers(*form)}
    )
    path = write(tmp_path / "x.onnx", made)
    images = numbers(2, 3, 8, 8)
    np.testing.assert_allclose(computed(path, images)[0], reference(made, images)[0], rtol=1e-4, atol=2e-5)
    ((_, layer),) = layers(path).items()
    joined = [(4,), (1, 4), (1, 1, 1, 4)] if last else [(4, 1, 1), (1, 4, 1, 1)]
    assert (layer.bias is not None) == (form in joined)
