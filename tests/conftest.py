"""Which tests run first where files of tests run side by side, and what all of them share."""

import os
from pathlib import Path

import pytest

from tests.support.workflows import finished_demo


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run tests: one more than there are cores, since long tests often wait."""
    return min(os.cpu_count() or 1, 4) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with the longest tests first: one that is begun last would run on alone."""

    def files_with(mark: str) -> set[Path]:
        return {item.path for item in items if item.get_closest_marker(mark)}

    whole_runs, slow = files_with("end_to_end"), files_with("slow")
    waiting = "test_slurm.py"  # for a cluster most of the time, and longest of all
    items.sort(key=lambda item: (item.path.name != waiting, item.path not in whole_runs, item.path not in slow))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the small demo ran to its end, one for all tests and processes; they must not change it."""
    own = tmp_path_factory.getbasetemp()
    return finished_demo(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)
