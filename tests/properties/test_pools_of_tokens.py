"""Pools of tokens beside an exact solver: HiGHS on the same division, and on jobs and pools together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from intensity_feeds.series import Floats
from scheduler.jobs import Interruption, Job
from scheduler.planning.plan import Hold
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.choosing import plan_for
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.objective import Objective, Site
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.token_filling.certificate import pool_flaws, pool_gco2e
from scheduler.planning.whole_fleet.token_filling.planned import plan_with_pools
from scheduler.planning.whole_fleet.token_filling.pouring import Poured, poured
from scheduler.planning.whole_fleet.token_filling.shares import cheapest_shares
from scheduler.planning.whole_fleet.token_pools import Density, Pool, PoolRun
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

highspy = pytest.importorskip("highspy", reason="highspy is not installed: the exact solver is not asked")

HOURS, QUARTER_S = 8, 900.0
NAMES = ("Z0", "Z1")
PUES = {"Z0": 1.2, "Z1": 1.0}
intensities = st.lists(st.integers(-3, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)
positive = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)
densities = st.builds(
    Density, tokens_per_s=st.sampled_from((50.0, 100.0, 130.0)), power_w=st.sampled_from((300.0, 700.0, 1000.0))
)


@st.composite
def some_pools(draw: st.DrawFn, most: int = 3) -> list[Pool]:
    pools = []
    for number in range(draw(st.integers(1, most))):
        first = draw(st.integers(0, HOURS - 1))
        last = draw(st.integers(first + 1, HOURS))
        pools.append(
            Pool(
                name=f"pool-{number}",
                tokens=draw(st.integers(1, 60)) * 60_000.0,
                earliest_start_at_s=MIDNIGHT_S + first * HOUR_S,
                deadline_at_s=MIDNIGHT_S + last * HOUR_S,
                densities={name: draw(densities) for name in NAMES},
                regions=draw(st.sampled_from(((), ("Z0",), ("Z1",)))),
                priority=draw(st.integers(0, 1)),
            )
        )
    return pools


def a_case(pools: Sequence[Pool], row: Sequence[float], other: Sequence[float], jobs: Sequence[Job] = ()) -> FleetCase:
    held = Hold(start_at_s=MIDNIGHT_S + HOUR_S, end_at_s=MIDNIGHT_S + 2 * HOUR_S, gpus=2)
    return FleetCase(
        jobs=jobs,
        regions=[replace(a_region("Z0", gpus=3, pue=PUES["Z0"]), held=(held,)), a_region("Z1", gpus=2)],
        forecasts={"Z0": a_series(*row, zone="Z0"), "Z1": a_series(*other, zone="Z1")},
        gpu_rate_gco2e_per_s={"Z1": 0.002},
        pools=pools,
    )


def runs_of(case: FleetCase, found: Poured) -> dict[str, PoolRun]:
    return {
        pool.name: PoolRun(segments=found.segments[pool.name], short_tokens=found.short_ratio[pool.name] * pool.tokens)
        for pool in case.pools
    }


def paid_by_hand(case: FleetCase, found: Poured) -> float:
    """Grams of the grid and of GPUs held, from the segments alone."""
    return sum(
        pool_gco2e(case, pool, one) + one.gpus * one.duration_s * case.gpu_rate_gco2e_per_s.get(one.region, 0.0)
        for pool in case.pools
        for one in found.segments[pool.name]
    )


# -- the solver ------------------------------------------------------------------------------------------------------


class Asked:
    """One programme of HiGHS over quarters of an hour: GPUs of each pool, and starts of jobs."""

    def __init__(self, case: FleetCase, *, may_be_short: bool = False) -> None:
        self._case = case
        self._solver = highspy.Highs()
        self._solver.setOptionValue("output_flag", False)
        self._solver.setOptionValue("mip_rel_gap", 0.0)
        self._held: dict[tuple[str, int], list[Any]] = {}
        self._short_tokens = [self._ask_pool(pool, may_be_short=may_be_short) for pool in case.pools]
        for job in case.jobs:
            self._ask_job(job)
        for (name, slot), ones in self._held.items():
            self._solver.addConstr(sum(ones[1:], start=ones[0]) <= self._free(name, slot))

    def _free(self, name: str, slot: int) -> int:
        region = next(one for one in self._case.regions if one.name == name)
        at_s = MIDNIGHT_S + (slot + 0.5) * QUARTER_S
        return region.gpus - sum(one.gpus for one in region.held if one.start_at_s <= at_s < one.end_at_s)

    def _gco2e_per_gpu(self, name: str, slot: int, power_w: float) -> float:
        intensity = float(self._case.forecasts[name].gco2e_per_kwh[slot // 4])
        grid = power_w / 1000.0 * PUES[name] * intensity * QUARTER_S / 3600.0
        return grid + self._case.gpu_rate_gco2e_per_s.get(name, 0.0) * QUARTER_S

    def _ask_pool(self, pool: Pool, *, may_be_short: bool) -> Any:
        made = self._solver.addVariable(lb=0.0, ub=pool.tokens if may_be_short else 0.0, obj=0.0)
        tokens = made + 0.0
        first, last = (round((one - MIDNIGHT_S) / QUARTER_S) for one in (pool.earliest_start_at_s, pool.deadline_at_s))
        for name in NAMES:
            if (density := pool.density_in(name)) is None:
                continue
            for slot in range(first, last):
                gpus = self._solver.addVariable(lb=0.0, obj=self._gco2e_per_gpu(name, slot, density.power_w))
                self._held.setdefault((name, slot), []).append(1.0 * gpus)
                tokens = tokens + density.tokens_per_s * QUARTER_S * gpus
        self._solver.addConstr(tokens == pool.tokens)
        return made

    def _ask_job(self, job: Job) -> None:
        length = round(job.duration_s / QUARTER_S)
        first, last = (round((one - MIDNIGHT_S) / QUARTER_S) for one in (job.earliest_start_at_s, job.deadline_at_s))
        pieces = 1 if job.interruption is not None else length
        chosen: list[Any] = []
        busy: dict[int, list[Any]] = {}
        for name in NAMES:
            for slot in range(first, last - pieces + 1):
                cost = sum(self._gco2e_per_gpu(name, at, job.power_w / job.gpus) for at in range(slot, slot + pieces))
                is_here = self._solver.addBinary(obj=job.gpus * cost)
                chosen.append(is_here)
                for at in range(slot, slot + pieces):
                    self._held.setdefault((name, at), []).append(float(job.gpus) * is_here)
                    busy.setdefault(at, []).append(is_here)
        self._solver.addConstr(sum(chosen[1:], start=chosen[0] + 0.0) == length // pieces)
        for ones in busy.values() if pieces == 1 else ():
            self._solver.addConstr(sum(ones[1:], start=ones[0] + 0.0) <= 1)

    def least_gco2e(self) -> float:
        """Infinite where there is no such plan."""
        self._solver.run()
        is_solved = self._solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
        return float(self._solver.getInfo().objective_function_value) if is_solved else float("inf")


# -- the division ----------------------------------------------------------------------------------------------------


def least_by_solver(gain: Floats, cost: Floats, wanted: Floats) -> float:
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    pools, cells = gain.shape
    ones = [[solver.addVariable(lb=0.0, obj=float(cost[p, c])) for c in range(cells)] for p in range(pools)]
    for p in range(pools):
        solver.addConstr(
            sum((float(gain[p, c]) * ones[p][c] for c in range(1, cells)), start=float(gain[p, 0]) * ones[p][0])
            == float(wanted[p])
        )
    for c in range(cells):
        solver.addConstr(sum((1.0 * ones[p][c] for p in range(1, pools)), start=1.0 * ones[0][c]) <= 1.0)
    solver.run()
    is_solved = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(solver.getInfo().objective_function_value) if is_solved else float("inf")


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 40), st.floats(0.05, 0.9), st.integers(0, 10_000), st.booleans())
def test_shares_cost_what_the_solver_finds(pools: int, cells: int, load_ratio: float, seed: int, ties: bool) -> None:
    generator = np.random.default_rng(seed)
    speed: Floats = (
        generator.integers(1, 4, (pools, cells)).astype(np.float64)
        if ties
        else generator.uniform(0.5, 2.0, (pools, cells))
    )
    gain: Floats = speed * (generator.random((pools, cells)) < 0.8)
    price: Floats = (
        generator.integers(-1, 4, (pools, cells)).astype(np.float64)
        if ties
        else generator.uniform(-0.2, 3.0, (pools, cells))
    )
    cost: Floats = np.where(gain > 0, price, 0.0)
    wanted = np.maximum(load_ratio * gain.sum(axis=1) / pools, 1e-3)
    assume((gain.sum(axis=1) > 0).all())
    best = least_by_solver(gain, np.where(gain > 0, cost, 1e6), wanted)
    found = cheapest_shares(gain, cost, wanted)
    assert (found.share_ratio >= 0).all() and (found.share_ratio.sum(axis=0) <= 1 + 1e-9).all()
    if np.isinf(best):
        assert found.short_ratio.max() > 1e-9
        return
    assert found.short_ratio.max() < 1e-7
    assert (gain * found.share_ratio).sum(axis=1) == pytest.approx(wanted, rel=1e-6)
    close = 1e-6 * (abs(best) + float(np.abs(cost).max(initial=0.0)))
    assert found.cost == pytest.approx(best, abs=close)
    assert best - close <= found.bound_cost + 2 * close <= best + 3 * close


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(some_pools(), intensities, intensities)
def test_pools_alone_are_poured_at_the_least_there_is(pools: list[Pool], row: list[float], other: list[float]) -> None:
    case = a_case(pools, row, other)
    found = poured(case, {})
    assert not pool_flaws(case, {}, runs_of(case, found))
    assert found.cost == pytest.approx(paid_by_hand(case, found), abs=1e-3)
    best = Asked(case).least_gco2e()
    is_met = max(found.short_ratio.values()) == 0.0
    assert is_met == np.isfinite(best)
    if is_met:
        assert found.cost == pytest.approx(best, abs=1e-3, rel=1e-6)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(some_pools(most=1), positive, positive, st.sampled_from((2, 5)))
def test_more_time_regions_and_capacity_never_hurt_a_pool(
    pools: list[Pool], row: list[float], other: list[float], factor: int
) -> None:
    case = a_case(pools, row, other)
    plain = poured(case, {})
    (pool,) = pools
    wider = replace(pool, regions=(), deadline_at_s=max(pool.deadline_at_s, MIDNIGHT_S + HOURS * HOUR_S))
    larger = [replace(region, gpus=region.gpus + 1) for region in case.regions]
    for one in (replace(case, pools=[wider]), replace(case, regions=larger)):
        found = poured(one, {})
        assert found.rank[0] <= plain.rank[0]
        if plain.rank[0] == 0.0:
            assert found.cost <= plain.cost * (1 + 1e-6)
    scaled = poured(a_case(pools, [factor * one for one in row], [factor * one for one in other]), {})
    assert scaled.short_ratio == pytest.approx(plain.short_ratio, abs=1e-6)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True)
@given(some_pools(), positive, positive, st.floats(200.0, 4000.0))
def test_a_power_cap_holds_at_every_instant_and_the_bound_below(
    pools: list[Pool], row: list[float], other: list[float], cap_w: float
) -> None:
    case = replace(a_case(pools, row, other), power_caps_w={"Z0": cap_w, "Z1": 800.0})
    found = poured(case, {})
    assert not pool_flaws(case, {}, runs_of(case, found))
    served = [
        replace(pool, tokens=pool.tokens * (1 - ratio))
        for pool in pools
        if (ratio := found.short_ratio[pool.name]) < 1 - 1e-6
    ]
    if served:
        bound = lower_bound([], Rates.of(replace(case, pools=served)), rounds=30)
        assert bound.lower_bound_gco2e <= found.cost * (1 + 1e-6) + 1e-3


# -- jobs and pools --------------------------------------------------------------------------------------------------


@st.composite
def quarter_hour_jobs(draw: st.DrawFn) -> list[Job]:
    jobs = []
    for number in range(draw(st.integers(1, 6))):
        length = draw(st.integers(1, 12))
        earliest = draw(st.integers(0, HOURS * 4 - length))
        gpus = draw(st.integers(1, 2))
        jobs.append(
            a_job(
                f"job-{number}",
                duration_s=length * QUARTER_S,
                earliest_s=MIDNIGHT_S + earliest * QUARTER_S,
                within_s=draw(st.integers(length, HOURS * 4 - earliest)) * QUARTER_S,
                gpus=gpus,
                power_w=300.0 * gpus,
                interruption=draw(st.sampled_from((None, None, Interruption()))),
            )
        )
    return jobs


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(quarter_hour_jobs(), some_pools(), positive, positive)
def test_the_optimum_of_jobs_and_pools_lies_between_the_bound_and_the_plan(
    jobs: list[Job], pools: list[Pool], row: list[float], other: list[float]
) -> None:
    case = replace(a_case(pools, row, other, jobs), gpu_rate_gco2e_per_s={})
    sites = {name: Site() for name in NAMES}
    alone = plan_for(replace(case, pools=()), sites, Objective(), np.random.default_rng(0))
    assume(alone.plan.segments)
    found = plan_with_pools(alone, pools, sites, may_move=True)
    proof, runs = found.plan.certificate, found.plan.pools
    assert not pool_flaws(case, found.plan.segments, runs)
    served = [
        replace(pool, tokens=tokens) for pool in pools if (tokens := pool.tokens - runs[pool.name].short_tokens) > 1e-3
    ]
    planned = [job for job in jobs if job.id in found.plan.segments]
    # The very last tokens of a fleet that is full are a matter of rounding.
    best = Asked(replace(case, jobs=planned, pools=[replace(one, tokens=one.tokens * (1 - 1e-6)) for one in served]))
    least = best.least_gco2e()
    assert proof.lower_bound_gco2e <= least * (1 + 1e-4) + 1e-3
    assert least <= proof.emissions_gco2e * (1 + 1e-6) + 1e-3
    # The smallest fleets are hardest: one job is a large share of the whole.
    assert proof.emissions_gco2e <= 1.1 * least
