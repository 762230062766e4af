"""Files of ONNX, checked: what is read is what the file holds, never more, and from its own folder alone."""

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError, quoted
from featuresharing.networks.formats.onnx_model.onnx_graph import FLOATS, MOST_AXES, TYPES, Graph, Node

MOST_NODES = 100_000
OPSETS = (7, 99)
"""Versions of the operators; later ones than those known are read as the latest."""

NEEDED = "pip install 'featuresharing[formats]'"


def read_model(path: Path) -> Any:
    """Return the message of a file; raises InputError where the package onnx is missing, or for a damaged file."""
    try:
        from google.protobuf.message import DecodeError
        from onnx import ModelProto
    except ImportError:
        raise InputError(f"{path} needs the package onnx, which is not installed; accepted is: {NEEDED}.") from None
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"{path} is damaged ({reason}); accepted is a whole file of ONNX.") from None
    return model


def read_graph(path: Path) -> Graph:
    """Return what a file says; raises InputError for what contradicts itself or cannot be a network on images."""
    model = read_model(path)
    reader = _Reader(path)
    if len(model.functions):
        found = f"it has {len(model.functions)} functions of its own"
        raise reader.refuse(f"{found}; accepted are files without: onnx.inliner.inline_local_functions puts them in")
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise reader.refuse(f"its operators are of version {opset}; accepted are versions from {OPSETS[0]} on")
    graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise reader.refuse(f"it has {len(graph.node)} nodes; accepted are at most {MOST_NODES}")
    if len(graph.sparse_initializer):
        raise reader.refuse("it has sparse weights; accepted are dense ones")
    constants = {each.name: reader.array(each, f"weight {quoted(each.name)}") for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(quoted(each.name) for each in inputs[:9]) or "none"
        raise reader.refuse(f"its inputs are {names}; accepted is one input, which takes images")
    if not graph.output:
        raise reader.refuse("it has no outputs; accepted are raw scores [images, classes], one output a task")
    kind = inputs[0].type.tensor_type.elem_type
    nodes = tuple(_node(reader, each, place) for place, each in enumerate(graph.node))
    outputs = tuple(each.name for each in graph.output)
    _check_names(reader, nodes, {*constants, inputs[0].name}, outputs)
    shape = _shape(inputs[0])
    return Graph(nodes, constants, inputs[0].name, shape, outputs, opset, TYPES.get(kind) == "f8", kind in FLOATS)


def external_files(path: Path, model: Any) -> tuple[Path, ...]:
    """Return the files beside ``path`` in which a model keeps numbers, each once, in the order of their names."""
    reader = _Reader(path)
    tensors = [*model.graph.initializer]
    tensors += [each.t for node in model.graph.node for each in node.attribute if each.HasField("t")]
    return tuple(sorted({reader.external(tensor)[0] for tensor in tensors if len(tensor.external_data)}))


def _node(reader: "_Reader", message: Any, position: int) -> Node:
    op = message.op_type if message.domain in ("", "ai.onnx") else f"{message.domain}.{message.op_type}"
    node = Node(op, message.name, position, tuple(message.input), tuple(message.output))
    attributes = {each.name: reader.attribute(node, each) for each in message.attribute}
    return node.with_(attributes={name: value for name, value in attributes.items() if value is not None})


def _shape(value: Any) -> tuple[int | None, ...]:
    sizes = value.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.dim_value > 0 else None for size in sizes)


def _check_names(reader: "_Reader", nodes: tuple[Node, ...], known: set[str], outputs: tuple[str, ...]) -> None:
    """Raise InputError unless every value is made once, before it is taken."""
    for node in nodes:
        if unknown := next((name for name in node.inputs if name and name not in known), None):
            raise reader.refuse(f"{node.place} takes {quoted(unknown)}; accepted are values that nodes before it make")
        for name in node.outputs:
            if name and name in known:
                raise reader.refuse(f"{node.place} makes {quoted(name)} again; accepted are values made once")
        known.update(name for name in node.outputs if name)
    if missing := next((name for name in outputs if name not in known), None):
        raise reader.refuse(f"nothing makes output {quoted(missing)}; accepted are outputs that a node makes")


class _Reader:
    """Reads tensors and attributes of the file at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def refuse(self, problem: str) -> InputError:
        """Return the error that names the file."""
        return InputError(f"{self._path}: {problem}.")

    def attribute(self, node: Node, message: Any) -> Any:
        """Return an attribute as plain data; None for graphs and the like, which no known operator takes."""
        from onnx import AttributeProto as Kind

        if message.type in (Kind.FLOAT, Kind.INT):
            return message.f if message.type == Kind.FLOAT else message.i
        if message.type == Kind.STRING:
            return message.s.decode("utf-8", "replace")
        if message.type in (Kind.FLOATS, Kind.INTS):
            return list(message.floats if message.type == Kind.FLOATS else message.ints)
        if message.type == Kind.TENSOR:
            return self.array(message.t, f"{node.place}, attribute {quoted(message.name)}")
        return None

    def array(self, tensor: Any, what: str) -> NDArray[Any]:
        """Return the numbers of a tensor, float32 for those of lower precision."""
        from onnx import TensorProto, helper, numpy_helper

        if tensor.data_type not in TYPES:
            name = next((name for name, kind in TensorProto.DataType.items() if kind == tensor.data_type), "unknown")
            raise self.refuse(f"{what} is of type {name}; accepted are floating point numbers, integers and booleans")
        shape = tuple(tensor.dims)
        if len(shape) > MOST_AXES or min(shape, default=0) < 0:
            raise self.refuse(
                f"{what} has sizes {list(shape)[:20]}; accepted are up to {MOST_AXES} that are not negative"
            )
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
        if len(tensor.external_data):
            value = np.frombuffer(self._external_bytes(tensor, prod(shape) * dtype.itemsize, what), dtype).reshape(
                shape
            )
        else:
            try:
                value = numpy_helper.to_array(tensor)
            except (ValueError, TypeError) as error:
                reason = str(error).partition("\n")[0].rstrip(".")
                raise self.refuse(
                    f"{what} of sizes {list(shape)} is damaged ({reason}); accepted is a whole one"
                ) from None
            if value.shape != shape:
                raise self.refuse(f"{what} has sizes {list(value.shape)}; accepted are {list(shape)}, as it says")
        return value.astype(TYPES[tensor.data_type], copy=False)

    def external(self, tensor: Any) -> tuple[Path, int, int | None]:
        """Return the file in which the numbers of a tensor are, where they begin, and how many bytes they are."""
        said = {entry.key: entry.value for entry in tensor.external_data}
        location = said.get("location", "")
        folder = self._path.parent.resolve()
        place = (folder / location).resolve() if location and "\0" not in location else folder
        if Path(location).is_absolute() or folder not in place.parents or not os.path.isfile(place):
            found = f"weight {quoted(tensor.name)} is kept in {quoted(location)}"
            raise self.refuse(f"{found}; accepted is a file that lies in the folder of {self._path.name}")
        try:
            offset, length = int(said.get("offset", "0")), int(said["length"]) if "length" in said else None
        except ValueError:
            raise self.refuse(f"weight {quoted(tensor.name)} begins nowhere; accepted are whole numbers") from None
        return self._path.parent / location, offset, length

    def _external_bytes(self, tensor: Any, size: int, what: str) -> bytes:
        place, offset, length = self.external(tensor)
        room = place.stat().st_size - offset
        if offset < 0 or size > room or (length is not None and length != size):
            given = room if length is None else length
            raise self.refuse(
                f"{what} takes {size} bytes of {place.name}, which gives it {given}; accepted are as many"
            )
        with place.open("rb") as file:
            file.seek(offset)
            return file.read(size)
