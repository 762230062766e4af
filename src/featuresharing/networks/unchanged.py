"""Gives a network back as it was, whatever its forward pass keeps, changes or deletes.

A forward pass is Python: it may keep tensors (``self.last = x``), fill caches, register hooks, write into parameters.
What can be reached from the network is noted before, and put back afterwards: attributes of its modules and of plain
objects in them, dicts, lists, sets and deques, what its functions close over, attributes of its classes, and
parameters. Numbers in tensors are copied only when an operator is about to write into them. Hooks stay registered as
they were; what they keep outside of the network is theirs.
"""

import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Restore = Callable[[], None]

_ATOMS = {
    str,
    bytes,
    bool,
    int,
    float,
    complex,
    type(None),
    type,
    types.ModuleType,
    types.BuiltinFunctionType,
    torch.dtype,
}
"""Values without parts that could change."""

_FOREIGN = ("torch", "numpy", "builtins", "logging", "threading")
"""Packages whose plain objects and classes hold nothing of a network."""

_LARGEST_ARRAY = 2**26
"""Bytes of the largest array of numpy that is copied: larger ones are data, which no pass writes into."""


@contextmanager
def unchanged(network: nn.Module, others: Iterable[Tensor] = ()) -> Iterator[None]:
    """Run a block, then put the network, and numbers in ``others``, back as they were before, in an error too.

    Not seen: global variables of the network's files, arrays of numpy over 64 MB, and writing that bypasses torch, such
    as into the memory of a tensor through numpy.
    """
    state = _State(network)
    try:
        with _CopyBeforeWriting([*state.tensors, *others]) as copies:
            yield
    finally:
        state.restore()
        copies.restore()


class _State:
    """What can be reached from a network, and how to put it back; ``tensors`` are those that it holds."""

    def __init__(self, network: nn.Module) -> None:
        self.tensors: list[Tensor] = []
        self._dicts: list[tuple[dict[Any, Any], tuple[Any, ...], tuple[Any, ...]]] = []
        self._collections: list[tuple[Any, tuple[Any, ...]]] = []
        self._undo: list[Restore] = []
        self._seen: dict[int, Any] = {}  # the objects themselves: an id is unique only while its object lives
        self._kinds: list[tuple[Any, Callable[[Any], Iterable[Any]]]] = [
            (Tensor, self._note_tensor),
            (nn.Module, self._note_module),
            (dict, self._note_dict),
            ((list, deque, set), self._note_collection),
            ((tuple, frozenset), lambda value: value),
            (np.ndarray, self._note_array),
            ((types.FunctionType, types.MethodType, partial), self._note_function),
        ]
        waiting: list[Any] = [network]
        while waiting:
            value = waiting.pop()
            if type(value) in _ATOMS or id(value) in self._seen:
                continue
            self._seen[id(value)] = value
            waiting.extend(self._note(value))

    def restore(self) -> None:
        """Put everything back."""
        for value, keys, held in self._dicts:
            if not _same_items(value, keys, held):
                kind = OrderedDict if isinstance(value, OrderedDict) else dict
                kind.clear(value)
                kind.update(value, zip(keys, held, strict=True))
        for collection, held in self._collections:
            if len(collection) != len(held) or not all(map(is_, collection, held)):
                collection.clear()
                (collection.update if isinstance(collection, set) else collection.extend)(held)
        for undo in self._undo:
            undo()

    def _note(self, value: Any) -> Iterable[Any]:
        """Note how to put ``value`` back; return its parts."""
        for kinds, note in self._kinds:
            if isinstance(value, kinds):
                return note(value)
        return () if _is_foreign(type(value)) else self._note_object(value)

    def _note_module(self, value: nn.Module) -> Iterable[Any]:
        for kind in type(value).__mro__:
            if not _is_foreign(kind) and id(kind) not in self._seen:
                self._seen[id(kind)] = kind
                self._note_class(kind)
        for name, hooks in vars(value).items():
            if name.endswith("_hooks") and isinstance(hooks, dict):
                self._seen[id(hooks)] = hooks
                self._note_dict(hooks)
        return self._note_dict(vars(value))

    def _note_tensor(self, value: Tensor) -> Iterable[Any]:
        if is_lazy(value):
            return ()
        self.tensors.append(value)
        own, gradient, wanted = value.detach(), value.grad if value.is_leaf else None, value.requires_grad

        def undo() -> None:
            if not _samememory_of(value, own):
                value.data = own
            if value.is_leaf:
                if value.requires_grad != wanted:
                    value.requires_grad_(wanted)
                if value.grad is not gradient:
                    value.grad = gradient

        self._undo.append(undo)
        return () if gradient is None else (gradient,)

    def _note_dict(self, value: dict[Any, Any]) -> Iterable[Any]:
        held = tuple(value.values()) if value else ()
        self._dicts.append((value, tuple(value), held))
        return held

    def _note_collection(self, value: Any) -> Iterable[Any]:
        held = tuple(value)
        self._collections.append((value, held))
        return held

    def _note_array(self, value: np.ndarray[Any, Any]) -> Iterable[Any]:
        if not value.flags.writeable or value.nbytes > _LARGEST_ARRAY:
            return ()
        own = value.copy()
        self._undo.append(lambda: np.copyto(value, own))
        return own.ravel().tolist() if own.dtype == object else ()

    def _note_function(self, value: Any) -> Iterable[Any]:
        if isinstance(value, types.MethodType):
            return (value.__self__, value.__func__)
        if isinstance(value, partial):
            return (value.func, value.args, value.keywords)
        if _is_foreign(value):
            return ()
        parts = [value.__defaults__, value.__kwdefaults__, *self._note_dict(vars(value))]
        for cell in value.__closure__ or ():
            try:
                held = cell.cell_contents
            except ValueError:  # a variable without a value yet
                continue
            self._undo.append(partial(setattr, cell, "cell_contents", held))
            parts.append(held)
        return parts

    def _note_object(self, value: Any) -> Iterable[Any]:
        parts = list(self._note_dict(value.__dict__)) if isinstance(getattr(value, "__dict__", None), dict) else []
        for kind in type(value).__mro__:
            slots = vars(kind).get("__slots__", ())
            for name in [slots] if isinstance(slots, str) else slots:
                if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                    held = getattr(value, name)
                    self._undo.append(partial(object.__setattr__, value, name, held))
                    parts.append(held)
        return parts

    def _note_class(self, kind: type) -> None:
        """Note attributes of a class that hold data, and empty caches of its functions that were filled."""
        for name, held in list(vars(kind).items()):
            if hasattr(held, "cache_info") and hasattr(held, "cache_clear"):
                self._undo.append(partial(_empty_if_filled, held, held.cache_info()))
            elif isinstance(held, dict | list | set | deque | Tensor) and not name.startswith("__"):
                waiting = [held]
                while waiting:
                    part = waiting.pop()
                    if isinstance(part, dict | list | set | deque | tuple | Tensor) and id(part) not in self._seen:
                        self._seen[id(part)] = part
                        waiting.extend(self._note(part))
        own = {name: held for name, held in vars(kind).items() if not name.startswith("__")}
        self._undo.append(partial(_restore_class, kind, own))


def _same_items(value: dict[Any, Any], keys: tuple[Any, ...], held: tuple[Any, ...]) -> bool:
    return len(value) == len(keys) and all(map(is_, value, keys)) and all(map(is_, value.values(), held))


def _is_foreign(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).partition(".")[0] in _FOREIGN


def _samememory_of(value: Tensor, own: Tensor) -> bool:
    if value.dtype != own.dtype or value.shape != own.shape or value.device != own.device:
        return False
    if value.layout != torch.strided or own.layout != torch.strided:
        return value.layout == own.layout
    return value.data_ptr() == own.data_ptr() and value.stride() == own.stride()


def _empty_if_filled(function: Any, before: Any) -> None:
    if function.cache_info() != before:
        function.cache_clear()


def _restore_class(kind: type, own: dict[str, Any]) -> None:
    now = {name: held for name, held in vars(kind).items() if not name.startswith("__")}
    for name in now.keys() - own.keys():
        delattr(kind, name)
    for name, held in own.items():
        if now.get(name, own) is not held:
            setattr(kind, name, held)


class _CopyBeforeWriting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Copies the memory of ``tensors`` before an operator writes into it."""

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._own = {place: tensor for tensor in tensors if (place := memory_of(tensor)) is not None}
        self._copies: dict[int, tuple[Any, Any]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare a second of start-up: torch imports its compiler for modes that are to be hidden from it."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator, after copying what it writes into."""
        kwargs = kwargs or {}
        for value in written(func, args, kwargs):
            place = memory_of(value)
            if place in self._own and place not in self._copies:
                storage = self._own[place].untyped_storage()
                self._copies[place] = (storage, storage.clone())  # type: ignore[no-untyped-call]
        return func(*args, **kwargs)

    def restore(self) -> None:
        """Write the copies back."""
        for storage, copy in self._copies.values():
            if storage.nbytes() != copy.nbytes():
                storage.resize_(copy.nbytes())
            storage.copy_(copy)


_STATISTICS = ("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm")
"""Operators that write into running statistics, which their declarations do not say."""


def written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return the tensors that an operator writes into."""
    schema = func._schema
    if schema.is_mutable:
        names = zip(schema.arguments, args, strict=False)
        given = [value for argument, value in names if argument.alias_info and argument.alias_info.is_write]
        named = {argument.name for argument in schema.arguments if argument.alias_info and argument.alias_info.is_write}
        given.extend(value for name, value in kwargs.items() if name in named)
        return [value for value in tree_leaves(given) if isinstance(value, Tensor)]
    if schema.name.partition("::")[2] in _STATISTICS and args[5:6] == (True,):
        return [value for value in args[3:5] if isinstance(value, Tensor)]
    return []


def memory_of(value: Tensor) -> int | None:
    """Return where a tensor's memory begins; None for those without memory of their own, such as sparse ones."""
    if value.layout != torch.strided or value.is_meta:
        return None
    try:
        return value.untyped_storage().data_ptr() or None
    except (RuntimeError, NotImplementedError):
        return None
