"""What a comparison says in numbers: sums, misses, waiting, latency and signed savings of both sides.

An item counts in the emissions of a side only where both sides did it and the grid was known on both: a saving against
an unknown is no saving. What is left out is reported as unpriced energy. Draws nothing and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shaping.deployment import Deployment
from shaping.uncertainty import Band
from simulations.accounts import Accounts, Floats, accounts_of
from simulations.bands import band_of, item_factors
from simulations.callers import items_in_one_order
from simulations.job_costs import JobCosts, job_costs
from simulations.model_choice import answered_well_ratio
from simulations.runs import Inputs, Runs, Side
from simulations.side_items import Booleans, classes, counted_items, flat_items, late_items
from simulations.side_times import Spread, first_tokens_s, latencies_by_class_s, latencies_s, waits_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SideResult:
    """One side in numbers. Energies are IT energy; `facility_kwh` and emissions include PUE."""

    emissions_gco2e: float
    energy_kwh: float
    energy_band_kwh: Band
    emissions_band_gco2e: Band
    facility_kwh: float
    unpriced_kwh: float
    unpriced_facility_kwh: float
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
        pauses=_pauses(side),
        wait=Spread.of(waits_s(side)),
        latency=Spread.of(latencies_s(side)),
        first_token=Spread.of(first_tokens_s(side)),
        latency_by_class={name: Spread.of(times_s) for name, times_s in latencies_by_class_s(side).items()},
        last_finish_at_s=max((at_s for at_s in finishes if at_s == at_s), default=None),
        answered_well_ratio=answered_well_ratio(side.chosen),
    )


def _pauses(side: Side) -> int:
    """How often a job was paused and went on."""
    return len(side.stretches) - len({stretch.job_id for stretch in side.stretches})


def _last(instants_s: Floats) -> float:
    known = instants_s[~np.isnan(instants_s)]
    return float(known.max()) if len(known) else float("nan")
