"""Whether a run's requests, and the places of its jobs, go through compiled loops: where numba is installed and there
are enough of them.

The results are the same either way; only the time differs. numba is not imported unless it is used.
"""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec

from scheduler.planning.open_jobs.board_loops import BoardLoops
from simulations.compiled.pool import Run

# Fewer requests are served in plain Python before compiled code is even loaded: some 3,000 a second, beside two seconds
# for loading and twenty for compiling, once.
WORTH_REQUESTS = 30_000
# Loading takes as long as is gained by so many jobs.
WORTH_JOBS = 3_000


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


def chosen_board(kind: LoopKind, jobs: int) -> BoardLoops | None:
    """The compiled looks at a fleet, or None for plain Python: where there are few jobs, or no numba."""
    is_worth_it = jobs >= WORTH_JOBS if kind is LoopKind.AUTO else kind is LoopKind.COMPILED and jobs > 0
    if not is_worth_it or find_spec("numba") is None:
        return None
    from simulations.compiled.build import compiled_board

    return compiled_board()
