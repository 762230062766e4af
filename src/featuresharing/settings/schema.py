"""The JSON schema of the config, made of its settings: what jsonschema, editors and other tools check."""

from dataclasses import is_dataclass
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
    if key.is_block and not key.many and not key.texts:
        return block_schema(key.kind, default)
    shown: dict[str, Any] = {"description": accepted(key)}
    if default is not None or (not key.required and not key.limits.optional):
        shown["default"] = plain(default)
    if key.limits.example:
        shown["examples"] = [key.limits.example]
    makers = ((key.texts, _text), (key.single, _single), (key.many, _list), (key.named, _named))
    options = [made(key) for wanted, made in makers if wanted]
    return options[0] | shown if len(options) == 1 else {"anyOf": options, **shown}


def _text(key: Key) -> dict[str, Any]:
    """Return the schema of a text that stands for a block; a block's own limits are those of its keys."""
    pattern = {"pattern": f"^(?:{key.limits.pattern})$"} if key.limits.pattern else {}
    return {"type": "string", **pattern}


def _single(key: Key) -> dict[str, Any]:
    schema = _item(key, key.alone)
    return schema | {"type": [schema["type"], "null"]} if key.nullable and not key.limits.optional else schema


def _item(key: Key, kind: type) -> dict[str, Any]:
    if is_dataclass(kind):
        return block_schema(kind)
    if kind is object:
        return {}
    limits = key.limits
    schema: dict[str, Any] = {"type": TYPES[kind], "description": accepted_item(key)}
    if limits.choices:
        schema["enum"] = list(limits.choices)
    if limits.pattern:
        schema["pattern"] = f"^(?:{limits.pattern})$"
    return schema | {ours: limit for name, ours in BOUNDS.items() if (limit := getattr(limits, name)) is not None}


def _list(key: Key) -> dict[str, Any]:
    limits = key.limits
    bounds = {"minItems": key.length or limits.fewest, "maxItems": key.length or limits.longest_list}
    unique = {"uniqueItems": True} if limits.distinct else {}
    kind = ["array", "null"] if key.nullable and not key.single and not limits.optional else "array"
    return {"type": kind, **bounds, **unique, "items": _item(key, key.kind)}


def _named(key: Key) -> dict[str, Any]:
    limits = key.limits
    names = {
        "type": "string",
        "pattern": f"^(?:{limits.names})$",
        "maxLength": 100,
        "description": limits.names_accepted,
    }
    bounds = {"minProperties": limits.fewest, "maxProperties": limits.longest_list}
    return {"type": "object", **bounds, "propertyNames": names, "additionalProperties": _item(key, key.named_kind)}
