"""Files of networks that others made, which benchmarks/fetch_networks.py fetches; none is part of the project."""

import os
from pathlib import Path

import pytest

from tests.support.commands import ROOT

FOLDER = Path(os.environ.get("FEATURESHARING_REAL_NETWORKS") or ROOT / ".cache/networks")


def real_file(place: str) -> Path:
    """Return a fetched file, such as ``nsfw/deploy.prototxt``; the test is skipped where it is not there."""
    path = FOLDER / place
    if not path.is_file():
        name = Path(place).parts[0]
        pytest.skip(f"{path} is not there: python benchmarks/fetch_networks.py {name}")
    return path
