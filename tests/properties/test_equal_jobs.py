"""Fleets of equal jobs: prices still climb to the exact relaxation, and each of the jobs counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import Floats, IntensitySeries
from scheduler.jobs import Interruption, Job, JobKind
from scheduler.planning.one_job.power_profile import Phase
from scheduler.planning.plan import Region
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.alone.fillings import Fillings
from scheduler.planning.whole_fleet.alone.profiles import ProfiledWindows
from scheduler.planning.whole_fleet.alone.windows import Windows
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from scheduler.planning.whole_fleet.rates import Rates

HOUR_S = 3600.0
GPUS = {"north": 6, "south": 4}


def a_job(name: str, *, duration_s: float = 2 * HOUR_S, within_s: float = 48 * HOUR_S, pauses: bool = False) -> Job:
    return Job(
        id=name,
        kind=JobKind.FINE_TUNING,
        submitted_at_s=0.0,
        earliest_start_at_s=0.0,
        deadline_at_s=within_s,
        duration_s=duration_s,
        power_w=300.0,
        interruption=Interruption() if pauses else None,
    )


def a_case(jobs: list[Job], hours: int = 48) -> FleetCase:
    """Two regions with a day and a night, and hours that differ."""
    generator = np.random.default_rng(5)
    daily = np.cos(2 * np.pi * np.arange(hours) / 24)
    rows = {
        "north": 350.0 + 120.0 * daily + generator.normal(0.0, 20.0, hours),
        "south": 250.0 - 60.0 * daily + generator.normal(0.0, 20.0, hours),
    }
    return FleetCase(
        jobs=jobs,
        regions=[Region(name=name, zone=name, gpus=gpus) for name, gpus in GPUS.items()],
        forecasts={name: IntensitySeries.regular(name, 0.0, HOUR_S, row) for name, row in rows.items()},
    )


def relaxed_gco2e(case: FleetCase) -> float:
    """The exact linear programme of jobs of whole hours: how many of each length start at each hour of each region."""
    solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    held: dict[tuple[str, int], list[Any]] = {}
    for hours in {round(job.duration_s / HOUR_S) for job in case.jobs}:
        alike = [job for job in case.jobs if round(job.duration_s / HOUR_S) == hours]
        some = []
        for region in case.regions:
            kwh_g = case.forecasts[region.zone].gco2e_per_kwh * alike[0].power_w / 1000.0
            for first in range(round(alike[0].deadline_at_s / HOUR_S) - hours + 1):
                some.append(solver.addVariable(lb=0.0, obj=float(kwh_g[first : first + hours].sum())))
                for hour in range(first, first + hours):
                    held.setdefault((region.name, hour), []).append(some[-1])
        solver.addConstr(solver.qsum(some) == len(alike))
    for (name, _), some in held.items():
        solver.addConstr(solver.qsum(some) <= GPUS[name])
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(solver.getInfo().objective_function_value)


def test_the_bound_of_equal_jobs_is_within_a_hundredth_of_the_exact_relaxation() -> None:
    # 144 jobs of 2 h on 10 GPUs for 48 h: 60 % load.
    case = a_case([a_job(f"job-{number}") for number in range(144)])
    least = relaxed_gco2e(case)
    bound = lower_bound(case.jobs, Rates.of(case)).lower_bound_gco2e
    assert 0.99 * least <= bound <= least


def test_the_bound_of_a_few_kinds_of_equal_jobs_is_within_a_hundredth_of_the_exact_relaxation() -> None:
    case = a_case([a_job(f"job-{number}", duration_s=(1 + number % 3) * HOUR_S) for number in range(144)])
    least = relaxed_gco2e(case)
    bound = lower_bound(case.jobs, Rates.of(case)).lower_bound_gco2e
    assert 0.99 * least <= bound <= least


def test_equal_jobs_that_may_pause_have_a_bound_near_the_cheapest_room_for_all_of_them() -> None:
    case = a_case([a_job(f"job-{number}", pauses=True) for number in range(144)])
    in_one_piece = a_case([a_job(f"job-{number}") for number in range(144)])
    every = np.concatenate([np.repeat(case.forecasts[name].gco2e_per_kwh, gpus) for name, gpus in GPUS.items()])
    least = float(np.sort(every)[: 2 * 144].sum() * 0.3)
    assert least <= relaxed_gco2e(in_one_piece)
    # Its use is spread over cells, not over regions, and ends at 1.1 %; without any of it at 5.8 %.
    assert 0.985 * least <= lower_bound(case.jobs, Rates.of(case)).lower_bound_gco2e <= least


@pytest.mark.slow
def test_five_hundred_equal_jobs_have_a_plan_near_its_bound() -> None:
    case = a_case([a_job(f"job-{number}", within_s=168 * HOUR_S) for number in range(500)], hours=168)
    found = plan_fleet(case, np.random.default_rng(1))
    gap_ratio = found.certificate.gap_ratio
    assert not found.reasons
    assert gap_ratio is not None
    assert gap_ratio <= 0.05
    assert found.certificate.lower_bound_gco2e <= relaxed_gco2e(case)


prices = st.lists(st.floats(0.0, 0.2), min_size=96, max_size=96).map(lambda row: np.reshape(row, (2, 48)) / HOUR_S)


def chosen(
    kind: type[Windows | Fillings | ProfiledWindows],
    case: FleetCase,
    gpu_price: Floats,
    near: float,
    jobs: Sequence[Job] | None = None,
) -> tuple[float, Floats]:
    rates = Rates.of(case)
    rates = rates.with_prices(gpu_price, rates.power_price_gco2e_per_j)
    gpu_s, facility_j = np.zeros_like(gpu_price), np.zeros_like(gpu_price)
    paid = kind(jobs or case.jobs, rates).choose(rates, gpu_s, facility_j, near)
    assert facility_j == pytest.approx(300.0 * gpu_s, abs=1e-3)
    return paid, gpu_s


def jobs_of(kind: type[Windows | Fillings | ProfiledWindows], equals: int, odd_s: float) -> FleetCase:
    pauses = kind is Fillings
    jobs = [a_job(f"job-{number}", pauses=pauses) for number in range(equals)]
    case = a_case([*jobs, a_job("odd", duration_s=odd_s, within_s=20 * HOUR_S, pauses=pauses)])
    if kind is not ProfiledWindows:
        return case
    return replace(case, phases={job.id: [Phase(duration_s=job.duration_s, power_w=300.0)] for job in case.jobs})


@pytest.mark.parametrize("kind", [Windows, Fillings, ProfiledWindows])
@settings(max_examples=20, deadline=None, derandomize=True)
@given(price=prices, odd_s=st.floats(600.0, 8 * HOUR_S), near=st.floats(1e-6, 1e-4))
def test_use_that_is_spread_is_all_of_the_use_and_what_is_paid_stays_the_least(
    kind: type[Windows | Fillings | ProfiledWindows], price: Floats, odd_s: float, near: float
) -> None:
    case = jobs_of(kind, 3, odd_s)
    paid, gpu_s = chosen(kind, case, price, 0.0)
    near_paid, near_gpu_s = chosen(kind, case, price, near)
    assert near_paid == pytest.approx(paid, rel=1e-12)
    assert near_gpu_s.sum() == pytest.approx(gpu_s.sum())
    assert near_gpu_s.min() >= -1e-6
    # Whoever pays for the spread use pays at most the margin more than the least.
    carbon = Rates.of(case).carbon_g_per_kwh
    costs = float((near_gpu_s * (0.3 * carbon / HOUR_S + price)).sum())
    assert paid - 1e-9 <= costs <= paid + 2 * near * float(gpu_s.sum()) + 1e-9


@settings(max_examples=20, deadline=None, derandomize=True)
@given(price=prices, odd_s=st.floats(600.0, 8 * HOUR_S), near=st.sampled_from([0.0, 1e-5]))
def test_equal_jobs_together_pay_and_use_what_they_do_one_by_one(price: Floats, odd_s: float, near: float) -> None:
    case = jobs_of(Windows, 4, odd_s)
    paid, gpu_s = chosen(Windows, case, price, near)
    alone = [chosen(Windows, case, price, near, [job]) for job in case.jobs]
    assert paid == pytest.approx(sum(one[0] for one in alone))
    assert gpu_s == pytest.approx(sum(one[1] for one in alone), abs=1e-6)


def test_each_equal_job_has_its_own_least_cost() -> None:
    case = jobs_of(Windows, 3, HOUR_S)
    rates = Rates.of(case)
    least = Windows(case.jobs, rates).least_gco2e(rates)
    assert least.keys() == {job.id for job in case.jobs}
    assert len({least[f"job-{number}"] for number in range(3)}) == 1
