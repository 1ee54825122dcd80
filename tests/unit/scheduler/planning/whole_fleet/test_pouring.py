"""Pools of tokens in what jobs leave, by hand: 100 tokens a second on a GPU of a kilowatt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from scheduler.planning.plan import Hold, Segment
from scheduler.planning.reasons.pool_changes import pool_changes, why_short
from scheduler.planning.whole_fleet.choosing import ChosenPlan, plan_for
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import RunNow, run_now
from scheduler.planning.whole_fleet.objective import Objective, Site, Weights
from scheduler.planning.whole_fleet.token_filling.at_once import with_pools_at_once
from scheduler.planning.whole_fleet.token_filling.certificate import pool_flaws
from scheduler.planning.whole_fleet.token_filling.planned import plan_with_pools
from scheduler.planning.whole_fleet.token_filling.pouring import Poured, poured
from scheduler.planning.whole_fleet.token_pools import Density, InvalidPoolError, Pool, PoolRun, PoolSegment
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

GPU_H_TOKENS = 100.0 * 3600.0
EVERYWHERE = Density(tokens_per_s=100.0, power_w=1000.0)


def a_pool(
    name: str = "pool",
    *,
    gpu_h: float = 1.0,
    first_h: float = 0.0,
    by_h: float = 6.0,
    regions: tuple[str, ...] = (),
    densities: Mapping[str, Density] | None = None,
    priority: int = 0,
) -> Pool:
    return Pool(
        name=name,
        tokens=gpu_h * GPU_H_TOKENS,
        earliest_start_at_s=MIDNIGHT_S + first_h * HOUR_S,
        deadline_at_s=MIDNIGHT_S + by_h * HOUR_S,
        densities=densities or {"DE": EVERYWHERE, "FR": EVERYWHERE},
        regions=regions,
        priority=priority,
    )


def a_case(*pools: Pool, gpus: int = 2, cap_w: float | None = None) -> FleetCase:
    return FleetCase(
        jobs=[],
        regions=[a_region("DE", gpus=gpus, pue=1.5), a_region("FR")],
        forecasts={"DE": a_series(500, 400, 100, 200, 450, 300), "FR": a_series(*[250] * 6, zone="FR")},
        power_caps_w={} if cap_w is None else {"DE": cap_w},
        pools=pools,
    )


def hours_of(found: Poured, name: str = "pool") -> list[tuple[str, float, float, int]]:
    return [
        (one.region, (one.start_at_s - MIDNIGHT_S) / HOUR_S, (one.end_at_s - MIDNIGHT_S) / HOUR_S, one.gpus)
        for one in found.segments[name]
    ]


def test_a_pool_takes_all_gpus_in_the_cleanest_hours_and_the_rest_where_it_is_next_best() -> None:
    found = poured(a_case(a_pool(gpu_h=2.5)), {})
    # DE at 02:00 costs 150 g a GPU-hour on two GPUs, then FR 250 anywhere.
    assert hours_of(found)[-1] == ("DE", 2.0, 3.0, 2) or ("DE", 2.0, 3.0, 2) in hours_of(found)
    assert found.cost == pytest.approx(2 * 150 + 0.5 * 250)
    assert found.short_ratio == {"pool": 0.0}


def test_a_pool_runs_where_a_gpu_makes_more_of_a_gram() -> None:
    quick = {"DE": EVERYWHERE, "FR": Density(tokens_per_s=300.0, power_w=1000.0)}
    found = poured(a_case(a_pool(gpu_h=3, densities=quick)), {})
    # In FR 250 g make three times the tokens that 150 g make in DE.
    assert found.cost == pytest.approx(250)
    assert {region for region, *_ in hours_of(found)} == {"FR"}


def test_a_pool_fills_what_a_job_leaves() -> None:
    job = a_job("job", gpus=1, regions=("DE",))
    case = replace(a_case(a_pool(gpu_h=2, regions=("DE",))), jobs=[job])
    clean = Segment(start_at_s=MIDNIGHT_S + 2 * HOUR_S, end_at_s=MIDNIGHT_S + 2.5 * HOUR_S, region="DE")
    found = poured(case, {"job": (clean,)})
    # One GPU for half an hour and two for the other, then half an hour of two at 03:00.
    assert hours_of(found)[:2] == [("DE", 2.0, 2.5, 1), ("DE", 2.5, 3.25, 2)]
    assert found.cost == pytest.approx(1.5 * 150 + 0.5 * 300)


def test_two_pools_share_the_clean_hour_by_what_else_they_could_have() -> None:
    late, early = a_pool("late", gpu_h=2, regions=("DE",)), a_pool("early", gpu_h=2, by_h=3, regions=("DE",))
    found = poured(a_case(late, early), {})
    # Both want 02:00; without it `early` pays 600 a GPU-hour and `late` 300.
    assert hours_of(found, "early") == [("DE", 2.0, 3.0, 2)]
    assert hours_of(found, "late") == [("DE", 3.0, 4.0, 2)]


def test_a_power_cap_and_a_hold_leave_fewer_gpus() -> None:
    assert hours_of(poured(a_case(a_pool(gpu_h=1, regions=("DE",)), cap_w=1600.0), {})) == [("DE", 2.0, 3.0, 1)]
    case = a_case(a_pool(gpu_h=1, regions=("DE",)))
    held = Hold(start_at_s=MIDNIGHT_S + 2 * HOUR_S, end_at_s=MIDNIGHT_S + 3 * HOUR_S, gpus=1)
    case = replace(case, regions=[replace(case.regions[0], held=(held,)), case.regions[1]])
    assert hours_of(poured(case, {})) == [("DE", 2.0, 3.0, 1)]


def test_energy_that_earns_makes_no_more_tokens_than_are_asked_for() -> None:
    case = replace(a_case(a_pool(gpu_h=0.5)), forecasts={"DE": a_series(*[-100] * 6), "FR": a_series(*[5] * 6)})
    assert poured(case, {}).cost == pytest.approx(-0.5 * 150)


def test_what_cannot_be_met_goes_to_priority_first_and_then_to_who_must_end_first() -> None:
    first, second = a_pool("first", gpu_h=3, by_h=1), a_pool("second", gpu_h=3, by_h=2)
    found = poured(a_case(second, first), {})
    assert found.short_ratio == pytest.approx({"second": 0.0, "first": 0.0}, abs=1e-6)
    urgent = replace(second, deadline_at_s=first.deadline_at_s, priority=1)
    found = poured(a_case(first, urgent), {})
    assert found.short_ratio == pytest.approx({"first": 1.0, "second": 0.0}, abs=1e-5)
    half = poured(a_case(a_pool(gpu_h=6, by_h=1)), {})
    assert half.short_ratio == pytest.approx({"pool": 0.5}, abs=1e-5)


def test_a_pool_without_tokens_or_time_is_refused() -> None:
    for change in ({"tokens": 0.0}, {"deadline_at_s": MIDNIGHT_S}):
        with pytest.raises(InvalidPoolError):
            replace(a_pool(), **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidPoolError):
        Density(tokens_per_s=0.0, power_w=1.0)


# -- at once ---------------------------------------------------------------------------------------------------------


def test_at_once_a_pool_takes_every_free_gpu_until_it_is_done() -> None:
    case = a_case(a_pool(gpu_h=4.5), a_pool("next", gpu_h=3.0, by_h=2.0))
    nobody = RunNow(segments={}, emissions_gco2e=0.0, late=0)
    found = with_pools_at_once(case, nobody)
    # Three GPUs for an hour and a half; then the next pool for an hour, half an hour after its deadline.
    first = 2 * 750 + 250 + 0.5 * (2 * 600 + 250)
    assert found.emissions_gco2e == pytest.approx(first + 0.5 * (2 * 600 + 250) + 0.5 * (2 * 150 + 250))
    assert found.late == 1


def test_a_pool_that_never_ends_at_once_has_no_number() -> None:
    found = with_pools_at_once(a_case(a_pool(gpu_h=100)), RunNow(segments={}, emissions_gco2e=0.0, late=0))
    assert (found.emissions_gco2e, found.late) == (None, 1)


# -- with jobs -------------------------------------------------------------------------------------------------------


def planned(case: FleetCase, pools: Sequence[Pool], weights: Weights | None = None, **sites: Site) -> ChosenPlan:
    every = {region.name: sites.get(region.name, Site()) for region in case.regions}
    objective = Objective() if weights is None else Objective(weights=weights)
    alone = plan_for(replace(case, pools=()), every, objective, np.random.default_rng(0), run_now(case))
    return plan_with_pools(alone, pools, every, may_move=True)


@pytest.mark.slow
def test_a_job_leaves_the_clean_hour_to_a_pool_that_gains_more_by_it() -> None:
    hungry = Density(tokens_per_s=100.0, power_w=2000.0)
    pool = a_pool(gpu_h=2, by_h=3, regions=("DE",), densities={"DE": hungry})
    job = a_job("job", power_w=100.0, within_s=6 * HOUR_S, regions=("DE",))
    found = planned(replace(a_case(), jobs=[job]), [pool])
    assert found.plan.segments["job"][0].start_at_s == MIDNIGHT_S + 3 * HOUR_S
    least = 0.1 * 1.5 * 200 + 2 * 2.0 * 1.5 * 100
    assert found.plan.certificate.emissions_gco2e == pytest.approx(least)
    assert 0.9 * least <= found.plan.certificate.lower_bound_gco2e <= least


def test_pools_alone_are_proved_to_the_gram_and_counted_in_every_unit() -> None:
    found = planned(a_case(), [a_pool(gpu_h=2.5)], DE=Site(usd_per_kwh=0.2), FR=Site(usd_per_kwh=0.1))
    assert found.plan.certificate.gap_ratio == pytest.approx(0.0, abs=1e-6)
    # 2 kWh at PUE 1.5 in DE, half a kWh in FR.
    assert found.components.energy_kwh == pytest.approx(3.5)
    assert found.components.usd == pytest.approx(3 * 0.2 + 0.5 * 0.1)


@pytest.mark.slow
def test_waiting_counts_from_the_earliest_start_of_a_pool() -> None:
    job = a_job("job", power_w=0.0, within_s=HOUR_S)
    late = a_pool(gpu_h=3, first_h=1.0)
    weights = Weights(per_gco2e=1.0, per_waiting_kwh_h=1000.0)
    found = planned(replace(a_case(), jobs=[job]), [late], weights)
    # At once from 01:00 on all three GPUs, half an hour in the mean.
    assert found.job_components["pool pool"].waiting_kwh_h == pytest.approx(1.5)
    assert found.proof.emissions_gco2e == pytest.approx(2 * 600 + 250 + 1500)
    assert found.proof.lower_bound_gco2e == pytest.approx(found.proof.emissions_gco2e, rel=0.01)


def test_what_is_short_is_said_with_changes_that_help() -> None:
    pool = a_pool(gpu_h=3, by_h=2, regions=("FR",))
    found = planned(a_case(), [pool]).plan
    assert found.pools["pool"].short_tokens == pytest.approx(GPU_H_TOKENS, rel=1e-4)
    assert why_short(found, pool).startswith("deadline: the whole fleet makes 720,000 of 1,080,000 tokens by")
    later, elsewhere, fewer = pool_changes(found, pool)
    assert later.value == "2022-03-01T03:00:00Z"
    assert elsewhere.value == ["FR", "DE"]
    assert fewer.value == pytest.approx(720_000, rel=1e-4)
    for change in (later, elsewhere, fewer):
        changed = {
            "finish_by": replace(pool, deadline_at_s=MIDNIGHT_S + 3 * HOUR_S),
            "zones": replace(pool, regions=("FR", "DE")),
            "tokens": replace(pool, tokens=float(fewer.value)),
        }[change.field]
        assert planned(a_case(), [changed]).plan.pools["pool"].short_tokens == 0


# -- the certificate -------------------------------------------------------------------------------------------------


def flaws_of(case: FleetCase, *segments: PoolSegment) -> str:
    return "; ".join(pool_flaws(case, {}, {"pool": PoolRun(segments=segments)}))


def test_the_certificate_sees_every_fault_of_a_pool() -> None:
    case = a_case(a_pool(gpu_h=2, first_h=1, by_h=3, regions=("DE",)), cap_w=2000.0)
    good = PoolSegment(start_at_s=MIDNIGHT_S + HOUR_S, end_at_s=MIDNIGHT_S + 3 * HOUR_S, region="DE", gpus=1)
    assert flaws_of(case, good) == ""
    assert "makes 360000" in flaws_of(case, replace(good, end_at_s=good.end_at_s - HOUR_S))
    assert "before its earliest start" in flaws_of(case, replace(good, start_at_s=MIDNIGHT_S))
    assert "after its deadline" in flaws_of(case, replace(good, end_at_s=MIDNIGHT_S + 4 * HOUR_S))
    assert "where it may not" in flaws_of(case, replace(good, region="FR"))
    assert "draws 3000 of 2000 W" in flaws_of(case, replace(good, gpus=2))
    assert "holds 3 of 2 GPUs" in flaws_of(case, replace(good, gpus=3))
