"""Reserved and on-demand CPUs of GAIA: which piece runs where, and which job starts ahead of its plan.

Source: Hanafy et al., ASPLOS 2024. Decides placement step by step, only at steps where something can happen; knows no
carbon and no money.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from simulations.reproductions.gaia_policies import Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """A job with its pieces as planned on arrival. A spot job stays clear of reserved CPUs and of early starts."""

    arrival: int
    cpus: int
    pieces: Sequence[Piece]
    is_spot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedPiece:
    """A piece as it ran."""

    job: int
    piece: Piece
    is_reserved: bool


@dataclass(slots=True, kw_only=True)
class _Cluster:
    jobs: Sequence[PlannedJob]
    free_cpus: int
    starts_early: bool
    waiting: list[tuple[int, Piece]] = field(default_factory=list)  # in order of arrival
    returning: list[tuple[int, int]] = field(default_factory=list)  # (step, CPUs), a heap
    placed: list[PlacedPiece] = field(default_factory=list)

    def pass_at(self, step: int) -> None:
        """One step: the waiting in order of arrival, then the CPUs that come back, usable from the next step on."""
        self.waiting = [entry for entry in self.waiting if not self._start(*entry, step)]
        while self.returning and self.returning[0][0] <= step:
            self.free_cpus += heapq.heappop(self.returning)[1]

    def _start(self, index: int, piece: Piece, step: int) -> bool:
        job = self.jobs[index]
        fits = job.cpus <= self.free_cpus and not job.is_spot
        # A suspended job's pieces are planned apart; only a job in one piece can be brought forward.
        if step < piece.start and not (self.starts_early and fits and len(job.pieces) == 1):
            return False
        ran = Piece(step, step + piece.end - piece.start)
        if fits:
            self.free_cpus -= job.cpus
            heapq.heappush(self.returning, (ran.end, job.cpus))
        self.placed.append(PlacedPiece(job=index, piece=ran, is_reserved=fits))
        return True


def place(jobs: Sequence[PlannedJob], reserved_cpus: int, *, starts_early: bool = False) -> list[PlacedPiece]:
    """Runs every piece, in order of start. `jobs` are in order of arrival."""
    cluster = _Cluster(jobs=jobs, free_cpus=reserved_cpus, starts_early=starts_early)
    moments = [piece.start for job in jobs for piece in job.pieces] + [job.arrival for job in jobs]
    heapq.heapify(moments)
    arrived = 0
    while moments:
        step = heapq.heappop(moments)
        while moments and moments[0] == step:
            heapq.heappop(moments)
        while arrived < len(jobs) and jobs[arrived].arrival <= step:
            cluster.waiting.extend((arrived, piece) for piece in jobs[arrived].pieces)
            arrived += 1
        started = len(cluster.placed)
        cluster.pass_at(step)
        for one in cluster.placed[started:]:
            if one.is_reserved:
                # Back at its end, after that step's starts; the step after is the first that can use them.
                heapq.heappush(moments, one.piece.end)
                heapq.heappush(moments, one.piece.end + 1)
    return cluster.placed
