"""A fleet to be planned as a whole, and the room in it: GPUs, and watts where a region has a power cap.

Knows capacity, time and what a GPU is charged, no carbon. An assignment is what the joint planner, its bound and its
certificate speak of: the segments of each job that is planned, by job id; a job that is absent is refused.

A job has its duration and its power on the GPU that it was measured on. In a region it runs its duration over that
region's speed, at its power times that region's power ratio. One with phases runs them in turn, each at a power of its
own, and counts as its mean power where no place is known yet. An elastic job has its duration and its power on its own
number of GPUs, on which it runs at once; its scaling says what else it may do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from scheduler.jobs import Job
from scheduler.planning.curve import Intervals, overlap
from scheduler.planning.one_job.elastic import Scaling
from scheduler.planning.one_job.power_profile import Phase
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.plan import Forecasts, Region, Segment
from scheduler.planning.plan import gpus_of as gpus_of
from scheduler.planning.plan import power_w_of as power_w_of
from scheduler.planning.whole_fleet.token_pools import Pool

Assignment = Mapping[str, tuple[Segment, ...]]

# Power is counted in whole thousandths of a watt, a job's rounded up, so that no sum of them can exceed a cap.
_PER_WATT = 1000
_ROUNDING_W = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCase:
    """Jobs that share regions. `power_caps_w` limits the facility power of a region, PUE included, by its name.

    `gpu_rate_gco2e_per_s` is charged for each GPU while it is held, by region: embodied carbon, or hire in grams.
    `phases`, by the job's id, are of jobs in one piece whose power changes; together they last for its duration.
    `scalings`, by the job's id, are of elastic jobs, and have the number of GPUs that the job has.
    `pools` fill what the jobs leave; the searches for places of jobs know nothing of them.
    """

    jobs: Sequence[Job]
    regions: Sequence[Region]
    forecasts: Forecasts
    power_caps_w: Mapping[str, float] = field(default_factory=dict)
    gpu_rate_gco2e_per_s: Mapping[str, float] = field(default_factory=dict)
    phases: Mapping[str, Sequence[Phase]] = field(default_factory=dict)
    scalings: Mapping[str, Scaling] = field(default_factory=dict)
    pools: Sequence[Pool] = ()
    # Asked for each job again and again, and the same for all that need as much.
    _allowed: dict[tuple[tuple[str, ...], int, float], Sequence[int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def has_equal_speeds(self) -> bool:
        """Whether every job runs as long as it was measured to, wherever it is."""
        return all(region.speed == 1.0 for region in self.regions)

    @property
    def is_plain(self) -> bool:
        """Whether every job is one power on one number of GPUs, for as long wherever it runs."""
        are_alike = self.has_equal_speeds and all(region.power_ratio == 1.0 for region in self.regions)
        return are_alike and not self.phases and not self.scalings

    def region(self, name: str) -> Region:
        return next(one for one in self.regions if one.name == name)

    def lasts_s(self, job: Job, region: Region) -> float:
        """How long the job runs there in one piece."""
        return job.duration_s / region.speed

    def most_w(self, job: Job) -> float:
        """The most that it draws at any instant, on the GPU that it was measured on."""
        if job.id in self.scalings:
            return job.power_w / job.gpus * self.most_gpus(job)
        return max(phase.power_w for phase in self.phases[job.id]) if job.id in self.phases else job.power_w

    def most_gpus(self, job: Job) -> int:
        return self.scalings[job.id].speeds[-1][0] if job.id in self.scalings else job.gpus

    def counts(self, job: Job) -> tuple[tuple[int, float], ...]:
        """The numbers of GPUs on which the job runs, growing, and its speed on each beside its own number of them."""
        if job.id not in self.scalings:
            return ((job.gpus, 1.0),)
        speeds = self.scalings[job.id].speeds
        own_speed = dict(speeds)[job.gpus]
        return tuple((gpus, speed / own_speed) for gpus, speed in speeds)

    def holds(self, region: Region, gpus: int, power_w: float) -> bool:
        """Whether an empty region has so many GPUs and so much power."""
        cap_w = self.power_caps_w.get(region.name, math.inf)
        return gpus <= region.gpus and power_w * region.facility_ratio <= cap_w + _ROUNDING_W

    def run(self, job: Job, region: Region, start_at_s: float) -> tuple[Segment, ...]:
        """The whole job in one piece from then on: a segment for each of its phases, else one."""
        if job.id not in self.phases:
            end_at_s = start_at_s + self.lasts_s(job, region)
            return (Segment(start_at_s=start_at_s, end_at_s=end_at_s, region=region.name),)
        phases = self.phases[job.id]
        lengths_s = accumulate((phase.duration_s / region.speed for phase in phases), initial=0.0)
        borders = [start_at_s + length_s for length_s in lengths_s]
        return tuple(
            Segment(start_at_s=from_s, end_at_s=to_s, region=region.name, power_w=phase.power_w)
            for phase, (from_s, to_s) in zip(phases, pairwise(borders), strict=True)
        )

    def shortest_s(self, job: Job) -> float:
        """The least time that the job can take where it may run; what it was measured at where it may not run."""
        regions = [self.regions[index] for index in self.allowed(job)]
        if job.id not in self.scalings:
            return min((self.lasts_s(job, region) for region in regions), default=job.duration_s)
        speeds = [
            region.speed * speed
            for region in regions
            for gpus, speed in self.counts(job)
            if self.holds(region, gpus, job.power_w / job.gpus * gpus)
        ]
        return job.duration_s / max(speeds, default=1.0)

    def least_need(self, job: Job) -> tuple[int, float]:
        """The fewest GPUs on which the job can run, and the power that it needs then at its highest."""
        if job.id not in self.scalings:
            return job.gpus, self.most_w(job)
        fewest = self.counts(job)[0][0]
        return fewest, job.power_w / job.gpus * fewest

    def allowed(self, job: Job) -> Sequence[int]:
        """Indexes of the regions where the job may run and that are large enough, in the fleet's order."""
        key = (job.regions, *self.least_need(job))
        if key not in self._allowed:
            self._allowed[key] = [number for number, region in enumerate(self.regions) if self._may_hold(region, *key)]
        return self._allowed[key]

    def _may_hold(self, region: Region, names: Sequence[str], gpus: int, power_w: float) -> bool:
        if (names and region.name not in names) or region.zone not in self.forecasts:
            return False
        return self.holds(region, gpus, power_w)


class Room:
    """What is free beside the work that is placed so far, in every resource at once."""

    def __init__(self, case: FleetCase) -> None:
        self._case = case
        self._facility_ratio = {region.name: region.facility_ratio for region in case.regions}
        self._gpus = Occupancy(case.regions)
        self._capped = frozenset(case.power_caps_w)
        self._power = Occupancy(
            Region(name=name, zone=name, gpus=math.floor((cap_w + _ROUNDING_W) * _PER_WATT))
            for name, cap_w in case.power_caps_w.items()
        )

    def take(self, job: Job, segments: Sequence[Segment], times: int = 1) -> None:
        for one in segments:
            self._gpus.take((one,), times * gpus_of(job, one))
            if one.region in self._capped:
                self._power.take((one,), times * self._power_of(power_w_of(job, one), one.region))

    def give_back(self, job: Job, segments: Sequence[Segment]) -> None:
        self.take(job, segments, times=-1)

    def free(self, job: Job, region: str, at_least_s: float = 0.0) -> Intervals:
        """Stretches between the job's earliest start and its deadline in which it fits, none shorter."""
        from_s, to_s = job.earliest_start_at_s, job.deadline_at_s
        free = self._gpus.free(region, from_s, to_s, job.gpus, 0, at_least_s)
        if region not in self._capped:
            return free
        powered = self._power.free(region, from_s, to_s, self._power_of(job.power_w, region), 0, at_least_s)
        return overlap(free, powered)

    def fits(self, job: Job, segments: Sequence[Segment]) -> bool:
        return all(self._first_at_s(gpus_of(job, one), power_w_of(job, one), one) == one.start_at_s for one in segments)

    def earliest_start_at_s(self, job: Job, region: str, from_s: float, duration_s: float) -> float:
        """The first instant with room for so long in every resource; infinite when there never is."""
        if job.id in self._case.phases and region in self._capped:
            return self._first_run_at_s(job, region, from_s)
        return self._first_at_s(
            job.gpus, job.power_w, Segment(start_at_s=from_s, end_at_s=from_s + duration_s, region=region)
        )

    def _first_run_at_s(self, job: Job, region: str, from_s: float) -> float:
        """As long as some phase has no room, the start moves on by what that phase has to."""
        start_at_s, place = from_s, self._case.region(region)
        while True:
            run = self._case.run(job, place, start_at_s)
            later_s = max(self._first_at_s(job.gpus, power_w_of(job, one), one) - one.start_at_s for one in run)
            if later_s <= 0:
                return start_at_s
            if math.isinf(later_s):
                return math.inf
            start_at_s = max(start_at_s + later_s, math.nextafter(start_at_s, math.inf))

    def _first_at_s(self, gpus: int, power_w: float, wanted: Segment) -> float:
        """The first instant from the wanted start on with room for as long in every resource."""
        region, duration_s = wanted.region, wanted.duration_s
        start_at_s = self._gpus.earliest_start_at_s(region, wanted.start_at_s, duration_s, gpus)
        if region not in self._capped:
            return start_at_s
        while True:
            power = self._power_of(power_w, region)
            powered_at_s = self._power.earliest_start_at_s(region, start_at_s, duration_s, power)
            start_at_s = self._gpus.earliest_start_at_s(region, powered_at_s, duration_s, gpus)
            if start_at_s == powered_at_s or math.isinf(start_at_s):
                return start_at_s

    def _power_of(self, power_w: float, region: str) -> int:
        return math.ceil((power_w * self._facility_ratio[region] - _ROUNDING_W) * _PER_WATT)
