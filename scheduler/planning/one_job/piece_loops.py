"""By which loops a search for pieces runs: plain ones, or those of piece_kernels.py once something has compiled them.

The answers are the same to the last bit; only the time differs. Knows no compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from intensity_feeds.series import Floats
from scheduler.planning.one_job.piece_kernels import Ints, Rows, Rule, Steps

SweepLoop = Callable[[Floats, Ints, Ints, Ints, float, int, Floats, Floats], None]
WalkLoop = Callable[[Floats, Floats, Floats, Floats, Ints, Ints, Ints, Ints, float, int, Ints], int]
RowsLoop = Callable[[Rule, Steps, Rows, Rows, Rows, Floats, Floats, Floats], tuple[float, int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """The functions of `piece_kernels` by their names, compiled."""

    sweep: SweepLoop
    walk_back: WalkLoop
    fill_rows: RowsLoop
