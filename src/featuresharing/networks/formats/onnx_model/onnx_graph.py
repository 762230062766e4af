"""What a file of ONNX says, as plain data: nodes with checked attributes, constants, an input and outputs."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from featuresharing.errors import InputError, ordinal, quoted

MOST_NUMBER = 2**24
"""Largest kernel, stride, padding, axis or other whole number that is no size of a value."""

MOST_AXES = 12
"""Axes of a value."""

TYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f4", 11: "f8", 12: "u4", 13: "u8"}
TYPES |= {16: "f4"}
"""Types of numbers that are known, by their numbers in ONNX; float16 and bfloat16 are computed as float32."""

FLOATS = tuple(number for number, kind in TYPES.items() if kind.startswith("f"))


@dataclass(frozen=True, eq=False)
class Node:
    """An operator ``op`` at ``position`` (from 0) of the file; an input or output "" is left out.

    ``attributes`` are integers, floats, texts, lists of them and arrays.
    """

    op: str
    name: str
    position: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The node in words."""
        name = f" of node {quoted(self.name)}" if self.name else ""
        return f"operator {quoted(self.op)}{name} (the {ordinal(self.position + 1)})"

    def refuse(self, problem: str) -> InputError:
        """Return the error that names the node."""
        return InputError(f"{self.place}: {problem}.")

    def with_(self, **changes: Any) -> Self:
        """Return the node with other fields."""
        return replace(self, **changes)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number; raises InputError for anything else, and where there is neither it nor a default."""
        value = self.attributes.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MOST_NUMBER:
            raise self._wrong(name, value, f"a whole number up to {MOST_NUMBER}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return whether something is switched on."""
        return self.integer(name, int(default)) != 0

    def number(self, name: str, default: float) -> float:
        """Return a finite number."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise self._wrong(name, value, "a finite number")
        return float(value)

    def text(self, name: str, default: str, accepted: tuple[str, ...] | None = None) -> str:
        """Return a text, one of those ``accepted``."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str) or (accepted is not None and value not in accepted):
            raise self._wrong(name, value, "a text" if accepted is None else " or ".join(map(repr, accepted)))
        return value

    def integers(self, name: str, least: int | None = None, count: int | None = None) -> list[int] | None:
        """Return whole numbers (None: not said), each ``least`` or more, ``count`` of them."""
        value = self.attributes.get(name)
        if value is None:
            return None
        low = -MOST_NUMBER if least is None else least
        if (
            not isinstance(value, list)
            or not all(isinstance(each, int) and low <= each <= MOST_NUMBER for each in value)
            or (count is not None and len(value) != count)
        ):
            number = "whole numbers" if count is None else f"{count} whole numbers"
            raise self._wrong(name, value, f"{number} from {low} to {MOST_NUMBER}")
        return value

    def _wrong(self, name: str, value: Any, accepted: str) -> InputError:
        found = "nothing" if value is None else quoted(str(value))
        return self.refuse(f"attribute '{name}' is {found}; accepted is {accepted}")


@dataclass(frozen=True, eq=False)
class Graph:
    """A network: ``nodes`` in the order in which they run, arrays by name, the ``image`` and the ``outputs`` by name.

    ``shape`` is that of the input, None where a size is free; ``opset`` the version of the operators. Images are
    float64 if ``double``, integers unless ``floating``. ``origins`` are the names of weights before they were turned.
    """

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[Any]]
    image: str
    shape: tuple[int | None, ...]
    outputs: tuple[str, ...]
    opset: int
    double: bool
    floating: bool = True
    origins: dict[str, str] = field(default_factory=dict)
