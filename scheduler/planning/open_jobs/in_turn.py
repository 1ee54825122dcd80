"""Which waiting jobs could gain by another place, and in which regions, asked of each when it is its turn.

The question of prospects.py, where compiled loops look at a fleet sooner than a bound for all jobs is made: nothing has
to be looked at again when somebody moves, and what is told is the least itself. No is certain. Moves no job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from scheduler.planning.open_jobs.board_kernels import Held
from scheduler.planning.open_jobs.grid_rows import may_be_less
from scheduler.planning.open_jobs.needs import Place
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Segment

_NOWHERE = frozenset[str]()


@dataclass(frozen=True, slots=True, kw_only=True)
class InTurn:
    """For each kept place, all taken on the board, the regions in which another could emit as little as asked."""

    board: Board
    kept: Sequence[Place]
    enough_g_s_per_kwh: Sequence[float]
    _places: dict[str, int] = field(init=False)
    _everywhere: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        names = [region.name for region in self.board.regions]
        object.__setattr__(self, "_places", {name: place for place, name in enumerate(names)})
        object.__setattr__(self, "_everywhere", frozenset(names))

    @classmethod
    def of(cls, board: Board, kept: Sequence[Place], enough_g_s_per_kwh: Sequence[float]) -> Self | None:
        """None where the loops of the board do not tell it of every job."""
        if not all(board.looks_everywhere(place.need) for place in kept):
            return None
        return cls(board=board, kept=kept, enough_g_s_per_kwh=enough_g_s_per_kwh)

    def regions_of(self, index: int) -> frozenset[str]:
        place = self.kept[index]
        (run,) = place.segments
        held = Held(self._places[run.region], run.start_at_s, run.end_at_s, place.need.job.gpus)
        enough = self.enough_g_s_per_kwh[index]
        if (beside := self.board.least_beside(place.need, held, enough)) is None:
            return self._everywhere
        if not may_be_less(float(beside.min()), enough):
            return _NOWHERE
        found = enumerate(beside.min(axis=0).tolist())
        return frozenset(self.board.regions[one].name for one, least in found if may_be_less(least, enough))

    def left(self, index: int, segments: Sequence[Segment]) -> None:
        """The job of that index moved from there: whoever asks after it sees the board as it is then."""
