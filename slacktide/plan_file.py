"""`slacktide plan --jobs FILE.csv --fleet FLEET.toml`: a whole fleet planned offline. Reads, asks, prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slacktide.objective_text import objective_facts, objective_line
from slacktide.terminal import print_json, say

if TYPE_CHECKING:
    from scheduler.planning.choosing import ChosenPlan
    from scheduler.planning.joint import FleetPlan
    from scheduler.planning.plan import Segment

_SHOWN_JOBS = 30


def plan_file(jobs: Path, fleet: Path, *, as_json: bool) -> None:
    """Plan every job of the file at once, and print the plan with its certificate."""
    from slacktide.fleet_plan import chosen_plan

    chosen = chosen_plan(jobs, fleet)
    _warn(chosen.plan)
    if as_json:
        print_json(_as_json(chosen))
    else:
        _show(chosen)


def _warn(found: FleetPlan) -> None:
    from scheduler.quantities import format_instant

    ends_at_s = min(series.end_at_s for series in found.case.forecasts.values())
    if any(job.deadline_at_s > ends_at_s for job in found.case.jobs):
        ends = format_instant(ends_at_s)
        say(f"note: the trace ends at {ends}, before the last finish_by; nothing is planned where it has no number")
    if found.run_now.emissions_gco2e is None:
        say("note: run at once, some work would run where the trace has no number; its emissions are not known")


def _as_json(chosen: ChosenPlan) -> dict[str, object]:
    found = chosen.plan
    return {
        "jobs": [_job_json(found, index) for index in range(len(found.case.jobs))],
        "emissions_gco2e": found.certificate.emissions_gco2e,
        "lower_bound_gco2e": found.certificate.lower_bound_gco2e,
        "gap_ratio": found.certificate.gap_ratio,
        "run_now": {"emissions_gco2e": found.run_now.emissions_gco2e, "late": found.run_now.late},
        "objective": objective_facts(chosen),
    }


def _job_json(found: FleetPlan, index: int) -> dict[str, object]:
    job = found.case.jobs[index]
    segments = found.segments.get(job.id, ())
    return {
        "job_id": job.id,
        "status": "planned" if segments else "refused",
        "reason": found.reasons.get(job.id) or "cleanest",
        "segments": [_segment_json(one, job.gpus) for one in segments],
        "emissions_gco2e": found.job_gco2e.get(job.id, 0.0),
    }


def _segment_json(one: Segment, gpus: int) -> dict[str, object]:
    return {"start": _instant(one.start_at_s), "end": _instant(one.end_at_s), "zone": one.region, "gpus": gpus}


def _instant(instant_s: float) -> str:
    """Exact to the microsecond: rounded to whole seconds, two jobs that follow each other could overlap."""
    from datetime import UTC, datetime

    from scheduler.quantities import format_instant

    if abs(instant_s - round(instant_s)) < 1e-6:
        return format_instant(instant_s)
    return datetime.fromtimestamp(instant_s, UTC).isoformat().replace("+00:00", "Z")


def _show(chosen: ChosenPlan) -> None:
    from rich.console import Console
    from rich.table import Table

    found = chosen.plan
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("job", "zone", "start", "end"):
        table.add_column(heading)
    table.add_column("gCO2e", justify="right")
    for job in found.case.jobs[:_SHOWN_JOBS]:
        if segments := found.segments.get(job.id):
            zones = ", ".join(dict.fromkeys(one.region for one in segments))
            ends = (_instant(segments[0].start_at_s), _instant(segments[-1].end_at_s))
            table.add_row(job.id, zones, *ends, f"{found.job_gco2e[job.id]:,.0f}")
        else:
            table.add_row(job.id, "refused", found.reasons[job.id])
    Console(highlight=False).print(table)
    if len(found.case.jobs) > _SHOWN_JOBS:
        print(f"and {len(found.case.jobs) - _SHOWN_JOBS} more; --json lists them all")
    print(f"\n{_verdict(found)}\n{objective_line(chosen)}")


def _verdict(found: FleetPlan) -> str:
    proof, at_once = found.certificate, found.run_now
    planned, asked = len(found.segments), len(found.case.jobs)
    gap = "" if proof.gap_ratio is None else f", at most {proof.gap_ratio:.1%} above the least that is possible"
    now = "not known" if at_once.emissions_gco2e is None else f"{at_once.emissions_gco2e:,.0f} gCO2e"
    return (
        f"{planned} of {asked} jobs planned: {proof.emissions_gco2e:,.0f} gCO2e{gap}.\n"
        f"Run at once: {now}, {at_once.late} late."
    )
