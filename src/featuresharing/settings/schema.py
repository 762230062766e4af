"""The JSON schema of the config, made of its settings: what jsonschema, editors and other tools check."""

from functools import lru_cache
from typing import Any

from featuresharing.settings.block import plain
from featuresharing.settings.config import Config
from featuresharing.settings.fields import Key, keys_of
from featuresharing.settings.sentences import accepted, accepted_item

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}

BOUNDS = {
    "least": "minimum",
    "most": "maximum",
    "above": "exclusiveMinimum",
    "below": "exclusiveMaximum",
    "multiple": "multipleOf",
    "longest": "maxLength",
}


@lru_cache
def config_schema() -> dict[str, Any]:
    """Return the schema of a config whose keys with defaults may be missing; descriptions end "accepted is ..."."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **block_schema(Config),
        "description": 'Config of the FeatureSharing workflow. Descriptions complete the sentence "accepted is ...".',
    }


def block_schema(block: type, base: Any = None) -> dict[str, Any]:
    """Return the schema of a block; of keys that ``base`` has, none has to be there."""
    keys = keys_of(block)
    required = [name for name, key in keys.items() if key.required and base is None]
    return {
        "type": "object",
        "description": "a block of keys",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": {name: _value(key, getattr(base, name, key.default)) for name, key in keys.items()},
    }


def _value(key: Key, default: Any) -> dict[str, Any]:
    if key.is_block and not key.many:
        return block_schema(key.kind, default)
    shown: dict[str, Any] = {"description": accepted(key)}
    if default is not None or (not key.required and not key.limits.optional):
        shown["default"] = plain(default)
    if key.limits.example:
        shown["examples"] = [key.limits.example]
    options = [made(key) for wanted, made in ((key.single, _single), (key.many, _list), (key.named, _named)) if wanted]
    return options[0] | shown if len(options) == 1 else {"anyOf": options, **shown}


def _single(key: Key) -> dict[str, Any]:
    schema = _item(key, key.alone)
    return schema | {"type": [schema["type"], "null"]} if key.nullable and not key.limits.optional else schema


def _item(key: Key, kind: type | None = None) -> dict[str, Any]:
    if key.is_block:
        return block_schema(key.kind)
    limits = key.limits
    schema: dict[str, Any] = {"type": TYPES[kind or key.kind], "description": accepted_item(key)}
    if limits.choices:
        schema["enum"] = list(limits.choices)
    if limits.pattern:
        schema["pattern"] = f"^(?:{limits.pattern})$"
    return schema | {ours: limit for name, ours in BOUNDS.items() if (limit := getattr(limits, name)) is not None}


def _list(key: Key) -> dict[str, Any]:
    limits = key.limits
    bounds = {"minItems": key.length or limits.fewest, "maxItems": key.length or limits.longest_list}
    unique = {"uniqueItems": True} if limits.distinct else {}
    return {"type": "array", **bounds, **unique, "items": _item(key)}


def _named(key: Key) -> dict[str, Any]:
    limits = key.limits
    names = {"pattern": f"^(?:{limits.names})$", "maxLength": 100, "description": limits.names_accepted}
    bounds = {"minProperties": limits.fewest, "maxProperties": limits.longest_list}
    return {"type": "object", **bounds, "propertyNames": names, "additionalProperties": _item(key)}
