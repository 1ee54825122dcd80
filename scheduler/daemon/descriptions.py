"""How jobs, plans, forecasts and accounts read as JSON. Instants are ISO 8601 UTC; what is not known is null."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from intensity_feeds.feed import Answer
from intensity_feeds.series import IntensitySeries, SeriesError
from scheduler.events import JobRestored
from scheduler.jobs import Job
from scheduler.ledger import Account
from scheduler.ledger_bands import Bands
from scheduler.placement_text import explain
from scheduler.planning.durations import declared_s
from scheduler.planning.plan import Placement, Region
from scheduler.planning.reasons.change_text import changes_text
from scheduler.planning.reasons.nearest_change import Change
from scheduler.planning.weighed.admission import BudgetStanding
from scheduler.planning.whole_fleet.objective import Components
from scheduler.quantities import format_instant
from scheduler.store.contract import JobRecord
from shaping.deployment import ErrorClass
from shaping.uncertainty import Band, band

Json = dict[str, Any]


def describe_job(record: JobRecord, placement: Placement | None) -> Json:
    """A job as its owner sees it, with its place in the plan while it waits or runs."""
    job, standing = record.job, record.standing
    return {
        "id": job.id,
        "object": "job",
        "state": standing.state,
        "kind": job.kind,
        "label": job.label,
        "template": job.template,
        "purpose": job.purpose,
        "tenant": job.tenant,
        "priority": job.priority,
        "submitted_at": format_instant(job.submitted_at_s),
        "earliest_start": format_instant(job.earliest_start_at_s),
        "asked_earliest_start": _instant(job.asked_earliest_start_at_s),
        "deadline": format_instant(job.deadline_at_s),
        "duration_s": job.duration_s,
        "declared_duration_s": declared_s(job),
        "gpus": job.gpus,
        "power_w": job.power_w,
        "power_error_class": job.power_error_class,
        "power_band_w": _ends(job.power_w, job.power_error_class),
        "power_profile": [{"duration_s": one.duration_s, "power_w": one.power_w} for one in job.power_profile],
        "elastic": [{"gpus": gpus, "speed": speed} for gpus, speed in job.elastic],
        "run_gpus": standing.gpus,
        "interruptible": job.interruption is not None,
        "regions": list(job.regions),
        "on_hold_since": _instant(standing.on_hold_at_s),
        "attempt": standing.attempt,
        "region": standing.region,
        "started_at": _instant(standing.started_at_s),
        "ended_at": _instant(standing.ended_at_s),
        "reason": standing.reason,
        "result": record.result,
        "plan": describe_placement(placement, job.power_error_class) if placement else None,
    }


def _ends(amount_factor: float | None, error_class: ErrorClass | None) -> Json | None:
    """The 80% band of an amount in any unit; None where the amount or its class is not known."""
    return None if amount_factor is None or error_class is None else band(amount_factor, error_class)._asdict()


def describe_placement(placement: Placement, power_error_class: ErrorClass | None) -> Json:
    """Where and when, and what is expected to come of it; the band of its grams is that of a power by a profile."""
    return {
        "job": placement.job_id,
        "start": format_instant(placement.start_at_s),
        "end": format_instant(placement.end_at_s),
        "cause": placement.cause,
        "why": explain(placement, None),
        "segments": [
            {
                "start": format_instant(one.start_at_s),
                "end": format_instant(one.end_at_s),
                "region": one.region,
                "gpus": one.gpus,
            }
            for one in placement.segments
        ],
        "emissions_gco2e": placement.emissions_gco2e,
        "emissions_band_gco2e": _ends(placement.emissions_gco2e, power_error_class),
        "baseline_emissions_gco2e": placement.baseline_emissions_gco2e,
        "savings_ratio": placement.savings_ratio,
        "value": placement.objective_cost,
        "baseline_value": placement.baseline_cost,
        "value_savings_ratio": placement.objective_savings_ratio,
        "basis": "forecast",
    }


def describe_costs(cost: Components) -> Json:
    """What a place costs in every unit."""
    return {
        "grid_gco2e": known_or_none(cost.grid_gco2e),
        "embodied_gco2e": cost.embodied_gco2e,
        "electricity_usd": cost.electricity_usd,
        "hire_usd": cost.hire_usd,
        "water_l": cost.water_l,
        "waiting_kwh_h": known_or_none(cost.waiting_kwh_h),
    }


def told_with(what: str, changes: Sequence[Change]) -> str:
    """One sentence with the nearest feasible changes."""
    told = changes_text(changes)
    return f"{what}; {told}" if told else what


def describe_standing(one: BudgetStanding) -> Json:
    """A budget in its period under way; what is not known is null."""
    return {
        "tenant": one.budget.tenant,
        "unit": one.budget.what,
        "per": one.budget.per,
        "period": one.budget.per.named(one.begin),
        "at_most": one.budget.most_cost,
        "settled": _finite(one.settled_cost),
        "planned": _finite(one.planned_cost),
        "left": _finite(one.left_cost),
    }


def _finite(cost: float) -> float | None:
    return cost if math.isfinite(cost) else None


def describe_answer(zone: str, answer: Answer | None, now_s: float) -> Json:
    """What is known of a zone, and how well."""
    if answer is None:
        return {"zone": zone, "rung": None, "gco2e_per_kwh": None, "points": []}
    series = answer.series
    edges, values = series.edges_at_s.tolist(), series.gco2e_per_kwh.tolist()
    bands = _bands(answer)
    return {
        "zone": zone,
        "rung": answer.rung,
        "feed": answer.feed,
        "age_s": answer.age_s,
        "signal": series.signal,
        "basis": series.basis,
        "quality": series.quality,
        "gco2e_per_kwh": value_at(series, now_s),
        "points": [
            {
                "start": format_instant(start),
                "end": format_instant(end),
                "gco2e_per_kwh": known_or_none(value),
                "expected": bands.get(start),
            }
            for start, end, value in zip(edges, edges[1:], values, strict=False)
            if end > now_s
        ],
    }


def _bands(answer: Answer) -> dict[float, Json]:
    """By start of step, what nine in ten, half, and one in ten of past forecasts would have been exceeded by."""
    band = answer.band
    if band is None:
        return {}
    columns = (band.p50.edges_at_s[:-1], band.p10.gco2e_per_kwh, band.p50.gco2e_per_kwh, band.p90.gco2e_per_kwh)
    return {
        start_s: {"p10_gco2e_per_kwh": p10, "p50_gco2e_per_kwh": p50, "p90_gco2e_per_kwh": p90}
        for start_s, p10, p50, p90 in zip(*(column.tolist() for column in columns), strict=True)
        if p50 == p50
    }


def describe_account(account: Account) -> Json:
    """Sums of the ledger; savings are signed and against running everything at once."""
    return {
        "uses": account.uses,
        "energy_kwh": account.energy_kwh,
        "metered_kwh": account.metered_kwh,
        "unpriced_kwh": account.unpriced_kwh,
        "priced_ratio": account.priced_ratio,
        "emissions_gco2e": account.emissions_gco2e,
        "at_once_emissions_gco2e": account.at_once_emissions_gco2e,
        "avoided_gco2e": account.avoided_gco2e,
        "savings_ratio": account.savings_ratio,
        "unbanded_kwh": account.unbanded_kwh,
        "bands": None if account.bands is None else _describe_bands(account.bands),
        "by_category": {name: describe_account(one) for name, one in account.by_category.items()},
    }


def _describe_bands(bands: Bands) -> Json:
    """The 80% band of the part of each sum whose error class is known."""
    return {
        "of_energy_kwh": bands.of_energy_kwh,
        "energy_kwh": bands.energy_kwh._asdict(),
        "of_emissions_gco2e": bands.of_emissions_gco2e,
        "emissions_gco2e": described_band(bands.emissions_gco2e),
        "of_avoided_gco2e": bands.of_avoided_gco2e,
        "avoided_gco2e": described_band(bands.avoided_gco2e),
    }


def described_band(band: Band | None) -> Json | None:
    return None if band is None else band._asdict()


def describe_region(region: Region, free_gpus: Mapping[str, int], now_s: float) -> Json:
    """`free_gpus` no run occupies; of those, `held_gpus` are reserved or in maintenance now, and no job's."""
    return {
        "name": region.name,
        "zone": region.zone,
        "gpus": region.gpus,
        "free_gpus": free_gpus.get(region.name),
        "held_gpus": region.held_gpus(now_s, now_s),
        "pue": region.pue,
        "power_cap_kw": None if region.power_cap_w is None else region.power_cap_w / 1000.0,
    }


def describe_draft(job: Job, placement: Placement) -> Json:
    """A job that was only asked about."""
    return {
        "object": "job.draft",
        "duration_s": job.duration_s,
        "earliest_start": format_instant(job.earliest_start_at_s),
        "asked_earliest_start": _instant(job.asked_earliest_start_at_s),
        "plan": describe_placement(placement, job.power_error_class),
    }


def restored(record: JobRecord, now_s: float) -> JobRestored:
    """The event that tells an engine of a job found in the store."""
    standing = record.standing
    return JobRestored(
        at_s=now_s,
        job=record.job,
        state=standing.state,
        attempt=standing.attempt,
        lost=standing.lost_attempts,
        done_s=standing.done_s,
        running_in=standing.region if standing.is_held else None,
        started_at_s=standing.started_at_s,
        gpus=standing.gpus if standing.is_held else None,
        is_on_hold=standing.on_hold_at_s is not None,
    )


def _instant(instant_s: float | None) -> str | None:
    return None if instant_s is None else format_instant(instant_s)


def value_at(series: IntensitySeries, instant_s: float) -> float | None:
    """The intensity at an instant; None where it is not known."""
    try:
        return series.at(instant_s)
    except SeriesError:  # a gap, or beyond its end
        return None


def known_or_none(gco2e_per_kwh: float) -> float | None:
    """JSON has no NaN: what is not known is null."""
    return None if math.isnan(gco2e_per_kwh) else gco2e_per_kwh
