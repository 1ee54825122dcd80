"""Whether a run's requests go through the compiled loop: where numba is installed and there are enough of them.

The results are the same either way; only the time differs. numba is not imported unless it is used.
"""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec

from simulations.compiled.pool import Run

# Fewer requests are served in plain Python before compiled code is even loaded: some 3,000 a second, beside two seconds
# for loading and twenty for compiling, once.
WORTH_REQUESTS = 30_000


class LoopKind(StrEnum):
    """How requests are simulated."""

    AUTO = "auto"
    PLAIN = "plain"
    COMPILED = "compiled"


class NoCompilerError(ValueError):
    """Compiled code is asked for and cannot be made."""

    def __init__(self) -> None:
        super().__init__("the compiled loop needs numba, which is not installed; pip install 'slacktide[compiled]'")


def chosen_run(kind: LoopKind, requests: int) -> Run | None:
    """The compiled loop, or None for plain Python. Raises NoCompilerError."""
    if kind is LoopKind.PLAIN or (kind is LoopKind.AUTO and requests < WORTH_REQUESTS):
        return None
    if find_spec("numba") is None:
        if kind is LoopKind.COMPILED:
            raise NoCompilerError
        return None
    from simulations.compiled.build import compiled_run

    return compiled_run()
