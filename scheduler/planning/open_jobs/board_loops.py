"""By which loops a board looks at its regions: plain ones, or those of board_kernels.py once something compiled them.

The places are the same; only the time differs. Knows no compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from intensity_feeds.series import Floats
from scheduler.planning.open_jobs.board_kernels import GridSums, Held, Run, Taken

FirstLoop = Callable[[Taken, int, float, float], int]
LeastLoop = Callable[[Taken, GridSums, Run, float, Held, float, Floats], None]

NOBODY = Held(place=-1, start_at_s=0.0, end_at_s=0.0, gpus=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLoops:
    """The functions of `board_kernels` by their names, compiled."""

    first_with_room: FirstLoop
    least_everywhere: LeastLoop
