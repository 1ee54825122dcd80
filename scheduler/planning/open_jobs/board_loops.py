"""By which loops a board looks at its regions: plain ones, or those of board_kernels.py and window_kernels.py once
something compiled them.

The places are the same; only the time differs. Knows no compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from intensity_feeds.series import Floats
from scheduler.planning.open_jobs.board_kernels import GridSums, Held, Run, Taken
from scheduler.planning.open_jobs.window_kernels import GridCurves, Scratch

FirstLoop = Callable[[Taken, int, float, float], int]
LeastLoop = Callable[[Taken, GridSums, Run, float, Held, float, Floats], None]
CheapestLoop = Callable[[Taken, GridSums, GridCurves, Run, float, float, Scratch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardLoops:
    """The functions of `board_kernels` and `window_kernels` by their names, compiled."""

    first_with_room: FirstLoop
    least_everywhere: LeastLoop
    cheapest_places: CheapestLoop
