"""`slacktide plan --jobs FILE.csv --fleet FLEET.toml`: a whole fleet planned offline. Reads, asks, prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from slacktide.file_places import nearest_of
from slacktide.objective_text import objective_facts, objective_line
from slacktide.terminal import UsageProblem, print_json, say

if TYPE_CHECKING:
    from collections.abc import Collection

    from scheduler.jobs import Job
    from scheduler.planning.plan import Segment
    from scheduler.planning.whole_fleet.fleet_case import FleetCase
    from scheduler.planning.whole_fleet.joint import FleetPlan
    from slacktide.plan_told import Told

_SHOWN_JOBS = 30


def plan_file(jobs: Path, fleet: Path, *, explained: Collection[str], html: Path | None, as_json: bool) -> None:
    """Plan every job of the file at once, and print the plan with its certificate; `html` draws it as well."""
    from slacktide.fleet_plan import chosen_plan
    from slacktide.plan_told import told_of

    found = chosen_plan(jobs, fleet)
    chosen = found.chosen
    _refuse_unknown_jobs(chosen.plan.case, explained)
    needs_all = as_json or html is not None
    told = told_of(
        chosen.plan,
        found.rules,
        explained,
        needs_all=needs_all,
        is_by_grams_alone=found.is_by_grams_alone,
        proof=chosen.proof,
    )
    _warn(told)
    if html is not None:
        _write_page(told, html)
    if as_json:
        print_json({**_as_json(told), "objective": objective_facts(chosen)})
    else:
        _show(told, explained, objective_line(chosen))


def _refuse_unknown_jobs(case: FleetCase, explained: Collection[str]) -> None:
    known = {job.id for job in case.jobs}
    for name in explained:
        if name not in known:
            hint = nearest_of(name, tuple(sorted(known)[:_SHOWN_JOBS])) if known else "the file has no jobs"
            raise UsageProblem(f"--explain: no job {name} in the file", hint)


def _write_page(told: Told, path: Path) -> None:
    from slacktide.plan_page import plan_page

    try:
        path.write_text(plan_page(told), encoding="utf-8")
    except OSError as problem:
        raise UsageProblem(f"--html: {path} cannot be written: {problem.strerror}", "name a file in a folder") from None
    say(f"drawn in {path}")


def _warn(told: Told) -> None:
    from slacktide.plan_told import explains_all

    for note in told.notes:
        say(f"note: {note}")
    if not explains_all(told.plan.case):
        say("note: of so many jobs only those named by --explain are explained")


def _as_json(told: Told) -> dict[str, object]:
    from slacktide.plan_pools import pools_json

    found = told.plan
    return {
        "jobs": [_job_json(told, index) for index in range(len(found.case.jobs))],
        **({"pools": pools_json(found, _instant)} if found.case.pools else {}),
        "emissions_gco2e": found.certificate.emissions_gco2e,
        "lower_bound_gco2e": found.certificate.lower_bound_gco2e,
        "gap_ratio": found.certificate.gap_ratio,
        "fewest_refused": found.fewest_refused,
        "run_now": {"emissions_gco2e": found.run_now.emissions_gco2e, "late": found.run_now.late},
        "notes": list(told.notes),
    }


def _job_json(told: Told, index: int) -> dict[str, object]:
    from scheduler.planning.reasons.change_text import change_json
    from scheduler.planning.reasons.explanation_text import as_json

    job = told.plan.case.jobs[index]
    segments = told.plan.segments.get(job.id, ())
    explanation = told.explanations.get(job.id)
    return {
        "job_id": job.id,
        "status": "planned" if segments else "refused",
        "reason": told.reason(job.id),
        "segments": [_segment_json(told.plan.case, job, one) for one in segments],
        "emissions_gco2e": told.plan.job_gco2e.get(job.id, 0.0),
        "explanation": None if explanation is None else as_json(explanation),
        "suggestions": [change_json(one) for one in told.changes.get(job.id, ())],
    }


def _segment_json(case: FleetCase, job: Job, one: Segment) -> dict[str, object]:
    from scheduler.planning.whole_fleet.fleet_case import gpus_of, power_w_of

    region = case.region(one.region)
    return {
        "start": _instant(one.start_at_s),
        "end": _instant(one.end_at_s),
        "zone": region.zone,
        "region": one.region,
        "gpus": gpus_of(job, one),
        "power_w": power_w_of(job, one) * region.power_ratio,
    }


def _instant(instant_s: float) -> str:
    """Exact to the microsecond: rounded to whole seconds, two jobs that follow each other could overlap."""
    from datetime import UTC, datetime

    from scheduler.quantities import format_instant

    if abs(instant_s - round(instant_s)) < 1e-6:
        return format_instant(instant_s)
    return datetime.fromtimestamp(instant_s, UTC).isoformat().replace("+00:00", "Z")


def _show(told: Told, explained: Collection[str], objective: str) -> None:
    from rich.console import Console
    from rich.table import Table

    found = told.plan
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("job", "zone", "start", "end"):
        table.add_column(heading)
    table.add_column("gCO2e", justify="right")
    shown = found.case.jobs[:_SHOWN_JOBS]
    for job in shown:
        if segments := found.segments.get(job.id):
            zones = ", ".join(dict.fromkeys(one.region for one in segments))
            ends = (_instant(segments[0].start_at_s), _instant(segments[-1].end_at_s))
            table.add_row(job.id, zones, *ends, f"{found.job_gco2e[job.id]:,.0f}")
        else:
            table.add_row(job.id, "refused")
    Console(highlight=False).print(table)
    if len(found.case.jobs) > _SHOWN_JOBS:
        print(f"and {len(found.case.jobs) - _SHOWN_JOBS} more; --json lists them all")
    _show_refused(told)
    _show_pools(found)
    print(f"\n{_verdict(found)}\n{objective}")
    for name in explained:
        print(f"\n{name}")
        _show_explanation(told, name)


def _show_refused(told: Told) -> None:
    refused = [job.id for job in told.plan.case.jobs if job.id in told.plan.reasons]
    for name in refused[:_SHOWN_JOBS]:
        print(f"\n{name} is refused: {told.reason(name)}")
    if len(refused) > _SHOWN_JOBS:
        print(f"\nand {len(refused) - _SHOWN_JOBS} more are refused; --json says why")
    if fewest := told.plan.fewest_refused:
        print(f"\n{len(refused)} refused; at least {fewest} cannot be in time in any plan")


def _show_pools(found: FleetPlan) -> None:
    from rich.console import Console
    from rich.table import Table

    from slacktide.plan_pools import POOL_HEADINGS, pool_rows, reason_of

    if not found.case.pools:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(POOL_HEADINGS):
        table.add_column(heading, justify="right" if number > 1 else "left")
    for row in pool_rows(found):
        table.add_row(*row)
    print()
    Console(highlight=False).print(table)
    for pool in found.case.pools:
        if found.pools[pool.name].short_tokens:
            print(f"\n{pool.name} is short: {reason_of(found, pool)}")


def _show_explanation(told: Told, name: str) -> None:
    from scheduler.planning.reasons.explanation_text import sentences

    explanation = told.explanations.get(name)
    said = sentences(explanation) if explanation is not None else [("refused", told.reason(name))]
    for heading, sentence in said:
        print(f"  {heading:<9} {sentence}")


def _verdict(found: FleetPlan) -> str:
    proof, at_once = found.certificate, found.run_now
    planned, asked = len(found.segments), len(found.case.jobs)
    pools = len(found.case.pools)
    met = sum(not found.pools[pool.name].short_tokens for pool in found.case.pools)
    beside = f" and {met} of {pools} pools" if pools else ""
    gap = "" if proof.gap_ratio is None else f", at most {proof.gap_ratio:.1%} above the least that is possible"
    now = "not known" if at_once.emissions_gco2e is None else f"{at_once.emissions_gco2e:,.0f} gCO2e"
    return (
        f"{planned} of {asked} jobs{beside} planned: {proof.emissions_gco2e:,.0f} gCO2e{gap}.\n"
        f"Run at once: {now}, {at_once.late} late."
    )
