"""In what order tests run, and how Hypothesis searches: the same examples in every CI run, new ones elsewhere.

A seed that finds a bug belongs into a test of its own; a CI run that is red by luck teaches nobody.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# No deadline per example, and no complaint that drawing them is slow: both would measure the machine's other work.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: none begins when all others are done. A file's tests stay together, and what they share."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.get_closest_marker("timeout") is None, item.path not in slow))
