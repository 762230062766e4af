"""Torch7 files made to order: a writer, and damage that a reader has to survive."""

import copy
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featuresharing.torch7 import Table, TorchObject

KINDS = {"f4": "Float", "f8": "Double", "i8": "Long", "u1": "Byte", "i4": "Int"}


def module(class_name: str, *modules: TorchObject, **fields: Any) -> TorchObject:
    """Return an object of a class with its submodules, if any, and its fields."""
    found = TorchObject(class_name)
    if modules:
        fields["modules"] = list(modules)
    found.fields = table(fields)
    return found


def table(values: Mapping[Any, Any]) -> Table:
    """Return a Lua table."""
    found = Table()
    for key, value in values.items():
        found.add(key, value)
    return found


def sizes(*numbers: int) -> NDArray[np.int64]:
    """Return what fields of sizes hold."""
    return np.array(numbers, np.int64)


def convolution(inputs: int, outputs: int, kernel: int, **changes: Any) -> TorchObject:
    """Return a convolution that fits, but for the changes."""
    fields = {"nInputPlane": inputs, "nOutputPlane": outputs, "kH": kernel, "kW": kernel}
    weight = np.ones((outputs, inputs, kernel, kernel), np.float32)
    return module("nn.SpatialConvolution", **{**fields, "weight": weight, **changes})


def classifier(*body: TorchObject, inputs: int, classes: int = 2) -> TorchObject:
    """Return a network of modules, a view and a linear layer."""
    head = (
        module("nn.View", size=sizes(inputs)),
        module("nn.Linear", weight=np.ones((classes, inputs), np.float32)),
    )
    return module("nn.Sequential", *body, *head)


def every_class() -> TorchObject:
    """Return a network of most classes for images of 16 pixels, with two heads."""
    pooling = {"kH": 2, "kW": 2, "dH": 2, "dW": 2}
    norm = {"running_mean": np.zeros(4, np.float32), "running_var": np.ones(4, np.float32), "eps": 1e-5}
    branches = (module("nn.ELU", alpha=1), module("nn.Sequential", module("nn.Tanh"), module("nn.Sigmoid")))
    both = module("nn.ConcatTable", module("nn.Identity"), module("nn.LeakyReLU", negval=0.1))
    body = (
        convolution(3, 4, 3, padH=1, padW=1, bias=np.zeros(4, np.float32)),
        module("nn.SpatialCrossMapLRN", size=3, alpha=1e-4, beta=0.75, k=1),
        module("nn.SpatialMaxPooling", **pooling, ceil_mode=False),
        module("nn.SpatialBatchNormalization", **norm, weight=norm["running_var"], bias=norm["running_mean"]),
        module("nn.Concat", *branches, dimension=2),
        module("nn.SpatialAveragePooling", **pooling),
        module("nn.Sequential", both, module("nn.CAddTable")),
        module("nn.Sequential", both, module("nn.JoinTable", dimension=1, nInputDims=3)),
        module("nn.View", size=sizes(-1, 256)),
        module("nn.Dropout", p=0.5),
        module("nn.Threshold", threshold=0, val=0),
    )
    heads = (module("nn.Linear", weight=np.ones((count, 256), np.float32)) for count in (2, 3))
    return module("nn.Sequential", *body, module("nn.ConcatTable", *heads))


def torch7_bytes(value: Any) -> bytes:
    """Return the binary file of a value; what is the same object in it is written once."""
    writer = _Writer()
    writer.write(value)
    return b"".join(writer.parts)


class _Writer:
    """Collects the ``parts`` of a file."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._known: dict[int, tuple[int, Any]] = {}  # with the objects, so that no id is used again

    def write(self, value: Any) -> None:
        """Write a value of Lua."""
        if value is None:
            self._pack("i", 0)
        elif isinstance(value, bool):
            self._pack("ii", 5, value)
        elif isinstance(value, int | float):
            self._pack("id", 1, value)
        elif isinstance(value, str):
            self._pack("i", 2)
            self._text(value)
        elif isinstance(value, Table | list):
            self._pack("i", 3)
            if self._is_new(value):
                self._entries(value.entries if isinstance(value, Table) else list(enumerate(value, start=1)))
        else:
            self._pack("i", 4)
            if self._is_new(value):
                self._object(value)

    def _pack(self, layout: str, *values: Any) -> None:
        self.parts.append(struct.pack(f"<{layout}", *values))

    def _is_new(self, value: Any) -> bool:
        new = id(value) not in self._known
        self._pack("i", self._known.setdefault(id(value), (len(self._known) + 1, value))[0])
        return new

    def _text(self, words: str) -> None:
        encoded = words.encode("utf-8", "surrogateescape")
        self._pack("i", len(encoded))
        self.parts.append(encoded)

    def _entries(self, entries: list[tuple[Any, Any]]) -> None:
        self._pack("i", len(entries))
        for entry in entries:
            self.write(entry[0])
            self.write(entry[1])

    def _object(self, value: Any) -> None:
        self._text("V 1")
        if isinstance(value, TorchObject):
            self._text(value.class_name)
            self.write(value.fields)
            return
        name = KINDS[value.dtype.str[1:]]
        self._text(f"torch.{name}Tensor")
        steps = [stride // value.itemsize for stride in value.strides]
        self._pack(f"i{2 * value.ndim + 1}q", value.ndim, *value.shape, *steps, 1)
        # of a view that repeats its numbers, those that there are
        last = sum((size - 1) * step for size, step in zip(value.shape, steps, strict=True)) if value.size else -1
        flat = np.lib.stride_tricks.as_strided(value, (last + 1,), (value.itemsize,))
        self._pack("i", 4)
        self._is_new(flat)
        self._text("V 1")
        self._text(f"torch.{name}Storage")
        self._pack("q", len(flat))
        self.parts.append(flat.tobytes())


HUGE = (0, -1, 1, 2, 0.5, 7, 255, 1024, 10**5, 10**6, 2**31 - 1, 2**31, 10**12, float("nan"), float("inf"))
CLASSES = (
    *("nn.Sequential", "nn.ConcatTable", "nn.ParallelTable", "nn.Concat", "nn.JoinTable", "nn.CAddTable"),
    *("nn.View", "nn.Reshape", "nn.Linear", "nn.SpatialCrossMapLRN", "nn.SpatialMaxPooling", "nn.Identity"),
    *("nn.SpatialConvolution", "nn.SpatialAveragePooling", "nn.BatchNormalization", "nn.SpatialBatchNormalization"),
    *("", "os.execute", "nn.\x1b[31mred", "nn." + "x" * 10**5, "nn.\u202egnp", "torch.FloatTensor2"),
)


def changed(network: Any, rng: np.random.Generator) -> Any:
    """Return a copy of what a file holds, with one to three of its objects changed in a way that a writer could."""
    network = copy.deepcopy(network)
    objects = _objects(network)
    for _ in range(int(rng.integers(1, 4))):
        found = objects[int(rng.integers(len(objects)))]
        other = objects[int(rng.integers(len(objects)))]
        kind = rng.integers(6)
        entries = found.fields.entries
        if kind == 0 or not entries:
            found.class_name = CLASSES[int(rng.integers(len(CLASSES)))]
            continue
        if kind == 1:  # shared modules and cycles
            entries.append(("modules", [other, *([found] if rng.random() < 0.2 else []), other]))
            continue
        place = int(rng.integers(len(entries)))
        key, value = entries[place]
        if kind == 2:
            del entries[place]
        elif kind == 3:
            entries[place] = (key, HUGE[int(rng.integers(len(HUGE)))])
        elif isinstance(value, np.ndarray):
            entries[place] = (key, _other_array(value, rng))
        else:
            entries[place] = (key, other if rng.random() < 0.3 else HUGE[int(rng.integers(len(HUGE)))])
    return network


def _other_array(value: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    kind = rng.integers(5)
    if kind == 0:
        return np.broadcast_to(np.zeros(1, np.float32), tuple(map(int, rng.integers(1, 2000, size=rng.integers(1, 5)))))
    if kind == 1:
        return np.zeros(tuple(map(int, rng.integers(0, 4, size=rng.integers(1, 5)))), np.float32)
    if kind == 2:
        return np.array(value).reshape(-1)
    if kind == 3:
        return np.array([HUGE[i] for i in rng.integers(0, len(HUGE) - 2, size=3)], np.int64)
    spoilt = np.array(value)
    if spoilt.size and spoilt.dtype.kind == "f":
        spoilt.flat[int(rng.integers(spoilt.size))] = np.nan
    return spoilt


def _objects(value: Any) -> list[TorchObject]:
    """Return the objects in a value, each once."""
    found: list[TorchObject] = []
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or not isinstance(each, TorchObject | Table):
            continue
        seen.add(id(each))
        if isinstance(each, TorchObject):
            found.append(each)
        entries = (each.fields if isinstance(each, TorchObject) else each).entries
        waiting += [part for entry in entries for part in entry]
    return found


def corrupted(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a damaged copy: cut, with flipped bits, with random bytes, or with an integer that says too much."""
    kind = rng.integers(5)
    damaged = bytearray(content)
    place = int(rng.integers(len(content)))
    if kind == 0:
        return content[:place]
    if kind == 1:
        for bit in rng.integers(8 * len(content), size=int(rng.integers(1, 6))):
            damaged[bit // 8] ^= 1 << int(bit % 8)
    elif kind == 2:
        count = int(rng.integers(1, 33))
        damaged[place : place + count] = rng.bytes(count)
    elif kind == 3:
        huge = int(rng.choice([10**12, 2**31 - 1, 2**62, -1, 10**6, 255]))
        damaged[place : place + 8] = struct.pack("<q", huge)
    else:
        return rng.bytes(len(content) if len(content) < 1000 else 1000)
    return bytes(damaged)
