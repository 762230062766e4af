"""What Torch7 files hold beside numbers, texts and arrays: Lua tables and objects of named classes."""

from collections.abc import Iterator
from typing import Any


class Table:
    """A Lua table: ``entries`` are its keys and values in the order of the file.

    ``table[key]`` and ``table.get(key)`` find a value by a text, a number or a boolean; unlike in a dict, ``1`` and
    ``True`` are different keys. A table may contain itself.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[Any, Any]] = []
        self._by_key: dict[tuple[str, Any], Any] = {}

    def add(self, key: Any, value: Any) -> None:
        """Append an entry; of equal keys, the last counts."""
        self.entries.append((key, value))
        self._by_key[_comparable(key)] = value

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default`` if there is none."""
        return self._by_key.get(_comparable(key), default)

    def __getitem__(self, key: Any) -> Any:
        return self._by_key[_comparable(key)]

    def __contains__(self, key: Any) -> bool:
        return _comparable(key) in self._by_key

    def __len__(self) -> int:
        return len(self._by_key)

    def sequence(self) -> Iterator[Any]:
        """Yield the values of keys 1, 2, 3, ... up to the first that is missing."""
        position = 1
        while position in self:
            yield self[position]
            position += 1


class TorchObject:
    """An object of a Torch7 class that is no tensor or storage, such as nn.Linear: its class and its fields."""

    def __init__(self, class_name: str) -> None:
        self.class_name = class_name
        self.fields = Table()


class Function:
    """A Lua function: its byte code, which is never run, and the values it closes over."""

    def __init__(self, code: bytes) -> None:
        self.code = code
        self.upvalues: Any = None


def _comparable(key: Any) -> tuple[str, Any]:
    if isinstance(key, bool):
        return ("boolean", key)
    if isinstance(key, int | float):
        return ("number", float(key))
    return ("text", key) if isinstance(key, str) else ("object", id(key))
