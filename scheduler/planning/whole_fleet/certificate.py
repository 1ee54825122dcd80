"""What a fleet plan proves: how far from the best it can be, and that it is what it says it is.

The recomputation shares nothing with the planner: it reads the forecasts step by step and counts what is held instant
by instant, so that a fault of the search cannot hide in its own sums. Decides nothing about the plan.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scheduler.jobs import Job
from scheduler.planning.one_job.power_profile import Phase
from scheduler.planning.plan import Region, Segment
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase, gpus_of, power_w_of

# Instants closer than this are one; powers this close to a cap are within it.
_SAME_S = 1e-3
_SAME_W = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """No plan of the jobs that are planned emits less than `lower_bound_gco2e`; this one emits `emissions_gco2e`."""

    emissions_gco2e: float
    lower_bound_gco2e: float

    @property
    def gap_ratio(self) -> float | None:
        """How much more than the bound the plan emits, as a share of the bound; None when the bound is not above 0."""
        if self.emissions_gco2e == self.lower_bound_gco2e:
            return 0.0
        if self.lower_bound_gco2e <= 0:
            return None
        return self.emissions_gco2e / self.lower_bound_gco2e - 1.0


def recomputed_gco2e(case: FleetCase, job: Job, segments: Sequence[Segment]) -> float:
    """A job's emissions and charges for GPUs held, from the case alone; NaN where a segment touches unknown time."""
    regions = {region.name: region for region in case.regions}
    return sum(_segment_gco2e(case, job, one, regions[one.region]) for one in segments)


def flaws(case: FleetCase, assignment: Assignment) -> tuple[str, ...]:
    """What is wrong with a plan, in words; empty when it keeps every limit at every instant."""
    found: list[str] = []
    for job in case.jobs:
        if job.id in assignment:
            found += [f"{job.id} {what}" for what in _flaws_of_job(case, job, assignment[job.id])]
    for region in case.regions:
        found += [f"{region.name} {what}" for what in _flaws_of_region(case, region, assignment)]
    return tuple(found)


def _segment_gco2e(case: FleetCase, job: Job, one: Segment, region: Region) -> float:
    series = case.forecasts[region.zone]
    first = max(0, bisect_right(series.edges_at_s, one.start_at_s) - 1)
    last = bisect_left(series.edges_at_s, one.end_at_s)
    edges, values = series.edges_at_s[first : last + 1].tolist(), series.gco2e_per_kwh[first:last].tolist()
    gpus, power_w = gpus_of(job, one), power_w_of(job, one)
    grams, covered_s = gpus * case.gpu_rate_gco2e_per_s.get(region.name, 0.0) * one.duration_s, 0.0
    for (from_s, to_s), gco2e_per_kwh in zip(pairwise(edges), values, strict=False):
        inside_s = min(to_s, one.end_at_s) - max(from_s, one.start_at_s)
        if inside_s > 0:
            grams += power_w / 1000.0 * region.facility_ratio * gco2e_per_kwh * inside_s / 3600.0
            covered_s += inside_s
    return grams if abs(covered_s - one.duration_s) <= _SAME_S else float("nan")


def _flaws_of_job(case: FleetCase, job: Job, segments: Sequence[Segment]) -> Iterator[str]:
    regions = {region.name for region in case.regions}
    speeds = {region.name: region.speed for region in case.regions}
    counts = dict(case.counts(job))
    done_s = sum(one.duration_s * speeds.get(one.region, 0.0) * counts.get(gpus_of(job, one), 0.0) for one in segments)
    if abs(done_s - job.duration_s) > _SAME_S * len(segments) * max(speeds.values()) * max(counts.values()):
        yield "does not run for its duration"
    if job.id in case.phases:
        yield from _flaws_of_profile(case.phases[job.id], segments, speeds)
    elif job.id in case.scalings:
        if job.interruption is None and len({one.region for one in segments}) > 1:
            yield "moves"
    elif job.interruption is None and len(segments) > 1:
        yield "is interrupted"
    w_per_gpu = job.power_w / max(job.gpus, 1)
    if job.id not in case.phases and any(
        gpus_of(job, one) not in counts or abs(power_w_of(job, one) - w_per_gpu * gpus_of(job, one)) > _SAME_W
        for one in segments
    ):
        yield "runs on other GPUs than it may"
    if any(one.region not in regions or (job.regions and one.region not in job.regions) for one in segments):
        yield "runs where it may not"
    if segments[0].start_at_s < job.earliest_start_at_s - _SAME_S:
        yield "starts before its earliest start"
    if segments[-1].end_at_s > job.deadline_at_s + _SAME_S:
        yield "ends after its deadline"
    if any(after.start_at_s < before.end_at_s - _SAME_S for before, after in pairwise(segments)):
        yield "runs in two places at once"
    if any(one.duration_s <= 0 for one in segments):
        yield "has a piece without length"
    least_s = job.interruption.min_run_s if job.interruption is not None and len(segments) > 1 else 0.0
    if any(one.duration_s < least_s - _SAME_S for one in segments):
        yield "has a piece shorter than its least run"


def _flaws_of_profile(
    phases: Sequence[Phase], segments: Sequence[Segment], speed: Mapping[str, float]
) -> Iterator[str]:
    """One segment for each phase in turn, without a pause and in one region."""
    if len(segments) != len(phases) or len({one.region for one in segments}) > 1:
        yield "is not in its phases"
        return
    if any(abs(after.start_at_s - before.end_at_s) > _SAME_S for before, after in pairwise(segments)):
        yield "is interrupted"
    for phase, one in zip(phases, segments, strict=True):
        lasts_s = phase.duration_s / speed.get(one.region, 1.0)
        if one.power_w != phase.power_w or abs(one.duration_s - lasts_s) > _SAME_S:
            yield "is not in its phases"


def _flaws_of_region(case: FleetCase, region: Region, assignment: Assignment) -> Iterator[str]:
    """Sweep over begins and ends; at one instant what ends is given back before what begins is counted."""
    changes: list[tuple[float, int, float]] = []
    for job in case.jobs:
        for one in assignment.get(job.id, ()):
            if one.region == region.name:
                gpus, power_w = gpus_of(job, one), power_w_of(job, one) * region.facility_ratio
                changes += [(one.start_at_s + _SAME_S, gpus, power_w), (one.end_at_s, -gpus, -power_w)]
    changes += [(one.start_at_s + _SAME_S, one.gpus, 0.0) for one in region.held]
    changes += [(one.end_at_s, -one.gpus, 0.0) for one in region.held]
    gpus, power_w = 0, 0.0
    cap_w = case.power_caps_w.get(region.name, float("inf"))
    for instant_s, more_gpus, more_w in sorted(changes):
        gpus, power_w = gpus + more_gpus, power_w + more_w
        if gpus > region.gpus:
            yield f"holds {gpus} of {region.gpus} GPUs at {instant_s:.0f}"
        if power_w > cap_w + _SAME_W:
            yield f"draws {power_w:.0f} of {cap_w:.0f} W at {instant_s:.0f}"
