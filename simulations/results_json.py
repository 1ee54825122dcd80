"""The results of a comparison as JSON: the contract of `slacktide simulate --json`. Computes nothing."""

from __future__ import annotations

from typing import Any

from scheduler.quantities import format_instant
from simulations.bands import plain_pools
from simulations.job_costs import plain_costs
from simulations.model_choice import Chosen
from simulations.results import ClassSavings, Results, SideResult
from simulations.runs import Inputs, Runs

# Significant digits in JSON: more would differ between machines in the last bits of a sum.
SIGNIFICANT_DIGITS = 10


def plain_results(results: Results) -> dict[str, Any]:
    """The contract of `slacktide simulate --json`; the same run gives the same bytes."""
    scenario = results.runs.inputs.scenario
    plain = {
        "scenario": scenario.name,
        "start": format_instant(scenario.start),
        "seed": scenario.seed,
        "policy_kind": scenario.policy.kind.value,
        "forecast": scenario.forecast.kind.value,
        "decided_by": decided_by(results.runs.inputs),
        "grid": _plain_grid(results),
        "energy_basis": "modelled",
        "energy_profiles": plain_pools(results.runs.inputs.deployments),
        "baseline": _plain_side(results.baseline),
        "policy": _plain_side(results.policy),
        "avoided_gco2e": results.avoided_gco2e,
        "savings_ratio": results.savings_ratio,
        "deadline_misses_baseline_met": results.deadline_misses_baseline_met,
        "job_costs": plain_costs(results.job_costs),
        "by_class": [_plain_class(one) for one in results.by_class],
        "model_pools": _plain_pools_of_models(results.runs),
        "rows_left_out": _rows_left_out(results.runs.inputs),
    }
    return rounded(plain)


def decided_by(inputs: Inputs) -> str:
    """The signal that decisions saw, which need not be the one that emissions are counted by."""
    return next(iter((inputs.grid.seen or inputs.grid.realised).values())).signal.value


def _plain_pools_of_models(runs: Runs) -> list[dict[str, Any]]:
    pairs = zip(runs.baseline.chosen, runs.policy.chosen, strict=True)
    return [{"name": after.pool, **_plain_chosen(after), "baseline": _plain_chosen(before)} for before, after in pairs]


def _plain_chosen(chosen: Chosen) -> dict[str, Any]:
    return {
        "answered_well_ratio": chosen.answered_well_ratio,
        "share_ratio": {model: chosen.share_ratio(model) for model in chosen.models},
        "reasons": {reason.value: count for reason, count in sorted(chosen.reasons.items())},
    }


def _rows_left_out(inputs: Inputs) -> int:
    return sum(trace.left_out for trace in inputs.requests) + sum(trace.left_out for trace in inputs.jobs)


def _plain_grid(results: Results) -> list[dict[str, Any]]:
    return [
        {
            "zone": zone,
            "signal": series.signal.value,
            "basis": series.basis.value,
            "quality": series.quality.value,
            "source": series.source,
        }
        for zone, series in sorted(results.runs.inputs.grid.realised.items())
    ]


def _plain_side(side: SideResult) -> dict[str, Any]:
    return {
        "emissions_gco2e": side.emissions_gco2e,
        "energy_kwh": side.energy_kwh,
        "bands": {
            "energy_kwh": side.energy_band_kwh._asdict(),
            "emissions_gco2e": side.emissions_band_gco2e._asdict(),
        },
        "facility_kwh": side.facility_kwh,
        "unpriced_kwh": side.unpriced_kwh,
        "jobs_kwh": side.jobs_kwh,
        "requests_kwh": side.requests_kwh,
        "idle_kwh": side.idle_kwh,
        "mean_gco2e_per_kwh": side.mean_gco2e_per_kwh,
        "jobs": side.jobs,
        "jobs_never_run": side.jobs_never_run,
        "requests": side.requests,
        "requests_dropped": side.requests_dropped,
        "preemptions": side.preemptions,
        "prompt_tokens": side.prompt_tokens,
        "output_tokens": side.output_tokens,
        "deadline_misses": side.deadline_misses,
        "late_jobs": side.late_jobs,
        "late_requests": side.late_requests,
        "pauses": side.pauses,
        "wait_s": side.wait.plain(),
        "latency_s": side.latency.plain(),
        "first_token_s": side.first_token.plain(),
        "latency_by_class_s": {name: spread.plain() for name, spread in side.latency_by_class.items()},
        "answered_well_ratio": side.answered_well_ratio,
        "last_finish": None if side.last_finish_at_s is None else format_instant(side.last_finish_at_s),
    }


def _plain_class(one: ClassSavings) -> dict[str, Any]:
    return {
        "class": one.name,
        "items": one.items,
        "baseline": {"energy_kwh": one.baseline_kwh, "emissions_gco2e": one.baseline_gco2e},
        "policy": {"energy_kwh": one.policy_kwh, "emissions_gco2e": one.policy_gco2e},
        "savings_ratio": one.savings_ratio,
    }


def rounded(value: dict[str, Any]) -> dict[str, Any]:
    """The same with SIGNIFICANT_DIGITS."""
    return {key: _rounded(inner) for key, inner in value.items()}


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
        case dict():
            return {key: _rounded(inner) for key, inner in value.items()}
        case list():
            return [_rounded(inner) for inner in value]
        case _:
            return value
