"""Looks that go through what is free stretch by stretch, beside the plan's own, which go through it slot by slot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.rates import Rates
from scheduler.planning.whole_fleet.slots.grid import Ask, View
from scheduler.planning.whole_fleet.slots.looks import Looks
from scheduler.planning.whole_fleet.slots.plan import Place, SlotPlan
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series

HOURS, STEP_S = 10, 420.0
intensities = st.lists(st.integers(1, 50).map(lambda ten: 10.0 * ten), min_size=HOURS, max_size=HOURS)


@st.composite
def jobs(draw: st.DrawFn) -> list[Job]:
    found = []
    for number in range(draw(st.integers(2, 9))):
        length = draw(st.integers(1, 25))
        gpus = draw(st.integers(1, 4))
        earliest_s = draw(st.integers(0, 80 - length)) * STEP_S
        within_s = min((length + draw(st.integers(0, 60))) * STEP_S, HOURS * HOUR_S - earliest_s)
        found.append(
            a_job(
                f"job-{number}",
                duration_s=length * STEP_S,
                earliest_s=MIDNIGHT_S + earliest_s,
                within_s=within_s,
                gpus=gpus,
                power_w=draw(st.sampled_from((300.0, 700.0))) * gpus,
                interruption=draw(st.sampled_from((None, Interruption()))),
                regions=draw(st.sampled_from(((), ("Z1",)))),
            )
        )
    return found


@given(jobs(), intensities, intensities, st.sampled_from(({}, {"Z0": 1500.0})), st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_a_look_finds_a_place_as_cheap_as_the_plan_does(
    some: list[Job], row: list[float], other: list[float], caps_w: dict[str, float], seed: int
) -> None:
    case = FleetCase(
        jobs=some,
        regions=[a_region("Z0", gpus=4, pue=1.2), a_region("Z1", gpus=3)],
        forecasts={"Z0": a_series(*row, zone="Z0"), "Z1": a_series(*other, zone="Z1")},
        gpu_rate_gco2e_per_s={"Z1": 0.002},
        power_caps_w=caps_w,
    )
    carbon = Rates.of(case)
    plan = SlotPlan(case, carbon)
    gpu_prices = np.random.default_rng(seed).exponential(0.02, carbon.gpu_price_gco2e_per_s.shape)
    priced = plan.view(replace(carbon, gpu_price_gco2e_per_s=gpu_prices, _curves={}))
    looks = Looks(plan, [priced])
    # Each job is looked at beside those that are placed already, then stays.
    for ask in plan.asks:
        for number, view in enumerate((plan.carbon, priced)):
            _compare(plan, ask, view, plan.cheapest(ask, view), looks.cheapest(ask, number))
        if place := looks.cheapest(ask, 0):
            plan.put(ask, place)
    assert (plan.free >= 0).all()


def _compare(plan: SlotPlan, ask: Ask, view: View, own: Place | None, found: Place | None) -> None:
    assert (found is None) == (own is None)
    if own is None or found is None:
        return
    assert len(plan.short_of_room(ask, found)) == 0
    assert plan.cost_gco2e(ask, found, view) == pytest.approx(plan.cost_gco2e(ask, own, view), rel=1e-7, abs=1e-9)
    assert found.gco2e == pytest.approx(plan.cost_gco2e(ask, found, plan.carbon), rel=1e-9)
    assert ask.first <= found.begin < found.end <= ask.stop
    if found.cells is not None:
        assert len(found.cells[0]) == ask.length
        assert np.all(np.diff(found.cells[1]) > 0)
