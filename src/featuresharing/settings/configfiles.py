"""Read what a config is made of: files without traps, values of the command line, and defaults below them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from featuresharing.errors import InputError
from featuresharing.settings.schema import config_schema

MOST_VALUES = 20_000
"""Values that a config may hold, those of aliases counted wherever they stand; the shipped ones hold some 200."""

MOST_LEVELS = 50
"""Blocks and lists inside each other."""

MOST_CHARACTERS = 3_500
"""Of a single value: Python refuses to print integers of more digits than about that."""


OPEN_BLOCKS = frozenset({"layers"})
"""Blocks whose keys are names that a config chooses: one that is there is whole."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where there is one


def read_yaml(path: Path) -> Any:
    """Return what a file of YAML holds."""
    return yaml.load(path.read_text(), Loader=_Loader)


def write_yaml(values: Mapping[str, Any], path: Path) -> None:
    """Write a config to a file in the order of its keys, whole or not at all, unless that holds it already."""
    from featuresharing.files.atomic import replacing

    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    if path.is_file() and path.read_bytes() == text.encode():
        return
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_config_files(paths: Iterable[str | Path]) -> None:
    """Raise InputError for a file that YAML reads otherwise than it looks, or for hours; files that are not there pass.

    That is: a text other than UTF-8, no YAML, a key that a block holds twice (the last would count), and aliases that
    expand without end (which the cap on values ends).
    """
    for path in paths:
        if Path(path).is_file():
            _check_file(Path(path))


def _check_file(path: Path) -> None:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not of a text in UTF-8; accepted is YAML in UTF-8.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); accepted is a file of YAML.") from None
    if _is_json(text):  # which may have tabs where YAML has none
        return
    try:
        _check_text(text, path)
    except InputError:  # which is a ValueError too
        raise
    except RecursionError:
        raise InputError(f"{path}: its blocks are nested too deeply; accepted are {MOST_LEVELS} levels.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(f"{path}{line}: {problem[:200]}; accepted is YAML, indented with blanks.") from None
    except ValueError as error:  # a date in month 13
        raise InputError(f"{path}: a value cannot be read ({error}); accepted are numbers and texts.") from None


def _check_text(text: str, path: Path) -> None:
    root = yaml.compose(text, Loader=yaml.SafeLoader)  # its messages name characters
    if root is None:
        raise InputError(f"{path} is empty; accepted are keys and their values, such as seed: 1.")
    if not isinstance(root, yaml.MappingNode):
        raise InputError(f"{path} holds no keys at its top; accepted are keys and their values, such as seed: 1.")
    for node in _all_nodes(root):
        _check_node(node, path)
    check_extent(root, str(path))
    yaml.load(text, Loader=_Loader)


def _all_nodes(root: yaml.Node) -> Iterable[yaml.Node]:
    """Yield every node once, however many aliases point to it."""
    seen, waiting = {id(root)}, [root]
    while waiting:
        node = waiting.pop()
        yield node
        for child in _children(node):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)


def _check_node(node: yaml.Node, path: Path) -> None:
    place = f"{path}, line {node.start_mark.line + 1}"
    if isinstance(node, yaml.ScalarNode) and len(node.value) > MOST_CHARACTERS:
        found = f"found a value of {len(node.value)} characters"
        raise InputError(f"{place}: {found}; accepted are values of up to {MOST_CHARACTERS}.")
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[Any, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{place}: found a block or list for a key; accepted are names for keys.")
        line, name = key.start_mark.line + 1, (key.tag, key.value)
        if name in lines:
            found = f"config key '{key.value}' stands in a block twice, first in line {lines[name]}"
            raise InputError(f"{path}, line {line}: {found}; accepted is once.")
        lines[name] = line


def _children(value: Any) -> Sequence[Any]:
    """Return what a node of YAML, or a value made of it, holds."""
    if isinstance(value, yaml.MappingNode):
        return [part for pair in value.value for part in pair]
    if isinstance(value, yaml.SequenceNode):
        return list(value.value)
    if isinstance(value, Mapping):
        return [*value, *value.values()]
    return list(value) if isinstance(value, list | tuple | set) else []


def check_extent(value: Any, name: str) -> None:
    """Raise InputError, which begins with ``name``, if ``value`` holds too much or itself; aliases cost no time."""
    counts: dict[int, int] = {}
    unfinished: set[int] = set()

    def count(part: Any, level: int) -> int:
        children = _children(part)
        if not children:
            _check_leaf(part, name)
            return 1
        if id(part) in unfinished:
            raise InputError(f"{name}: an alias stands inside what it names; accepted are values that end.")
        if id(part) not in counts:
            if level > MOST_LEVELS:
                raise InputError(f"{name}: its blocks are nested too deeply; accepted are {MOST_LEVELS} levels.")
            unfinished.add(id(part))
            counts[id(part)] = 1 + sum(count(child, level + 1) for child in children)
            unfinished.discard(id(part))
        return counts[id(part)]

    if count(value, 0) > MOST_VALUES:
        found = f"{name} holds more than {MOST_VALUES} values, with what its aliases repeat"
        raise InputError(f"{found}; accepted are fewer.")


def _check_leaf(value: Any, name: str) -> None:
    if isinstance(value, int) and value.bit_length() > MOST_CHARACTERS:
        found = f"found an integer of {value.bit_length()} bits"
        raise InputError(f"{name}: {found}; accepted are numbers that can be computed with.")
    if isinstance(value, str | bytes) and len(value) > MOST_CHARACTERS:
        found = f"found a value of {len(value)} characters, {value[:20]!r} ..."
        raise InputError(f"{name}: {found}; accepted are values of up to {MOST_CHARACTERS}.")


def complete_config(
    config: Mapping[str, Any], defaults: Mapping[str, Any], given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return ``config`` with ``defaults`` for keys that it lacks, and the right types for what the command line gave.

    Snakemake reads the inside of a block on the command line (``--config figures='{"dpi": 300}'``) as texts alone;
    those of ``given`` that are to be something else are read as YAML. The arguments stay as they are.
    """
    check_extent(config, "the config")
    return _complete(_read_texts(config, given or {}, config_schema()), defaults)


def _complete(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what is missing; keys stand in the order of the defaults, or of a config that has them all."""
    filled = {}
    for key in [*([] if defaults.keys() <= config.keys() else defaults), *config]:
        value, below = config.get(key, defaults.get(key)), defaults.get(key)
        partial = isinstance(value, Mapping) and isinstance(below, Mapping) and key not in OPEN_BLOCKS
        filled[key] = _complete(value, below) if partial else value  # type: ignore[arg-type]
    return filled


def _read_texts(found: Any, given: Any, schema: Any) -> Any:
    """Return ``found`` with the texts in it that came as ``given`` read as what ``schema`` wants."""
    schema = schema if isinstance(schema, Mapping) else {}
    if isinstance(found, Mapping) and isinstance(given, Mapping):
        inner, other = schema.get("properties", {}), schema.get("additionalProperties")
        for option in schema.get("anyOf", []):
            other = option.get("additionalProperties", other)
        return {
            key: _read_texts(value, given[key], inner.get(key, other)) if key in given else value
            for key, value in found.items()
        }
    if isinstance(found, list) and isinstance(given, list | tuple) and len(found) == len(given):
        return [_read_texts(*pair, schema.get("items")) for pair in zip(found, given, strict=True)]
    return _read_text(found, schema) if isinstance(found, str) and found == given else found


def _read_text(text: str, schema: Mapping[str, Any]) -> Any:
    kinds = {schema["type"]} if isinstance(schema.get("type"), str) else set(schema.get("type", []))
    if "string" in kinds or any(isinstance(value, str) for value in schema.get("enum", [])):
        return None if text == "null" and "null" in kinds else text
    try:
        value = yaml.safe_load(text)
        return float(value) if isinstance(value, str) and "number" in kinds else value
    except (ValueError, yaml.YAMLError):
        return text


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
