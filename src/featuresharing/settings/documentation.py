"""Files that are made of the settings: the schema of the workflow, and the tables of config/README.md."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from featuresharing.errors import InputError
from featuresharing.settings.block import plain
from featuresharing.settings.config import Config
from featuresharing.settings.fields import Key, keys_of
from featuresharing.settings.schema import config_schema
from featuresharing.settings.sentences import accepted

COMMAND = "python -m featuresharing.settings"

SCHEMA = Path("workflow/schemas/config.schema.yaml")

README = Path("config/README.md")

HEAD = "| key | default | accepted | what it does |\n|---|---|---|---|\n"

TABLE = re.compile(r"(<!-- settings: ([\w.]*) -->\n).*?(<!-- end -->)", re.DOTALL)
"""A table in the page: between a mark that names the block by its path, "" for keys of no block, and the end."""


ESTIMATORS = re.compile(r"(<!-- estimators -->\n).*?(<!-- end -->)", re.DOTALL)
"""The table of estimators in the page."""


def generated_files(root: Path) -> Mapping[Path, str]:
    """Return what the files of a clone that are made of the settings have to hold, by their paths.

    Raises InputError if ``root`` is no clone, or if a block has no table in the page.
    """
    page = root / README
    if not page.is_file():
        raise InputError(f"{page} does not exist; accepted is the folder of a clone.")
    text = _with_tables(page.read_text(encoding="utf-8"), page)
    whole = ESTIMATORS.sub(lambda found: f"{found[1]}{_estimator_table()}{found[2]}", text)
    return {root / SCHEMA: _schema_text(), page: whole}


def _schema_text() -> str:
    head = f"# Made of src/featuresharing/settings by: {COMMAND}\n"
    return head + yaml.dump(config_schema(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6)


class _Dumper(yaml.SafeDumper):
    """Writes short blocks in one line, and the same value twice rather than an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return that nothing is an alias."""
        return True

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        """Return a block: in one line if it describes a key that holds no other keys."""
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style = "description" in mapping and "'properties'" not in str(mapping)
        return node


def _with_tables(text: str, page: Path) -> str:
    blocks = _blocks(Config)
    there = [found[2] for found in TABLE.finditer(text)]
    if there != list(blocks):
        wanted = f"one mark of each block, {', '.join(map(repr, blocks))}"
        raise InputError(f"{page}: found tables of {', '.join(map(repr, there))}; accepted are {wanted}.")
    return TABLE.sub(lambda found: f"{found[1]}{_table(blocks[found[2]])}{found[3]}", text)


def _blocks(block: type, path: str = "") -> dict[str, type]:
    """Return classes of blocks by their paths; several blocks of one class within a block have one table."""
    found = {path: block}
    for name, key in keys_of(block).items():
        if key.block and key.block not in found.values():
            found |= _blocks(key.block, f"{path}.{name}".strip("."))
    return found


def _estimator_table() -> str:
    """Return what the package's estimators that marginalize say of themselves."""
    from featuresharing.estimators.registry import builtin_names, find_estimator

    text = "| estimator | a conditional is | layers | adds | does not look at |\n|---|---|---|---|---|\n"
    for kind in map(find_estimator, builtin_names()):
        adds = " and ".join(f"`{column.name}`" for column in kind.adds)
        idle = ", ".join(f"`{name}`" for name in sorted(kind.idle))
        row = (f"`{kind.name}`", kind.summary, kind.layers, adds, idle)
        text += f"| {' | '.join(map(_in_cell, row))} |\n" if kind.marginalizes else ""
    return text


def _table(block: type) -> str:
    rows = []
    for name, key in keys_of(block).items():
        if not key.is_block or key.limits.optional:
            rows.append((f"`{name}`", _default(key), _in_cell(_said(key)), _in_cell(key.limits.help)))
        elif key.kind in [each.kind for other, each in keys_of(block).items() if other != name]:
            rows.append((f"`{name}`", _default(key), "a block of keys", _in_cell(key.limits.help)))
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _default(key: Key) -> str:
    if key.required or key.limits.optional:
        return ""
    text = yaml.safe_dump(plain(key.default), default_flow_style=True, width=10**6, sort_keys=False)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _said(key: Key) -> str:
    """Return what is accepted, with values that are typed as they are in code quotes."""
    words = accepted(key)
    for choice in key.limits.choices if not key.many else ():
        words = re.sub(rf"(?<![\w`-]){re.escape(str(choice))}(?![\w`-])", f"`{choice}`", words)
    for typed in ("true or false", "null"):
        words = re.sub(rf"\b{typed}\b", " or ".join(f"`{each}`" for each in typed.split(" or ")), words)
    return words


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|")
