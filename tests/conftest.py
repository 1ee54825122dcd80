"""How Hypothesis searches: the same examples in every CI run, new ones on a developer's machine.

A seed that finds a bug belongs into a test of its own; a CI run that is red by luck teaches nobody.
"""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline per example: it would measure the machine's other work.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
