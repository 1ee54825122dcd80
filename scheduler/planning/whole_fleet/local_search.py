"""Better plans from a plan: jobs are taken out and put back where they are cheapest, one by one or a stretch at a time.

What is cheapest is asked under carbon alone, or under carbon plus the prices of capacity that the bound found: prices
make a job leave a scarce clean hour to the job that gains most from it, which no job does on its own. Only a plan that
refuses fewer jobs, or as few and emits less, replaces the one at hand; so nothing here ever makes a plan worse. Knows
how to choose among places, not how good a plan could be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from scheduler.jobs import Job
from scheduler.planning.curve import Curve, Intervals
from scheduler.planning.one_job.preemptible import Work, cheapest_pieces
from scheduler.planning.one_job.window import cheapest_window
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase, Room
from scheduler.planning.whole_fleet.rates import Rates

# A smaller gain is rounding, and no reason to move.
_LEAST_GAIN_RATIO = 1e-9

Order = Callable[[Job], tuple[float, ...]]


def by_latest_start(job: Job) -> tuple[float, ...]:
    return -job.priority, job.latest_start_at_s


def by_size(job: Job) -> tuple[float, ...]:
    """The most GPU time first: what is small finds room in what is left."""
    return -job.priority, -job.gpus * job.duration_s


class Draft:
    """A plan in the making: places, the room beside them, and what each place emits."""

    def __init__(self, case: FleetCase, carbon: Rates) -> None:
        self.case, self.carbon = case, carbon
        self.room = Room(case)
        self.places: dict[str, tuple[Segment, ...]] = {}
        self.gco2e: dict[str, float] = {}

    def copy(self) -> Draft:
        other = Draft(self.case, self.carbon)
        other.take_over(self.places, self.case.jobs)
        return other

    def take_over(self, places: Assignment, jobs: Iterable[Job]) -> None:
        """Place the jobs as somebody else has them, as far as there is room."""
        for job in jobs:
            segments = places.get(job.id)
            if segments and self.room.fits(job, segments):
                self.put(job, segments)

    def put(self, job: Job, segments: tuple[Segment, ...]) -> None:
        self.room.take(job, segments)
        self.places[job.id] = segments
        self.gco2e[job.id] = cost_of(segments, self.carbon.curves(job))

    def take_out(self, job: Job) -> tuple[Segment, ...]:
        segments = self.places.pop(job.id)
        self.gco2e.pop(job.id)
        self.room.give_back(job, segments)
        return segments

    @property
    def rank(self) -> tuple[int, float]:
        """Fewer refused jobs first, then fewer grams."""
        return len(self.case.jobs) - len(self.places), sum(self.gco2e.values())

    @property
    def refused(self) -> list[Job]:
        return [job for job in self.case.jobs if job.id not in self.places]

    def is_better_than(self, other: Draft) -> bool:
        (late, gco2e), (other_late, other_gco2e) = self.rank, other.rank
        return late < other_late or (late == other_late and gco2e < other_gco2e - _LEAST_GAIN_RATIO * abs(other_gco2e))

    def fill(self, jobs: Iterable[Job], rates: Rates) -> None:
        """Each job in turn at its cheapest place in what is left; one that finds none stays out."""
        for job in jobs:
            curves = rates.curves(job)
            if found := _cheapest(job, curves, self._free(job, curves)):
                self.put(job, found)

    def reinsert(self, jobs: Iterable[Job], rates: Rates) -> bool:
        """Each placed job in turn to its cheapest place while the others stay; whether any has moved."""
        has_moved = False
        for job in jobs:
            if job.id not in self.places:
                continue
            curves = rates.curves(job)
            before = self.take_out(job)
            found = _cheapest(job, curves, self._free(job, curves))
            is_cheaper = found is not None and _is_less(cost_of(found, curves), cost_of(before, curves))
            self.put(job, found if found is not None and is_cheaper else before)
            has_moved = has_moved or is_cheaper
        return has_moved

    def _free(self, job: Job, curves: Sequence[Curve]) -> dict[str, Intervals]:
        at_least_s = job.duration_s if job.interruption is None else 0.0
        return {one.region: self.room.free(job, one.region, at_least_s) for one in curves}


def filled(case: FleetCase, carbon: Rates, rates: Rates, order: Order) -> Draft:
    """A plan from nothing."""
    draft = Draft(case, carbon)
    draft.fill(sorted(case.jobs, key=order), rates)
    return draft


def polished(draft: Draft, max_rounds: int) -> Draft:
    """Reinsert under carbon alone until nothing moves; the draft itself, changed."""
    for number in range(max_rounds):
        draft.fill(sorted(draft.refused, key=by_latest_start), draft.carbon)
        order = by_size if number % 2 == 0 else by_latest_start
        if not draft.reinsert(sorted(draft.case.jobs, key=order), draft.carbon):
            break
    return draft


def cost_of(segments: Sequence[Segment], curves: Sequence[Curve]) -> float:
    """What the segments pay on these curves."""
    by_region = {one.region: one for one in curves}
    return sum(by_region[one.region].integral_g_s_per_kwh(one.start_at_s, one.end_at_s) for one in segments)


def _is_less(cost: float, other_cost: float) -> bool:
    return cost < other_cost - _LEAST_GAIN_RATIO * abs(other_cost)


def ideal(job: Job, rates: Rates) -> tuple[Segment, ...] | None:
    """Where the job would run if nobody else did."""
    return _cheapest(job, rates.curves(job), None)


def _cheapest(job: Job, curves: Sequence[Curve], free: Mapping[str, Intervals] | None) -> tuple[Segment, ...] | None:
    if job.interruption is None:
        window = cheapest_window(curves, job.duration_s, job.earliest_start_at_s, job.deadline_at_s, free)
        if window is None:
            return None
        return (Segment(start_at_s=window.start_at_s, end_at_s=window.end_at_s, region=window.region),)
    work = Work(
        work_s=job.duration_s,
        earliest_s=job.earliest_start_at_s,
        deadline_s=job.deadline_at_s,
        interruption=job.interruption,
    )
    pieces = cheapest_pieces(curves, work, free)
    return pieces.segments if pieces is not None else None
