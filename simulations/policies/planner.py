"""Planners that follow a published policy, or keep to one region, through the same engine and capacity as ours.

A published policy shifts work in time, in the region in which it would run at once. It decides once, when a job comes,
and keeps to it; a job that found no room in time is asked again whenever room comes free. Decides no rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.open_jobs.draft import first_come
from scheduler.planning.open_jobs.fleet import placed_or_refused, with_others_taken
from scheduler.planning.open_jobs.head_room import waiting_room
from scheduler.planning.open_jobs.needs import Need, Place, need
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.open_jobs.refusing import refusal
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Cause, Forecasts, Placement, Plan, Refusal, Region, Segment
from scheduler.planning.planner import Freed, OpenJob
from simulations.policies.outlook import Outlook
from simulations.policies.published import Published, chosen_pieces
from simulations.policies.rules import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPlanner:
    """First come, first served, each job where and when the policy says."""

    policy: Published

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        open_ = {one.job.id: one for one in open_jobs if _is_open(one, now_s)}
        board = with_others_taken((one for one in open_jobs if one.job.id not in open_), regions, forecasts)
        placements: dict[str, Placement] = {}
        refusals: dict[str, Refusal] = {}
        wanted = (one for job in open_.values() if (one := need(job, now_s)) is not None)
        for one in sorted(wanted, key=first_come):
            place = self._place(board, one)
            if place is None or not place.is_in_time:
                refusals[one.job.id] = refusal(board, one, board.at_once(one))
            if place is not None:
                board.take(place)
                before = open_[one.job.id].planned
                baseline = None if before is None else before.baseline_emissions_gco2e
                placements[one.job.id] = board.placement(place, baseline)
        return Plan(made_at_s=now_s, placements=placements, refusals=refusals)

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        return self.plan(open_jobs, regions, forecasts, now_s)

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        if newcomer.planned is not None and (rest := _pieces_ahead(newcomer.planned, now_s)):
            return replace(newcomer.planned, segments=rest)  # it has paused, and goes on as it was decided
        board = with_others_taken(others, regions, forecasts)
        wanted = need(newcomer, now_s)
        assert wanted is not None, "a newcomer does not run yet"
        return placed_or_refused(board, wanted, self._place(board, wanted))

    # -- inside -----------------------------------------------------------------------------------------------------

    def _place(self, board: Board, wanted: Need) -> Place | None:
        at_once = board.at_once(wanted)
        if at_once is None:
            return None
        runs = self._runs(board, wanted, at_once.region)
        if not runs:
            place = board.earliest(wanted, Cause.RUN_NOW)
            return replace(place, cause=Cause.LATE) if place is not None and not place.is_in_time else place
        waits = len(runs) > 1 or runs[0][0] > at_once.start_at_s + ROUNDING_S
        segments = tuple(Segment(start_at_s=begin, end_at_s=end, region=at_once.region) for begin, end in runs)
        cause = Cause.CLEANEST if waits else Cause.RUN_NOW
        return Place(need=wanted, segments=segments, cause=cause, at_once=at_once)

    def _runs(self, board: Board, wanted: Need, name: str) -> list[Run] | None:
        region = next(one for one in board.regions if one.name == name)
        if region.zone not in board.forecasts:
            return None
        pause = wanted.job.interruption
        if self.policy.pieces is not None and pause is not None:
            outlook = _outlook(board, wanted, region, at_least_s=0.0)
            found = None if outlook is None else chosen_pieces(self.policy.pieces, outlook, pause)
            if found:
                return found
        outlook = _outlook(board, wanted, region, at_least_s=wanted.whole_s)
        start_at_s = None if outlook is None else self.policy.start(outlook)
        return None if start_at_s is None else [(start_at_s, start_at_s + wanted.whole_s)]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticRegionPlanner:
    """Everything at once, in the first region of `ranking` of those in which it can start as early as anywhere."""

    ranking: tuple[str, ...]
    inner: RunNowPlanner = RunNowPlanner()

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        return self.inner.plan([self._preferring(one) for one in open_jobs], self._ranked(regions), forecasts, now_s)

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        return self.plan(open_jobs, regions, forecasts, now_s)

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        return self.inner.place(self._preferring(newcomer), others, self._ranked(regions), forecasts, now_s)

    def _ranked(self, regions: Sequence[Region]) -> list[Region]:
        return sorted(regions, key=lambda one: self.ranking.index(one.name))

    def _preferring(self, one: OpenJob) -> OpenJob:
        named = tuple(sorted(one.job.regions, key=self.ranking.index))
        return replace(one, job=replace(one.job, regions=named))


def _is_open(one: OpenJob, now_s: float) -> bool:
    """Whether a waiting job has no place yet, or one that it only has for want of room."""
    if one.running is not None:
        return False
    planned = one.planned
    if planned is None:
        return True
    has_begun = one.done_s > 0 or planned.cause is Cause.CLEANEST
    return not has_begun and planned.start_at_s > now_s + ROUNDING_S


def _pieces_ahead(planned: Placement, now_s: float) -> tuple[Segment, ...]:
    return tuple(piece for piece in planned.segments if piece.end_at_s > now_s + ROUNDING_S)


def _outlook(board: Board, wanted: Need, region: Region, at_least_s: float) -> Outlook | None:
    job = wanted.job
    room = waiting_room(
        board.occupancy, region, wanted.earliest_s, job.deadline_at_s, job.gpus, 0.0, at_least_s=at_least_s
    )
    if not room or wanted.earliest_s + wanted.whole_s > job.deadline_at_s + ROUNDING_S:
        return None
    return Outlook(
        series=board.forecasts[region.zone],
        earliest_s=wanted.earliest_s,
        deadline_s=job.deadline_at_s,
        duration_s=wanted.whole_s,
        room=room,
    )
