"""Pairs of files of Caffe networks made to order: a writer of weights that shares no code with the reader, and damage."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

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
                added.type = kinds[kind]  # type: ignore[assignment]
                added.options.packed = repeated and kind != "string"
            else:
                added.type, added.type_name = 11, kind  # type: ignore[assignment]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}")) for name in messages}


def weights_bytes(arrays: Arrays, *, first_version: bool = False, old_shapes: bool = False, double: bool = False) -> bytes:
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
