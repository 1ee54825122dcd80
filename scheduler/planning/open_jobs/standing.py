"""What the open jobs hold, counted once and then as they change, for whoever places one more job beside them.

A submission changes little: to count what a hundred others hold anew for each of them is most of the work of placing
it. So the owner of the jobs tells each change, and a planner that is given these jobs finds their room counted already.
Equal to counting anew, instant by instant, from the last decision on. Decides no place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import overload

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.open_jobs import job_room
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.grid_rows import GridRows
from scheduler.planning.plan import Cause, Forecasts, Placement, Region, Segment
from scheduler.planning.planner import OpenJob

# Steps of the past are forgotten when so many pieces have been changed since the last time.
FORGET_EVERY = 1024
_HURRIED = (Cause.LATE, Cause.RUN_NOW)


class Holdings:
    """Who holds or will hold what; `put` replaces what one job holds."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self.regions = regions
        self._held: dict[str, tuple[Job, tuple[Segment, ...]]] = {}
        self._hurried: dict[str, Placement] = {}
        self._occupancy = Occupancy(regions)
        self._changes = 0
        self._rows: GridRows | None = None
        self._unlike: dict[str, IntensitySeries] | None = None  # the forecasts that make no table

    def put(self, one: OpenJob) -> None:
        self.hold(one.job, one.running, one.planned)

    def hold(self, job: Job, running: Segment | None, planned: Placement | None) -> None:
        """The job runs there, and is planned there."""
        name, segments = job.id, _held_segments(job, running, planned)
        before = self._held.get(name)
        if before is None or before[1] != segments:
            self._replace(name, job, segments)
        if running is None and planned is not None and planned.cause in _HURRIED:
            self._hurried[name] = planned
        else:
            self._hurried.pop(name, None)

    def drop(self, name: str, now_s: float = -math.inf) -> None:
        """It holds nothing from `now_s` on; what it held before that is nobody's question any more."""
        self._hurried.pop(name, None)
        if name in self._held:
            self._change()  # before it is gone: counting anew without it leaves nothing to give back
            job, segments = self._held.pop(name)
            job_room.give_back(self._occupancy, job, [one for one in segments if one.end_at_s > now_s])

    def resize(self, regions: Sequence[Region]) -> None:
        """The regions have other GPUs from now on."""
        self.regions, self._unlike = regions, None
        self.count_anew()

    def count_anew(self) -> None:
        """Now and then, as the past piles up; and where the clock was set back, what has passed being ahead again."""
        self._changes = 0
        self._occupancy = job_room.occupied(self.regions, self._held.values())

    def holds(self, name: str) -> bool:
        return bool(name in self._held and self._held[name][1])

    @property
    def occupancy(self) -> Occupancy:
        """To be read only, and until the next change."""
        return self._occupancy

    @property
    def hurried(self) -> list[Placement]:
        """The places so far of jobs that wait and were placed as early as possible, or late."""
        return [placed for _, placed in sorted(self._hurried.items())]

    def rows(self, forecasts: Forecasts) -> GridRows | None:
        """The forecasts as one table, made when they are new."""
        if self._rows is not None and self._rows.answers_for(self.regions, forecasts):
            return self._rows
        if self._unlike is not None and self._unlike == forecasts:
            return None
        self._rows = GridRows.of(self.regions, forecasts)
        self._unlike = dict(forecasts) if self._rows is None else None
        return self._rows

    def _replace(self, name: str, job: Job, segments: tuple[Segment, ...]) -> None:
        self._change()
        if (before := self._held.get(name)) is not None:
            job_room.give_back(self._occupancy, *before)
        self._held[name] = (job, segments)
        job_room.take(self._occupancy, job, segments)

    def _change(self) -> None:
        self._changes += 1
        if self._changes >= FORGET_EVERY:
            self.count_anew()


class Standing(Sequence[OpenJob]):
    """The open jobs beside a newcomer, listed when somebody asks, with what they hold."""

    def __init__(self, holdings: Holdings, list_jobs: Callable[[], Sequence[OpenJob]]) -> None:
        self.holdings = holdings
        self._list_jobs = list_jobs
        self._jobs: Sequence[OpenJob] | None = None

    @overload
    def __getitem__(self, index: int) -> OpenJob: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[OpenJob]: ...

    def __getitem__(self, index: int | slice) -> OpenJob | Sequence[OpenJob]:
        return self._listed()[index]

    def __len__(self) -> int:
        return len(self._listed())

    def _listed(self) -> Sequence[OpenJob]:
        if self._jobs is None:
            self._jobs = self._list_jobs()
        return self._jobs


def held_segments(one: OpenJob) -> tuple[Segment, ...]:
    """What a job holds or will hold: its running piece, and the planned ones after it."""
    return _held_segments(one.job, one.running, one.planned)


def _held_segments(job: Job, running: Segment | None, planned: Placement | None) -> tuple[Segment, ...]:
    ahead = planned.segments if planned is not None else ()
    if running is None:
        return ahead
    if job.interruption is None:
        return (running,)
    return running, *(piece for piece in ahead if piece.start_at_s >= running.end_at_s - ROUNDING_S)
