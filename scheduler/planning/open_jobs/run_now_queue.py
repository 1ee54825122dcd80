"""What would have been had every job run at once: a queue beside the real one in which nobody waits for carbon.

Each job has the earliest place in one piece beside those admitted before it, and keeps it. So it is known of every open
job whether running at once would have it in time, whatever was deferred or put into another order since. A run that
has ended tells how long it really took. Knows no carbon, and of the real queue nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.open_jobs import job_room
from scheduler.planning.open_jobs.board_loops import BoardLoops
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.needs import need
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Region, Segment
from scheduler.planning.planner import OpenJob

# Pieces that are over are forgotten when so many have been added since the last time.
_FORGET_EVERY = 256


class RunNowQueue:
    """`admit` in the order of submission; `settle` when a job has ended or is gone."""

    def __init__(self, regions: Sequence[Region], loops: BoardLoops | None = None) -> None:
        self._board = Board(regions, {}, Occupancy(regions), loops=loops)
        self._pieces: list[tuple[Job, Segment]] = []
        self._open: dict[str, Segment | None] = {}
        self._added = 0

    def admit(self, job: Job, now_s: float, running: Segment | None = None) -> None:
        """Reserve the earliest place from now on, or the piece in which it runs already. No place is too late."""
        wanted = need(OpenJob(job=job), now_s)
        only = running if running is not None or wanted is None else self._board.at_once(wanted)
        self._open[job.id] = only
        if only is None:
            return
        self._take(job, only)
        self._added += 1
        if self._added >= _FORGET_EVERY:
            self._forget_before(now_s)

    def meets(self, job: Job) -> bool | None:
        """Whether the job would be in time; None when it was never admitted."""
        if job.id not in self._open:
            return None
        only = self._open[job.id]
        return only is not None and only.end_at_s <= job.deadline_at_s + ROUNDING_S

    def settle(self, job: Job, lasted_s: float | None) -> None:
        """The job is gone after so long on its GPUs; None, when it never ran to its end, leaves its place as it was."""
        only = self._open.pop(job.id, None)
        if only is None or lasted_s is None or abs(lasted_s - only.duration_s) <= ROUNDING_S:
            return
        self._pieces.remove((job, only))
        job_room.give_back(self._board.occupancy, job, (only,))
        self._take(job, replace(only, end_at_s=only.start_at_s + lasted_s))

    def resize(self, regions: Sequence[Region]) -> None:
        """The regions have other GPUs from now on; places that were reserved stay."""
        self._rebuild(regions)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _take(self, job: Job, piece: Segment) -> None:
        self._pieces.append((job, piece))
        job_room.take(self._board.occupancy, job, (piece,))

    def _forget_before(self, now_s: float) -> None:
        self._added = 0
        self._pieces = [(job, piece) for job, piece in self._pieces if piece.end_at_s > now_s]
        self._rebuild(self._board.regions)

    def _rebuild(self, regions: Sequence[Region]) -> None:
        held = ((job, (piece,)) for job, piece in self._pieces)
        self._board = Board(regions, {}, job_room.occupied(regions, held), loops=self._board.loops)
