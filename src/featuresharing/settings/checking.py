"""Check a workflow's config before anything runs: every problem is one sentence that names the key by its path."""

import json
import os
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from featuresharing.errors import InputError
from featuresharing.settings.configfiles import check_extent, read_yaml


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


def check_config(config: Mapping[str, Any], schema_path: Path) -> None:
    """Raise InputError with one line for each problem of ``config`` under the JSON schema (YAML) at ``schema_path``.

    What a schema cannot say is checked too: names that must differ, tasks and layers that must exist.
    """
    check_extent(config, "the config")
    config = {key: value for key, value in config.items() if key != block_of_source(config.get("source"))}
    schema = read_yaml(schema_path)
    errors = sorted(_Validator(schema).iter_errors(config), key=lambda error: list(map(str, error.path)))
    problems = [problem for error in errors for problem in _describe(error, schema)] or list(_contradictions(config))
    lines = list(dict.fromkeys(problems))
    if len(lines) > MOST_PROBLEMS:
        lines[MOST_PROBLEMS:] = [f"There are {len(lines) - MOST_PROBLEMS} problems more."]
    if lines:
        raise InputError("\n".join(lines))


def block_of_source(source: Any) -> str | None:
    """Return the key of the block that a source of the user's own checks itself: its file's name without the ending."""
    return Path(source).stem if isinstance(source, str) and source.endswith(".smk") else None


MOST_PROBLEMS = 20
"""Problems that are told at a time."""


RANGES = (
    ("images", "scale"),
    ("images", "word_sizes"),
    ("images", "word_colours"),
    ("folders", "font_sizes"),
    ("folders", "colours"),
    ("training", "crop"),
)
"""Blocks and keys of two numbers, the first of which is not the larger."""


def check_writable(folder: Path) -> None:
    """Raise InputError unless files can be made in ``folder``, or the folder itself; nothing is touched."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise InputError(f"{folder} cannot hold results: {existing} is a file; accepted is a writable folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot hold results: {existing} is not writable; accepted is a writable folder.")


def _describe(error: ValidationError, schema: Mapping[str, Any]) -> Iterator[str]:
    place = _join(error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for key in sorted(set(error.instance) - set(known), key=_shown):
            near = get_close_matches(str(key)[:99], known, n=1, cutoff=0.0)[0]
            unknown, nearest = (_join([*error.absolute_path, name]) for name in (key, near))
            yield f"config key '{unknown}' is not known; the nearest is '{nearest}'."
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                missing = _join([*error.absolute_path, key])
                yield f"config key '{missing}' is missing; accepted is {_accepted(error, key, schema)}."
    else:
        accepted = error.schema.get("description", f"{error.validator} {error.validator_value}")
        yield f"config key '{place}': found {_shown(error.instance)}; accepted is {accepted}{_hint(error.instance)}."


def _accepted(error: ValidationError, key: str, schema: Mapping[str, Any]) -> str:
    """Say what a missing key is to be, with an example where the schema has one."""
    wanted = error.schema["properties"][key]
    if "$ref" in wanted:
        wanted = schema["$defs"][wanted["$ref"].rpartition("/")[2]]
    example = f", such as {wanted['examples'][0]}" if "examples" in wanted else ""
    return f"{wanted['description']}{example}"


_PRINTER = reprlib.Repr()
_PRINTER.maxstring = _PRINTER.maxother = 80
_PRINTER.maxlist = _PRINTER.maxdict = 6
_PRINTER.maxlevel = 2


def _shown(value: Any) -> str:
    """Print a value in a hundred characters or so, on one line, as YAML writes it where that is simple."""
    return json.dumps(value) if value is None or isinstance(value, bool) else _PRINTER.repr(value)


def _hint(found: Any) -> str:
    """Say what YAML hides: it reads 1e-3 as a text, and only 1.0e-3 as a number."""
    if not isinstance(found, str):
        return ""
    try:
        value = float(found)
    except ValueError:
        return ""
    return "; write 1.0e-3, not 1e-3" if "e" in found.lower() else f"; this is a text, the number is written {value:g}"


def _contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    names = [experiment["name"] for experiment in config["experiments"]]
    for index, experiment in enumerate(config["experiments"]):
        place = f"experiments.{index}"
        if names.index(experiment["name"]) != index:
            yield f"config key '{place}.name': found '{experiment['name']}' a second time; accepted are distinct names."
        if experiment["sort_by"] not in experiment["tasks"]:
            found, accepted = _shown(experiment["sort_by"]), " or ".join(experiment["tasks"])
            yield f"config key '{place}.sort_by': found {found}; accepted is a task: {accepted}."
    yield from _layer_contradictions(config)
    yield from _estimator_contradictions(config)
    steps = config["training"]["checkpoints"]
    if steps != sorted(set(steps)) or steps[-1] < 1:
        accepted = "rising steps, the last at least 1"
        yield f"config key 'training.checkpoints': found {_shown(steps)}; accepted are {accepted}."
    if len(config["images"]["basic_classes"]) == 1:
        yield "config key 'images.basic_classes': found one class; accepted are at least two, or none for all."
    if config["method"] == "lesion" and not config["lesions"]["softmax"] and config["evidence"]["method"] != "probdiff":
        found = config["evidence"]["method"]
        yield f"config key 'evidence.method': found {found}; accepted is probdiff for raw scores (lesions.softmax)."
    low, high = config["figures"]["limits"]
    if not low < 1 < high or (low == 0 and config["figures"]["colour_scale"] == "log"):
        accepted = "a number below 1 and one above 1; on a log scale, none is 0"
        yield f"config key 'figures.limits': found {[low, high]}; accepted are {accepted}."
    for block, key in RANGES:
        low, high = config[block][key]
        if low > high:
            yield f"config key '{block}.{key}': found {[low, high]}; accepted are a smaller number and a larger one."


def _layer_contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    for alias in config["layers"]:
        if not isinstance(alias, str) or alias.startswith("-"):
            yield f"config key 'layers.{alias}': found {alias!r} for a name; accepted is a text such as conv5."
    blocks = config["jobs"]["units"]
    for alias in blocks if isinstance(blocks, dict) else ():
        if alias not in config["layers"]:
            accepted = ", ".join(map(str, config["layers"]))
            yield f"config key 'jobs.units': found layer {_shown(alias)}; accepted are {accepted}."


def _estimator_contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    settings = config["marginalization"]
    if settings["estimator"] == "monte-carlo" and settings["samples"] < 2:
        found = settings["samples"]
        yield f"config key 'marginalization.samples': found {found}; accepted is 2 or more for monte-carlo."
    if settings["estimator"] == "quadrature" and settings["tolerance"] == 0:
        yield "config key 'marginalization.tolerance': found 0; accepted is a number above 0 for quadrature."


def _join(path: Iterable[Any]) -> str:
    return ".".join(part[:99] if isinstance(part, str) and part.isprintable() else _shown(part) for part in path)
