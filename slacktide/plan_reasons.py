"""Why `slacktide plan` puts one job where it does. Asks the planner and prints; decides no sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption, Job, JobKind
from scheduler.planning.one_job.elastic import ElasticJob, ElasticPlan
from scheduler.planning.one_job.power_profile import Phase, ProfiledWindow, energy_kwh, run_s
from scheduler.planning.one_job.preemptible import Work
from scheduler.planning.one_job.single import Comparison
from scheduler.planning.open_jobs.choices import Grid
from scheduler.planning.plan import Region, Segment
from scheduler.planning.reasons.explanation import Explanation, ground_of_trace
from scheduler.planning.reasons.explanation_text import sentences
from scheduler.planning.reasons.in_fleet import explain_alone
from scheduler.planning.reasons.placed import explain_lone_job
from scheduler.planning.whole_fleet.fleet_case import FleetCase

# Tables of pauses that take time, asked some six times for an explanation: tenths of a second together.
_EXPLAINING_CELLS = 500_000


class Grounds(Protocol):
    """Where and when a job may run, and what is known of that."""

    @property
    def series(self) -> Mapping[str, IntensitySeries]: ...

    @property
    def earliest_s(self) -> float: ...

    @property
    def deadline_s(self) -> float: ...


def explained(
    found: Comparison,
    work: Work,
    costs: tuple[float, float],
    regions: Sequence[Region],
    series: Mapping[str, IntensitySeries],
    *,
    interruptible: bool,
) -> Explanation:
    """Why the best run is where it is; `costs` are the power in watts and the grams of each pause."""
    power_w, step_cost_gco2e = costs
    job = Job(
        id="job",
        kind=JobKind.COMMAND,
        submitted_at_s=work.earliest_s,
        earliest_start_at_s=work.earliest_s,
        deadline_at_s=work.deadline_s,
        duration_s=work.work_s,
        power_w=power_w,
        interruption=work.interruption if interruptible else None,
    )
    known = {region.zone: series[region.zone] for region in regions if region.zone in series}
    speed = regions[0].speed
    end_at_s = work.earliest_s + replace(work, work_s=work.work_s / speed).held_s(1)
    at_once = Segment(start_at_s=work.earliest_s, end_at_s=end_at_s, region=regions[0].name)
    if any(region.speed != speed for region in regions):  # then pauses cost nothing
        case = FleetCase(jobs=[job], regions=regions, forecasts=known)
        return explain_alone(case, found.best.segments, () if found.at_once is None else (at_once,))
    # Where all are as fast, a GPU that draws more is a facility that does.
    alike = [replace(region, pue=region.facility_ratio, speed=1.0, power_ratio=1.0) for region in regions]
    grid = Grid(regions=alike, forecasts=known, pause_gco2e=step_cost_gco2e, max_cells=_EXPLAINING_CELLS)
    grounds = {zone: ground_of_trace(one) for zone, one in known.items()}
    return explain_lone_job(replace(job, duration_s=work.work_s / speed), found, grid, at_once, grounds)


def explained_profile(
    window: ProfiledWindow, phases: Sequence[Phase], regions: Sequence[Region], grid: Grounds, *, is_known_now: bool
) -> Explanation:
    """Why a run whose power changes begins when it does."""
    duration_s = run_s(phases)
    power_w = 1000.0 * energy_kwh(phases) / (duration_s / 3600.0)
    job = _varying_job(grid, duration_s, power_w)
    case = FleetCase(jobs=[job], regions=regions, forecasts=grid.series, phases={job.id: phases})
    place = next(region for region in regions if region.name == window.segment.region)
    at_once = case.run(job, regions[0], grid.earliest_s) if is_known_now else ()
    return explain_alone(case, case.run(job, place, window.segment.start_at_s), at_once)


def explained_scaling(
    found: ElasticPlan,
    asked: ElasticJob,
    at_once: ElasticPlan | None,
    regions: Sequence[Region],
    grid: Grounds,
    *,
    may_move: bool,
) -> Explanation:
    """Why an elastic job takes its GPUs when it does; there are as many as were measured."""
    gpus, speed = asked.scaling.speeds[0]
    job = replace(
        _varying_job(grid, asked.work_s / speed, gpus * asked.power_w),
        gpus=gpus,
        interruption=Interruption() if may_move else None,
    )
    large = [replace(region, gpus=asked.scaling.speeds[-1][0]) for region in regions]
    case = FleetCase(jobs=[job], regions=large, forecasts=grid.series, scalings={job.id: asked.scaling})
    now = () if at_once is None else _segments(at_once, asked.power_w)
    return explain_alone(case, _segments(found, asked.power_w), now)


def _varying_job(grid: Grounds, duration_s: float, power_w: float) -> Job:
    return Job(
        id="job",
        kind=JobKind.COMMAND,
        submitted_at_s=grid.earliest_s,
        earliest_start_at_s=grid.earliest_s,
        deadline_at_s=grid.deadline_s,
        duration_s=duration_s,
        power_w=power_w,
    )


def _segments(found: ElasticPlan, power_w: float) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            start_at_s=one.start_at_s,
            end_at_s=one.end_at_s,
            region=one.region,
            gpus=one.gpus,
            power_w=one.gpus * power_w,
        )
        for one in found.segments
    )


def show_reasons(explanation: Explanation) -> None:
    """What `slacktide plan` has not said yet: place and saving stand above."""
    for heading, sentence in sentences(explanation):
        if heading not in ("runs", "saves"):
            print(f"  {heading:<9} {sentence}")
