"""The certificate's own arithmetic, worked by hand, and that it sees every kind of broken plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.jobs import Interruption
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.bound import lower_bound
from scheduler.planning.whole_fleet.certificate import Certificate, flaws, recomputed_gco2e
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from scheduler.planning.whole_fleet.rates import Rates
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series


def at(from_h: float, to_h: float, region: str = "DE") -> Segment:
    return Segment(start_at_s=MIDNIGHT_S + from_h * HOUR_S, end_at_s=MIDNIGHT_S + to_h * HOUR_S, region=region)


def a_case(*, pausing: bool = False, cap_w: float | None = None) -> FleetCase:
    pause = Interruption() if pausing else None
    return FleetCase(
        jobs=[a_job(name, within_s=3 * HOUR_S, interruption=pause, regions=("DE",)) for name in ("a", "b")],
        regions=[a_region(gpus=1 if cap_w is None else 2, pue=1.5), a_region("FR")],
        forecasts={"DE": a_series(300, 100, 200), "FR": a_series(10, 10, 10, zone="FR")},
        power_caps_w={} if cap_w is None else {"DE": cap_w},
    )


def test_the_bound_of_two_jobs_that_want_one_hour_is_the_two_cleanest_hours() -> None:
    case = a_case()
    bound = lower_bound(case.jobs, Rates.of(case))
    # The hour at 100 has one GPU; with a price of 150 g on it both hours cost the same: 1.5 * (100 + 200).
    assert bound.lower_bound_gco2e == pytest.approx(450.0, rel=1e-3)
    assert bound.lower_bound_gco2e <= 450.0


def test_the_bound_of_two_jobs_that_want_the_power_of_one_hour_is_the_two_cleanest_hours() -> None:
    case = a_case(cap_w=1500.0)
    bound = lower_bound(case.jobs, Rates.of(case))
    assert bound.lower_bound_gco2e == pytest.approx(450.0, rel=1e-3)


def test_emissions_are_recomputed_with_pue_over_partial_hours() -> None:
    case = a_case()
    assert recomputed_gco2e(case, case.jobs[0], (at(0.5, 1.5),)) == pytest.approx(1.5 * (150 + 50))


def test_a_charge_for_gpus_held_is_recomputed_and_is_in_the_bound() -> None:
    # DE: 1.5 kWh at 100 g and an hour of one GPU at 0.01 g a second; FR: 1 kWh at 10 g and the same hour at 0.1 g.
    job = a_job("a", within_s=3 * HOUR_S)
    case = replace(a_case(), jobs=[job], gpu_rate_gco2e_per_s={"DE": 0.01, "FR": 0.1})
    assert recomputed_gco2e(case, job, (at(1, 2),)) == pytest.approx(150.0 + 36.0)
    assert recomputed_gco2e(case, job, (at(1, 2, "FR"),)) == pytest.approx(10.0 + 360.0)
    bound = lower_bound(case.jobs, Rates.of(case))
    assert bound.lower_bound_gco2e == pytest.approx(186.0)


@pytest.mark.parametrize("pausing", [False, True])
def test_a_job_is_planned_where_grams_and_charges_are_least(pausing: bool) -> None:
    pause = Interruption() if pausing else None
    job = a_job("a", duration_s=2 * HOUR_S, within_s=3 * HOUR_S, gpus=1, interruption=pause)
    for charge, region in ((0.01, "FR"), (0.1, "DE")):
        case = replace(a_case(), jobs=[job], gpu_rate_gco2e_per_s={"FR": charge})
        found = plan_fleet(case, np.random.default_rng(0))
        least_gco2e = 20.0 + 7200 * charge if region == "FR" else 1.5 * 300.0
        assert [one.region for one in found.segments["a"]] == [region]
        assert found.certificate.emissions_gco2e == pytest.approx(least_gco2e)
        assert found.certificate.lower_bound_gco2e == pytest.approx(least_gco2e)
        first = at(0, 2)
        assert found.run_now.emissions_gco2e == pytest.approx(recomputed_gco2e(case, job, (first,)))


def test_emissions_outside_the_trace_are_not_a_number() -> None:
    case = a_case()
    assert recomputed_gco2e(case, case.jobs[0], (at(2.5, 3.5),)) != recomputed_gco2e(case, case.jobs[0], (at(1, 2),))
    assert str(recomputed_gco2e(case, case.jobs[0], (at(2.5, 3.5),))) == "nan"


def test_a_gap_is_counted_from_the_bound() -> None:
    assert Certificate(emissions_gco2e=102.0, lower_bound_gco2e=100.0).gap_ratio == pytest.approx(0.02)
    assert Certificate(emissions_gco2e=0.0, lower_bound_gco2e=0.0).gap_ratio == 0.0
    assert Certificate(emissions_gco2e=1.0, lower_bound_gco2e=0.0).gap_ratio is None


def test_a_plan_that_keeps_its_limits_has_no_flaws() -> None:
    assert flaws(a_case(), {"a": (at(0, 1),), "b": (at(1, 2),)}) == ()
    assert flaws(a_case(pausing=True), {"a": (at(0, 0.5), at(1, 1.5)), "b": (at(0.5, 1), at(2, 2.5))}) == ()


@pytest.mark.parametrize(
    ("segments", "what"),
    [
        ((at(0, 0.5),), "a does not run for its duration"),
        ((at(0, 0.5), at(1, 1.5)), "a is interrupted"),
        ((at(0, 1, "FR"),), "a runs where it may not"),
        ((at(-0.5, 0.5),), "a starts before its earliest start"),
        ((at(2.5, 3.5),), "a ends after its deadline"),
        ((at(1.5, 2.5),), "DE holds 2 of 1 GPUs"),
    ],
)
def test_a_broken_plan_is_seen(segments: tuple[Segment, ...], what: str) -> None:
    found = flaws(a_case(), {"a": segments, "b": (at(1, 2),)})
    assert any(what in one for one in found), found


def test_two_pieces_at_once_are_seen() -> None:
    found = flaws(a_case(pausing=True), {"a": (at(0, 0.5), at(0.25, 0.75))})
    assert "a runs in two places at once" in found


def test_too_much_power_is_seen() -> None:
    assert flaws(a_case(cap_w=3000.0), {"a": (at(0, 1),), "b": (at(0, 1),)}) == ()
    found = flaws(a_case(cap_w=2999.0), {"a": (at(0, 1),), "b": (at(0, 1),)})
    assert any("DE draws 3000 of 2999 W" in one for one in found)
