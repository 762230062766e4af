"""How numbers are computed, which changes them by rounding only: device, precision, memory, batches, engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from inspect import signature
from typing import Any, TypedDict

from featuresharing.arguments import check_whole, is_number
from featuresharing.errors import InputError
from featuresharing.settings import MarginalizationSettings


@dataclass(frozen=True)
class Computation:
    """Settings of a computation, as in :func:`featuresharing.marginalize`.

    ``dtype`` None is float64 for networks in float64 and float32 for all others, ``memory`` None half of the bytes that
    are free, ``batch_size`` None as many images in a pass as suit. Raises InputError for a memory or batch size that is
    no such number; who uses them checks the other settings.
    """

    device: str = "cpu"
    dtype: str | None = None
    memory: float | None = None
    batch_size: int | None = None
    engine: str = MarginalizationSettings.engine

    def __post_init__(self) -> None:
        if self.memory is not None and not (is_number(self.memory) and self.memory >= 0):
            raise InputError(f"memory: found {self.memory!r}; accepted is a number of bytes from 0.")
        if self.batch_size is not None:
            check_whole("batch_size", self.batch_size, 1)


class ComputationSettings(TypedDict, total=False):
    """The settings of :class:`Computation` as keyword arguments of the library's functions."""

    device: str
    dtype: str | None
    memory: float | None
    batch_size: int | None
    engine: str


def computation_of(settings: Mapping[str, Any], function: Callable[..., Any]) -> Computation:
    """Return the computation that keyword arguments of a function ask for, beside those that it names itself.

    Raises InputError for one that is not known, with all that are.
    """
    own = [name for name, argument in signature(function).parameters.items() if argument.kind is argument.KEYWORD_ONLY]
    known = [*own, *(field.name for field in fields(Computation))]
    for name in settings:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"the nearest is '{near[0]}'; " if near else ""
            raise InputError(f"argument '{name}' is not known; {hint}accepted are {', '.join(known)}.")
    return Computation(**settings)
