"""The demo's config, whole: what it says, and the defaults of all other keys."""

from pathlib import Path
from typing import Any

from featuresharing.settings import Config
from featuresharing.settings.configfiles import complete_config, read_yaml

ROOT = Path(__file__).parents[2]


def demo_config() -> dict[str, Any]:
    """Return every key of the demo's config, in the order of the settings."""
    return Config.unchecked(complete_config(read_yaml(ROOT / "config/config.yaml"), Config.defaults())).as_config()
