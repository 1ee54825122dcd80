"""Why `slacktide plan` puts one job where it does. Asks the planner and prints; decides no sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Job, JobKind
from scheduler.planning.one_job.preemptible import Work
from scheduler.planning.one_job.single import Comparison
from scheduler.planning.open_jobs.choices import Grid
from scheduler.planning.plan import Region, Segment
from scheduler.planning.reasons.explanation import Explanation, ground_of_trace
from scheduler.planning.reasons.explanation_text import sentences
from scheduler.planning.reasons.placed import explain_lone_job

# Tables of pauses that take time, asked some six times for an explanation: tenths of a second together.
_EXPLAINING_CELLS = 500_000


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
    grid = Grid(regions=regions, forecasts=known, pause_gco2e=step_cost_gco2e, max_cells=_EXPLAINING_CELLS)
    end_at_s = work.earliest_s + work.held_s(1)
    at_once = Segment(start_at_s=work.earliest_s, end_at_s=end_at_s, region=regions[0].name)
    grounds = {zone: ground_of_trace(one) for zone, one in known.items()}
    return explain_lone_job(job, found, grid, at_once, grounds)


def show_reasons(explanation: Explanation) -> None:
    """What `slacktide plan` has not said yet: place and saving stand above."""
    for heading, sentence in sentences(explanation):
        if heading not in ("runs", "saves"):
            print(f"  {heading:<9} {sentence}")
