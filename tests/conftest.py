"""How Hypothesis searches: the same examples in every CI run, new ones on a developer's machine.

A seed that finds a bug belongs into a test of its own; a CI run that is red by luck teaches nobody.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline per example, and no complaint that drawing them is slow: both would measure the machine's other work.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
