"""Blocks of settings: frozen dataclasses that know what their keys accept, made of configs and turned into them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from numbers import Integral, Real
from typing import Any, NamedTuple, Self

from featuresharing.errors import InputError
from featuresharing.settings.fields import Key, Limits, key_of, keys_of
from featuresharing.settings.sentences import found


class Problem(NamedTuple):
    """What is wrong with a key: its path, "" for the whole, and what follows the path in a sentence, ": found ..."."""

    key: str
    text: str


@dataclass(frozen=True)
class Block:
    """A block of the config; raises InputError for values that its keys do not accept, alone or together."""

    def __post_init__(self) -> None:
        for name, text in self.problems():
            raise InputError(f"{name}{text}.")

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the values of keys, or else with values that are accepted each by itself."""
        wrong = list(problems_of_values(self))
        yield from wrong or self.contradictions()

    def contradictions(self) -> Iterator[Problem]:
        """Yield what is wrong with keys of this block together, where each is accepted by itself."""
        return iter(())

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return what a config of this block holds if it says nothing; keys without a default are left out."""
        keys = keys_of(cls).items()
        return {name: plain(key.default) for name, key in keys if not key.required and not key.limits.optional}

    @classmethod
    def unchecked(cls, values: Mapping[str, Any], base: Self | None = None) -> Self:
        """Return the block of a config's ``values`` as they are; what it lacks is as in ``base``, or by default."""
        block = object.__new__(cls)
        for name, key in keys_of(cls).items():
            below = key.default if base is None else getattr(base, name)
            object.__setattr__(block, name, _typed(key, values[name], below) if name in values else below)
        return block

    def as_config(self) -> dict[str, Any]:
        """Return the block as a config has it: texts, numbers, lists and dicts in the order of the keys."""
        return {
            name: plain(value)
            for name, key in keys_of(type(self)).items()
            if (value := getattr(self, name)) is not None or not key.limits.optional
        }

    def inner_blocks(self) -> Iterator[tuple[str, "Block"]]:
        """Yield every block that this one holds, and those in it, with their paths."""
        for name in keys_of(type(self)):
            for place, block in _blocks_in(getattr(self, name), name):
                yield place, block
                yield from ((f"{place}.{inner}", each) for inner, each in block.inner_blocks())


def _blocks_in(value: Any, place: str) -> Iterator[tuple[str, Block]]:
    if isinstance(value, Block):
        yield place, value
    elif isinstance(value, Mapping):
        yield from ((f"{place}.{name}", item) for name, item in value.items() if isinstance(item, Block))
    elif isinstance(value, tuple):
        yield from ((f"{place}.{index}", item) for index, item in enumerate(value) if isinstance(item, Block))


def check(block: type, name: str, value: Any) -> None:
    """Raise InputError unless the key ``name`` of a ``block`` accepts ``value``; numbers may be numpy's."""
    for problem in _problems(key_of(block, name), value):
        raise InputError(f"{problem.key}{problem.text}.")


def problems_of_values(block: Block) -> Iterator[Problem]:
    """Yield what is wrong with each value of a block by itself; other blocks within it check themselves."""
    for name, key in keys_of(type(block)).items():
        value = getattr(block, name)
        if not key.is_block or isinstance(value, str):
            yield from _problems(key, value)


def _problems(key: Key, value: Any) -> Iterator[Problem]:
    if value is None and (key.nullable or key.limits.optional):
        return
    if key.named and isinstance(value, Mapping):
        named = (isinstance(name, str) and re.fullmatch(key.limits.names, name) for name in value)
        if (
            len(value) < key.limits.fewest
            or not all(named)
            or not all(accepts(key.named_kind, key.limits, item) for item in value.values())
        ):
            yield Problem(key.name, f": {found(key, value)}")
    elif key.many and (isinstance(value, list | tuple) or not key.single):
        yield from _problems_of_list(key, value)
    elif not (key.single and accepts(str if key.texts and isinstance(value, str) else key.alone, key.limits, value)):
        yield Problem(key.name, f": {found(key, value)}")


def _problems_of_list(key: Key, value: Any) -> Iterator[Problem]:
    if not isinstance(value, list | tuple) or not _is_long_enough(key, value):
        yield Problem(key.name, f": {found(key, value)}")
        return
    for index, item in enumerate(value):
        if not accepts(key.kind, key.limits, item):
            yield Problem(f"{key.name}.{index}", f": {found(key, item, item=True)}")
    if key.limits.rising and all(accepts(key.kind, key.limits, item) for item in value) and value[0] > value[1]:
        text = f": found {list(value)}; accepted are a smaller number and a larger one"
        yield Problem(key.name, text)


def _is_long_enough(key: Key, value: list[Any] | tuple[Any, ...]) -> bool:
    limits = key.limits
    fewest = key.length if key.length is not None else limits.fewest
    most = key.length if key.length is not None else limits.longest_list
    distinct = not limits.distinct or len(set(map(repr, value))) == len(value)
    return fewest <= len(value) and (most is None or len(value) <= most) and distinct


def accepts(kind: type, limits: Limits, value: Any) -> bool:
    """Return whether a single value is of a kind and within limits."""
    if limits.choices and value not in limits.choices:
        return False
    if kind is object:
        return True
    if kind is bool:
        return isinstance(value, bool)
    if issubclass(kind, Block):
        return isinstance(value, kind)
    if kind is str:
        right = isinstance(value, str) and (not limits.pattern or re.fullmatch(limits.pattern, value) is not None)
        return right and (limits.longest is None or len(value) <= limits.longest)
    is_number = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    return is_number and (isinstance(value, Integral) or isfinite(value)) and _is_within(limits, value)


def _is_within(limits: Limits, value: Any) -> bool:
    return (
        (limits.least is None or value >= limits.least)
        and (limits.above is None or value > limits.above)
        and (limits.most is None or value <= limits.most)
        and (limits.below is None or value < limits.below)
        and (limits.multiple is None or value % limits.multiple == 0)
    )


def _typed(key: Key, value: Any, below: Any) -> Any:
    if key.named and isinstance(value, Mapping) and issubclass(key.named_kind, Block):
        return {name: key.named_kind.unchecked(item) for name, item in value.items()}
    if key.is_block and value is not None and not isinstance(value, str):
        assert issubclass(key.kind, Block)
        return tuple(map(key.kind.unchecked, value)) if key.many else key.kind.unchecked(value, below)
    return tuple(value) if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Return a value as configs have it: blocks as dicts, tuples as lists."""
    if isinstance(value, Block):
        return value.as_config()
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return {name: plain(item) for name, item in value.items()} if isinstance(value, Mapping) else value
