"""Which tests run first where files of tests run side by side."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with end-to-end tests first: one that is begun last would run on alone."""
    long = {item.path for item in items if item.get_closest_marker("end_to_end")}
    items.sort(key=lambda item: item.path not in long)
