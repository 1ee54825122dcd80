"""Better plans from a plan: jobs are taken out and put back where they are cheapest, one by one or a stretch at a time.

What is cheapest is asked under carbon alone, or under carbon plus the prices of capacity that the bound found: prices
make a job leave a scarce clean hour to the job that gains most from it, which no job does on its own. Only a plan that
refuses fewer jobs, or as few and emits less, replaces the one at hand; so nothing here ever makes a plan worse. Knows
how to choose among places, not how good a plan could be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.cheapest_place import cheapest_place
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
        self.gco2e[job.id] = self.carbon.cost_of(job, segments)

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
            if found := cheapest_place(job, rates, self.room):
                self.put(job, found)

    def reinsert(self, jobs: Iterable[Job], rates: Rates) -> bool:
        """Each placed job in turn to its cheapest place while the others stay; whether any has moved."""
        has_moved = False
        for job in jobs:
            if job.id not in self.places:
                continue
            before = self.take_out(job)
            found = cheapest_place(job, rates, self.room)
            is_cheaper = found is not None and _is_less(rates.cost_of(job, found), rates.cost_of(job, before))
            self.put(job, found if found is not None and is_cheaper else before)
            has_moved = has_moved or is_cheaper
        return has_moved


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


def _is_less(cost: float, other_cost: float) -> bool:
    return cost < other_cost - _LEAST_GAIN_RATIO * abs(other_cost)
