"""Jobs that run after others: what that leaves of their time, and where two that overlap are parted.

What follows from the order alone is taken from the windows before anything is planned: a job begins no earlier than the
jobs before it can end, and leaves those after it time to run. No plan loses by that. When a plan still has two jobs the
wrong way round, an instant is set between them, as the best times of all in order suggest; that may lose something, so
the bound is taken before. Decides no capacity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.certificate import recomputed_gco2e
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase, Room
from scheduler.planning.whole_fleet.joint import RunNow, first_run
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.rules.chain_times import starts_in_order
from scheduler.planning.whole_fleet.rules.narrowing import Change
from scheduler.quantities import format_duration, format_instant

# Job -> the jobs that must have ended before it begins.
After = Mapping[str, Sequence[str]]


def cycle_in(after: After) -> tuple[str, ...]:
    """Jobs that wait for each other in a circle, the first named again at the end; empty when there is none."""
    try:
        TopologicalSorter({name: set(before) for name, before in after.items()}).prepare()
    except CycleError as found:
        return tuple(reversed(found.args[1]))
    return ()


class Precedence:
    """The rule that no job begins before those it comes after have ended.

    `shortest_s` tells the least time that a job can take; without it, every job takes its duration.
    """

    def __init__(self, after: After, shortest_s: Callable[[Job], float] | None = None) -> None:
        self._after, self._shortest_s = after, shortest_s or (lambda job: job.duration_s)
        self._followers: dict[str, list[str]] = {}
        for name, every in after.items():
            for before in every:
                self._followers.setdefault(before, []).append(name)
        self._order = list(TopologicalSorter({name: set(every) for name, every in after.items()}).static_order())

    def prepared(self, jobs: Mapping[str, Job]) -> Change:
        """What follows for the windows, and the jobs that have no time left or nothing to come after."""
        narrowed: dict[str, Job] = {}
        refused: dict[str, str] = {}
        for name in self._order:
            if name in jobs:
                self._begin_after(name, jobs, narrowed, refused)
        for name in reversed(self._order):
            if name in narrowed:
                self._leave_time(narrowed[name], jobs, narrowed)
        return Change(jobs={name: job for name, job in narrowed.items() if job != jobs[name]}, refused=refused)

    def change(self, case: FleetCase, places: Assignment) -> Change:
        jobs = {job.id: job for job in case.jobs}
        gone = {
            name: f"after: {before} does not run"
            for name in places
            for before in self._after.get(name, ())
            if before not in places
        }
        if gone:
            return Change(refused=gone)
        wrong = list(self._wrong_way_round(places))
        return self._parted(case, jobs, wrong) if wrong else Change()

    def _parted(self, case: FleetCase, jobs: Mapping[str, Job], wrong: Sequence[tuple[str, str]]) -> Change:
        """Each pair with an instant between them; in the middle of the pause, where their best times leave one."""
        # Another rule may have narrowed windows since, so what follows from the order is taken again.
        change = self.prepared(jobs)
        if change.refused:
            return change
        rates = Rates.of(case)
        for name in self._order:
            if name in jobs:
                rates.curves(jobs[name])  # kept by job, so they are asked for while windows are wide
        narrowed = {**jobs, **change.jobs}
        order = [name for name in self._order if name in narrowed]
        # Where a job runs longer in some regions than in others, the table knows its shortest run only.
        briefest = {name: replace(job, duration_s=self._shortest_s(job)) for name, job in narrowed.items()}
        starts_s = starts_in_order(briefest, order, self._after, rates)
        for before, name in wrong:
            instant_s = (starts_s[before] + briefest[before].duration_s + starts_s[name]) / 2
            narrowed[before], narrowed[name] = self._split(narrowed[before], narrowed[name], instant_s)
        again = self.prepared(narrowed)
        narrowed |= again.jobs
        return Change(jobs={name: job for name, job in narrowed.items() if job != jobs[name]}, refused=again.refused)

    def _begin_after(
        self, name: str, jobs: Mapping[str, Job], narrowed: dict[str, Job], refused: dict[str, str]
    ) -> None:
        job, ready_s = jobs[name], jobs[name].earliest_start_at_s
        for before in self._after.get(name, ()):
            if before not in narrowed:
                refused[name] = f"after: {before} does not run"
                return
            ready_s = max(ready_s, narrowed[before].earliest_start_at_s + self._shortest_s(narrowed[before]))
        lasts_s = self._shortest_s(job)
        if ready_s > job.earliest_start_at_s and ready_s + lasts_s > job.deadline_at_s + ROUNDING_S:
            first = f"may begin at {format_instant(ready_s)} at the earliest"
            refused[name] = f"after: behind the jobs before it, it {first}, and runs {format_duration(lasts_s)}"
        else:
            narrowed[name] = replace(job, earliest_start_at_s=ready_s)

    def _leave_time(self, job: Job, jobs: Mapping[str, Job], narrowed: dict[str, Job]) -> None:
        latest_start_at_s = job.deadline_at_s - self._shortest_s(job)
        if latest_start_at_s < job.earliest_start_at_s:
            return  # it cannot run anyway, and binds nobody
        for before in self._after.get(job.id, ()):
            one = narrowed[before]
            narrowed[before] = replace(one, deadline_at_s=min(one.deadline_at_s, latest_start_at_s))

    def _split(self, before: Job, after: Job, instant_s: float) -> tuple[Job, Job]:
        """One until the instant, the other from it on, as far as both keep the time to run."""
        low_s = before.earliest_start_at_s + self._shortest_s(before)
        instant_s = max(low_s, min(instant_s, after.deadline_at_s - self._shortest_s(after)))
        first = replace(before, deadline_at_s=min(before.deadline_at_s, instant_s))
        return first, replace(after, earliest_start_at_s=max(after.earliest_start_at_s, instant_s))

    def _wrong_way_round(self, places: Assignment) -> Iterator[tuple[str, str]]:
        for name in self._order:
            for before in self._after.get(name, ()):
                if name in places and places[before][-1].end_at_s > places[name][0].start_at_s + ROUNDING_S:
                    yield before, name


def run_now_in_order(case: FleetCase, after: After) -> RunNow:
    """As `run_now`, each job once those before it have ended; what comes after a job that never runs is late too."""
    room, segments, late, emissions_gco2e = Room(case), dict[str, tuple[Segment, ...]](), 0, 0.0
    jobs = {job.id: job for job in case.jobs}
    waiting = TopologicalSorter({name: set(after.get(name, ())) for name in jobs})
    waiting.prepare()
    ready = _Queue(case, after)
    while waiting.is_active():
        for name in waiting.get_ready():
            ready.add(name, segments)
        name, ready_s = ready.first()
        waiting.done(name)
        run = () if ready_s == math.inf else first_run(case, room, jobs[name], ready_s)
        late += not run or run[-1].end_at_s > jobs[name].deadline_at_s + ROUNDING_S
        if run:
            segments[name] = run
            room.take(jobs[name], run)
            emissions_gco2e += recomputed_gco2e(case, jobs[name], run)
    known = None if math.isnan(emissions_gco2e) else emissions_gco2e
    return RunNow(segments=segments, emissions_gco2e=known, late=late)


class _Queue:
    """Jobs whose turn it is, by the instant from which they may run, then as the case has them."""

    def __init__(self, case: FleetCase, after: After) -> None:
        self._after, self._heap = after, list[tuple[float, int, str]]()
        self._jobs = {job.id: (number, job) for number, job in enumerate(case.jobs)}

    def add(self, name: str, segments: Assignment) -> None:
        number, job = self._jobs[name]
        ends_s = [segments[one][-1].end_at_s if one in segments else math.inf for one in self._after.get(name, ())]
        heappush(self._heap, (max([job.earliest_start_at_s, *ends_s]), number, name))

    def first(self) -> tuple[str, float]:
        ready_s, _, name = heappop(self._heap)
        return name, ready_s
