"""What a config says to plug-ins: which estimators there are, what they need, and which block is a source's own."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from featuresharing.settings.block import Problem
from featuresharing.settings.config import Config
from featuresharing.settings.sentences import listed, shown

ESTIMATORS = ("prior-weighted", "published", "monte-carlo", "quadrature")
"""Names of the estimators that marginalize."""


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
    settings = config.marginalization
    if settings.estimator not in ESTIMATORS:
        found = f": found {shown(settings.estimator)}; accepted is {listed(ESTIMATORS)}"
        yield Problem("marginalization.estimator", found)
    if settings.estimator == "monte-carlo" and settings.samples < 2:
        found = f": found {settings.samples}; accepted is 2 or more for monte-carlo"
        yield Problem("marginalization.samples", found)
    if settings.estimator == "quadrature" and settings.tolerance == 0:
        found = ": found 0; accepted is a number above 0 for quadrature"
        yield Problem("marginalization.tolerance", found)
