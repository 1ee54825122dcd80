"""One plan for all open jobs: greedy, never on top of each other, and in time before clean.

Order: higher priority, then least latest start, then submission, then id. Running pieces stay where they are. Each job
takes its cheapest place in what is left; one that finds none in time waits for the end of the round, so that it takes
no room from jobs that can still be in time, and is then placed as early as possible with a refusal beside it.

A plan is crowded when a job is late because others hold the GPUs. While running everything at once from here on would
be crowded, nothing waits for carbon, and the order is first come first served, because every other order is a bet on
what is submitted next. It is given up for two reasons only: for a packing in which nobody is late, and for one in which
fewer jobs are late of those that running at once would have met all along (`OpenJob.met_at_once`). The packings are by
deadline, and the plan so far with newcomers beside it. Nothing waits for carbon either while the queue is longer than
the forecast: a GPU that idles would only push work from hours that are known into hours that are not. When first come
first served is in time but the greedy plan is crowded, every job starts from its turn and moves to its cheapest place
while the others stay.

Head-room: work that waits takes room that jobs not yet submitted may need. It therefore waits only where
`reserve_ratio` of the region's GPUs stay free beside it, or where it would be alone; starting at once needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.placing import Board, Need, Place, need
from scheduler.planning.plan import Cause, Forecasts, Obstacle, Placement, Plan, Refusal, Region, Segment
from scheduler.planning.planner import OpenJob

# Measured: docs/decisions/0003-head-room.md.
DEFAULT_RESERVE_RATIO = 0.375


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlanner:
    """The carbon-aware planner. `reserve_ratio` of each region's GPUs is left to jobs that are not known yet."""

    reserve_ratio: float = DEFAULT_RESERVE_RATIO

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        joint = Joint.of(open_jobs, regions, forecasts, now_s, self.reserve_ratio)
        in_turn = run_now_draft(joint)
        if in_turn.is_crowded:
            return _least_late(joint, in_turn).plan()
        if any(_begins_in_the_dark(place.segments[0], regions, forecasts) for place in in_turn.places.values()):
            return in_turn.plan()
        order = sorted(joint.needs, key=least_latest_start)
        greedy = _greedy(joint, order)
        return (greedy if not greedy.is_crowded else _improved(in_turn, order)).plan()

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        """Beside the others as they are. On a refusal ask `plan`, which may move those that wait."""
        board = with_others_taken(others, regions, forecasts, self.reserve_ratio)
        wanted = need(newcomer, now_s)
        assert wanted is not None, "a newcomer does not run yet"
        if _has_no_spare_time(others, regions, forecasts, now_s):
            return placed_or_refused(board, wanted, board.earliest(wanted, Cause.RUN_NOW))
        return placed_or_refused(board, wanted, board.cheapest(wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Joint:
    """What one round starts from: the needs still open, and a board on which only the running pieces are taken."""

    open_jobs: Sequence[OpenJob]
    needs: Sequence[Need]
    board: Board
    now_s: float

    @property
    def met_at_once(self) -> list[str]:
        return [one.job.id for one in self.open_jobs if one.met_at_once]

    @classmethod
    def of(
        cls,
        open_jobs: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
        reserve_ratio: float = 0.0,
    ) -> Joint:
        running = [((one.running,), one.job.gpus) for one in open_jobs if one.running is not None]
        occupancy = Occupancy.of(regions, running)
        needs = [wanted for one in open_jobs if (wanted := need(one, now_s)) is not None]
        board = Board(regions, forecasts, occupancy, reserve_ratio)
        return cls(open_jobs=open_jobs, needs=needs, board=board, now_s=now_s)

    def fresh_board(self) -> Board:
        return replace(self.board, occupancy=self.board.occupancy.copy())


@dataclass(slots=True, kw_only=True)
class Draft:
    """A plan in the making: the place of each job, and of those that are late the window they could have had at once.

    `is_crowded` tells whether a job is late because others hold the GPUs; one that had too little time from the start
    is not.
    """

    joint: Joint
    board: Board
    places: dict[str, Place] = field(default_factory=dict)
    late: dict[str, Segment | None] = field(default_factory=dict)
    is_crowded: bool = False

    def put(self, place: Place) -> None:
        self.places[place.need.job.id] = place
        self.board.take(place)

    def earliest(self, wanted: Need) -> Place | None:
        return self.board.earliest(wanted, Cause.RUN_NOW)

    def still_holds(self, before: Placement, wanted: Need) -> bool:
        """Whether the place of a job that has not begun lies ahead, is in time and has room."""
        if before.start_at_s < wanted.earliest_s or len(before.segments) > 1 or not is_in_time(before, wanted):
            return False
        only = before.segments[0]
        lasts_as_long = abs(only.duration_s - wanted.whole_s) <= ROUNDING_S
        return lasts_as_long and self.board.has_room(only, wanted.job)

    def put_late(self, wanted: Need, place: Place | None) -> None:
        """The earliest place though it is too late; nowhere when no region is large enough."""
        at_once = place.at_once if place is not None else None
        self.late[wanted.job.id] = at_once
        self.is_crowded = self.is_crowded or is_crowded_out(self.board, wanted, at_once)
        if place is not None:
            late = Place(need=wanted, segments=place.segments, cause=Cause.LATE, at_once=at_once)
            self.put(late)

    @property
    def broken(self) -> int:
        """How many jobs are late that running at once would have met."""
        return sum(name in self.late for name in self.joint.met_at_once)

    def plan(self) -> Plan:
        board, before = self.board, {one.job.id: one.planned for one in self.joint.open_jobs}
        placements = {name: board.placement(place, _baseline(before[name])) for name, place in self.places.items()}
        for one in self.joint.open_jobs:
            if one.running is not None:
                rest = placements.get(one.job.id)
                placements[one.job.id] = _with_running_piece(one, one.running, rest, board)
        needs = {wanted.job.id: wanted for wanted in self.joint.needs}
        refusals = {name: board.refusal(needs[name], at_once) for name, at_once in self.late.items()}
        return Plan(made_at_s=self.joint.now_s, placements=placements, refusals=refusals)


def run_now_draft(joint: Joint) -> Draft:
    """Higher priority first, then by submission, everything as early as possible; a late job keeps its turn."""
    return _packed(joint, sorted(joint.needs, key=_first_come), postpones_late=False)


def with_others_taken(
    others: Iterable[OpenJob], regions: Sequence[Region], forecasts: Forecasts, reserve_ratio: float = 0.0
) -> Board:
    """A board on which the running and planned pieces of the others are taken."""
    occupancy = Occupancy.of(regions, ((_held(one), one.job.gpus) for one in others))
    return Board(regions, forecasts, occupancy, reserve_ratio)


def placed_or_refused(board: Board, wanted: Need, place: Place | None) -> Placement | Refusal:
    if place is not None and place.is_in_time:
        return board.placement(place)
    return board.refusal(wanted, board.at_once(wanted))


def is_in_time(placement: Placement, wanted: Need) -> bool:
    return placement.end_at_s <= wanted.job.deadline_at_s + ROUNDING_S


def is_crowded_out(board: Board, wanted: Need, at_once: Segment | None) -> bool:
    """Whether a job that is late could be in time, or at least start now, if others did not hold the GPUs.

    Once it is so, it stays so whatever else is taken: a search may end here.
    """
    if at_once is None:
        return False
    is_waiting = at_once.start_at_s > board.alone_start_at_s(wanted) + ROUNDING_S
    return is_waiting or board.obstacle(wanted, at_once) is Obstacle.CAPACITY


def least_latest_start(wanted: Need) -> tuple[int, float, float, str]:
    job = wanted.job
    return -job.priority, wanted.latest_start_at_s, job.submitted_at_s, job.id


def _first_come(wanted: Need) -> tuple[int, float, str]:
    return -wanted.job.priority, wanted.job.submitted_at_s, wanted.job.id


def _by_deadline(wanted: Need) -> tuple[float, float, str]:
    return wanted.job.deadline_at_s, wanted.job.submitted_at_s, wanted.job.id


def _has_no_spare_time(
    others: Iterable[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float
) -> bool:
    """Whether somebody waits who is late already, or for whom there is no room in the time that is known."""
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


def _least_late(joint: Joint, in_turn: Draft) -> Draft:
    """First come first served, unless another packing is better for one of the two reasons of the module."""
    late = (wanted for wanted in joint.needs if wanted.job.id in in_turn.late and wanted.job.interruption is None)
    if in_turn.broken == 0 and any(_is_beyond_help(joint.board, wanted) for wanted in late):
        return in_turn
    kept, by_deadline = _kept(joint), _packed(joint, sorted(joint.needs, key=_by_deadline), postpones_late=False)
    for one in (by_deadline, kept):
        if not one.is_crowded:
            return one
    if in_turn.broken == 0:
        return in_turn
    met = set(joint.met_at_once)
    orders = (
        lambda one: (one.job.id not in met, *_first_come(one)),
        lambda one: (one.job.id not in met, *_by_deadline(one)),
    )
    owed_first = (_packed(joint, sorted(joint.needs, key=order), postpones_late=False) for order in orders)
    return min(
        (in_turn, *owed_first, kept, by_deadline), key=lambda one: (one.broken, one is not in_turn, len(one.late))
    )


def _is_beyond_help(board: Board, wanted: Need) -> bool:
    place = board.earliest(wanted, Cause.LATE)
    return place is not None and not place.is_in_time and is_crowded_out(board, wanted, place.at_once)


def _packed(joint: Joint, order: Iterable[Need], *, postpones_late: bool) -> Draft:
    draft = Draft(joint=joint, board=joint.fresh_board())
    _fill(draft, order, draft.earliest, postpones_late=postpones_late)
    return draft


def _kept(joint: Joint) -> Draft:
    """The plan so far where it still holds, as early as there is room now, and everything else beside it."""
    draft = Draft(joint=joint, board=joint.fresh_board())
    planned = {one.job.id: one.planned for one in joint.open_jobs if one.planned is not None}
    moved: list[Need] = []
    held: list[Place] = []
    for wanted in sorted(joint.needs, key=_first_come):
        before = planned.get(wanted.job.id)
        if before is not None and draft.still_holds(before, wanted):
            held.append(Place(need=wanted, segments=before.segments, cause=before.cause, at_once=None))
            draft.put(held[-1])
        else:
            moved.append(wanted)
    for place in held:
        draft.board.give_back(place)
        draft.put(draft.earliest(place.need) or place)
    _fill(draft, moved, draft.earliest, postpones_late=False)
    return draft


def _greedy(joint: Joint, order: Sequence[Need]) -> Draft:
    draft = Draft(joint=joint, board=joint.fresh_board())
    _fill(draft, order, draft.board.cheapest, postpones_late=True)
    return draft


def _fill(draft: Draft, order: Iterable[Need], choose: Callable[[Need], Place | None], *, postpones_late: bool) -> None:
    """Place all in turn. A draft that postpones is of no use once it is crowded, and is left there."""
    late: list[Need] = []
    for wanted in order:
        place = choose(wanted)
        if place is not None and place.is_in_time:
            draft.put(place)
        elif not postpones_late:
            draft.put_late(wanted, place)
        elif is_crowded_out(draft.board, wanted, draft.board.at_once(wanted)):
            draft.is_crowded = True
            return
        else:
            late.append(wanted)
    for wanted in late:
        draft.put_late(wanted, draft.earliest(wanted))


def _improved(draft: Draft, order: Sequence[Need]) -> Draft:
    """Each job that is in time, moved to its cheapest place while the others stay."""
    for wanted in order:
        before = draft.places.get(wanted.job.id)
        if before is None or wanted.job.id in draft.late:
            continue
        draft.board.give_back(before)
        draft.put(draft.board.cheapest(wanted) or before)
    return draft


def _baseline(planned: Placement | None) -> float | None:
    return planned.baseline_emissions_gco2e if planned is not None else None


def _held(one: OpenJob) -> tuple[Segment, ...]:
    """What a job holds or will hold: its running piece, and the planned ones after it."""
    planned = one.planned.segments if one.planned is not None else ()
    if one.running is None:
        return planned
    if one.job.interruption is None:
        return (one.running,)
    return one.running, *(piece for piece in planned if piece.start_at_s >= one.running.end_at_s - ROUNDING_S)


def _with_running_piece(one: OpenJob, running: Segment, rest: Placement | None, board: Board) -> Placement:
    """The placement of a job that runs: what runs now stays first, and its reasons are those it was planned with."""
    segments = (running, *rest.segments) if rest else (running,)
    before = one.planned
    return Placement(
        job_id=one.job.id,
        segments=segments,
        cause=rest.cause if rest else before.cause if before else Cause.RUN_NOW,
        emissions_gco2e=board.emissions_gco2e(one.job.power_w, segments),
        baseline_emissions_gco2e=before.baseline_emissions_gco2e if before else None,
    )
