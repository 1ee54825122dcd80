"""A plan of open jobs in the making: the place of each, what is free beside them, and who is late.

Fills a plan in any order that it is given, and says what it emits. Decides no order, and never which of two plans is
the better one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.open_jobs.board_loops import BoardLoops
from scheduler.planning.open_jobs.front import Front
from scheduler.planning.open_jobs.job_room import occupied
from scheduler.planning.open_jobs.needs import Need, Place, need
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.open_jobs.refusing import alone_start_at_s, obstacle, refusal
from scheduler.planning.plan import Cause, Forecasts, Obstacle, Placement, Plan, Region, Segment
from scheduler.planning.planner import OpenJob

# Jobs that are late, jobs of which nobody knows what they emit, and what the others emit, gCO2e.
Rank = tuple[int, int, float]


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
        loops: BoardLoops | None = None,
    ) -> Joint:
        occupancy = occupied(regions, ((one.job, (one.running,)) for one in open_jobs if one.running is not None))
        needs = [wanted for one in open_jobs if (wanted := need(one, now_s)) is not None]
        board = Board(regions, forecasts, occupancy, reserve_ratio, loops=loops)
        return cls(open_jobs=open_jobs, needs=needs, board=board, now_s=now_s)

    def fresh_board(self) -> Board:
        return replace(self.board, occupancy=self.board.occupancy.copy())


@dataclass(slots=True, kw_only=True)
class Draft:
    """A plan in the making: the place of each job, and of those that are late the window they could have had at once.

    `is_crowded` tells whether a job is late because others hold the GPUs; one that had too little time from the start
    is not. The places are taken on the board, unless it is not counted yet: most drafts are asked no more than whether
    somebody is late.
    """

    joint: Joint
    board: Board
    places: dict[str, Place] = field(default_factory=dict)
    late: dict[str, Segment | None] = field(default_factory=dict)
    is_crowded: bool = False
    is_counted: bool = True

    def count(self) -> None:
        """Take the places on the board, where they are not."""
        if self.is_counted:
            return
        held = [(one.job, (one.running,)) for one in self.joint.open_jobs if one.running is not None]
        placed = ((place.need.job, place.segments) for place in self.places.values())
        self.board = replace(self.board, occupancy=occupied(self.board.regions, (*held, *placed)))
        self.is_counted = True

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
        lasts_as_long = abs(only.duration_s - wanted.at_count(only.gpus).whole_s) <= ROUNDING_S
        return lasts_as_long and self.board.has_room(only, wanted.job)

    def put_late(self, wanted: Need, place: Place | None) -> None:
        """The earliest place though it is too late; nowhere when no region is large enough."""
        if place is not None:
            self.put(self.note_late(wanted, place))
        else:
            self.late[wanted.job.id] = None

    def note_late(self, wanted: Need, place: Place) -> Place:
        """The same place as one that is late."""
        self.late[wanted.job.id] = place.at_once
        self.is_crowded = self.is_crowded or is_crowded_out(self.board, wanted, place.at_once)
        return Place(need=wanted, segments=place.segments, cause=Cause.LATE, at_once=place.at_once)

    @property
    def broken(self) -> int:
        """How many jobs are late that running at once would have met."""
        return sum(name in self.late for name in self.joint.met_at_once)

    @property
    def rank(self) -> Rank:
        """The less the better."""
        every = [self.board.place_gco2e(place) for place in self.places.values()]
        known = [one for one in every if one is not None]
        return len(self.late), len(every) - len(known), sum(known)

    def plan(self) -> Plan:
        board, before = self.board, {one.job.id: one.planned for one in self.joint.open_jobs}
        placements = {name: board.placement(place, baseline(before[name])) for name, place in self.places.items()}
        for one in self.joint.open_jobs:
            if one.running is not None:
                rest = placements.get(one.job.id)
                placements[one.job.id] = _with_running_piece(one, one.running, rest, board)
        needs = {wanted.job.id: wanted for wanted in self.joint.needs}
        refusals = {name: refusal(board, needs[name], at_once) for name, at_once in self.late.items()}
        return Plan(made_at_s=self.joint.now_s, placements=placements, refusals=refusals)


def run_now_draft(joint: Joint) -> Draft:
    """Higher priority first, then by submission, everything as early as possible; a late job keeps its turn."""
    return packed(joint, sorted(joint.needs, key=first_come))


def is_in_time(placement: Placement, wanted: Need) -> bool:
    return placement.end_at_s <= wanted.job.deadline_at_s + ROUNDING_S


def is_crowded_out(board: Board, wanted: Need, at_once: Segment | None) -> bool:
    """Whether a job that is late could be in time, or at least start now, if others did not hold the GPUs.

    Once it is so, it stays so whatever else is taken: a search may end here.
    """
    if at_once is None:
        return False
    is_waiting = at_once.start_at_s > alone_start_at_s(board, wanted) + ROUNDING_S
    return is_waiting or obstacle(board, wanted, at_once) in (Obstacle.CAPACITY, Obstacle.POWER_CAP)


def packed(joint: Joint, order: Sequence[Need]) -> Draft:
    """Everything as early as possible in that order; a late job keeps its turn."""
    if (draft := _packed_by_front(joint, order)) is not None:
        return draft
    draft = Draft(joint=joint, board=joint.fresh_board())
    fill(draft, order, draft.earliest, postpones_late=False)
    return draft


def _packed_by_front(joint: Joint, order: Sequence[Need]) -> Draft | None:
    """The same sooner; None where room is more than GPUs, or a job that would be late might not be in pieces."""
    board = joint.board
    if board.occupancy.counts_power or any(wanted.job.elastic for wanted in order):
        return None
    draft = Draft(joint=joint, board=board, is_counted=not order)
    if not order:
        return draft
    front = Front.of(board.occupancy, board.regions, joint.now_s)
    everywhere = [region.name for region in board.regions]
    for wanted in order:
        regions = [one for one in wanted.job.regions if one in front.queues] if wanted.job.regions else everywhere
        at_once = front.taken(wanted.earliest_s, wanted.whole_s, wanted.job.gpus, regions)
        if at_once is None:
            draft.put_late(wanted, None)
            continue
        place = Place(need=wanted, segments=(at_once,), cause=Cause.RUN_NOW, at_once=at_once)
        if not place.is_in_time:
            if wanted.job.interruption is not None:
                return None
            place = draft.note_late(wanted, place)
        draft.places[wanted.job.id] = place
    return draft


def fill(draft: Draft, order: Iterable[Need], choose: Callable[[Need], Place | None], *, postpones_late: bool) -> None:
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


def least_latest_start(wanted: Need) -> tuple[int, float, float, str]:
    job = wanted.job
    return -job.priority, wanted.latest_start_at_s, job.submitted_at_s, job.id


def first_come(wanted: Need) -> tuple[int, float, str]:
    return -wanted.job.priority, wanted.job.submitted_at_s, wanted.job.id


def by_deadline(wanted: Need) -> tuple[float, float, str]:
    return wanted.job.deadline_at_s, wanted.job.submitted_at_s, wanted.job.id


def baseline(planned: Placement | None) -> float | None:
    return planned.baseline_emissions_gco2e if planned is not None else None


def _with_running_piece(one: OpenJob, running: Segment, rest: Placement | None, board: Board) -> Placement:
    """The placement of a job that runs: what runs now stays first, and its reasons are those it was planned with."""
    segments = (running, *rest.segments) if rest else (running,)
    before, emissions_gco2e = one.planned, board.job_gco2e(one.job, segments)
    if before is not None and rest is None and _says_only(before, segments, emissions_gco2e):
        return before  # as it was found at the last plan
    return Placement(
        job_id=one.job.id,
        segments=segments,
        cause=rest.cause if rest else before.cause if before else Cause.RUN_NOW,
        emissions_gco2e=emissions_gco2e,
        baseline_emissions_gco2e=before.baseline_emissions_gco2e if before else None,
    )


def _says_only(before: Placement, segments: tuple[Segment, ...], emissions_gco2e: float | None) -> bool:
    """Whether a placement is these pieces at this price, and nothing of what a new place tells beside."""
    told_beside = (before.at_once, before.objective_cost, before.baseline_cost)
    return before.segments == segments and before.emissions_gco2e == emissions_gco2e and told_beside == (None,) * 3
