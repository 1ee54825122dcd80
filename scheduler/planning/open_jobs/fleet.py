"""One plan for all open jobs: never on top of each other, and in time before clean.

Running pieces stay where they are. Each job takes its cheapest place in what is left; one that finds none in time waits
for the end of the round, so that it takes no room from jobs that can still be in time, and is then placed as early as
possible with a refusal beside it.

A plan is crowded when a job is late because others hold the GPUs. While running everything at once from here on would
be crowded, nothing waits for carbon (crowded.py). Nothing waits for carbon either while the queue is longer than the
forecast: a GPU that idles would only push work from hours that are known into hours that are not. Else the cleanest
plan is sought (cleanest.py), and what the plan so far has placed moves only where that pays. When no such plan has
everybody in time, every job starts from its turn and moves to its cheapest place while the others stay. An early end
gives room and changes nothing else: then only jobs are looked at that could gain by it.

Head-room: work that waits takes room that jobs not yet submitted may need. It therefore waits only where
`reserve_ratio` of the region's GPUs stay free beside it, or where it would be alone; starting at once needs none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.open_jobs.board_loops import BoardLoops
from scheduler.planning.open_jobs.cleanest import cleanest
from scheduler.planning.open_jobs.crowded import least_late
from scheduler.planning.open_jobs.draft import Joint, baseline, least_latest_start, run_now_draft
from scheduler.planning.open_jobs.grid_rows import GridRows
from scheduler.planning.open_jobs.job_room import occupied
from scheduler.planning.open_jobs.needs import Need, Place, need
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.open_jobs.refusing import refusal
from scheduler.planning.open_jobs.replanning import (
    DEFAULT_HYSTERESIS_RATIO,
    NewRoom,
    better_place,
    priced_places,
)
from scheduler.planning.open_jobs.standing import Standing, held_segments
from scheduler.planning.plan import Cause, Forecasts, Placement, Plan, Refusal, Region, Segment
from scheduler.planning.planner import Freed, OpenJob

# Measured: docs/decisions/0003-head-room.md.
DEFAULT_RESERVE_RATIO = 0.375


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlanner:
    """The carbon-aware planner.

    `reserve_ratio` of each region's GPUs is left to jobs that are not known yet; a job that waits moves to a place that
    emits less by more than `hysteresis_ratio`, and so do several together. With compiled `loops` plans are the same.
    """

    reserve_ratio: float = DEFAULT_RESERVE_RATIO
    hysteresis_ratio: float = DEFAULT_HYSTERESIS_RATIO
    loops: BoardLoops | None = None

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        joint = Joint.of(open_jobs, regions, forecasts, now_s, self.reserve_ratio, self.loops)
        in_turn = run_now_draft(joint)
        if in_turn.is_crowded:
            return least_late(joint, in_turn).plan()
        if any(_begins_in_the_dark(place.segments[0], regions, forecasts) for place in in_turn.places.values()):
            return in_turn.plan()
        board = replace(joint.board, rows=GridRows.of(regions, forecasts))
        return cleanest(replace(joint, board=board), in_turn, self.hysteresis_ratio).plan()

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        """Whoever gains by the room moves there, in the order of a plan, and then others to what that leaves."""
        board = with_others_taken(open_jobs, regions, forecasts, self.reserve_ratio, self.loops)
        waiting = {one.job.id: one.planned for one in open_jobs if one.running is None and one.planned is not None}
        needs = [wanted for one in open_jobs if one.job.id in waiting and (wanted := need(one, now_s)) is not None]
        kept = list(priced_places(board, waiting, sorted(needs, key=least_latest_start)))
        if not all(kept) or _counts_power(needs, regions):  # who has no place that holds, or gains by more than GPUs
            return self.plan(open_jobs, regions, forecasts, now_s)
        room = _new_room(board, freed, now_s)
        placements: dict[str, Placement] = {}
        for place in (one for one in kept if one is not None and room.may_serve(one)):
            board.give_back(place)
            better = better_place(board, place, self.hysteresis_ratio)
            board.take(better or place)
            if better is not None:
                room.forget()
                name = place.need.job.id
                placements[name] = board.placement(better, baseline(waiting[name]))
        return Plan(made_at_s=now_s, placements=placements)

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        """Beside the others as they are. On a refusal ask `plan`, which may move those that wait."""
        board = with_others_taken(others, regions, forecasts, self.reserve_ratio, self.loops)
        wanted = need(newcomer, now_s)
        assert wanted is not None, "a newcomer does not run yet"
        if _has_no_spare_time(others, regions, forecasts, now_s):
            return placed_or_refused(board, wanted, board.earliest(wanted, Cause.RUN_NOW))
        if isinstance(others, Standing) and others.holdings.regions is regions:
            board.rows = others.holdings.rows(forecasts)
        return placed_or_refused(board, wanted, board.cheapest(wanted))


def with_others_taken(
    others: Iterable[OpenJob],
    regions: Sequence[Region],
    forecasts: Forecasts,
    reserve_ratio: float = 0.0,
    loops: BoardLoops | None = None,
) -> Board:
    """A board on which what the others hold and will hold is taken; that of a `Standing` is only to be read."""
    if isinstance(others, Standing) and others.holdings.regions is regions:
        return Board(regions, forecasts, others.holdings.occupancy, reserve_ratio, loops=loops)
    occupancy = occupied(regions, ((one.job, held_segments(one)) for one in others))
    return Board(regions, forecasts, occupancy, reserve_ratio, loops=loops)


def _counts_power(needs: Iterable[Need], regions: Iterable[Region]) -> bool:
    """Whether room is more than GPUs, or a job more than one power: then it is not told at a glance who gains."""
    has_caps = any(region.power_cap_w is not None for region in regions)
    return has_caps or any(one.job.power_profile or one.job.elastic for one in needs)


def _new_room(board: Board, freed: Iterable[Freed], now_s: float) -> NewRoom:
    """What the freed pieces leave, and whatever moves after them."""
    before = board.occupancy.copy()
    for piece, gpus in freed:
        before.take((piece,), gpus)
    return NewRoom(board=board, before=before, from_s=now_s)


def placed_or_refused(board: Board, wanted: Need, place: Place | None) -> Placement | Refusal:
    if place is not None and place.is_in_time:
        return board.placement(place)
    return refusal(board, wanted, board.at_once(wanted))


def _has_no_spare_time(
    others: Iterable[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float
) -> bool:
    """Whether somebody waits who is late already, or for whom there is no room in the time that is known."""
    if isinstance(others, Standing):
        waiting = others.holdings.hurried
    else:
        waiting = [one.planned for one in others if one.running is None and one.planned is not None]
    return any(
        (planned.cause is Cause.LATE and planned.start_at_s > now_s + ROUNDING_S)
        or (planned.cause is Cause.RUN_NOW and _begins_in_the_dark(planned.segments[0], regions, forecasts))
        for planned in waiting
    )


def _begins_in_the_dark(piece: Segment, regions: Sequence[Region], forecasts: Forecasts) -> bool:
    """Whether a piece begins after the end of what is known of its region's grid."""
    zone = next((region.zone for region in regions if region.name == piece.region), None)
    series = forecasts.get(zone) if zone is not None else None
    return series is not None and piece.start_at_s >= series.end_at_s
