"""Fields of settings: what each key is, stated once, from which checks, schema, tables and options are made."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

Value = TypeVar("Value")

MOST_SEED = 2**63 - 1

SEED: dict[str, Any] = {"least": 0, "most": MOST_SEED, "null": "the seed of the whole config", "inherits": "seed"}
"""Limits of a block's own seed."""

LINE = r"[^\x00-\x1f\x7f]+"
"""Pattern of a text without line breaks and other control characters."""

NAME = "[A-Za-z0-9][A-Za-z0-9_-]*"
"""Pattern of a name that can be part of a file's name."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is accepted for a key, its unit and one line of help.

    Numbers lie from ``least`` (or ``above`` it) to ``most`` (or ``below`` it), integers are multiples of ``multiple``;
    ``choices`` are all values; a text matches ``pattern`` as a whole and has at most ``longest`` characters. Of a list
    these hold for each item, and it has from ``fewest`` to ``longest_list`` items, which are ``distinct`` or two that
    are ``rising``. Of named values, ``names`` is the pattern of the names, and ``names_accepted`` says it.

    ``null`` says what None stands for; if that is a key of the whole config, ``inherits`` names it. An ``optional`` key
    that is None is left out of configs. ``accepted`` completes the sentence "accepted is ..." where it cannot be told
    from the rest, ``each`` that of an item; ``example`` is a value as YAML writes it.
    """

    help: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    multiple: int | None = None
    choices: tuple[Any, ...] = ()
    pattern: str = ""
    longest: int | None = None
    fewest: int = 0
    longest_list: int | None = None
    distinct: bool = False
    rising: bool = False
    names: str = ""
    names_accepted: str = ""
    null: str = ""
    accepted: str = ""
    each: str = ""
    example: str = ""
    inherits: str = ""
    optional: bool = False


def setting(default: Value, help: str, **limits: Any) -> Value:  # noqa: A002 argparse calls it so
    """Return a field of a block with a default; ``limits`` are those of :class:`Limits`."""
    metadata = {"limits": Limits(help, **limits)}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)  # type: ignore[return-value]
    return dataclasses.field(default=default, metadata=metadata)


def needed(help: str, **limits: Any) -> Any:  # noqa: A002 argparse calls it so
    """Return a field of a block without a default."""
    return dataclasses.field(metadata={"limits": Limits(help, **limits)})


@dataclasses.dataclass(frozen=True)
class Key:
    """A key of a block: the ``kind`` of its values (bool, int, float, str, a block, or object for any), and how many.

    ``single`` values, ``many`` in a list of ``length`` (None: any), or ``named`` ones; single values may be of
    a kind of their own, ``alone``, and named ones of a ``named_kind``; ``nullable`` accepts None too. Where the kind is
    a block, ``texts`` says whether a text may stand for it.
    """

    name: str
    kind: type
    limits: Limits
    default: Any
    required: bool
    single: bool
    many: bool
    named: bool
    length: int | None
    nullable: bool
    alone: type
    named_kind: type
    texts: bool

    @property
    def is_block(self) -> bool:
        """Whether values, single ones or in a list, are blocks of keys."""
        return dataclasses.is_dataclass(self.kind)

    @property
    def block(self) -> type | None:
        """The class of blocks that values are, whether single, in a list or named; None where they are none."""
        return next((kind for kind in (self.kind, self.named_kind) if dataclasses.is_dataclass(kind)), None)


def _keys(block: type) -> Mapping[str, Key]:
    return {field.name: _key(field) for field in dataclasses.fields(block)}


keys_of: Callable[[type], Mapping[str, Key]] = lru_cache(_keys)
"""Return the keys of a class of blocks by their names, in their order."""


def key_of(block: type, name: str) -> Key:
    """Return a key of a block."""
    return keys_of(block)[name]


def _key(field: "dataclasses.Field[Any]") -> Key:
    union = get_origin(field.type) in (Union, UnionType)
    options = get_args(field.type) if union else (field.type,)
    single = many = named = nullable = False
    kinds: list[type] = []
    named_kind: type = str
    items: type | None = None
    length = None
    for option in options:
        origin, parts = get_origin(option), get_args(option)
        if option is type(None):
            nullable = True
        elif origin is tuple:
            many, items = True, parts[0]
            kinds.append(items)
            length = None if Ellipsis in parts else len(parts)
        elif origin is Mapping:
            named, named_kind = True, object if parts[1] is Any else parts[1]
        else:
            single = True
            kinds.append(object if option is Any else option)
    kind = next((each for each in kinds if dataclasses.is_dataclass(each)), kinds[0] if kinds else named_kind)
    texts = dataclasses.is_dataclass(kind) and str in kinds
    alone, kind = kind, items if items and not dataclasses.is_dataclass(kind) else kind
    limits: Limits = field.metadata["limits"]
    made = field.default_factory
    default = field.default if made is dataclasses.MISSING else made()
    required = default is dataclasses.MISSING
    length = limits.fewest if many and limits.fewest == limits.longest_list else length
    shown = None if required else default
    kinds_of = (alone, named_kind, texts)
    return Key(field.name, kind, limits, shown, required, single, many, named, length, nullable, *kinds_of)
