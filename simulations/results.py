"""What a comparison says: sums, misses, waiting, latency and signed savings, as numbers and as JSON.

An item counts in the emissions of a side only where both sides did it and the grid was known on both: a saving against
an unknown is no saving. What is left out is reported as unpriced energy. Draws nothing and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scheduler.quantities import format_instant
from shaping.deployment import Deployment
from shaping.uncertainty import Band
from simulations.accounts import Accounts, Floats, Items, accounts_of
from simulations.bands import band_of, item_factors, plain_pools
from simulations.callers import by_callers, items_in_one_order, named_by_callers
from simulations.job_costs import JobCosts, job_costs, plain_costs
from simulations.model_choice import Chosen, answered_well_ratio
from simulations.runs import Inputs, PoolRun, Runs, Side

Booleans = NDArray[np.bool_]

# Instants are floats of about 1e9 seconds; a finish this close to its deadline is in time, as in the engine.
IN_TIME_S = 1e-3

# Significant digits in JSON: more would differ between machines in the last bits of a sum.
SIGNIFICANT_DIGITS = 10

_HOUR_S = 3600.0
# Upper bound of the run time -> how the class is called.
JOB_BANDS = ((_HOUR_S, "under 1 h"), (12 * _HOUR_S, "1 to 12 h"), (float("inf"), "over 12 h"))
INTERACTIVE, FLEX, IDLE = "interactive", "flex", "idle workers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Of a set of times; all None where the set is empty."""

    count: int
    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None

    @classmethod
    def of(cls, times_s: Floats) -> Spread:
        if len(times_s) == 0:
            return cls(count=0, mean_s=None, p50_s=None, p90_s=None, p99_s=None)
        p50_s, p90_s, p99_s = (float(value) for value in np.percentile(times_s, (50, 90, 99)))
        return cls(count=len(times_s), mean_s=float(times_s.mean()), p50_s=p50_s, p90_s=p90_s, p99_s=p99_s)

    def plain(self) -> dict[str, float | None]:
        return {"mean": self.mean_s, "p50": self.p50_s, "p90": self.p90_s, "p99": self.p99_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class SideResult:
    """One side in numbers. Energies are IT energy; `facility_kwh` and emissions include PUE."""

    emissions_gco2e: float
    energy_kwh: float
    energy_band_kwh: Band
    emissions_band_gco2e: Band
    facility_kwh: float
    unpriced_kwh: float
    jobs_kwh: float
    requests_kwh: float
    idle_kwh: float
    jobs: int
    jobs_never_run: int
    requests: int
    requests_dropped: int
    preemptions: int
    prompt_tokens: int
    output_tokens: int
    late_jobs: int
    late_requests: int
    pauses: int
    wait: Spread
    latency: Spread
    first_token: Spread
    latency_by_class: Mapping[str, Spread]
    last_finish_at_s: float | None
    answered_well_ratio: float | None  # expected, where models are chosen; no text is read

    @property
    def deadline_misses(self) -> int:
        return self.late_jobs + self.late_requests

    @property
    def mean_gco2e_per_kwh(self) -> float | None:
        """Energy-weighted intensity that the priced work met, at the facility's meter."""
        priced_kwh = self.facility_kwh - self.unpriced_facility_kwh
        return self.emissions_gco2e / priced_kwh if priced_kwh > 0 else None

    unpriced_facility_kwh: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSavings:
    """One class of work on both sides; its emissions are those that are known on both."""

    name: str
    items: int
    baseline_kwh: float
    policy_kwh: float
    baseline_gco2e: float
    policy_gco2e: float

    @property
    def savings_ratio(self) -> float | None:
        return savings_ratio(self.baseline_gco2e, self.policy_gco2e)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Both sides, what the policy saved (signed), and the runs behind the numbers."""

    runs: Runs
    accounts: tuple[Accounts, Accounts]
    baseline: SideResult
    policy: SideResult
    by_class: Sequence[ClassSavings]
    deadline_misses_baseline_met: int
    job_costs: JobCosts | None = None

    @property
    def avoided_gco2e(self) -> float:
        return self.baseline.emissions_gco2e - self.policy.emissions_gco2e

    @property
    def savings_ratio(self) -> float | None:
        return savings_ratio(self.baseline.emissions_gco2e, self.policy.emissions_gco2e)


def savings_ratio(baseline_gco2e: float, policy_gco2e: float) -> float | None:
    """Share of the baseline's emissions avoided; negative when the policy is dirtier; None without a baseline."""
    return None if baseline_gco2e == 0 else 1.0 - policy_gco2e / baseline_gco2e


def results_of(runs: Runs) -> Results:
    """Prices and compares both sides."""
    sides = (runs.baseline, runs.policy)
    baseline, policy = priced(sides, runs.inputs)
    late = late_items(runs.baseline), late_items(runs.policy)
    counted = counted_items(sides, (baseline, policy))
    shown = side_results(sides, (baseline, policy), runs.inputs)
    return Results(
        runs=runs,
        accounts=(baseline, policy),
        baseline=shown[0],
        policy=shown[1],
        by_class=_by_class(runs, baseline, policy, counted),
        deadline_misses_baseline_met=int((late[1] & ~late[0]).sum()),
        job_costs=job_costs(runs),
    )


def priced(sides: Sequence[Side], inputs: Inputs) -> tuple[Accounts, ...]:
    """What each side used and really emitted."""
    regions = {region.name: region for region in inputs.scenario.region}
    return tuple(accounts_of(side, regions, inputs.grid.realised) for side in sides)


def side_results(sides: Sequence[Side], accounts: Sequence[Accounts], inputs: Inputs) -> list[SideResult]:
    """Each side in numbers, over the work that every one of them did and whose grid was known under each."""
    counted = counted_items(sides, accounts)
    return [
        _side_result(side, account, inputs.deployments, counted, late_items(side))
        for side, account in zip(sides, accounts, strict=True)
    ]


# -- items of a side, in one order: jobs, then for each pool its requests and its idling -------------------------


def flat_items(side: Side, accounts: Accounts) -> Items:
    """In the order that all sides share."""
    order = items_in_one_order(side)
    parts = [accounts.jobs, *(part for pool in accounts.pools for part in (pool.requests, pool.idle))]
    return Items(
        energy_kwh=np.concatenate([part.energy_kwh for part in parts])[order],
        facility_kwh=np.concatenate([part.facility_kwh for part in parts])[order],
        emissions_gco2e=np.concatenate([part.emissions_gco2e for part in parts])[order],
    )


def _done(side: Side) -> Booleans:
    """Which items of the side came to their end; idling always does."""
    jobs = np.array([work.job.id in side.finished_at_s for work in side.works], dtype=np.bool_)
    pools = [part for run in side.pools for part in (~run.record.is_dropped, np.ones(1, dtype=np.bool_))]
    return np.concatenate([jobs, *pools])[items_in_one_order(side)]


def counted_items(sides: Sequence[Side], accounts: Sequence[Accounts]) -> Booleans:
    """Items that every side did and whose emissions are known on each."""
    known = [~np.isnan(flat_items(*one).emissions_gco2e) for one in zip(sides, accounts, strict=True)]
    return np.asarray(np.logical_and.reduce([*known, *(_done(side) for side in sides)]), dtype=np.bool_)


def late_items(side: Side) -> Booleans:
    finishes = finished_at_s(side)
    deadlines = np.array([work.job.deadline_at_s for work in side.works])
    # Written so that NaN, never finished, is late.
    jobs = ~(finishes <= deadlines + IN_TIME_S)
    pools = [part for run in side.pools for part in (_late_requests(run), np.zeros(1, dtype=np.bool_))]
    return np.concatenate([jobs, *pools])[items_in_one_order(side)]


def _late_requests(run: PoolRun) -> Booleans:
    deadlines = run.traffic.deadline_at_s
    return np.isfinite(deadlines) & ~(run.record.finished_at_s <= deadlines + IN_TIME_S)


def finished_at_s(side: Side) -> Floats:
    """Of each job, shape (n,); NaN for one that never ran."""
    return np.array([side.finished_at_s.get(work.job.id, np.nan) for work in side.works], dtype=np.float64)


def classes(side: Side) -> list[str]:
    """The class of each item, in the order that all sides share."""
    names = [f"{work.workload}, {_band(work.true_duration_s)}" for work in side.works]
    is_flex = by_callers(side, [run.traffic.is_flex for run in side.pools])
    for run, named, which in zip(side.pools, named_by_callers(side), is_flex, strict=True):
        kinds = np.where(which, f"{named}, {FLEX}", f"{named}, {INTERACTIVE}")
        names += [*kinds.tolist(), f"{run.spec.name}, {IDLE}"]
    return names


def _band(duration_s: float) -> str:
    return next(name for below_s, name in JOB_BANDS if duration_s < below_s)


def _by_class(runs: Runs, baseline: Accounts, policy: Accounts, counted: Booleans) -> list[ClassSavings]:
    names = np.array(classes(runs.baseline))
    before, after = flat_items(runs.baseline, baseline), flat_items(runs.policy, policy)
    found = []
    for name in dict.fromkeys(names.tolist()):
        mine = names == name
        priced = mine & counted
        found.append(
            ClassSavings(
                name=name,
                items=int(mine.sum()),
                baseline_kwh=float(before.energy_kwh[mine].sum()),
                policy_kwh=float(after.energy_kwh[mine].sum()),
                baseline_gco2e=float(before.emissions_gco2e[priced].sum()),
                policy_gco2e=float(after.emissions_gco2e[priced].sum()),
            )
        )
    return found


# -- one side --------------------------------------------------------------------------------------------------------


def _side_result(
    side: Side, accounts: Accounts, deployments: Sequence[Deployment], counted: Booleans, late: Booleans
) -> SideResult:
    items, order = flat_items(side, accounts), items_in_one_order(side)
    jobs = len(side.works)
    dropped = sum(int(run.record.is_dropped.sum()) for run in side.pools)
    finishes = [*side.finished_at_s.values(), *(_last(run.record.finished_at_s) for run in side.pools)]
    low, high = item_factors(accounts, deployments)
    factors = low[order], high[order]
    return SideResult(
        emissions_gco2e=float(items.emissions_gco2e[counted].sum()),
        energy_kwh=float(items.energy_kwh.sum()),
        energy_band_kwh=band_of(items.energy_kwh, factors),
        emissions_band_gco2e=band_of(np.where(counted, items.emissions_gco2e, 0.0), factors),
        facility_kwh=float(items.facility_kwh.sum()),
        unpriced_kwh=float(items.energy_kwh[~counted].sum()),
        unpriced_facility_kwh=float(items.facility_kwh[~counted].sum()),
        jobs_kwh=float(accounts.jobs.energy_kwh.sum()),
        requests_kwh=sum(float(pool.requests.energy_kwh.sum()) for pool in accounts.pools),
        idle_kwh=sum(float(pool.idle.energy_kwh.sum()) for pool in accounts.pools),
        jobs=len(side.finished_at_s),
        jobs_never_run=jobs - len(side.finished_at_s),
        requests=sum(len(run.traffic.trace) for run in side.pools) - dropped,
        requests_dropped=dropped,
        preemptions=sum(len(run.record.earlier_stays) for run in side.pools),
        prompt_tokens=sum(int(run.traffic.trace.prompt_tokens[~run.record.is_dropped].sum()) for run in side.pools),
        output_tokens=sum(int(run.traffic.trace.output_tokens[~run.record.is_dropped].sum()) for run in side.pools),
        late_jobs=int(late[:jobs].sum()),
        late_requests=int(late[jobs:].sum()),
        pauses=pauses(side),
        wait=Spread.of(waits_s(side)),
        latency=Spread.of(_joined([_served(_latencies_s(run)) for run in side.pools])),
        first_token=Spread.of(_joined([_first_tokens_s(run) for run in side.pools])),
        latency_by_class={name: Spread.of(times_s) for name, times_s in latencies_by_class_s(side).items()},
        last_finish_at_s=max((at_s for at_s in finishes if at_s == at_s), default=None),
        answered_well_ratio=answered_well_ratio(side.chosen),
    )


def waits_s(side: Side) -> Floats:
    """Of each finished job: what passed between its submission and its end beyond its run time."""
    ends = finished_at_s(side)
    submits = np.array([work.job.submitted_at_s for work in side.works])
    durations = np.array([work.true_duration_s for work in side.works])
    waits = (ends - submits - durations)[~np.isnan(ends)]
    return np.asarray(np.maximum(waits, 0.0), dtype=np.float64)


def pauses(side: Side) -> int:
    """How often a job was paused and went on."""
    return len(side.stretches) - len({stretch.job_id for stretch in side.stretches})


def latencies_by_class_s(side: Side) -> dict[str, Floats]:
    """From arrival to last token, of the served requests of each class that callers tell apart."""
    names = named_by_callers(side)
    is_flex = by_callers(side, [run.traffic.is_flex for run in side.pools])
    every_s = by_callers(side, [_latencies_s(run) for run in side.pools])
    return {
        f"{name}, {kind}": _served(times_s[which])
        for name, flex, times_s in zip(names, is_flex, every_s, strict=True)
        for kind, which in ((INTERACTIVE, ~flex), (FLEX, flex))
        if which.any()
    }


def _latencies_s(run: PoolRun) -> Floats:
    """Of each request; NaN for one that was dropped."""
    arrivals = run.traffic.start_at_s + run.traffic.trace.arrival_s
    return np.where(run.record.is_dropped, np.nan, run.record.finished_at_s - arrivals)


def _served(times_s: Floats) -> Floats:
    return times_s[~np.isnan(times_s)]


def _first_tokens_s(run: PoolRun) -> Floats:
    arrivals = run.traffic.start_at_s + run.traffic.trace.arrival_s
    return np.asarray((run.record.first_token_at_s - arrivals)[~run.record.is_dropped], dtype=np.float64)


def _joined(parts_s: Sequence[Floats]) -> Floats:
    return np.concatenate(parts_s) if parts_s else np.empty(0)


def _last(instants_s: Floats) -> float:
    known = instants_s[~np.isnan(instants_s)]
    return float(known.max()) if len(known) else float("nan")


# -- JSON ------------------------------------------------------------------------------------------------------------


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
