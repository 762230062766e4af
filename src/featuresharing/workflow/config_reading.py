"""Configs as the Snakefile has them: files over the demo's own values, and these over the defaults of the settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from featuresharing.errors import InputError
from featuresharing.settings import Config
from featuresharing.settings.configfiles import check_config_files, complete_config, read_yaml

FIRST = Path("config/config.yaml")
"""The config in the working directory, which is read before all others if it is there."""


def read_config(paths: Sequence[Path], demo: Path | None) -> dict[str, Any]:
    """Return the config that files make together, in the working directory, the last before the others.

    ``demo`` is the config of the clone that the workflow is in (None: the defaults of the settings alone). Raises
    InputError for a file that is not there or is no YAML.
    """
    if missing := next((path for path in paths if not path.is_file()), None):
        raise InputError(f"config {missing} does not exist; accepted is a file of YAML.")
    check_config_files([FIRST, *paths])
    given: dict[str, Any] = {}
    for path in (FIRST, *paths):
        if path.is_file():
            given = _over(read_yaml(path), given)
    return complete_config(given, complete_config(read_yaml(demo), Config.defaults()) if demo else Config.defaults())


def _over(config: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    """Return one config over another, as Snakemake does: blocks key by key, whatever else is whole."""
    merged = dict(below)
    for key, value in config.items():
        found = below.get(key)
        both = isinstance(value, Mapping) and isinstance(found, Mapping)
        merged[key] = _over(value, found) if both else value  # type: ignore[arg-type]
    return merged
