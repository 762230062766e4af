"""Options made of settings: type, limits, default, unit and help of an option are those of the config's key."""

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from featuresharing.errors import InputError
from featuresharing.settings import Block, Config
from featuresharing.settings.block import accepts
from featuresharing.settings.fields import Key, key_of, keys_of
from featuresharing.settings.sentences import accepted_item

Settings = TypeVar("Settings", bound=Block)


def add_settings(parser: argparse.ArgumentParser, block: type, *names: str) -> None:
    """Add options of the keys ``names`` of a block, or of all, called as these with dashes for lines."""
    for name in names or keys_of(block):
        add_setting(parser, block, name)


def add_setting(parser: argparse.ArgumentParser, block: type, name: str, **changes: Any) -> None:
    """Add the option of one key; ``changes`` are other arguments for argparse, such as a help of its own."""
    key = key_of(block, name)
    source = key_of(Config, key.limits.inherits) if key.limits.inherits else key
    limits = key.limits
    text = limits.help.replace("`", "").replace("%", "%%")
    text += f" ({limits.unit})" if limits.unit else ""
    text += f" (none: {limits.null})".replace("`", "") if limits.null and source is key else ""
    settings: dict[str, Any] = {"type": _parser(source), "default": source.default, "help": text}
    if limits.choices and not key.many:
        settings["metavar"] = "{" + ",".join(map(str, limits.choices)) + "}"
    if key.many:
        settings["nargs"] = key.length or ("+" if limits.fewest else "*")
    parser.add_argument(f"--{name.replace('_', '-')}", **settings | changes)


def add_seed(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the seed of what a command draws."""
    add_setting(parser, Config, "seed", help=f"seed of {what}")


def read_settings(options: argparse.Namespace, block: type[Settings], *names: str) -> Settings:
    """Return a block of settings whose keys ``names``, or all, are as the options say; others have their defaults.

    Raises InputError, which names the option, for values that contradict each other.
    """
    made = block.unchecked({name: getattr(options, name) for name in names or keys_of(block)})
    for name, text in made.problems():
        raise InputError(f"--{name.replace('_', '-')}{text}.")
    return made


def _parser(key: Key) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = _value(key.kind, text)
        except ValueError:
            value = None
        if not accepts(key.kind, key.limits, value):
            raise argparse.ArgumentTypeError(f"found '{text}'; accepted is {accepted_item(key)}")
        return value

    return parse


def _value(kind: type, text: str) -> Any:
    if kind is bool:
        return {"true": True, "false": False}.get(text)
    return kind(text)
