"""Files of ONNX: small networks that the package onnx writes, and damaged ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = Mapping[str, NDArray[Any]]


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """Return a node; ``inputs`` and ``outputs`` are names between spaces, ``_`` for one that is left out."""
    from onnx import helper

    taken = ["" if name == "_" else name for name in inputs.split()]
    return helper.make_node(op, taken, outputs.split(), **attributes)


def model(
    nodes: Sequence[Any],
    weights: Weights,
    *,
    shape: Sequence[Any] = ("N", 3, 8, 8),
    outputs: Sequence[str] = ("y",),
    opset: int = 18,
    kind: Any = np.float32,
) -> Any:
    """Return a model that takes an image ``x`` of a shape."""
    from onnx import helper, numpy_helper

    image = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(np.dtype(kind)), list(shape))
    given = [helper.make_tensor_value_info(name, 1, None) for name in outputs]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(list(nodes), "graph", [image], given, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def write(path: Path, made: Any) -> Path:
    """Write a model."""
    path.write_bytes(made.SerializeToString())
    return path


def every_kind(*, images: Any = "N") -> Any:
    """Return a classifier with two heads, of operators that exporters write, for images of 8 pixels."""
    rng = np.random.default_rng(0)
    weights = {
        "stem.weight": rng.normal(size=(6, 3, 3, 3)) / 4,
        "stem.bias": rng.normal(size=6) / 4,
        "deep.weight": rng.normal(size=(8, 3, 3, 3)) / 4,
        "scale": rng.uniform(0.5, 1.5, 6),
        "shift": rng.normal(size=6) / 4,
        "mean": rng.normal(size=6) / 4,
        "variance": rng.uniform(0.5, 1.5, 6),
        "mixed": rng.normal(size=(8, 8)) / 3,
        "added": rng.normal(size=8) / 4,
        "first.weight": rng.normal(size=(3, 8)) / 2,
        "first.bias": rng.normal(size=3) / 4,
        "second": rng.normal(size=(8, 4)) / 2,
    }
    nodes = [
        node("Conv", "x stem.weight stem.bias", "a", pads=[1, 1, 1, 1], name="n0"),
        node("BatchNormalization", "a scale shift mean variance", "b", name="n1"),
        node("Relu", "b", "c", name="n2"),
        node("MaxPool", "c", "d", kernel_shape=[2, 2], strides=[2, 2], name="n3"),
        node("Conv", "d deep.weight", "e", group=2, auto_pad="SAME_UPPER", name="/deep/Conv"),
        node("HardSigmoid", "e", "f", name="n5"),
        node("Mul", "e f", "g", name="n6"),
        node("Reshape", "g tokens", "h", name="n7"),
        node("Transpose", "h", "i", perm=[0, 2, 1], name="n8"),
        node("MatMul", "i mixed", "j", name="/tokens/MatMul"),
        node("Add", "j added", "k", name="n10"),
        node("Softmax", "k", "l", axis=-1, name="n11"),
        node("Concat", "l token", "m", axis=1, name="n12"),
        node("ReduceMean", "m middle", "o", keepdims=0, name="n13"),
        node("Gemm", "o first.weight first.bias", "y", transB=1, name="n14"),
        node("MatMul", "o second", "p", name="second head"),
        node("Softmax", "p", "z", name="n16"),
    ]
    stored: dict[str, Any] = {name: value.astype(np.float32) for name, value in weights.items()}
    stored |= {"tokens": np.array([images if isinstance(images, int) else -1, 8, 16]), "middle": np.array([1])}
    stored["token"] = rng.normal(size=(1, 1, 8)).astype(np.float32)
    if not isinstance(images, int):  # a file for any number of images says so of every value
        nodes[12:13] = [
            node("Shape", "i", "s0", name="n17", end=1),
            node("Concat", "s0 ones", "s1", axis=0, name="n18"),
            node("Expand", "token s1", "t", name="n19"),
            node("Concat", "l t", "m", axis=1, name="n12"),
        ]
        stored["ones"] = np.array([1, 1])
    return model(nodes, stored, shape=(images, 3, 8, 8), outputs=("y", "z"))


HUGE = (0, -1, 1, 2, 3, 7, 255, 1024, 2**16, 10**6, 2**31 - 1, 2**31, 10**12, 2**62, -(2**63))
OPERATORS = (
    *("Reshape", "Expand", "Tile", "Pad", "Resize", "Range", "ConstantOfShape", "Slice", "Gather", "Concat", "Split"),
    *("Conv", "ConvTranspose", "MatMul", "Gemm", "Einsum", "MaxPool", "AveragePool", "Softmax", "Squeeze", "Shape"),
    *(
        "Transpose",
        "Flatten",
        "Add",
        "Pow",
        "Div",
        "Where",
        "Cast",
        "LRN",
        "LayerNormalization",
        "InstanceNormalization",
    ),
    *("ArgMax", "If", "QuantizeLinear", "", "\x1b[31mred", "x" * 10**5, "DepthToSpace", "Clip", "ReduceProd", "Sum"),
)


def changed(made: Any, rng: np.random.Generator) -> Any:
    """Return a copy of a model with one to three changes that somebody who writes such files could make."""
    made = type(made).FromString(made.SerializeToString())
    for _ in range(int(rng.integers(1, 4))):
        _change(made.graph, rng)
    return made


def _change(graph: Any, rng: np.random.Generator) -> None:
    from onnx import helper

    chosen = graph.node[int(rng.integers(len(graph.node)))]
    tensor = graph.initializer[int(rng.integers(len(graph.initializer)))]
    huge = HUGE[int(rng.integers(len(HUGE)))]
    values = [name for each in graph.node for name in each.output] + [each.name for each in graph.initializer]
    kind = int(rng.integers(9))
    if kind == 0:
        chosen.op_type = OPERATORS[int(rng.integers(len(OPERATORS)))]
    elif kind == 1 and chosen.input:
        chosen.input[int(rng.integers(len(chosen.input)))] = values[int(rng.integers(len(values)))]
    elif kind == 2 and chosen.attribute:
        found = chosen.attribute[int(rng.integers(len(chosen.attribute)))]
        other = [huge, [huge] * int(rng.integers(5)), "SAME_UPPER", 1e30, [0.5]][int(rng.integers(5))]
        name = found.name
        chosen.attribute.remove(found)
        if other != []:
            chosen.attribute.append(helper.make_attribute(name, other))
    elif kind == 3:
        numbers = [HUGE[int(rng.integers(len(HUGE)))] for _ in range(int(rng.integers(1, 5)))]
        chosen.op_type = ("Reshape", "Expand", "Tile", "Pad", "ConstantOfShape")[int(rng.integers(5))]
        name = f"sizes{len(graph.initializer)}"
        graph.initializer.append(helper.make_tensor(name, 7, [len(numbers)], numbers))
        taken = [name] if chosen.op_type == "ConstantOfShape" else [*list(chosen.input)[:1], name]
        del chosen.input[:]
        chosen.input.extend(taken)
    elif kind == 4 and tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = huge
    elif kind == 5:
        tensor.data_type = int(rng.integers(0, 24))
    elif kind == 6:
        size = graph.input[0].type.tensor_type.shape.dim[int(rng.integers(4))]
        size.dim_value = huge
    elif kind == 7 and len(chosen.output):
        chosen.output[0] = values[int(rng.integers(len(values)))]
    else:
        raw = bytearray(tensor.raw_data)
        for place in rng.integers(0, max(len(raw), 1), 4) if raw else ():
            raw[place] = int(rng.integers(256))
        tensor.raw_data = bytes(raw)
