"""Plans between the corners of a trade-off: one job after another to a better place, until a limit is kept and used up.

A multiplier finds only the corners. From a plan within the limit the sum may grow up to it, first by the moves that
save most for what they add, then by any that save. From one beyond it the sum must fall, by the moves that cost least
for what they take off, until it is within. Decides no limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from scheduler.jobs import Job
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.local_search import Draft, by_size
from scheduler.planning.whole_fleet.rates import Rates

_LEAST_GAIN_RATIO = 1e-9
_ROUNDS = 3


class WithinLimit:
    """A plan under two prices at once: what it is chosen by, and what is limited."""

    def __init__(self, chosen_by: FleetCase, limited: FleetCase, segments: Assignment, most_cost: float) -> None:
        self._draft = Draft(chosen_by, Rates.of(chosen_by))
        self._limited, self._most_cost = Rates.of(limited), most_cost
        self._draft.take_over(segments, chosen_by.jobs)
        self._limited_costs = {job.id: self._limited_cost(job, segments[job.id]) for job in self._placed}

    @property
    def segments(self) -> dict[str, tuple[Segment, ...]]:
        return dict(self._draft.places)

    @property
    def is_within(self) -> bool:
        return sum(self._limited_costs.values()) <= self._most_cost

    def reach(self, weighed: Iterable[FleetCase], others: Sequence[Assignment]) -> None:
        """Move jobs until the limit is kept, by cases that count what is limited more and more."""
        for rates in (Rates.of(case) for case in weighed):
            for job in sorted(self._placed, key=by_size):
                if self.is_within:
                    return
                self._has_moved(job, rates, others)

    def improve(self, weighed: Sequence[FleetCase], others: Sequence[Assignment]) -> None:
        """By each of `weighed` in turn, which count both prices in one, and by the places that other plans have."""
        for rates in [Rates.of(case) for case in weighed]:
            for _ in range(_ROUNDS):
                moved = [job for job in sorted(self._placed, key=by_size) if self._has_moved(job, rates, others)]
                if not moved:
                    break

    def _has_moved(self, job: Job, rates: Rates, others: Sequence[Assignment]) -> bool:
        """Where the job costs least under `rates` of all places that keep the limit."""
        before = self._draft.take_out(job)
        old_cost, room_cost = rates.cost_of(job, before), self._most_cost - self._sum_without(job)
        # Beyond the limit nothing may be added, and anything that takes off is welcome.
        room_cost = max(room_cost, self._limited_costs[job.id])
        best, best_cost = before, old_cost - _LEAST_GAIN_RATIO * abs(old_cost)
        for place in self._places(job, rates, others):
            if rates.cost_of(job, place) < best_cost and self._limited_cost(job, place) <= room_cost:
                best, best_cost = place, rates.cost_of(job, place)
        self._draft.put(job, best)
        self._limited_costs[job.id] = self._limited_cost(job, best)
        return best is not before

    def _places(self, job: Job, rates: Rates, others: Iterable[Assignment]) -> Iterator[tuple[Segment, ...]]:
        self._draft.fill([job], rates)
        if job.id in self._draft.places:
            yield self._draft.take_out(job)
        for other in others:
            if job.id in other and self._draft.room.fits(job, other[job.id]):
                yield other[job.id]

    def _sum_without(self, job: Job) -> float:
        return sum(cost for name, cost in self._limited_costs.items() if name != job.id)

    def _limited_cost(self, job: Job, segments: Sequence[Segment]) -> float:
        return self._limited.cost_of(job, segments)

    @property
    def _placed(self) -> list[Job]:
        return [job for job in self._draft.case.jobs if job.id in self._draft.places]
