"""Pools of tokens beside a plan of jobs: poured into what the jobs leave, then jobs moved where that helps the whole.

Everything that is summed afterwards has both, and so has the bound. Knows no file and no clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import numpy as np

from scheduler.jobs import Job, JobKind
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import Certificate, flaws
from scheduler.planning.whole_fleet.choosing import ChosenPlan
from scheduler.planning.whole_fleet.fleet_case import Assignment, FleetCase
from scheduler.planning.whole_fleet.joint import FleetPlan
from scheduler.planning.whole_fleet.objective import (
    Components,
    Sites,
    Weights,
    components,
    effective,
    first_start_at_s,
    total,
    value_of,
    waiting_offset_cost,
)
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.token_filling.at_once import with_pools_at_once
from scheduler.planning.whole_fleet.token_filling.certificate import pool_flaws, pool_gco2e
from scheduler.planning.whole_fleet.token_filling.moves import moved_for_pools, worth_gco2e_per_s
from scheduler.planning.whole_fleet.token_filling.pouring import Poured, poured
from scheduler.planning.whole_fleet.token_pools import Pool, PoolRun

_S_PER_H = 3600.0
# Fleets with so many pairs of job and region have jobs moved for the pools' sake; others keep the plan of the jobs.
_MOST_MOVED_PAIRS = 4000
_MOST_ROUNDS, _LEAST_ROUNDS, _ROUND_PAIRS = 300, 70, 1_000_000
_PROVING_ROUNDS, _PROVING_STEP_RATIO = 100, 0.03


def plan_with_pools(found: ChosenPlan, pools: Sequence[Pool], sites: Sites, *, may_move: bool) -> ChosenPlan:
    """The plan of the jobs with these pools beside them; everything that is summed has both.

    `may_move` lets jobs be moved for the pools' sake: not where rules, which are not known here, hold them.
    """
    case = replace(found.plan.case, pools=pools)
    weights = found.objective.weights.over(found.objective.weights.first_factor)
    priced = effective_with_pools(case, sites, weights)
    starts = [found.plan.segments]
    if may_move and found.plan.run_now.segments.keys() >= found.plan.segments.keys():
        starts += list(_in_time(case, found.plan))
    jobs, filled = min(((one, poured(priced, one)) for one in starts), key=lambda both: _rank(priced, *both))
    if may_move and len(found.plan.segments) * len(case.regions) <= _MOST_MOVED_PAIRS:
        jobs, filled = moved_for_pools(priced, jobs, filled, _guide(_served(priced, jobs, filled)))
    return _told(found, case, priced, sites, (jobs, filled), is_joint=may_move)


def effective_with_pools(case: FleetCase, sites: Sites, weights: Weights) -> FleetCase:
    """As `effective`; what it charges for time before a pool's earliest start is taken off again."""
    origin_s = first_start_at_s(case)
    late_h = [(pool.earliest_start_at_s - origin_s) / _S_PER_H for pool in case.pools]
    charged = [weights.per_waiting_kwh_h * one for one in late_h]
    pools = [replace(pool, waiting_cost_per_kwh=one) for pool, one in zip(case.pools, charged, strict=True)]
    return replace(effective(case, sites, weights), pools=pools)


def _in_time(case: FleetCase, plan: FleetPlan) -> Iterator[Assignment]:
    """The same jobs run at once, where that is a plan."""
    at_once = {name: plan.run_now.segments[name] for name in plan.segments}
    if not flaws(case, at_once):
        yield at_once


def _rank(priced: FleetCase, jobs: Assignment, filled: Poured) -> tuple[float, float]:
    short_ratio, cost = filled.rank
    return short_ratio, cost + _jobs_cost(priced, jobs)


def _jobs_cost(priced: FleetCase, jobs: Assignment) -> float:
    carbon = Rates.of(priced)
    return sum(carbon.cost_of(job, jobs[job.id]) for job in priced.jobs if job.id in jobs)


# -- what is told ----------------------------------------------------------------------------------------------------


def _told(
    found: ChosenPlan,
    case: FleetCase,
    priced: FleetCase,
    sites: Sites,
    best: tuple[Assignment, Poured],
    *,
    is_joint: bool,
) -> ChosenPlan:
    jobs, filled = best
    runs = {pool.name: _run(case, pool, filled) for pool in case.pools}
    assert not (wrong := flaws(case, jobs) + pool_flaws(case, jobs, runs)), wrong
    paid = {job.id: _paid(found, case, sites, job, jobs) for job in case.jobs if job.id in jobs}
    paid |= {f"pool {pool.name}": pool_components(case, sites, pool, runs[pool.name]) for pool in case.pools}
    in_all, scale = total(paid.values()), found.objective.weights.first_factor
    value, grams_gco2e = value_of(found.objective.weights, in_all), in_all.grid_gco2e
    bound_cost, bound_gco2e = _bounds(found, (case, priced), sites, jobs, filled, is_joint=is_joint)
    proof = Certificate(emissions_gco2e=value, lower_bound_gco2e=min(scale * bound_cost, value))
    certificate = Certificate(emissions_gco2e=grams_gco2e, lower_bound_gco2e=min(bound_gco2e, grams_gco2e))
    plan = replace(
        found.plan,
        case=case,
        segments=jobs,
        certificate=certificate,
        run_now=with_pools_at_once(case, found.plan.run_now),
        job_gco2e={job.id: paid[job.id].grid_gco2e for job in case.jobs if job.id in jobs},
        pools=runs,
    )
    return replace(found, plan=plan, proof=proof, job_components=paid)


def _run(case: FleetCase, pool: Pool, filled: Poured) -> PoolRun:
    segments = filled.segments[pool.name]
    return PoolRun(
        segments=segments,
        short_tokens=filled.short_ratio[pool.name] * pool.tokens,
        emissions_gco2e=sum(pool_gco2e(case, pool, one) for one in segments),
    )


def _paid(found: ChosenPlan, case: FleetCase, sites: Sites, job: Job, jobs: Assignment) -> Components:
    """As it was, with what moving its data costs, where the job has not moved."""
    is_same = jobs[job.id] == found.plan.segments[job.id]
    return found.job_components[job.id] if is_same else components(case, sites, job, jobs[job.id])


def pool_components(case: FleetCase, sites: Sites, pool: Pool, run: PoolRun) -> Components:
    """What a pool costs in each unit; it waits from its earliest start on."""
    found = []
    for one in run.segments:
        piece = Job(
            id=pool.name,
            kind=JobKind.INFERENCE_BATCH,
            submitted_at_s=pool.earliest_start_at_s,
            earliest_start_at_s=pool.earliest_start_at_s,
            deadline_at_s=pool.deadline_at_s,
            duration_s=one.duration_s,
            power_w=one.gpus * pool.densities[one.region].power_w,
            gpus=one.gpus,
        )
        cost = components(case, sites, piece, (one,))
        half_kwh_h = piece.energy_kwh * piece.duration_s / 2 / _S_PER_H
        found.append(replace(cost, waiting_kwh_h=cost.waiting_kwh_h + half_kwh_h))
    return total(found)


def _bounds(
    found: ChosenPlan,
    cases: tuple[FleetCase, FleetCase],
    sites: Sites,
    jobs: Assignment,
    filled: Poured,
    *,
    is_joint: bool,
) -> tuple[float, float]:
    """On the objective, its first weight being 1, and on the grid's grams, for plans of the same jobs and tokens."""
    case, priced = (_served(one, jobs, filled) for one in cases)
    scale = found.objective.weights.first_factor
    apart_cost = found.proof.lower_bound_gco2e / scale + _pools_bound_gco2e(priced)
    if is_joint:
        offset_cost = waiting_offset_cost(case, found.objective.weights.over(scale), set(jobs))
        apart_cost = max(apart_cost, _joint_bound_gco2e(priced, filled) - offset_cost)
    is_plain = not priced.gpu_rate_gco2e_per_s and priced.forecasts is case.forecasts
    if is_plain:
        return apart_cost, apart_cost
    apart_gco2e = found.plan.certificate.lower_bound_gco2e + _pools_bound_gco2e(case)
    return apart_cost, max(apart_gco2e, _joint_bound_gco2e(case, filled)) if is_joint else apart_gco2e


def _served(case: FleetCase, jobs: Collection[str], filled: Poured) -> FleetCase:
    """The jobs that are planned, and of the pools the tokens that are."""
    served = [
        replace(pool, tokens=pool.tokens * (1.0 - ratio))
        for pool in case.pools
        if (ratio := filled.short_ratio[pool.name]) < 1.0
    ]
    return replace(case, jobs=[job for job in case.jobs if job.id in jobs], pools=served)


def _pools_bound_gco2e(case: FleetCase) -> float:
    """Of the pools, had they the fleet to themselves."""
    if not case.pools:
        return 0.0
    alone = replace(case, jobs=[])
    return _joint_bound_gco2e(alone, poured(alone, {}))


def _guide(case: FleetCase) -> Rates | None:
    """Prices of capacity that jobs and pools together pay; None where there is nobody of one kind."""
    if not case.jobs or not case.pools:
        return None
    return lower_bound(case.jobs, Rates.of(case), _rounds(case)).rates


def _rounds(case: FleetCase) -> int:
    rounds = _ROUND_PAIRS // (len(case.jobs) * len(case.regions))
    return min(max(rounds, _LEAST_ROUNDS), _MOST_ROUNDS)


def _joint_bound_gco2e(case: FleetCase, filled: Poured) -> float:
    """The better of two ascents: from nothing, and from what GPUs are worth to the pools beside the plan."""
    if not case.jobs and not case.pools:
        return 0.0
    rates = Rates.of(case)
    worth = worth_gco2e_per_s(rates, filled.token_cost)
    near = lower_bound(
        case.jobs, rates.with_prices(worth, np.zeros_like(worth)), _PROVING_ROUNDS, _PROVING_STEP_RATIO
    ).lower_bound_gco2e
    if not case.jobs:
        return near
    far = lower_bound(case.jobs, rates, _rounds(case)).lower_bound_gco2e
    return max(near, far)
