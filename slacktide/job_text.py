"""How a job of /api/v1 reads on a terminal. Decides nothing; what the daemon does not know is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]


def short_instant(text: str | None) -> str:
    """`2022-03-01 12:00Z`: UTC, seconds only where there are any."""
    return "" if text is None else text.replace("T", " ").replace(":00Z", "Z")


def to_the_minute(text: str | None) -> str:
    """`2022-03-01 12:00Z`, cut off, for tables."""
    return "" if text is None else f"{text[:10]} {text[11:16]}Z"


def saving(plan: Json | None) -> str:
    """The expected saving against starting at once, signed; empty where it is not known."""
    ratio = None if plan is None else plan["savings_ratio"]
    return "" if ratio is None else f"{round(ratio, 2) + 0.0:.0%}"  # + 0.0: never "-0%"


def state_now(job: Json) -> str:
    """`running`, or `waiting, on hold` where somebody paused it; an older daemon does not tell."""
    on_hold = ", on hold" if job.get("on_hold_since") else ""
    return f"{job['state']}{on_hold}"


def window(job: Json) -> tuple[str, str | None, str | None]:
    """Where the job ran, runs or is to run, from when and to when."""
    plan = job["plan"] or {}
    region = job["region"] or _first_region(plan)
    return region, job["started_at"] or plan.get("start"), job["ended_at"] or plan.get("end")


def job_lines(job: Json, why: str = "") -> Iterator[str]:
    """Everything a person asks about one job, a line each."""
    region, start, end = window(job)
    attempt = f", attempt {job['attempt']}" if job["attempt"] else ""
    rows = {
        "state": state_now(job) + attempt,
        "what": " ".join(part for part in (job["kind"], job["template"], job["label"]) if part),
        "why": why or job["reason"] or "",
        "runs": f"{short_instant(start)} to {short_instant(end)} in {region}" if start and end else "",
        "pieces": _pieces(job["plan"]),
        "expected": _expected(job["plan"]),
        "budget": _budget(job),
        "needs": f"{_time_needed(job)}, {_gpus(job['gpus'])}{_elastic(job)}, {_power(job)}",
        "deadline": short_instant(job["deadline"]),
        "submitted": f"{short_instant(job['submitted_at'])} by {job['tenant']}, for {job['purpose']}",
        "log": f"runs/logs/slacktide-{job['id']}-{job['attempt']}.log in the state folder" if job["attempt"] else "",
        "result": ", ".join(f"{name} {value}" for name, value in (job["result"] or {}).items()),
    }
    yield job["id"]
    yield from (f"  {name:<10} {text}" for name, text in rows.items() if text)


def draft_lines(draft: Json) -> Iterator[str]:
    """A job that was only asked about."""
    plan = draft["plan"]
    where = f"{short_instant(plan['start'])} to {short_instant(plan['end'])} in {_first_region(plan)}"
    rows = {"would run": where, "pieces": _pieces(plan), "expected": _expected(plan), "budget": _budget(draft)}
    yield from (f"  {name:<10} {text}" for name, text in rows.items() if text)


def _first_region(plan: Json) -> str:
    return str(plan["segments"][0]["region"]) if plan else ""


def _pieces(plan: Json | None) -> str:
    segments = plan["segments"] if plan else ()
    if len(segments) < 2:
        return ""
    return "; ".join(f"{short_instant(one['start'])} to {short_instant(one['end'])[11:]}" for one in segments)


def _expected(plan: Json | None) -> str:
    if plan is None or plan["emissions_gco2e"] is None:
        return ""
    against = f", {saving(plan)} saved against starting at once" if saving(plan) else ""
    band = _band(plan.get("emissions_band_gco2e"))
    return f"{plan['emissions_gco2e']:,.0f} gCO2e{band}{against} (forecast){_objective(plan)}"


def _band(band: Json | None) -> str:
    """`, between 541 and 904 (80%)`; a stated power has none, nor does an older daemon tell one."""
    return "" if band is None else f", between {band['low']:,.0f} and {band['high']:,.0f} (80%)"


def _objective(plan: Json) -> str:
    """What the plan was chosen by, where that is not grams alone."""
    value, ratio = plan.get("value"), plan.get("value_savings_ratio")
    if value is None:
        return ""
    return f"; objective {value:,.4g}" + ("" if ratio is None else f", {round(ratio, 2) + 0.0:.0%} less than at once")


def _budget(job: Json) -> str:
    """Where a tenant's budget makes it wait."""
    asked = job.get("asked_earliest_start")
    if asked is None:
        return ""
    return f"pays from {short_instant(job['earliest_start'])}; asked for from {short_instant(asked)}"


def _time_needed(job: Json) -> str:
    planned_s, declared_s = job["duration_s"], job.get("declared_duration_s", job["duration_s"])
    if planned_s == declared_s:
        return _duration(planned_s)
    return f"{_duration(planned_s)} as runs like it took ({_duration(declared_s)} declared)"


def _power(job: Json) -> str:
    """The power; of a job whose power changes its phases in turn."""
    phases = job.get("power_profile") or ()
    told = ", ".join(f"{_duration(one['duration_s'])} at {one['power_w']:,.0f} W" for one in phases)
    return told or f"{job['power_w']:,.0f} W{_band(job.get('power_band_w'))}"


def _elastic(job: Json) -> str:
    """The other numbers of GPUs that it may be given, and what its run was."""
    others = [str(one["gpus"]) for one in job.get("elastic") or () if one["gpus"] != job["gpus"]]
    given = f", now {job['run_gpus']}" if job.get("run_gpus") is not None else ""
    return f" (or {', '.join(others)}{given})" if others else ""


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def _duration(duration_s: float) -> str:
    from scheduler.quantities import format_duration

    return format_duration(duration_s)
