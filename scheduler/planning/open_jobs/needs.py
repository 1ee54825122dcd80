"""What is left of a job at the instant of planning, where it may run, and a place as it is before it is priced.

The words that placing and planning share. Looks for nothing and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption, Job
from scheduler.planning.curve import ROUNDING_S, Curve, curve
from scheduler.planning.gpu_counts import at_count, speed_at
from scheduler.planning.one_job.preemptible import Work
from scheduler.planning.plan import Cause, Region, Segment
from scheduler.planning.planner import OpenJob

_W_S_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What is left of one job and the time it has, at the instant of planning."""

    job: Job
    work_s: float
    earliest_s: float
    restores_first: bool = False

    @property
    def whole_s(self) -> float:
        """Time on the GPUs in one piece."""
        return self.work_s + (self._interruption.restore_s if self.restores_first else 0.0)

    @property
    def latest_start_at_s(self) -> float:
        return self.job.deadline_at_s - self.whole_s

    def at_count(self, gpus: int | None) -> Need:
        """What is left of an elastic job, on so many GPUs."""
        if not self.job.elastic:
            return self
        return replace(self, job=at_count(self.job, gpus), work_s=self.work_s / speed_at(self.job, gpus))

    def at_counts(self) -> list[Need]:
        """The same on each number of GPUs; its own number comes first."""
        counts = sorted((gpus for gpus, _ in self.job.elastic), key=lambda gpus: (gpus != self.job.gpus, gpus))
        return [self.at_count(gpus) for gpus in counts]

    @property
    def _interruption(self) -> Interruption:
        return self.job.interruption or Interruption()

    @property
    def work(self) -> Work:
        return Work(
            work_s=self.work_s,
            earliest_s=self.earliest_s,
            deadline_s=self.job.deadline_at_s,
            interruption=self._interruption,
            restores_first=self.restores_first,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job would run, not priced yet. `at_once` is the window in one piece that it could have had first."""

    need: Need
    segments: tuple[Segment, ...]
    cause: Cause
    at_once: Segment | None
    integral_g_s_per_kwh: float | None = None

    @property
    def start_at_s(self) -> float:
        return self.segments[0].start_at_s

    @property
    def end_at_s(self) -> float:
        return self.segments[-1].end_at_s

    @property
    def is_in_time(self) -> bool:
        return self.end_at_s <= self.need.job.deadline_at_s + ROUNDING_S


def need(open_job: OpenJob, now_s: float) -> Need | None:
    """What is still to be placed; None when the running piece does all that is left."""
    job = open_job.job
    if open_job.running is None:
        restores = open_job.done_s > 0 and job.interruption is not None
        earliest_s = max(job.earliest_start_at_s, now_s)
        work_s = max(open_job.remaining_s, ROUNDING_S)
        return Need(job=job, work_s=work_s, earliest_s=earliest_s, restores_first=restores)
    pause = job.interruption
    if pause is None:
        return None
    restore_s = pause.restore_s if open_job.done_s > 0 else 0.0
    speed = speed_at(job, open_job.running.gpus)
    to_go_s = open_job.remaining_s - speed * (open_job.running.duration_s - restore_s)
    if to_go_s <= ROUNDING_S:
        return None
    work_s = min(to_go_s + speed * pause.checkpoint_s, open_job.remaining_s)
    return Need(job=job, work_s=work_s, earliest_s=max(open_job.running.end_at_s, now_s), restores_first=True)


def allowed_regions(job: Job, regions: Sequence[Region]) -> list[Region]:
    """Where the job may run, in its order of preference."""
    if not job.regions:
        return list(regions)
    by_name = {region.name: region for region in regions}
    return [by_name[name] for name in job.regions if name in by_name]


def job_curve(job: Job, region: Region, series: IntensitySeries, from_s: float, to_s: float) -> Curve | None:
    """What a kilowatt of the job costs in a region, the GPUs that it holds there included."""
    part = curve(region.name, series, region.pue, from_s, to_s)
    if part is None or region.gpu_gco2e_per_s == 0 or job.power_w == 0:
        return part
    return part.raised(held_rate_gco2e_per_kwh(job, region))


def held_rate_gco2e_per_kwh(job: Job, region: Region) -> float:
    """What the GPUs that the job holds add to each of its kilowatt-hours."""
    if region.gpu_gco2e_per_s == 0 or job.power_w == 0:
        return 0.0
    return job.gpus * region.gpu_gco2e_per_s * _W_S_PER_KWH / job.power_w
