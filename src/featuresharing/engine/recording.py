"""Writes down every tensor operator of a forward pass, and notices when Python looks at numbers.

The network's own code only ever sees real tensors: what it keeps is what it would keep in any other pass. An operator
that works in place is written down as such, so that running the graph again does to its values what the pass did.

Two modes of torch work together. :class:`Recorder` sees operators where they reach torch's dispatcher;
:class:`Watcher` sees functions of Python before, such as ``Tensor.numpy``, that take numbers out of torch unseen.
"""

import inspect
import operator
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from featuresharing.engine.stacking import operators
from featuresharing.networks.failures import place_now
from featuresharing.networks.inputs import IMAGES, Inputs
from featuresharing.networks.unchanged import memory_of, written

aten = torch.ops.aten

SHAPE_ONLY = frozenset(
    operators("empty_like", "zeros_like", "ones_like", "full_like", "new_empty", "new_zeros", "new_ones", "new_full")
)
"""Operators that look at the shape of a value, not at what it holds."""

_TELL_NO_NUMBERS = frozenset(operators("is_pinned", "is_same_size"))
"""Operators that return something else than tensors, which does not depend on what a tensor holds."""

_MASKED = frozenset(operators("index.Tensor", "masked_select"))
"""Operators whose result has a size that only masks say, which are their second argument."""

_LENGTHS = dict.fromkeys(operators("repeat_interleave.Tensor"), 0) | dict.fromkeys(
    operators("_pack_padded_sequence"), 1
)
"""Operators whose result has a size, or is read in steps, that only one of their arguments says: which."""

_NAMES = {"_local_scalar_dense": "item", "__array__": "numpy", "untyped_storage": "storage"}
"""What a user calls operators."""


class NumbersLeaveError(BaseException):
    """Python is about to see numbers that depend on the images; no ``except Exception`` of a network hides it.

    Its text is the operator and its place.
    """


@dataclass(frozen=True)
class Look:
    """Python has seen numbers through ``operator`` at ``place`` that depend on the values ``names``, not on images.

    Names are those of parameters, buffers, constants and inputs beside the images.
    """

    operator: str
    place: str
    names: frozenset[str]


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes every operator into ``graph``; tensors from elsewhere become constants in ``values``.

    ``looks`` are what Python has seen of parameters, buffers and constants. ``refused`` is the error that was raised
    when it was about to see more. ``places`` are those of operators that take values by the names ``locate``.
    """

    def __init__(
        self, network: nn.Module, values: dict[str, Tensor], inputs: Inputs, locate: Collection[str] = ()
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.values: dict[str, Tensor] = {}
        self.looks: list[Look] = []
        self.places: list[str] = []
        self.refused: NumbersLeaveError | None = None
        self._network, self._locate = network, locate
        self._paused = False
        self._nodes = WeakTensorKeyDictionary()
        self._dependent: dict[int, Any] = {}  # memory that came to depend on the images by writing into it
        for name, value in values.items():
            self._add_value(name, value)
        for name, value in inputs.tensors.items():
            node = self.graph.create_node("placeholder", name, name=IMAGES)
            self._label(node, value, depends=name == IMAGES)
            self._nodes[value] = node
        self._images = self._nodes[inputs.images]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare a second of start-up: torch imports its compiler for modes that are to be hidden from it."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator and add its node."""
        with torch._C.DisableTorchFunction():  # what follows is not the network's own doing
            if torch.is_inference_mode_enabled() and not self._paused:
                with self:  # operators made of others arrive whole
                    parts = func.decompose(*args, **(kwargs or {}))
                if parts is not NotImplemented:
                    return parts
            return func(*args, **(kwargs or {})) if self._paused else self._write_down(func, args, kwargs or {})

    def _write_down(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is aten.as_strided.default and not args[0].is_contiguous():
            raise TypeError(f"{func} depends on how values lie in memory")
        given: list[Tensor] = []
        nodes = self._nodes_in(args, given), {key: self._nodes_in(value, given) for key, value in kwargs.items()}
        name = name_of(func)
        if seen := _seen(func, args, given):
            self.look(name, seen)
        depends = func not in SHAPE_ONLY and any(self._depends(value) for value in given)
        result = func(*args, **kwargs)
        taken = self._locate and any(self._nodes[value].target in self._locate for value in given)
        if taken and name not in ("detach", "clone", "t"):  # the pass itself begins with these
            self.places.append(f"'{name}' in {place_now(self._network)}")
        if func is aten.detach.default:  # the same tensor under another name
            self._nodes[result] = nodes[0][0]
            return result
        if isinstance(result, bool | int | float | complex):
            if not seen and func not in _TELL_NO_NUMBERS:
                self.look(name, given)
            return result
        if depends:
            self._mark(written(func, args, kwargs))
        self._add_node(func, nodes, result, depends=depends)
        return result

    def node_of(self, value: Any) -> Any:
        """Return the node of a tensor, which is made for one never seen; other values are their own nodes."""
        if not isinstance(value, Tensor):
            return value
        if value not in self._nodes:
            known = next((other for other in self._nodes if _is_same(other, value)), None)
            if known is not None:  # made from it without an operator, such as a Parameter
                self._nodes[value] = self._nodes[known]
            else:
                with self.graph.inserting_before(self._images):
                    own = value.clone() if value.layout == torch.strided and not value.is_quantized else value
                    self._add_value(f"constant_{len(self.values)}", value, own)
        return self._nodes[value]

    def _nodes_in(self, value: Any, given: list[Tensor]) -> Any:
        """Return an argument with nodes in the place of tensors, which are added to ``given``."""
        if isinstance(value, Tensor):
            given.append(value)
            return self.node_of(value)
        if isinstance(value, tuple | list):
            return type(value)([self._nodes_in(part, given) for part in value])
        return value

    def look(self, name: str, seen: list[Tensor]) -> None:
        """Note that Python sees what tensors hold; raise NumbersLeaveError if that depends on the images."""
        name = _NAMES.get(name, name)
        for value in seen:
            self.node_of(value)
        if any(self._depends(value) for value in seen):
            self.refused = NumbersLeaveError(f"'{name}' in {place_now(self._network)}")
            raise self.refused
        if names := self._names_behind([self._nodes[value] for value in seen]):
            self.looks.append(Look(name, place_now(self._network), names))

    def rename(self, value: Tensor, source: Tensor) -> None:
        """Note that ``value`` now is what ``source`` is (``value.data = source``)."""
        self._nodes[value] = self.node_of(source)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Run operators of a block without writing them down."""
        try:
            self._paused = True
            yield
        finally:
            self._paused = False

    def _depends(self, value: Tensor) -> bool:
        if self._nodes[value].meta.get("depends", False):
            return True
        return bool(self._dependent) and memory_of(value) in self._dependent

    def _mark(self, changed: list[Tensor]) -> None:
        for value in changed:
            place = memory_of(value)
            if place is not None and not self._depends(value):
                self._dependent[place] = value.untyped_storage()  # kept: its place must not be taken by another

    def _names_behind(self, nodes: list[fx.Node]) -> frozenset[str]:
        waiting, seen = list(nodes), set(nodes)
        while waiting:
            node = waiting.pop()
            for source in node.all_input_nodes:
                if source not in seen and node.target not in SHAPE_ONLY:
                    seen.add(source)
                    waiting.append(source)
        return frozenset(str(node.target) for node in seen if node.op == "placeholder")

    def _add_node(self, func: Any, nodes: tuple[Any, Any], result: Any, *, depends: bool) -> None:
        node = self.graph.call_function(func, *nodes)
        if isinstance(result, Tensor):
            self._label(node, result, depends=depends)
            self._nodes[result] = node
        elif isinstance(result, tuple | list):
            for position, item in enumerate(result):
                if isinstance(item, Tensor):
                    part = self.graph.call_function(operator.getitem, (node, position))
                    self._label(part, item, depends=depends)
                    self._nodes[item] = part

    def _add_value(self, name: str, value: Tensor, own: Tensor | None = None) -> None:
        node = self.graph.create_node("placeholder", name, name="value")
        self._label(node, value, depends=False)
        self._nodes[value] = node
        self.values[name] = value if own is None else own

    def _label(self, node: fx.Node, value: Tensor, *, depends: bool) -> None:
        node.meta.update(shape=tuple(value.shape), itemsize=value.element_size(), depends=depends)


def name_of(func: Any) -> str:
    """Return what an operator of a graph is called, without its library and its kind of arguments."""
    return func._schema.name.partition("::")[2] if isinstance(func, torch._ops.OpOverload) else func.__name__


def _seen(func: Any, args: tuple[Any, ...], given: list[Tensor]) -> list[Tensor]:
    """Return the tensors whose numbers decide what an operator returns to Python: a number, or the size of a tensor."""
    if torch.Tag.data_dependent_output in func.tags:
        return given
    if func in _LENGTHS:
        return [args[_LENGTHS[func]]]
    if torch.Tag.dynamic_output_shape not in func.tags:
        return []
    if func in _MASKED:
        masks = [value for value in tree_leaves(args[1]) if isinstance(value, Tensor)]
        return [mask for mask in masks if mask.dtype in (torch.bool, torch.uint8)]
    return given


def _is_same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or one.stride() != other.stride():
        return False
    place = memory_of(one)
    return place is not None and place == memory_of(other) and one.storage_offset() == other.storage_offset()


def nodes_behind(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes that the outputs of a graph depend on."""
    found: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or not found.isdisjoint(node.users):
            found.add(node)
    return found


def run_graph(graph: fx.Graph, values: dict[str, Tensor], inputs: Inputs) -> tuple[Tensor, ...]:
    """Return what a recorded graph gives for parameters, buffers and constants by name, and inputs."""
    named = {**values, **inputs.tensors}
    results: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            results[node] = named[node.target]
            continue
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), results.__getitem__)
        if node.op == "output":
            break
        results[node] = node.target(*args, **kwargs)
    outputs: tuple[Tensor, ...] = args[0]
    return outputs


_LEAVING = frozenset(
    ["numpy", "__array__", "tolist", "__dlpack__", "data_ptr", "untyped_storage", "storage", "__reduce_ex__"]
)
"""Methods of tensors that give numbers to Python, or a way to them, past the dispatcher."""

_FROM_LISTS = frozenset(["tensor", "as_tensor", "asarray", "new_tensor"])
"""Functions that take numbers out of tensors in lists."""

_SET_DATA: Any = vars(torch._C.TensorBase)["data"].__set__
"""What ``tensor.data = other`` calls."""


class Watcher(TorchFunctionMode):
    """Stops what takes numbers out of torch, and writes some functions in another way, for a ``recorder``."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run a function or what it stands for."""
        kwargs = kwargs or {}
        if func in _REWRITTEN:
            return _REWRITTEN[func](func, args, kwargs)
        name = getattr(func, "__name__", "")
        if name in ("__repr__", "__str__", "__format__"):  # what is printed has no part in what is computed
            with self._recorder.paused():
                return func(*args, **kwargs)
        if name in _LEAVING and isinstance(args[0], Tensor):
            self._recorder.look(name, [args[0]])
        if name == "tensor_split":  # reads where to split without an operator
            self._look_into_lists(name, [list(args[1:]), list(kwargs.values())])
        if name in _FROM_LISTS:
            self._look_into_lists(name, [*args, *kwargs.values()])
        result = func(*args, **kwargs)
        if name == "__set__" and func == _SET_DATA:
            self._recorder.rename(args[0], args[1])
        return result

    def _look_into_lists(self, name: str, given: list[Any]) -> None:
        lists = [value for value in given if isinstance(value, list | tuple)]
        if inside := [value for value in tree_leaves(lists) if isinstance(value, Tensor)]:
            self._recorder.look(name, inside)


def _activate(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Work in place in a way that ``functionalize`` knows."""
    meaning = _MEANINGS[func]
    given = inspect.signature(meaning).bind(*args, **kwargs).arguments
    in_place = given.pop("inplace", func is not meaning)
    value: Tensor = given["input"]
    result: Tensor = meaning(**given)
    return value.copy_(result) if in_place else result


def _multiply_rows(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """Give a linear layer rows [M, features] whatever axes come before: one kind of product instead of many."""
    given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
    inputs: Tensor = given["input"]
    rows = func(inputs.reshape(-1, inputs.shape[-1]), given["weight"], given.get("bias"))
    result: Tensor = rows.reshape(*inputs.shape[:-1], rows.shape[-1])
    return result


def _one_hot(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Spare the check of what the classes are, where their number is given."""
    given = dict(zip(("tensor", "num_classes"), args, strict=False)) | kwargs
    classes, count = given["tensor"], given.get("num_classes", -1)
    if count < 1:
        return func(*args, **kwargs)
    return (classes.unsqueeze(-1) == torch.arange(count, device=classes.device)).long()


def _fill_diagonal(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    matrix, *rest = args
    if matrix.ndim != 2 or len(rest) != 1 or kwargs:
        return func(*args, **kwargs)
    matrix.diagonal().fill_(rest[0])
    return matrix


def _copy(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0].clone()


_MEANINGS: dict[Any, Any] = {
    **dict.fromkeys((nn.functional.selu, torch.selu_), nn.functional.selu),
    **dict.fromkeys((nn.functional.celu, torch.celu_), nn.functional.celu),
}

_REWRITTEN: dict[Any, Any] = {
    **dict.fromkeys(_MEANINGS, _activate),
    nn.functional.linear: _multiply_rows,
    nn.functional.one_hot: _one_hot,
    Tensor.fill_diagonal_: _fill_diagonal,
    Tensor.__deepcopy__: _copy,
}
"""Functions that are written in another way: how, given the function and its arguments."""
