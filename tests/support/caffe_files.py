"""Files of Caffe networks made to order: a writer that shares no code with the reader, and damage."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.support.torch7_files import corrupted

Arrays = Mapping[str, Sequence[Any]]

INPUT = 'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 {} }} }} }}\n'


def input_layer(*sizes: int) -> str:
    """Return a layer of images of these sizes."""
    return INPUT.format(" ".join(f"dim: {size}" for size in sizes))


@cache
def _classes() -> dict[str, Any]:
    """Return the messages of a file of weights, as Caffe describes them."""
    file = descriptor_pb2.FileDescriptorProto(name="test/weights.proto", package="test", syntax="proto2")
    kinds = {"int32": 5, "int64": 3, "float": 2, "double": 1, "string": 9}
    messages = {
        "Shape": [("dim", 1, "int64", True)],
        "Blob": [
            *((name, number, "int32", False) for number, name in enumerate(("num", "channels", "height", "width"), 1)),
            *(("data", 5, "float", True), ("diff", 6, "float", True), ("shape", 7, ".test.Shape", False)),
            ("double_data", 8, "double", True),
        ],
        "Layer": [("name", 1, "string", False), ("type", 2, "string", False), ("blobs", 7, ".test.Blob", True)],
        "OldLayer": [("name", 4, "string", False), ("type", 5, "int32", False), ("blobs", 6, ".test.Blob", True)],
        "Net": [
            ("name", 1, "string", False),
            ("layers", 2, ".test.OldLayer", True),
            ("layer", 100, ".test.Layer", True),
        ],
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            added = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in kinds:
                added.type = kinds[kind]
                added.options.packed = repeated and kind != "string"
            else:
                added.type, added.type_name = 11, kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}")) for name in messages}


def weights_bytes(
    arrays: Arrays, *, first_version: bool = False, old_shapes: bool = False, double: bool = False
) -> bytes:
    """Return a file of weights: ``arrays`` by the name of their layer; a layer ``data`` without any comes first."""
    classes = _classes()
    net = classes["Net"](name="net")
    for name, values in {"data": [], **arrays}.items():
        layer = net.layers.add(name=name, type=4) if first_version else net.layer.add(name=name, type="Convolution")
        for value in map(np.asarray, values):
            blob = layer.blobs.add()
            if old_shapes:
                shape = (1,) * (4 - value.ndim) + value.shape
                blob.num, blob.channels, blob.height, blob.width = shape
            else:
                blob.shape.dim.extend(value.shape)
            (blob.double_data if double else blob.data).extend(value.ravel().tolist())
            blob.diff.extend([0.0] * min(value.size, 3))
    return bytes(net.SerializeToString())


def write_pair(path: Path, text: str, arrays: Arrays, **form: bool) -> Path:
    """Write a definition to ``path`` and its weights beside it, and return ``path``."""
    path.write_text(text)
    path.with_suffix(".caffemodel").write_bytes(weights_bytes(arrays, **form))
    return path


def convolution(name: str, bottom: str, outputs: int, kernel: int, more: str = "") -> str:
    """Return a convolution that makes a blob of its own name."""
    settings = f"num_output: {outputs} kernel_size: {kernel} {more}"
    return _layer("Convolution", name, bottom, name, f"convolution_param {{ {settings} }}")


def _layer(kind: str, name: str, bottom: str, top: str, settings: str = "") -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {settings} }}\n'


def two_heads() -> tuple[str, Arrays]:
    """Return a network of 16 x 16 RGB images with a batch norm and two heads, `colour` and `shape`, and its weights."""
    rng = np.random.default_rng(0)
    text = input_layer(3, 16, 16)
    text += convolution("conv/1", "data", 6, 3, "pad: 1 stride: 2")
    text += _layer("ReLU", "relu1", "conv/1", "conv/1")
    text += _layer("Pooling", "pool1", "conv/1", "pool1", "pooling_param { kernel_size: 3 stride: 2 }")
    text += convolution("conv2", "pool1", 8, 3, "bias_term: false pad: 1 group: 2")
    text += _layer("BatchNorm", "norm2", "conv2", "conv2")
    text += _layer("Scale", "scale2", "conv2", "conv2", "scale_param { bias_term: true }")
    text += _layer("ReLU", "relu2", "conv2", "conv2")
    arrays: dict[str, Sequence[Any]] = {
        "conv/1": [rng.normal(size=(6, 3, 3, 3)) / 5, rng.normal(size=6) / 5],
        "conv2": [rng.normal(size=(8, 3, 3, 3)) / 5],
        "norm2": [rng.normal(size=8) * 9, rng.uniform(5, 15, size=8), [9.0]],
        "scale2": [rng.normal(size=8), rng.normal(size=8)],
    }
    for task, classes in (("shape", 3), ("colour", 4)):
        text += _layer(
            "InnerProduct", f"fc.{task}", "conv2", f"fc_{task}", f"inner_product_param {{ num_output: {classes} }}"
        )
        text += _layer("Softmax", f"prob_{task}", f"fc_{task}", task)
        arrays[f"fc.{task}"] = [rng.normal(size=(classes, 128)) / 5, rng.normal(size=classes)]
    return text, arrays


def older() -> tuple[str, Arrays]:
    """Return a network of 16 x 16 RGB images in the first version of Caffe's format, and its weights."""
    rng = np.random.default_rng(1)
    text = """name: "old" # of 2014
input: "data"
input_dim: 10 input_dim: 3 input_dim: 16 input_dim: 16
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
    convolution_param { num_output: 8 kernel_size: 3 stride: 2 weight_filler { type: "gaussian" std: 0.01 } } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "norm1" type: LRN bottom: "conv1" top: "norm1" lrn_param { local_size: 5 alpha: 0.5 } }
layers { name: "fc2" type: INNER_PRODUCT bottom: "norm1" top: "fc2" inner_product_param { num_output: 5 } }
layers { name: "drop2" type: DROPOUT bottom: "fc2" top: "fc2" dropout_param { dropout_ratio: 0.5 } }
layers { name: "fc3" type: INNER_PRODUCT bottom: "fc2" top: "fc3" inner_product_param { num_output: 4 } }
layers { name: "prob" type: SOFTMAX bottom: "fc3" top: "prob" }
"""
    shapes = {"conv1": (8, 3, 3, 3), "fc2": (5, 392), "fc3": (4, 5)}
    return text, {name: [rng.normal(size=shape) / 5, rng.normal(size=shape[0])] for name, shape in shapes.items()}


def write_weights_sample(path: Path) -> Path:
    """Write the weights of :func:`two_heads` to ``path`` and the definition beside it."""
    text, arrays = two_heads()
    path.with_suffix(".prototxt").write_text(text)
    path.write_bytes(weights_bytes(arrays))
    return path


def write_definition_sample(path: Path) -> Path:
    """Write the definition of :func:`older` to ``path`` and the weights beside it."""
    return write_pair(path, *older(), first_version=True, old_shapes=True)


def every_type() -> tuple[str, Arrays]:
    """Return a network of 16 x 16 RGB images with most types of layers, and its weights."""
    rng = np.random.default_rng(2)
    text = input_layer(3, 16, 16) + convolution("conv", "data", 4, 3, "pad_h: 1 pad_w: 1 dilation: 1")
    text += _layer("Slice", "cut", "conv", "a", 'top: "b" slice_param { axis: 1 slice_point: 2 }')
    branches = [
        ("PReLU", ""),
        ("LRN", "lrn_param { local_size: 3 alpha: 0.1 }"),
        ("LRN", "lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL }"),
        ("ELU", "elu_param { alpha: 0.5 }"),
        ("TanH", ""),
        ("Sigmoid", ""),
        ("AbsVal", ""),
        ("BNLL", ""),
        ("Swish", ""),
        ("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"),
        ("Exp", "exp_param { base: 2 scale: 0.1 }"),
        ("Log", "log_param { scale: 0.01 shift: 9 }"),
        ("Clip", "clip_param { min: -1 max: 1 }"),
        ("Scale", ""),
        ("Bias", ""),
        ("BatchNorm", "batch_norm_param { eps: 1e-3 }"),
        ("Dropout", "dropout_param { dropout_ratio: 0.3 }"),
    ]
    for place, (kind, settings) in enumerate(branches):
        text += _layer(kind, f"{kind}{place}", "ab"[place % 2], f"y{place}", settings)
    ends = " ".join(f'bottom: "y{place}"' for place in range(2, len(branches)))
    text += f'layer {{ name: "sum" type: "Eltwise" bottom: "y0" {ends} top: "sum" }}\n'
    text += _layer("Concat", "join", "sum", "join", 'bottom: "y1" concat_param { axis: 1 }')
    up = "convolution_param { num_output: 3 kernel_size: 2 stride: 2 bias_term: false }"
    text += _layer("Deconvolution", "up", "join", "up", up)
    text += _layer("Pooling", "pool", "up", "pool", "pooling_param { pool: AVE kernel_size: 5 stride: 4 pad: 2 }")
    text += _layer("Reshape", "shape", "pool", "shape", "reshape_param { shape { dim: 0 dim: 3 dim: -1 } }")
    text += _layer("Flatten", "flat", "shape", "flat", "flatten_param { axis: 1 }")
    text += _layer("InnerProduct", "fc", "flat", "fc", "inner_product_param { num_output: 4 transpose: true }")
    text += _layer("Softmax", "prob", "fc", "prob")
    arrays: dict[str, Sequence[Any]] = {
        "conv": [rng.normal(size=(4, 3, 3, 3)) / 5, np.zeros(4)],
        "PReLU0": [[0.1, 0.2]],
        "Scale13": [[0.5, 2]],
        "Bias14": [[0.5, 2]],
        "BatchNorm15": [[0, 1], [1, 2], [1]],
        "up": [rng.normal(size=(4, 3, 2, 2)) / 5],
        "fc": [rng.normal(size=(243, 4)) / 5, np.zeros(4)],
    }
    return text, arrays


HUGE = (
    "0",
    "-1",
    "1",
    "2",
    "3",
    "0.5",
    "7",
    "255",
    "1024",
    "65536",
    "1000000",
    "2147483647",
    "4294967295",
    "1e12",
    "nan",
)
HOSTILE = (
    "",
    "x",
    "conv",
    "data",
    "type",
    "\\033[31mred",
    "\\342\\200\\256gnp",
    "a.b/c",
    "n" * 10**5,
    "Permute",
    "Python",
)
KINDS = (
    "Convolution",
    "Deconvolution",
    "InnerProduct",
    "Pooling",
    "Eltwise",
    "Concat",
    "Reshape",
    "Flatten",
    "Input",
    "Data",
)


def damaged_definition(text: str, rng: np.random.Generator) -> bytes:
    """Return a definition with one to three changes: of bytes, or of what somebody could write in it."""
    for _ in range(int(rng.integers(1, 4))):
        tokens = list(re.finditer(r'"[^"\n]*"|-?[\w.]+|[{}:]', text))
        if not tokens:
            break
        one, other = (tokens[int(rng.integers(len(tokens)))] for _ in range(2))
        number = [token for token in tokens if re.fullmatch(r"-?\d[\w.]*", token[0])]
        names = [token for token in tokens if token[0].startswith('"')]
        kind = rng.integers(8)
        if kind == 0:
            return corrupted(text.encode(), rng)
        if kind in (1, 2) and number:
            one = number[int(rng.integers(len(number)))]
            new = str(rng.choice(HUGE))
        elif kind in (3, 4) and names:
            one = names[int(rng.integers(len(names)))]
            choices = (*HOSTILE, *KINDS, *(names[place][0][1:-1] for place in rng.integers(len(names), size=6)))
            new = f'"{choices[int(rng.integers(len(choices)))]}"'
        elif kind == 5:
            new = ""
        elif kind == 6:
            new = f"{one[0]} {one[0]}"
        else:
            new = other[0]
        text = f"{text[: one.start()]}{new}{text[one.end() :]}"
        if rng.random() < 0.1:  # a layer twice, or two in another order
            parts = re.split(r"(?m)^(?=layer)", text)
            places = rng.integers(len(parts), size=2)
            parts.insert(int(places[0]), parts[int(places[1])])
            text = "".join(parts)
    return text.encode()


def damaged_weights(arrays: Arrays, rng: np.random.Generator, **form: bool) -> bytes:
    """Return weights with damaged bytes, inserted lengths, or arrays that do not fit."""
    changed = {name: [np.array(value, np.float64) for value in values] for name, values in arrays.items()}
    name, other = (list(changed)[int(place)] for place in rng.integers(len(changed), size=2))
    kind = rng.integers(8)
    if kind == 0:
        changed[name], changed[other] = changed[other], changed[name]
    elif kind == 1:
        changed[name] = changed[name][int(rng.integers(2)) :]
    elif kind == 2:
        del changed[name]
    elif kind == 3:
        changed[name][0].flat[0] = rng.choice([np.nan, np.inf, 1e300, -1e38])
    content = weights_bytes(changed, **form)
    if kind == 4:  # a length, a size or a tag becomes a huge number
        place = int(rng.integers(len(content)))
        return content[:place] + bytes([255] * int(rng.integers(1, 12)) + [1]) + content[place + 1 :]
    if kind == 5:  # fields that belong elsewhere
        places = sorted(int(place) for place in rng.integers(len(content), size=3))
        first, second, third = places
        return content[:first] + content[second:third] + content[first:second] + content[third:]
    return corrupted(content, rng) if kind > 5 else content
