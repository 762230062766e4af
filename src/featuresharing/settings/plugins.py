"""What a config says to plug-ins: which estimators there are, what they need, and which block is a source's own."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from featuresharing.errors import InputError
from featuresharing.settings.block import Problem
from featuresharing.settings.config import Config
from featuresharing.settings.sentences import listed, shown


def plugin_problems(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with a config for the estimator that it names."""
    yield from _estimator_problems(config)


def own_blocks(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block that a source of the user's own checks itself, by its name: that of its file, without ending.

    It is empty for other sources, or where a config has no such block.
    """
    source = config.get("source")
    name = Path(source).stem if isinstance(source, str) and source.endswith(".smk") else ""
    return {key: value for key, value in config.items() if key == name}


def _estimator_problems(config: Config) -> Iterator[Problem]:
    from featuresharing.estimators.registry import find_estimator, is_estimator, marginalizing_names

    settings = config.marginalization
    try:
        kind = find_estimator(settings.estimator) if is_estimator(settings.estimator) else None
    except InputError as error:
        yield Problem("marginalization.estimator", f": {str(error).removesuffix('.')}")
        return
    if kind is None or not kind.marginalizes:
        found = f": found {shown(settings.estimator)}; accepted is {listed(marginalizing_names())}"
        yield Problem("marginalization.estimator", found)
        return
    for key, text in kind.problems(settings):
        yield Problem(f"marginalization.{key}", text)
