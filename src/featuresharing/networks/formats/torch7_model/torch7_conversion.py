"""From objects of a Torch7 file to torch.nn modules that compute the same.

Submodules are called by their 0-based positions, so that module paths are those of the paper, such as ``0.0.10``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featuresharing.errors import InputError, quoted
from featuresharing.networks.formats.torch7_model.torch7_modules import (
    CAddTable,
    Concat,
    ConcatTable,
    FirstDropout,
    JoinTable,
    ParallelTable,
    View,
)
from featuresharing.networks.module_paths import with_parameters
from featuresharing.torch7 import Table, TorchObject, read_torch7

MOST_MODULES = 10_000
"""Modules that a network may run, one that runs twice counted twice; the largest of 1001 layers runs about 5,000."""

MOST_PIXELS = 1024
"""Largest kernel, stride, padding or dilation."""

MOST_PLANES = 255
"""Most planes that a normalisation sums over."""

MOST_AXES = 32
"""Sizes that a view may have."""

SHARING = 2
"""Parameters that all modules may have together, in numbers a byte of the file: modules may share those of others."""


def load_torch7_network(path: Path) -> nn.Module:
    """Return the network of a Torch7 file in evaluation mode, on the CPU.

    The file holds a module, or a table with one at ``model``. Parameters keep their precision, Half becomes float32.
    Raises InputError for another file, and for a class that is not known, which it names with its module path.
    """
    content = read_torch7(path)
    if isinstance(content, Table):
        content = content.get("model")
    if not isinstance(content, TorchObject):
        raise InputError(f"{path} holds no network; accepted is a Torch7 module, or a table with one at 'model'.")
    return _Converter(path).convert(content, ()).eval()


class _Fields:
    """The fields of a Torch7 module, checked; ``parts`` converts its submodules."""

    def __init__(self, converter: "_Converter", found: TorchObject, place: tuple[int, ...]) -> None:
        self._converter, self._found, self._place = converter, found, place

    def refuse(self, problem: str) -> InputError:
        """Return the error that names the module."""
        place = ".".join(map(str, self._place)) or "the network itself"
        return InputError(f"{self._converter.path}, module {place} ({quoted(self._found.class_name)}): {problem}.")

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number."""
        value = self._found.fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**31:
            raise self.refuse(f"field '{name}' is {_show(value)}; accepted is a number")
        return float(value)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer."""
        value = self.number(name, default)
        if value != int(value):
            raise self.refuse(f"field '{name}' is {value:g}; accepted is an integer")
        return int(value)

    def pixels(self, name: str, least: int, default: int | None = None) -> int:
        """Return a size in pixels."""
        value = self.integer(name, default)
        if not least <= value <= MOST_PIXELS:
            raise self.refuse(f"field '{name}' is {value}; accepted is an integer from {least} to {MOST_PIXELS}")
        return value

    def pair(self, name: str, least: int, default: int | None = None) -> tuple[int, int]:
        """Return pixels for rows and for columns: Torch7 has ``kH`` and ``kW`` for k."""
        return self.pixels(f"{name}H", least, default), self.pixels(f"{name}W", least, default)

    def axis(self, name: str) -> int:
        """Return an axis, counted from 0."""
        value = self.integer(name)
        if not 1 <= value <= MOST_AXES:
            raise self.refuse(f"field '{name}' is {value}; accepted is an axis, counted from 1")
        return value - 1

    def flag(self, name: str, default: bool) -> bool:
        """Return whether something is switched on."""
        value = self._found.fields.get(name, default)
        if not isinstance(value, bool):
            raise self.refuse(f"field '{name}' is {_show(value)}; accepted is true or false")
        return value

    def has(self, name: str) -> bool:
        """Return whether there is an array of this name."""
        value = self._found.fields.get(name)
        return isinstance(value, np.ndarray) and value.size > 0

    def array(self, name: str, shape: Sequence[int] | None = None) -> NDArray[Any]:
        """Return an array of numbers, of the given shape."""
        value = self._found.fields.get(name)
        if not isinstance(value, np.ndarray):
            raise self.refuse(f"field '{name}' is {_show(value)}; accepted is a tensor")
        # a tensor may repeat its numbers, without end
        if value.size > self._converter.most or (shape is not None and value.shape != tuple(shape)):
            wanted = f"one of sizes {list(shape)}" if shape is not None else "one that the file has numbers for"
            raise self.refuse(f"field '{name}' is a tensor of sizes {list(value.shape)}; accepted is {wanted}")
        return value

    def parameter(self, name: str, shape: Sequence[int] | None = None) -> Tensor:
        """Return an array as a tensor with memory of its own."""
        value = self.array(name, shape)
        if value.dtype.kind != "f":
            raise self.refuse(f"field '{name}' has numbers of type {value.dtype}; accepted are floating point numbers")
        if not (finite := np.isfinite(value)).all():
            place = [int(axis) for axis in np.argwhere(~finite)[0]]
            raise self.refuse(f"field '{name}' holds {value[tuple(place)]} at {place}; accepted are finite numbers")
        self._converter.spend(value.size, self)
        return torch.from_numpy(value.astype(np.float64 if value.dtype.itemsize == 8 else np.float32))

    def parts(self) -> list[nn.Module]:
        """Return the submodules."""
        modules = self._found.fields.get("modules")
        if not isinstance(modules, Table):
            raise self.refuse(f"field 'modules' is {_show(modules)}; accepted is a table of modules")
        found = list(modules.sequence())
        for position, module in enumerate(found):
            if not isinstance(module, TorchObject):
                raise self.refuse(f"submodule {position} is {_show(module)}; accepted is a module")
        return [self._converter.convert(module, (*self._place, place)) for place, module in enumerate(found)]


class _Converter:
    """Converts the modules of a file; a module that stands there twice is one module."""

    def __init__(self, path: Path) -> None:
        self.path, self.most = path, path.stat().st_size
        self._left = SHARING * self.most
        self._known: dict[int, nn.Module | None] = {}
        self._runs: dict[nn.Module, int] = {}

    def spend(self, numbers: int, fields: _Fields) -> None:
        """Count the numbers of a parameter, which modules of one storage have each for themselves."""
        self._left -= numbers
        if self._left < 0:
            raise fields.refuse(
                f"with it, modules have more than {SHARING * self.most} parameters; accepted is what a file of "
                f"{self.most} bytes holds"
            )

    def convert(self, found: TorchObject, place: tuple[int, ...]) -> nn.Module:
        """Return the module that ``found``, at the module path ``place``, becomes."""
        fields = _Fields(self, found, place)
        if id(found) in self._known:
            known = self._known[id(found)]
            if known is None:
                raise fields.refuse("it contains itself; accepted are networks without cycles")
            return known
        self._known[id(found)] = None
        family, _, name = found.class_name.rpartition(".")
        if family not in ("nn", "cudnn", "inn", "cunn") or name not in CLASSES:
            accepted = ", ".join(sorted(CLASSES))
            raise fields.refuse(f"this class is not known; accepted are nn. or cudnn. with {accepted}")
        try:
            module = CLASSES[name](fields)
        except InputError:
            raise
        except (ValueError, TypeError, RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise fields.refuse(f"its fields contradict each other ({reason})") from None
        # a module that stands in many places runs in each: 25 nested pairs run 2 ** 25 modules
        self._runs[module] = 1 + sum(self._runs[part] for part in module._modules.values() if part is not None)
        if self._runs[module] > MOST_MODULES:
            raise fields.refuse(f"it runs {self._runs[module]} modules; accepted are at most {MOST_MODULES}")
        self._known[id(found)] = module
        return module


def _show(value: Any) -> str:
    return (
        quoted(value)
        if isinstance(value, str)
        else str(value)
        if isinstance(value, float | bool | None)
        else f"a {type(value).__name__}"
    )


def _linear(fields: _Fields) -> nn.Module:
    weight = fields.parameter("weight")
    if weight.ndim != 2:
        raise fields.refuse(f"field 'weight' is a tensor of sizes {list(weight.shape)}; accepted are two axes")
    outputs, inputs = weight.shape
    bias = fields.parameter("bias", [outputs]) if fields.has("bias") else None
    return with_parameters(nn.Linear(inputs, outputs, bias is not None, device="meta"), weight=weight, bias=bias)


def _convolution(fields: _Fields) -> nn.Module:
    inputs, outputs = fields.integer("nInputPlane"), fields.integer("nOutputPlane")
    kernel, groups = fields.pair("k", 1), fields.integer("groups", 1)
    if min(inputs, outputs, groups) < 1 or inputs % groups or outputs % groups:
        raise fields.refuse(
            f"found {inputs} and {outputs} planes in {groups} groups; accepted are positive sizes, and planes that are "
            "divisible by the groups"
        )
    weight = fields.parameter("weight")
    shape = (outputs, inputs // groups, *kernel)
    # SpatialConvolutionMM and some versions of cudnn keep filters as rows
    if weight.numel() != np.prod(shape, dtype=object) or len(weight) != outputs:
        raise fields.refuse(f"field 'weight' is a tensor of sizes {list(weight.shape)}; accepted are {list(shape)}")
    bias = fields.parameter("bias", [outputs]) if fields.has("bias") else None
    settings = {
        "stride": fields.pair("d", 1, 1),
        "padding": fields.pair("pad", 0, 0),
        "dilation": fields.pair("dilation", 1, 1),
        "groups": groups,
        "bias": bias is not None,
    }
    module = nn.Conv2d(inputs, outputs, kernel, device="meta", **settings)  # type: ignore[arg-type]
    return with_parameters(module, weight=weight.reshape(shape), bias=bias)


def _batch_norm(kind: type[nn.BatchNorm1d] | type[nn.BatchNorm2d]) -> Callable[[_Fields], nn.Module]:
    def convert(fields: _Fields) -> nn.Module:
        mean, eps = fields.parameter("running_mean"), fields.number("eps")
        if mean.ndim != 1:
            raise fields.refuse(f"field 'running_mean' has sizes {list(mean.shape)}; accepted is one axis")
        shape = [len(mean)]
        if fields.has("running_var"):
            variance = fields.parameter("running_var", shape)
        else:  # first version of the class
            variance = fields.parameter("running_std", shape) ** -2 - eps
        affine = fields.has("weight")
        module = kind(len(mean), eps, fields.number("momentum", 0.1), affine, device="meta")
        if affine:
            with_parameters(module, weight=fields.parameter("weight", shape), bias=fields.parameter("bias", shape))
        module.running_mean, module.running_var = mean, variance
        module.num_batches_tracked = torch.zeros((), dtype=torch.int64)
        return module

    return convert


def _max_pooling(fields: _Fields) -> nn.Module:
    kernel, stride, padding = fields.pair("k", 1), fields.pair("d", 1), fields.pair("pad", 0, 0)
    return nn.MaxPool2d(kernel, stride, padding, ceil_mode=fields.flag("ceil_mode", False))


def _average_pooling(fields: _Fields) -> nn.Module:
    kernel, stride, padding = fields.pair("k", 1), fields.pair("d", 1), fields.pair("pad", 0, 0)
    ceil, included = fields.flag("ceil_mode", False), fields.flag("count_include_pad", True)
    divisor = None if fields.flag("divide", True) else 1
    return nn.AvgPool2d(kernel, stride, padding, ceil, included, divisor)


def _local_response_norm(fields: _Fields) -> nn.Module:
    size = fields.integer("size")
    if not 1 <= size <= MOST_PLANES or size % 2 == 0:
        raise fields.refuse(f"field 'size' is {size}; accepted is an odd number from 1 to {MOST_PLANES}")
    return nn.LocalResponseNorm(size, fields.number("alpha"), fields.number("beta"), fields.number("k", 1))


def _view(fields: _Fields) -> nn.Module:
    values = fields.array("size")
    if values.dtype.kind != "i" or values.ndim != 1 or values.size > MOST_AXES:
        raise fields.refuse(
            f"field 'size' holds {values.dtype} of sizes {list(values.shape)}; accepted are 1 to {MOST_AXES} integers"
        )
    sizes = values.tolist()
    if sizes[:1] == [-1] and len(sizes) > 1 and fields._found.fields.get("numInputDims") is None:
        sizes = sizes[1:]  # the -1 is the axis of images
    if min(sizes, default=0) < -1 or 0 in sizes or sizes.count(-1) > 1 or not sizes:
        raise fields.refuse(f"field 'size' is {sizes}; accepted are sizes of an image's values")
    return View(sizes)


def _dropout(fields: _Fields) -> nn.Module:
    p = fields.number("p", 0.5)
    return nn.Dropout(p) if fields.flag("v2", False) else FirstDropout(p)


def _join(fields: _Fields) -> nn.Module:
    rank = fields.integer("nInputDims", 0)
    return JoinTable(fields.axis("dimension"), rank or None)


def _axis_of_scores(kind: Callable[..., nn.Module]) -> Callable[[_Fields], nn.Module]:
    return lambda _: kind(dim=1)


def _plain(kind: Callable[[], nn.Module]) -> Callable[[_Fields], nn.Module]:
    return lambda _: kind()


CLASSES: dict[str, Callable[[_Fields], nn.Module]] = {
    "BatchNormalization": _batch_norm(nn.BatchNorm1d),
    "CAddTable": _plain(CAddTable),
    "Concat": lambda fields: Concat(fields.parts(), fields.axis("dimension")),
    "ConcatTable": lambda fields: ConcatTable(fields.parts()),
    "DataParallelTable": lambda fields: nn.Sequential(*fields.parts()[:1]),
    "Dropout": _dropout,
    "ELU": lambda fields: nn.ELU(fields.number("alpha", 1)),
    "Identity": _plain(nn.Identity),
    "JoinTable": _join,
    "LeakyReLU": lambda fields: nn.LeakyReLU(fields.number("negval", 0.01)),
    "Linear": _linear,
    "LogSoftMax": _axis_of_scores(nn.LogSoftmax),
    "ParallelTable": lambda fields: ParallelTable(fields.parts()),
    "ReLU": _plain(nn.ReLU),
    "Reshape": _view,
    "Sequential": lambda fields: nn.Sequential(*fields.parts()),
    "Sigmoid": _plain(nn.Sigmoid),
    "SoftMax": _axis_of_scores(nn.Softmax),
    "SpatialAveragePooling": _average_pooling,
    "SpatialBatchNormalization": _batch_norm(nn.BatchNorm2d),
    "SpatialConvolution": _convolution,
    "SpatialConvolutionMM": _convolution,
    "SpatialCrossMapLRN": _local_response_norm,
    "SpatialDilatedConvolution": _convolution,
    "SpatialMaxPooling": _max_pooling,
    "Tanh": _plain(nn.Tanh),
    "Threshold": lambda fields: nn.Threshold(fields.number("threshold", 1e-6), fields.number("val", 0)),
    "View": _view,
}
"""Torch7's classes by name, and what makes their modules."""
