"""A fleet to be planned as a whole, and the room in it: GPUs, and watts where a region has a power cap.

Knows capacity, time and what a GPU is charged, no carbon. An assignment is what the joint planner, its bound and its
certificate speak of: the segments of each job that is planned, by job id; a job that is absent is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scheduler.jobs import Job
from scheduler.planning.curve import Intervals, overlap
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.plan import Forecasts, Region, Segment
from scheduler.planning.whole_fleet.pools import Pool

Assignment = Mapping[str, tuple[Segment, ...]]

# Power is counted in whole thousandths of a watt, a job's rounded up, so that no sum of them can exceed a cap.
_PER_WATT = 1000
_ROUNDING_W = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetCase:
    """Jobs that share regions. `power_caps_w` limits the facility power of a region, PUE included, by its name.

    `gpu_rate_gco2e_per_s` is charged for each GPU while it is held, by region: embodied carbon, or hire in grams.
    `pools` fill what the jobs leave; the searches for places of jobs know nothing of them.
    """

    jobs: Sequence[Job]
    regions: Sequence[Region]
    forecasts: Forecasts
    power_caps_w: Mapping[str, float] = field(default_factory=dict)
    gpu_rate_gco2e_per_s: Mapping[str, float] = field(default_factory=dict)
    pools: Sequence[Pool] = ()

    def allowed(self, job: Job) -> list[int]:
        """Indexes of the regions where the job may run and that are large enough, in the fleet's order."""
        return [index for index, region in enumerate(self.regions) if self._is_allowed(job, region)]

    def _is_allowed(self, job: Job, region: Region) -> bool:
        if (job.regions and region.name not in job.regions) or job.gpus > region.gpus:
            return False
        cap_w = self.power_caps_w.get(region.name, math.inf)
        return region.zone in self.forecasts and job.power_w * region.pue <= cap_w + _ROUNDING_W


class Room:
    """What is free beside the work that is placed so far, in every resource at once."""

    def __init__(self, case: FleetCase) -> None:
        self._pue = {region.name: region.pue for region in case.regions}
        self._gpus = Occupancy(case.regions)
        self._capped = frozenset(case.power_caps_w)
        self._power = Occupancy(
            Region(name=name, zone=name, gpus=math.floor((cap_w + _ROUNDING_W) * _PER_WATT))
            for name, cap_w in case.power_caps_w.items()
        )

    def take(self, job: Job, segments: Sequence[Segment], times: int = 1) -> None:
        self._gpus.take(segments, times * job.gpus)
        for one in segments:
            if one.region in self._capped:
                self._power.take((one,), times * self._power_of(job, one.region))

    def give_back(self, job: Job, segments: Sequence[Segment]) -> None:
        self.take(job, segments, times=-1)

    def free(self, job: Job, region: str, at_least_s: float = 0.0) -> Intervals:
        """Stretches between the job's earliest start and its deadline in which it fits, none shorter."""
        from_s, to_s = job.earliest_start_at_s, job.deadline_at_s
        free = self._gpus.free(region, from_s, to_s, job.gpus, 0, at_least_s)
        if region not in self._capped:
            return free
        powered = self._power.free(region, from_s, to_s, self._power_of(job, region), 0, at_least_s)
        return overlap(free, powered)

    def fits(self, job: Job, segments: Sequence[Segment]) -> bool:
        return all(
            self.earliest_start_at_s(job, one.region, one.start_at_s, one.duration_s) == one.start_at_s
            for one in segments
        )

    def earliest_start_at_s(self, job: Job, region: str, from_s: float, duration_s: float) -> float:
        """The first instant with room for so long in every resource; infinite when there never is."""
        start_at_s = self._gpus.earliest_start_at_s(region, from_s, duration_s, job.gpus)
        if region not in self._capped:
            return start_at_s
        while True:
            power = self._power_of(job, region)
            powered_at_s = self._power.earliest_start_at_s(region, start_at_s, duration_s, power)
            start_at_s = self._gpus.earliest_start_at_s(region, powered_at_s, duration_s, job.gpus)
            if start_at_s == powered_at_s or math.isinf(start_at_s):
                return start_at_s

    def _power_of(self, job: Job, region: str) -> int:
        return math.ceil((job.power_w * self._pue[region] - _ROUNDING_W) * _PER_WATT)
