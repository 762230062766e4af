"""Networks of Caffe, against a naive implementation of what Caffe computes."""

import math
import runpy
import struct
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from featuresharing import InputError, marginalize, prior_draws
from featuresharing.networks.formats import Contents, digest_of_file
from featuresharing.networks.formats.caffe_model import files, read, read_pair, sniff
from featuresharing.networks.opening import load_network, open_network
from tests.support.caffe_files import Arrays, input_layer, older, two_heads, weights_bytes, write_pair
from tests.support.commands import ROOT
from tests.support.naive import marginalize_naively

Array = NDArray[np.floating[Any]]

SIZES = (4, 7, 6)
"""Channels, rows and columns of images, unless a test says otherwise."""


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


NOTHING: Arrays = {}
IMAGES = numbers(2, *SIZES)


def layer(kind: str, settings: str = "", *, name: str = "x", bottoms: str = "data", tops: str = "x") -> str:
    ends = [f'bottom: "{blob}"' for blob in bottoms.split()] + [f'top: "{blob}"' for blob in tops.split()]
    return f'layer {{ name: "{name}" type: "{kind}" {" ".join(ends)} {settings} }}\n'


def contents(folder: Path, text: str, arrays: Arrays = NOTHING, sizes: Sequence[int] = SIZES, **form: bool) -> Contents:
    return read(write_pair(folder / "net.prototxt", input_layer(*sizes) + text, arrays, **form))


def outputs(network: nn.Module, images: Array = IMAGES) -> Any:
    with torch.no_grad():
        return network(torch.from_numpy(images.astype(np.float32)))


def close(found: Any, wanted: Array) -> None:
    np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-5, atol=2e-6)


def refused(folder: Path, said: str, text: str, arrays: Arrays = NOTHING, **form: Any) -> None:
    with pytest.raises(InputError, match=said) as error:
        contents(folder, text, arrays, **form)
    assert "; accepted " in str(error.value)
    assert str(error.value).isprintable()


# layers with windows: every number from a loop over windows


def convolved(
    x: Array,
    weight: Array,
    bias: Array,
    *,
    stride: Any = (1, 1),
    pad: Any = (0, 0),
    dilation: Any = (1, 1),
    groups: int = 1,
) -> Array:
    images, planes, rows, columns = x.shape
    padded = np.zeros((images, planes, rows + 2 * pad[0], columns + 2 * pad[1]))
    padded[:, :, pad[0] : pad[0] + rows, pad[1] : pad[1] + columns] = x
    height, width = (
        (size - (step * (extent - 1) + 1)) // by + 1
        for size, step, extent, by in zip(padded.shape[2:], dilation, weight.shape[2:], stride, strict=True)
    )
    result = np.zeros((images, len(weight), height, width))
    inside, each = planes // groups, len(weight) // groups
    for n, o, i, j in np.ndindex(result.shape):
        total = bias[o]
        for c, a, b in np.ndindex(weight.shape[1:]):
            place = (i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1])
            total += weight[o, c, a, b] * padded[n, o // each * inside + c, place[0], place[1]]
        result[n, o, i, j] = total
    return result


def deconvolved(x: Array, weight: Array, bias: Array, *, stride: int, pad: int, groups: int) -> Array:
    images, planes, rows, columns = x.shape
    outputs_each, kernel = weight.shape[1], weight.shape[2]
    whole = np.zeros((images, outputs_each * groups, stride * (rows - 1) + kernel, stride * (columns - 1) + kernel))
    for n, c, i, j in np.ndindex(x.shape):
        group = c // (planes // groups)
        for o, a, b in np.ndindex(weight.shape[1:]):
            whole[n, group * outputs_each + o, i * stride + a, j * stride + b] += x[n, c, i, j] * weight[c, o, a, b]
    cut = whole[:, :, pad : whole.shape[2] - pad, pad : whole.shape[3] - pad]
    return cut + bias[:, None, None]


class NoWindowError(Exception):
    pass


def pooled(x: Array, kernel: int, stride: int, pad: int, *, average: bool, ceil: bool = True) -> Array:
    """Caffe's pooling: the number of windows is rounded up, and with padding the last begins inside the image."""
    counts = []
    for size in x.shape[2:]:
        count = (math.ceil if ceil else math.floor)((size + 2 * pad - kernel) / stride) + 1
        if pad and (count - 1) * stride >= size + pad:
            count -= 1
        counts.append(count)
    if min(counts) < 1:
        raise NoWindowError
    result = np.zeros((*x.shape[:2], *counts))
    for n, c, i, j in np.ndindex(result.shape):
        starts = [place * stride - pad for place in (i, j)]
        ends = [min(start + kernel, size + pad) for start, size in zip(starts, x.shape[2:], strict=True)]
        divisor = (ends[0] - starts[0]) * (ends[1] - starts[1])
        window = x[n, c, max(starts[0], 0) : max(ends[0], 0), max(starts[1], 0) : max(ends[1], 0)]
        if not window.size:
            raise NoWindowError
        result[n, c, i, j] = window.sum() / divisor if average else window.max()
    return result


def test_convolutions_in_groups_with_dilation_stride_and_padding(tmp_path: Path) -> None:
    weight, bias = numbers(6, 2, 3, 2), numbers(6)
    settings = """convolution_param { num_output: 6 group: 2 kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 1
        pad_w: 0 dilation: 1 dilation: 2 weight_filler { type: "xavier" } engine: CAFFE }"""
    found = contents(tmp_path, layer("Convolution", settings, name="conv"), {"conv": [weight, bias]})
    wanted = convolved(IMAGES, weight, bias, stride=(2, 1), pad=(1, 0), dilation=(1, 2), groups=2)
    close(outputs(found.network), wanted)
    assert isinstance(found.network.get_submodule("conv"), nn.Conv2d)


def test_convolutions_without_bias_and_with_one_size_for_both_sides(tmp_path: Path) -> None:
    weight = numbers(3, 4, 2, 2)
    settings = "convolution_param { num_output: 3 bias_term: false kernel_size: 2 stride: 2 pad: 1 dilation: 2 }"
    found = contents(tmp_path, layer("Convolution", settings), {"x": [weight]})
    close(outputs(found.network), convolved(IMAGES, weight, np.zeros(3), stride=(2, 2), pad=(1, 1), dilation=(2, 2)))


def test_transposed_convolutions(tmp_path: Path) -> None:
    weight, bias = numbers(4, 3, 3, 3), numbers(6)
    settings = "convolution_param { num_output: 6 group: 2 kernel_size: 3 stride: 2 pad: 1 }"
    found = contents(tmp_path, layer("Deconvolution", settings), {"x": [weight, bias]})
    close(outputs(found.network), deconvolved(IMAGES, weight, bias, stride=2, pad=1, groups=2))


@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_pooling_of_every_size(method: str, tmp_path: Path) -> None:
    compared = refusals = 0
    for kernel, stride, pad, ceil in product((1, 2, 3, 5, 8), (1, 2, 3), (0, 1, 2), (True, False)):
        mode = "" if ceil else " round_mode: FLOOR"
        text = f"pooling_param {{ pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad}{mode} }}"
        try:
            wanted = pooled(IMAGES, kernel, stride, pad, average=method == "AVE", ceil=ceil)
        except NoWindowError:
            wanted = None
        if wanted is None or 2 * pad > kernel:
            refused(tmp_path, "windows do not fit|'pad' is [12]; accepted", layer("Pooling", text))
            refusals += 1
        else:
            wanted = wanted.reshape(2, 4) if wanted.shape[2:] == (1, 1) else wanted  # scores, not maps
            close(outputs(contents(tmp_path, layer("Pooling", text)).network), wanted)
            compared += 1
    assert compared > 40
    assert refusals > 15


def test_pooling_of_whole_images_and_of_sides_of_their_own(tmp_path: Path) -> None:
    for method, wanted in (("MAX", IMAGES.max(axis=(2, 3))), ("AVE", IMAGES.mean(axis=(2, 3)))):
        text = layer("Pooling", f"pooling_param {{ pool: {method} global_pooling: true }}")
        close(outputs(contents(tmp_path, text).network), wanted)
    for floor in ("round_mode: FLOOR", "ceil_mode: false"):  # of BVLC, and of others
        text = layer("Pooling", f"pooling_param {{ kernel_size: 2 stride: 2 {floor} }}")
        close(outputs(contents(tmp_path, text).network), pooled(IMAGES, 2, 2, 0, average=False, ceil=False))
    text = layer("Pooling", "pooling_param { kernel_h: 1 kernel_w: 6 stride_h: 1 stride_w: 6 }")
    close(outputs(contents(tmp_path, text).network), IMAGES.max(axis=3, keepdims=True))


# layers that compute place by place, or along an axis


def along_channels(x: Array, *, size: int, alpha: float, beta: float, k: float) -> Array:
    result = np.zeros_like(x)
    for c in range(x.shape[1]):
        around = x[:, max(0, c - size // 2) : c + size // 2 + 1]
        result[:, c] = x[:, c] / (k + alpha / size * (around**2).sum(axis=1)) ** beta
    return result


def within_channels(x: Array, *, size: int, alpha: float, beta: float) -> Array:
    result = np.zeros_like(x)
    for n, c, i, j in np.ndindex(x.shape):
        rows, columns = (slice(max(0, place - size // 2), place + size // 2 + 1) for place in (i, j))
        mean = (x[n, c, rows, columns] ** 2).sum() / size**2  # padding counts: the divisor is the same everywhere
        result[n, c, i, j] = x[n, c, i, j] * (1 + alpha * mean) ** -beta
    return result


PLACE_BY_PLACE: list[tuple[str, str, Callable[[Array], Array]]] = [
    ("ReLU", "", lambda x: np.maximum(x, 0)),
    ("ReLU", "relu_param { negative_slope: 0.1 }", lambda x: np.where(x > 0, x, 0.1 * x)),
    ("ELU", "elu_param { alpha: 0.5 }", lambda x: np.where(x > 0, x, 0.5 * (np.exp(x) - 1))),
    ("Sigmoid", "", lambda x: 1 / (1 + np.exp(-x))),
    ("TanH", "", np.tanh),
    ("AbsVal", "", np.abs),
    ("BNLL", "", lambda x: np.log(1 + np.exp(x))),
    ("Swish", "swish_param { beta: 2 }", lambda x: x / (1 + np.exp(-2 * x))),
    ("Clip", "clip_param { min: -0.5 max: 1 }", lambda x: np.clip(x, -0.5, 1)),
    ("Power", "power_param { power: 2 scale: 3 shift: -1 }", lambda x: (3 * x - 1) ** 2),
    ("Power", "power_param { scale: 0.5 shift: 1 }", lambda x: 0.5 * x + 1),
    ("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }", lambda x: 2 ** (0.5 * x + 1)),
    ("Exp", "", np.exp),
    ("Log", "log_param { base: 10 scale: 0.1 shift: 9 }", lambda x: np.log10(0.1 * x + 9)),
    ("Dropout", "dropout_param { dropout_ratio: 0.9 }", lambda x: x),
    (
        "LRN",
        "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 k: 2 }",
        lambda x: along_channels(x, size=3, alpha=0.5, beta=0.6, k=2),
    ),
    ("LRN", "", lambda x: along_channels(x, size=5, alpha=1, beta=0.75, k=1)),
    (
        "LRN",
        "lrn_param { local_size: 3 alpha: 0.5 beta: 0.6 norm_region: WITHIN_CHANNEL }",
        lambda x: within_channels(x, size=3, alpha=0.5, beta=0.6),
    ),
    ("Softmax", "softmax_param { axis: -1 }", lambda x: np.exp(x) / np.exp(x).sum(axis=3, keepdims=True)),
    ("Flatten", "", lambda x: x.reshape(2, -1)),
    ("Flatten", "flatten_param { axis: 2 }", lambda x: x.reshape(2, 4, -1)),
    ("Flatten", "flatten_param { axis: 1 end_axis: 2 }", lambda x: x.reshape(2, -1, 6)),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 3 } }", lambda x: x.reshape(2, 2, 28, 3)),
    ("Reshape", "reshape_param { shape { dim: 1 dim: 168 } }", lambda x: x.reshape(2, 168)),
    ("Reshape", "reshape_param { axis: 2 shape { dim: -1 } }", lambda x: x.reshape(2, 4, 42)),
    ("Reshape", "reshape_param { axis: -1 shape { dim: 1 } }", lambda x: x[..., None]),
    ("Reshape", "reshape_param { axis: 1 num_axes: 1 shape { dim: 2 dim: 2 } }", lambda x: x.reshape(2, 2, 2, 7, 6)),
]


@pytest.mark.parametrize(("kind", "settings", "wanted"), PLACE_BY_PLACE, ids=[f"{a} {b}" for a, b, _ in PLACE_BY_PLACE])
def test_layers_without_weights(kind: str, settings: str, wanted: Callable[[Array], Array], tmp_path: Path) -> None:
    close(outputs(contents(tmp_path, layer(kind, settings)).network), wanted(IMAGES))


def test_batch_norm_divides_its_sums_by_the_factor_that_is_stored_with_them(tmp_path: Path) -> None:
    mean, variance = numbers(4), numbers(4, seed=1) ** 2
    for factor in (1.0, 123.5):
        arrays = {"x": [mean * factor, variance * factor, [factor]]}
        found = contents(tmp_path, layer("BatchNorm", "batch_norm_param { eps: 0.01 }"), arrays)
        shape = (4, 1, 1)
        close(outputs(found.network), (IMAGES - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 0.01))
    found = contents(tmp_path, layer("BatchNorm"), {"x": [mean, variance, [0.0]]})
    close(outputs(found.network), IMAGES / np.sqrt(1e-5))  # nothing was counted: Caffe takes zeros


def test_scale_and_bias(tmp_path: Path) -> None:
    weight, bias, plane, row = numbers(4), numbers(4, seed=1), numbers(4, 7), numbers(6)
    cases: list[tuple[str, str, list[Array], Array]] = [
        (
            "Scale",
            "scale_param { bias_term: true }",
            [weight, bias],
            IMAGES * weight[:, None, None] + bias[:, None, None],
        ),
        ("Scale", "", [weight], IMAGES * weight[:, None, None]),
        ("Scale", "scale_param { axis: 1 num_axes: 2 }", [plane], IMAGES * plane[:, :, None]),
        ("Bias", "bias_param { axis: -1 }", [row], IMAGES + row),
        ("Bias", "bias_param { axis: 1 num_axes: 0 }", [np.array(0.7)], IMAGES + 0.7),
    ]
    for kind, settings, arrays, wanted in cases:
        close(outputs(contents(tmp_path, layer(kind, settings), {"x": arrays}).network), wanted)


def test_scale_by_another_blob_as_in_squeeze_and_excitation(tmp_path: Path) -> None:
    text = layer("Pooling", "pooling_param { pool: AVE global_pooling: true }", name="pool", tops="pool")
    text += layer("Reshape", "reshape_param { shape { dim: 0 dim: 4 } }", name="flat", bottoms="pool", tops="flat")
    text += layer("Scale", "scale_param { axis: 0 }", bottoms="data flat")
    close(outputs(contents(tmp_path, text).network), IMAGES * IMAGES.mean(axis=(2, 3))[:, :, None, None])


def test_prelu_by_channel_and_shared(tmp_path: Path) -> None:
    slopes = numbers(4)
    found = contents(tmp_path, layer("PReLU"), {"x": [slopes]})
    close(outputs(found.network), np.where(IMAGES > 0, IMAGES, slopes[:, None, None] * IMAGES))
    for shared in (np.array(0.3), np.array([0.3])):
        found = contents(tmp_path, layer("PReLU", "prelu_param { channel_shared: true }"), {"x": [shared]})
        close(outputs(found.network), np.where(IMAGES > 0, IMAGES, 0.3 * IMAGES))


def test_inner_products_along_any_axis_and_transposed(tmp_path: Path) -> None:
    weight, bias, last = numbers(5, 168), numbers(5), numbers(5, 6)
    text = "inner_product_param {{ num_output: 5 {} }}"
    found = contents(tmp_path, layer("InnerProduct", text.format("")), {"x": [weight, bias]})
    close(outputs(found.network), IMAGES.reshape(2, 168) @ weight.T + bias)
    assert isinstance(found.network.get_submodule("x"), nn.Linear)
    found = contents(tmp_path, layer("InnerProduct", text.format("transpose: true")), {"x": [weight.T, bias]})
    close(outputs(found.network), IMAGES.reshape(2, 168) @ weight.T + bias)
    found = contents(tmp_path, layer("InnerProduct", text.format("axis: -1 bias_term: false")), {"x": [last]})
    close(outputs(found.network), IMAGES @ last.T)


def test_eltwise_concat_slice_and_split(tmp_path: Path) -> None:
    cut = layer("Slice", "slice_param { axis: 1 slice_point: 1 slice_point: 2 }", name="cut", tops="a b c")
    a, b, c = IMAGES[:, :1], IMAGES[:, 1:2], IMAGES[:, 2:]
    parts = cut + layer("Slice", "slice_param { slice_dim: 1 }", name="halves", bottoms="c", tops="d e")
    d, e = c[:, :1], c[:, 1:]
    cases = [
        ("Eltwise", "", a + b + d + e),
        (
            "Eltwise",
            "eltwise_param { operation: SUM coeff: 1 coeff: -2 coeff: 0.5 coeff: 3 }",
            a - 2 * b + 0.5 * d + 3 * e,
        ),
        ("Eltwise", "eltwise_param { operation: PROD }", a * b * d * e),
        ("Eltwise", "eltwise_param { operation: MAX }", np.max([a, b, d, e], axis=0)),
        ("Concat", "", np.concatenate([a, b, d, e], axis=1)),
        ("Concat", "concat_param { axis: -1 }", np.concatenate([a, b, d, e], axis=3)),
        ("Concat", "concat_param { concat_dim: 2 }", np.concatenate([a, b, d, e], axis=2)),
    ]
    for kind, settings, wanted in cases:
        text = parts + layer("Split", name="twice", bottoms="d", tops="d1 d2") + layer("Silence", bottoms="d2", tops="")
        text += layer(kind, settings, name="y", bottoms="a b d1 e", tops="y")
        close(outputs(contents(tmp_path, text).network), wanted)


# graphs: which layers run, what they are called, what comes out


def test_the_second_version_with_two_heads(tmp_path: Path) -> None:
    text, arrays = two_heads()
    found = read(write_pair(tmp_path / "net.prototxt", text, arrays))
    assert (found.tasks, found.classes, found.image_shape) == (("shape", "colour"), (3, 4), (3, 16, 16))
    assert found.notes == (
        "layer 9 'prob_shape' ('Softmax') of net.prototxt was left out: networks give raw scores.",
        "layer 11 'prob_colour' ('Softmax') of net.prototxt was left out: networks give raw scores.",
    )
    images = numbers(2, 3, 16, 16)
    first, norm, scale = arrays["conv/1"], arrays["norm2"], arrays["scale2"]
    x = np.maximum(convolved(images, *first, stride=(2, 2), pad=(1, 1)), 0)
    x = pooled(x, 3, 2, 0, average=False)
    x = convolved(x, arrays["conv2"][0], np.zeros(8), pad=(1, 1), groups=2)
    mean, variance, weight, bias = (value.reshape(-1, 1, 1) for value in (norm[0] / 9, norm[1] / 9, *scale))
    x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * weight + bias, 0).reshape(2, -1)
    scores = outputs(found.network, images)
    for task in ("shape", "colour"):
        head, shift = arrays[f"fc.{task}"]
        close(scores[task], x @ head.T + shift)
    assert {"conv/1", "fc_shape", "fc_colour"} < set(dict(found.network.named_modules()))


@pytest.mark.parametrize("old_shapes", [False, True])
@pytest.mark.parametrize("double", [False, True])
def test_the_first_version(old_shapes: bool, double: bool, tmp_path: Path) -> None:
    text, arrays = older()
    path = write_pair(tmp_path / "net.prototxt", text, arrays, first_version=True, old_shapes=old_shapes, double=double)
    found = read(path)
    assert (found.tasks, found.classes, found.image_shape) == (None, (4,), (3, 16, 16))
    images = numbers(2, 3, 16, 16)
    x = np.maximum(convolved(images, *arrays["conv1"], stride=(2, 2)), 0)
    x = along_channels(x, size=5, alpha=0.5, beta=0.75, k=1).reshape(2, -1)
    for name in ("fc2", "fc3"):
        x = x @ arrays[name][0].T + arrays[name][1]
    close(outputs(found.network, images), x)


def test_definitions_for_training_are_read_as_in_a_test(tmp_path: Path) -> None:
    text = """
    layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } data_param { batch_size: 256 } }
    layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
        transform_param { crop_size: 6 mean_value: 104 mirror: false } data_param { source: "x" backend: LMDB } }
    layer { name: "noise" type: "Power" bottom: "data" top: "data" exclude { phase: TEST } }
    layer { name: "late" type: "Power" bottom: "data" top: "data" include { min_level: 1 } }
    layer { name: "staged" type: "Power" bottom: "data" top: "data" include { stage: "deploy" } }
    layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 2 } }
    layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" loss_weight: 1 }
    """
    weight, bias = numbers(2, 108), numbers(2)
    found = read(write_pair(tmp_path / "net.prototxt", text, {"fc": [weight, bias]}))
    assert (found.image_shape, found.classes, found.tasks) == ((3, 6, 6), (2,), None)
    assert [name for name, _ in found.network.named_children()] == ["fc"]
    images = numbers(2, 3, 6, 6)
    close(outputs(found.network, images), images.reshape(2, -1) @ weight.T + bias)
    assert found.notes == (
        "layer 7 'loss' ('SoftmaxWithLoss') of net.prototxt was left out: networks give raw scores.",
    )


def test_a_softmax_is_left_out_where_nothing_computes_with_what_it_gives(tmp_path: Path) -> None:
    last = layer("Softmax", name="p", tops="p") + layer("Flatten", name="f", bottoms="p", tops="f")
    found = contents(tmp_path, last)
    close(outputs(found.network), IMAGES.reshape(2, -1))
    assert found.notes[0].startswith("layer 1 'p' ('Softmax')")
    found = contents(tmp_path, layer("Softmax") + layer("ReLU", name="r", bottoms="x", tops="x"))
    powers = np.exp(IMAGES)
    close(outputs(found.network), powers / powers.sum(axis=1, keepdims=True))
    assert found.notes == ()
    both = layer("Power", name="y", tops="y", settings="power_param { scale: 2 }") + layer("Softmax", bottoms="y")
    found = contents(tmp_path, both + layer("Softmax", name="z", bottoms="y", tops="z"))
    assert (found.tasks, len(found.notes)) == (None, 2)  # both are of the same scores
    close(outputs(found.network), 2 * IMAGES)


def test_outputs_are_the_blobs_that_no_layer_takes(tmp_path: Path) -> None:
    text = layer("ReLU", name="b", tops="b") + layer("AbsVal", name="a", tops="a")
    text += layer("TanH", name="t", bottoms="a", tops="a") + layer("Exp", name="unused", tops="unused")
    text += layer("Silence", name="s", bottoms="unused", tops="")
    found = contents(tmp_path, text)
    assert found.tasks == ("b", "a")
    assert "unused" not in dict(found.network.named_modules())
    scores = outputs(found.network)
    close(scores["b"], np.maximum(IMAGES, 0))
    close(scores["a"], np.tanh(np.abs(IMAGES)))


def test_names_of_layers_become_module_paths(tmp_path: Path) -> None:
    names = ["inception_4a/1x1", "a.b", "a_b", "type", "forward", "steps", "", "same", "same", "bad\\033[31mname"]
    text = "".join(layer("Power", name=name, tops="data") for name in names)
    found = contents(tmp_path, text)
    wanted = ["inception_4a/1x1", "a_b", "a_b_2", "type_", "forward_", "steps_", "unnamed7", "same", "same_2"]
    assert [name for name, _ in found.network.named_children()] == [*wanted, "bad_[31mname"]
    close(outputs(found.network), IMAGES)


def test_either_file_of_a_pair_will_do(tmp_path: Path) -> None:
    text, arrays = two_heads()
    definition = write_pair(tmp_path / "net.prototxt", text, arrays)
    weights = definition.with_suffix(".caffemodel")
    (tmp_path / "solver.prototxt").write_text('net: "net.prototxt"\nbase_lr: 0.01\ntype: "SGD"\n')
    assert files(definition) == (definition, weights)
    assert files(weights) == (weights, definition)
    assert sniff(definition)
    assert sniff(weights)
    assert not sniff(tmp_path / "solver.prototxt")
    digest = digest_of_file(definition)
    assert digest_of_file(weights) == digest
    elsewhere = definition.rename(tmp_path / "deploy.prototxt")  # another name: the only definition in the folder
    assert files(weights) == (weights, elsewhere)
    images = numbers(1, 3, 16, 16)
    for path in (elsewhere, weights):
        close(
            outputs(load_network(path), images)["shape"],
            outputs(read_pair(elsewhere, weights).network, images)["shape"],
        )
    weights.write_bytes(weights_bytes({**arrays, "conv2": [arrays["conv2"][0] + 1]}))
    assert digest_of_file(elsewhere) != digest
    later = tmp_path / "iter_2000.caffemodel"
    later.write_bytes(weights.read_bytes())
    assert files(later) == (later, elsewhere)  # checkpoints share a definition
    with pytest.raises(InputError, match=r"of its weights, found 2 files \(.iter_2000\.caffemodel., "):
        load_network(elsewhere)
    later.unlink()
    (tmp_path / "train_val.prototxt").write_text(text)
    with pytest.raises(InputError, match=r"half of a Caffe network: of its definition, found 2 files \('deploy.proto"):
        load_network(weights)
    weights.unlink()
    with pytest.raises(
        InputError, match=r"of its weights, found none of \*\.caffemodel beside it; accepted is deploy\."
    ):
        load_network(elsewhere)


def test_units_are_marginalized_as_by_a_naive_loop(tmp_path: Path) -> None:
    path = write_pair(tmp_path / "net.prototxt", *two_heads())
    stored = open_network(path)
    assert (stored.classes, stored.tasks, len(stored.notes)) == ((3, 4), ("shape", "colour"), 2)
    images = torch.from_numpy(numbers(3, 3, 16, 16).astype(np.float32))
    for name in ("conv/1", "conv2", "fc_colour"):
        draws = [prior_draws(stored.network, name, unit, samples=5) for unit in (0, 2)]
        wanted = marginalize_naively(stored.network, name, images, [0, 2], draws)
        found = marginalize(stored.network, name, images.numpy(), samples=5, units=[0, 2], tolerance=0)
        for given, expected in zip(found, wanted, strict=True):
            np.testing.assert_allclose(given, expected, rtol=0, atol=1e-5)


# files that are wrong


IP = "inner_product_param { num_output: 2 }"
CONV = "convolution_param { num_output: 6 kernel_size: 3 "
ONE = numbers(6, 4, 3, 3)

WRONG: list[tuple[str, Arrays, str]] = [
    (
        layer("Permute", "permute_param { order: 0 }", name="p"),
        {},
        r"layer 1 'p' \('Permute'\): this type is not known; acc",
    ),
    (layer("ReLU", "relu_parm { }"), {}, r'net\.prototxt is no definition .*line 2, column \d+: .*"relu_parm"'),
    (
        layer("ReLU", bottoms="nowhere"),
        {},
        r"layer 1 'x' \('ReLU'\): it takes the blob 'nowhere', which no layer makes",
    ),
    (
        'input: "more" input_shap { dim: 1 }' + layer("ReLU"),
        {},
        r'column \d+: .*"NetParameter" has no field named "input_shap"',
    ),
    (
        layer("ReLU", bottoms="y") + layer("ReLU", name="y", bottoms="x", tops="y"),
        {},
        r"takes the blob 'y', which layer 2 'y' \('ReLU'\) makes, and not before it; accepted are blobs of layers that",
    ),
    (layer("ReLU") + layer("TanH"), {}, "it makes the blob 'x', which is there already; accepted is one maker"),
    (layer("InnerProduct", IP), {}, r"net\.caffemodel has no such layer; accepted are weights for every layer"),
    (layer("InnerProduct", IP), {"x": [numbers(2, 168)]}, "has 1 arrays for it; accepted are 2"),
    (
        layer("InnerProduct", IP),
        {"x": [numbers(2, 84), numbers(2)]},
        r"array 0 in .* has the shape \[2, 84\]; accepted is \[2, 168\]",
    ),
    (
        layer("InnerProduct", IP) + layer("InnerProduct", IP, tops="y"),
        {"x": [numbers(2, 168), numbers(2)]},
        "another layer of this name has weights; accepted are other names",
    ),
    (layer("InnerProduct", "inner_product_param { num_output: 2 axis: 0 }"), {}, "'axis' is 0; accepted is an axis"),
    (layer("Convolution", CONV + "group: 5 }"), {"x": [ONE]}, "found 4 and 6 planes in 5 groups; accepted are"),
    (layer("Convolution", CONV + "kernel_h: 3 }"), {"x": [ONE]}, "'kernel_size' and 'kernel_h' or 'kernel_w' are both"),
    (layer("Convolution", CONV + "stride: 0 }"), {"x": [ONE]}, "'stride' is 0; accepted are one integer or two"),
    (layer("Convolution", CONV + "pad: 4000000000 }"), {"x": [ONE]}, "'pad' is 4000000000; accepted are one integer"),
    (
        layer("Convolution", CONV + "bias_term: false dilation: 9 }"),
        {"x": [ONE]},
        "its kernel does not fit into images of",
    ),
    (
        layer("Convolution", "convolution_param { num_output: 6 }"),
        {},
        "'kernel_size' is not there; accepted are one int",
    ),
    (layer("Convolution", CONV + "axis: 2 }"), {}, "'axis' is 2; accepted is an integer from 1 to 1"),
    (
        layer("Convolution", CONV + "hole: 2 }"),
        {},
        r'line 2, column \d+: .*ConvolutionParameter" has no field named "hole"',
    ),
    (
        layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"),
        {},
        "'pool' is STOCHASTIC; accepted are MAX",
    ),
    (layer("Pooling", "pooling_param { pool: MEAN kernel_size: 2 }"), {}, "has no value named MEAN"),
    (layer("Pooling", "pooling_param { global_pooling: true kernel_size: 2 }"), {}, "'global_pooling' and a kernel"),
    (
        layer("BatchNorm", "batch_norm_param { use_global_stats: false }"),
        {},
        "depend on other images; accepted is true",
    ),
    (layer("BatchNorm"), {"x": [numbers(4), -np.ones(4), [1.0]]}, "its variances .* are not all positive"),
    (layer("LRN", "lrn_param { local_size: 4 }"), {}, "'local_size' is 4; accepted is an odd number"),
    (layer("ReLU", "relu_param { negative_slope: nan }"), {}, "'negative_slope' is nan; accepted is a finite number"),
    (layer("Dropout", "dropout_param { dropout_ratio: 1 }"), {}, "'dropout_ratio' is 1; accepted is a number from 0"),
    (layer("Clip", "clip_param { min: 1 }"), {}, "'min' or 'max' is not there; accepted are both"),
    (layer("Clip", "clip_param { min: 1 max: 0 }"), {}, "'min' is 1 and 'max' 0; accepted is a smaller 'min'"),
    (layer("Exp", "exp_param { base: 0 }"), {}, "'base' is 0; accepted is a positive number"),
    (layer("Eltwise"), {}, "it takes 1 blobs; accepted are 2 to 1024"),
    (layer("Pooling", "pooling_param { kernel_size: 2 }", tops="x mask"), {}, "it makes 2 blobs; accepted are 1"),
    (
        layer("Pooling", "pooling_param { kernel_size: 2 }") + layer("Eltwise", name="y", bottoms="x data", tops="y"),
        {},
        r"takes blobs of the shapes \[1, 4, 6, 5\] and \[1, 4, 7, 6\]; accepted are blobs of one shape",
    ),
    (
        layer("Eltwise", "eltwise_param { coeff: 1 }", bottoms="data data"),
        {},
        "'coeff' is there 1 times; accepted is one",
    ),
    (layer("Concat", "concat_param { axis: 0 }", bottoms="data data"), {}, "'axis' is 0; accepted is an axis"),
    (
        layer("Slice", "slice_param { slice_point: 9 }", tops="x y"),
        {},
        "cuts 4 places into 2 blobs by 1 points; accepted",
    ),
    (layer("Slice", tops="x y z"), {}, "cuts 4 places into 3 blobs by equal parts; accepted"),
    (
        layer("Reshape", "reshape_param { shape { dim: 2 dim: 84 } }"),
        {},
        r"the sizes \[2, 84\]; accepted are sizes of as",
    ),
    (layer("Reshape", "reshape_param { shape { dim: 0 dim: 5 dim: -1 } }"), {}, r"the sizes \[0, 5, -1\]; accepted"),
    (layer("Scale", bottoms="data data"), {}, "found 'axis' 1 with blobs of the shapes"),
    (layer("Silence", tops=""), {}, r"its outputs depend on no layer; accepted are networks that take images alone"),
    ('input: "more"\ninput_dim: 1\n', {}, "names 1 inputs with 1 shapes|found images of the shape"),
    ('layers { name: "x" type: RELU bottom: "data" top: "x" }', {}, "has layers of two versions; accepted are 'layer'"),
    ('layer { name: "i" type: "Input" top: "i" }', {}, "makes 1 blobs of 0 shapes; accepted is a shape for each"),
    (
        'layer { name: "d" type: "HDF5Data" top: "d" }',
        {},
        "it does not say how large images are; accepted is a definition",
    ),
    (
        'input: "i" input_dim: 1 input_dim: 999999 input_dim: 9 input_dim: 9',
        {},
        r"input 'i': found images of the shape",
    ),
    (
        'input: "i" input_shape { dim: 1 dim: 4 dim: 7 dim: 6 }' + layer("Eltwise", bottoms="data i"),
        {},
        r"its outputs depend on 2 inputs \('i', 'data'\); accepted",
    ),
    (
        layer("Deconvolution", CONV + "pad: 0 stride: 1000 dilation: 1000 bias_term: false }"),
        {"x": [numbers(4, 6, 3, 3)]},
        r"with it, one image takes .* products; accepted are at most",
    ),
]
"""Layers behind the input, their weights, and what is said."""


@pytest.mark.parametrize(("text", "arrays", "said"), WRONG, ids=[said[:30] for _, _, said in WRONG])
def test_what_is_wrong_is_said_in_one_sentence(text: str, arrays: Arrays, said: str, tmp_path: Path) -> None:
    refused(tmp_path, said, text, arrays)


def doubled(times: int) -> str:
    """Return layers that double their images so many times."""
    blobs = ["data", *(f"x{place}" for place in range(times))]
    return "".join(
        layer("Concat", name=name, bottoms=f"{before} {before}", tops=name) for before, name in pairwise(blobs)
    )


def test_what_would_take_absurd_memory_or_time_is_refused_before_it_does(tmp_path: Path) -> None:
    refused(tmp_path, "layer 12 'x11' .*: with it, one image takes .* products; accepted are at most", doubled(64))
    refused(tmp_path, r"has 10001 layers; accepted are 1 to 10000", "layer {}\n" * 10_000)
    refused(tmp_path, r"has more than 4194304 bytes; accepted is a definition", "#" * 2**22)
    huge = "inner_product_param { num_output: 4294967295 }"
    refused(
        tmp_path, "'num_output' is 4294967295; accepted is an integer from 1 to 1048576", layer("InnerProduct", huge)
    )
    wide = "convolution_param { num_output: 8 kernel_size: 1 pad: 1000 }"
    arrays = {"x": [numbers(8, 4, 1, 1), numbers(8)]}
    refused(tmp_path, "with it, one image takes 3.2e.07 numbers", layer("Convolution", wide), arrays)


def unpacked(value: float) -> bytes:
    """Return a layer 'x' with one array that is written number by number."""
    blob = b"\x3a\x02\x0a\x00" + b"\x2d" + struct.pack("<f", value)
    content = b"\x0a\x01x" + b"\x3a" + bytes([len(blob)]) + blob
    return b"\xa2\x06" + bytes([len(content)]) + content


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (b"", "cannot be read .it is empty.; accepted are weights of Caffe"),
        (b"\xa2\x06\x00" * 10_001, "at byte 30000, more than 10000 fields follow each other; accepted"),
        (weights_bytes({"x": [numbers(4)]})[:-5], r"at byte \d+, \d+ bytes are announced where \d+ are; accepted"),
        (b"\x0a" + b"\xff" * 30, "at byte 0, a number has no end; accepted"),
        (b"\x0b", "a field is written in a way that is not known .3.; accepted"),
        (unpacked(1.0), "array 0 of layer 'x' is not one piece, as Caffe writes it; accepted"),
        (weights_bytes({"x": [[1, 2, np.nan, 4]]}), "array 0 of layer 'x' holds nan; accepted"),
        (weights_bytes({"x": [[1, 2, 1e300, 4]]}, double=True), "array 0 of layer 'x' holds inf; accepted"),
        (weights_bytes({"x": [[1, 2, 3, 4]]}).replace(b"\x0a\x01\x04", b"\x0a\x01\x05"), r"sizes \[5\] and 4 numbers"),
        (weights_bytes({"x": [numbers(3)]}), r"array 0 in .* has the shape \[3\]; accepted is \[4\]"),
    ],
)
def test_damaged_weights_are_refused_with_their_place(weights: bytes, said: str, tmp_path: Path) -> None:
    path = write_pair(tmp_path / "net.prototxt", input_layer(*SIZES) + layer("PReLU"), {})
    path.with_suffix(".caffemodel").write_bytes(weights)
    with pytest.raises(InputError, match=said) as error:
        read_pair(path, path.with_suffix(".caffemodel"))
    assert "net.caffemodel" in str(error.value)
    assert "; accepted " in str(error.value)


def test_without_protobuf_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_pair(tmp_path / "net.prototxt", *two_heads())
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(
        InputError, match=r"net\.prototxt .* protobuf .*; accepted .*: pip install 'featuresharing\[formats\]'\."
    ):
        load_network(path)


def test_damaged_pairs_give_one_sentence_or_compute(capsys: pytest.CaptureFixture[str]) -> None:
    """More cases: benchmarks/fuzz_caffe.py."""
    script = runpy.run_path(str(ROOT / "benchmarks/fuzz_caffe.py"))
    found = script["run"](90, 0, [])
    assert found["tracebacks"] == 0, capsys.readouterr().out
    assert found["refused"] > 50
    assert found["read"] > 5
