"""Check a workflow's config before anything runs: every problem is one sentence that names the key by its path."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from featuresharing.errors import InputError
from featuresharing.settings.block import Block, Problem
from featuresharing.settings.config import Config
from featuresharing.settings.configfiles import check_extent
from featuresharing.settings.plugins import own_blocks, plugin_problems
from featuresharing.settings.schema import block_schema, config_schema
from featuresharing.settings.sentences import listed, shown

Own = TypeVar("Own", bound=Block)

MOST_PROBLEMS = 20
"""Problems that are told at a time."""


def _whole_match(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    """Match a pattern against a whole text: Python's $ lets a line break pass at its end."""
    if isinstance(instance, str) and not re.fullmatch(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _distinct(_: Any, wanted: bool, instance: Any, __: Any) -> Iterator[ValidationError]:
    """Compare what items print, in time proportional to their number; jsonschema compares all pairs."""
    if wanted and isinstance(instance, list) and len(set(map(repr, instance))) < len(instance):
        yield ValidationError("items are not distinct")


# JSON has one kind of number, so that 64.0 would pass for an integer; the command line tells them apart
_Validator = extend(
    Draft202012Validator,
    {"pattern": _whole_match, "uniqueItems": _distinct},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ).redefine(
        "number",
        lambda _, value: (
            not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and isfinite(value)))
        ),
    ),
)


@lru_cache
def _validator() -> Any:
    return _Validator(config_schema())


def check_config(config: Mapping[str, Any]) -> Config:
    """Return the settings of a config; raises InputError with one line for each of its problems.

    Keys that are missing have their defaults. What no key says alone is checked too, such as names that must differ.
    The block of a source of the user's own is left to that source.
    """
    check_extent(config, "the config")
    config = {key: value for key, value in config.items() if key not in own_blocks(config)}
    _refuse(_problems(_validator(), config))
    settings = Config.unchecked(config)
    _refuse(f"config key '{key}'{text}." for key, text in contradictions(settings))
    return settings


def check_block(kind: type[Own], name: str, values: Any) -> Own:
    """Return the block ``name`` of a config, whose keys are those of ``kind``; raises InputError as check_config."""
    schema = {"type": "object", "properties": {name: block_schema(kind)}}
    _refuse(_problems(_Validator(schema), {name: values}))
    block = kind.unchecked(values)
    _refuse(f"config key '{name}.{key}'{text}." for key, text in block.problems())
    return block


def config_errors(config: Mapping[str, Any]) -> list[ValidationError]:
    """Return what the schema does not accept of a config, in the order of its keys."""
    return _errors(_validator(), config)


def _errors(validator: Any, config: Mapping[str, Any]) -> list[ValidationError]:
    return sorted(validator.iter_errors(config), key=lambda error: list(map(str, error.path)))


def _problems(validator: Any, config: Mapping[str, Any]) -> Iterator[str]:
    return (problem for error in _errors(validator, config) for problem in described(error))


def _refuse(problems: Iterable[str]) -> None:
    """Raise InputError with a line for each problem, if there are any; of very many, the first."""
    lines = list(dict.fromkeys(problems))
    if len(lines) > MOST_PROBLEMS:
        lines[MOST_PROBLEMS:] = [f"There are {len(lines) - MOST_PROBLEMS} problems more."]
    if lines:
        raise InputError("\n".join(lines))


def check_writable(folder: Path) -> None:
    """Raise InputError unless files can be made in ``folder``, or the folder itself; nothing is touched."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise InputError(f"{folder} cannot hold results: {existing} is a file; accepted is a writable folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot hold results: {existing} is not writable; accepted is a writable folder.")


def contradictions(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with values that a schema accepts."""
    for place, block in config.inner_blocks():
        yield from (Problem(f"{place}.{key}", text) for key, text in block.problems())
    yield from config.problems()
    yield from plugin_problems(config)


def described(error: ValidationError) -> Iterator[str]:
    """Yield sentences on what a schema does not accept."""
    place = joined(error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for key in sorted(set(error.instance) - set(known), key=shown):
            near = [get_close_matches(str(key)[:99], known, n=1, cutoff=0.0)[0]]
            blocks = {} if error.absolute_path else error.schema["properties"]
            block, _, inner_key = str(key).partition(".")
            if inner_key in blocks.get(block, {}).get("properties", ()):
                yield f"config key '{key}' is not known; a block is written {block}: {{{inner_key}: ...}}."
                continue
            within = [f"{block}.{key}" for block, inner in blocks.items() if key in inner.get("properties", ())]
            unknown, *nearest = (joined([*error.absolute_path, name]) for name in (key, *(within or near)))
            yield f"config key '{unknown}' is not known; the nearest is {listed(tuple(map(repr, nearest)))}."
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                missing, wanted = joined([*error.absolute_path, key]), error.schema["properties"][key]
                example = f", such as {wanted['examples'][0]}" if "examples" in wanted else ""
                yield f"config key '{missing}' is missing; accepted is {wanted['description']}{example}."
    elif error.validator == "anyOf" and (wrong := meant(error)):
        for inner in wrong:
            yield from described(inner)
    else:
        accepted = error.schema.get("description", f"{error.validator} {error.validator_value}")
        yield f"config key '{place}': found {shown(error.instance)}; accepted is {accepted}{_hint(error)}."


def meant(error: ValidationError) -> list[ValidationError]:
    """Return what is wrong inside a value by the one of several schemas that takes values of its kind."""
    others = {
        inner.schema_path[0]
        for inner in error.context
        if inner.validator == "type" and not inner.path and "propertyNames" not in inner.schema_path
    }
    inside = ("required", "additionalProperties")
    return [
        inner
        for inner in error.context
        if inner.schema_path[0] not in others
        and (inner.path or inner.validator in inside or "propertyNames" in inner.schema_path)
    ]


def _hint(error: ValidationError) -> str:
    """Say what YAML hides, which reads 1e-3 as a text and 0500 as 320, and how blocks are given on the command line."""
    found = error.instance
    if not isinstance(found, str):
        return ", in quotes where YAML reads something else than a text" if "propertyNames" in error.schema_path else ""
    if "properties" in error.schema:
        key = next(iter(error.schema["properties"]))
        return f", on the command line {error.absolute_path[-1]}='{{{key}: ...}}'" if error.absolute_path else ""
    try:
        value = float(found)
    except ValueError:
        return ""
    if "number" not in _types(error.schema):
        whole = "e" not in found.lower() and value.is_integer()
        return f"; this is a text, the number is written {value:.0f}" if whole else "; write digits alone"
    return "; write 1.0e-3, not 1e-3" if "e" in found.lower() else f"; this is a text, the number is written {value:g}"


def _types(schema: Mapping[str, Any]) -> set[str]:
    """Return the types that a schema accepts by itself or in one of several."""
    own = schema.get("type", [])
    inner = (_types(each) for each in schema.get("anyOf", []))
    return {*([own] if isinstance(own, str) else own)}.union(*inner)


def joined(path: Iterable[Any]) -> str:
    """Return the path of a key in words."""
    return ".".join(part[:99] if isinstance(part, str) and part.isprintable() else shown(part) for part in path)
