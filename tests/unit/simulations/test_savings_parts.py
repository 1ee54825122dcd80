"""Where a saving comes from, worked by hand: 400 g/kWh at night, 100 g/kWh from 06:00 to 12:00, one kilowatt a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from intensity_feeds.series import IntensitySeries
from simulations.grid import Grid, blind
from simulations.results import results_of
from simulations.runs import Inputs, run_both
from simulations.savings_parts import Part, SavingsParts, part_rows, plain_parts, savings_parts
from simulations.scenario import (
    ForecastKind,
    ForecastSettings,
    JobSettings,
    PolicyKind,
    PolicySettings,
    RegionSettings,
    RequestSettings,
)
from simulations.summary import headline
from simulations.waterfall import waterfall_figure
from tests.unit.simulations.scenarios import (
    CLEAN_MORNING,
    HOUR_S,
    a_job_trace,
    a_request_trace,
    routed_inputs,
    some_inputs,
)

KW = JobSettings(name="training", slack_s=12 * HOUR_S, power_per_gpu_w=1000.0)
TWO_HOURS = a_job_trace((0.0, 2 * HOUR_S, 1))


def parts_of(inputs: Inputs) -> SavingsParts:
    return savings_parts(results_of(run_both(inputs)))


def with_a_second_region(inputs: Inputs, gco2e_per_kwh: float) -> Inputs:
    there = IntensitySeries.regular("Y", 0.0, HOUR_S, [gco2e_per_kwh] * len(CLEAN_MORNING))
    places = (*inputs.scenario.region, RegionSettings(name="there", zone="Y", gpus=4, pue=1.0))
    grid = replace(inputs.grid, realised={**inputs.grid.realised, "Y": there})
    return replace(inputs, scenario=replace(inputs.scenario, region=places), grid=grid)


def test_waiting_at_home_is_time_shift() -> None:
    parts = parts_of(some_inputs(jobs=TWO_HOURS, job_settings=KW))
    assert parts.by_part_gco2e == {Part.TIME: pytest.approx(600.0)}


def test_running_at_once_elsewhere_is_region_shift() -> None:
    inputs = some_inputs(jobs=TWO_HOURS, job_settings=KW, policy=PolicySettings(kind=PolicyKind.STATIC_REGION))
    parts = parts_of(with_a_second_region(inputs, 50.0))
    assert parts.by_part_gco2e == {Part.REGION: pytest.approx(700.0)}


def test_pauses_are_a_loss_of_their_own() -> None:
    policy = PolicySettings(kind=PolicyKind.WAIT_AWHILE)
    settings = replace(KW, slack_s=8 * HOUR_S, interruptible_ratio=1.0, checkpoint_s=900.0, restore_s=900.0)
    parts = parts_of(some_inputs(jobs=a_job_trace((0.0, 8 * HOUR_S, 1)), job_settings=settings, policy=policy))
    # A quarter of an hour of checkpoint in the dirty night, and one of restore in the clean morning.
    assert parts.by_part_gco2e[Part.PAUSES] == pytest.approx(-(0.25 * 400 + 0.25 * 100))
    assert sum(parts.by_part_gco2e.values()) == pytest.approx(parts.avoided_gco2e)


def test_what_a_dead_feed_costs_is_forecast_error() -> None:
    inputs = some_inputs(jobs=TWO_HOURS, job_settings=KW, forecaster=blind)
    scenario = replace(inputs.scenario, forecast=ForecastSettings(kind=ForecastKind.NONE))
    parts = parts_of(replace(inputs, scenario=scenario))
    assert parts.by_part_gco2e == {Part.TIME: pytest.approx(600.0), Part.FORECAST: pytest.approx(-600.0)}


def test_work_whose_home_is_not_known_at_its_hours_is_not_divided() -> None:
    # At home nothing is known of the morning, in the other region all is; the job starts in the night at home.
    values = [400.0] * 3 + [float("nan")] * 60
    home = IntensitySeries.regular("Z", 0.0, HOUR_S, values)
    inputs = with_a_second_region(some_inputs(jobs=TWO_HOURS, job_settings=KW), 50.0)
    clean_later = IntensitySeries.regular("Y", 0.0, HOUR_S, [500.0] * 6 + [50.0] * 57)
    grid = Grid(realised={"Z": home, "Y": clean_later}, forecaster=inputs.grid.forecaster, rung=inputs.grid.rung)
    parts = parts_of(replace(inputs, grid=grid))
    assert parts.by_part_gco2e == {Part.UNDIVIDED: pytest.approx(parts.avoided_gco2e)}
    assert parts.avoided_gco2e == pytest.approx(700.0)


def test_sleeping_workers_are_consolidation_and_nothing_else_there_is() -> None:
    table = RequestSettings(name="chat", workers=2, sleeps=True, min_awake=1)
    trace = a_request_trace(*((60.0 * minute, 200, 20) for minute in range(30)))
    parts = parts_of(some_inputs(requests=trace, request_settings=table, policy=PolicySettings(interactive_hold_s=0.0)))
    assert parts.by_part_gco2e[Part.CONSOLIDATION] == pytest.approx(parts.avoided_gco2e, rel=1e-3)
    assert parts.avoided_gco2e > 0


def test_requests_that_wait_shift_in_time_and_go_together() -> None:
    table = RequestSettings(name="chat", flex_ratio=1.0, flex_deadline_s=12 * HOUR_S)
    trace = a_request_trace(*((60.0 * minute, 200, 20) for minute in range(30)))
    parts = parts_of(some_inputs(requests=trace, request_settings=table))
    assert parts.by_part_gco2e[Part.TIME] > 0
    assert parts.by_part_gco2e[Part.BATCHING] > 0
    assert sum(parts.by_part_gco2e.values()) == pytest.approx(parts.avoided_gco2e)


def test_a_smaller_model_is_routing_and_the_larger_that_waits_for_it_is_idling() -> None:
    rows = [(60.0 * minute, 200, 20) for minute in range(30)]
    inputs = routed_inputs(a_request_trace(*rows[::2]), a_request_trace(*rows[1::2]))
    at_once = replace(inputs.scenario, policy=PolicySettings(interactive_hold_s=0.0))
    results = results_of(run_both(replace(inputs, scenario=at_once)))
    parts = savings_parts(results)
    answering = {one.name: one.baseline_gco2e - one.policy_gco2e for one in results.by_class}
    assert set(answering) == {"auto, interactive", "small, idle workers", "large, idle workers"}
    assert parts.by_part_gco2e[Part.ROUTING] == pytest.approx(answering["auto, interactive"])
    idle_gco2e = answering["small, idle workers"] + answering["large, idle workers"]
    assert parts.by_part_gco2e[Part.IDLE] == pytest.approx(idle_gco2e)
    assert idle_gco2e < 0 < parts.by_part_gco2e[Part.ROUTING]
    assert sum(parts.by_part_gco2e.values()) == pytest.approx(parts.avoided_gco2e)


def test_what_routing_costs_in_good_answers_stands_beside_its_grams() -> None:
    inputs = routed_inputs(a_request_trace((0.0, 200, 20)), a_request_trace((60.0, 200, 20)))
    results = results_of(run_both(inputs))
    parts = savings_parts(results)
    assert parts.answered_well == pytest.approx((0.8, 0.7))
    assert part_rows(parts)[-1] == ("good answers, expected", "80.0% to 70.0%", "-10.0 points")
    assert "80.0% at once, 70.0% now" in waterfall_figure(parts).caption
    assert headline(results).endswith("70.0% of answers are expected to be good instead of 80.0%")


def test_a_policy_without_a_router_saves_nothing_by_routing() -> None:
    inputs = routed_inputs(a_request_trace((0.0, 200, 20)), a_request_trace((60.0, 200, 20)))
    scenario = replace(inputs.scenario, policy=PolicySettings(kind=PolicyKind.LOWEST_WINDOW))
    parts = parts_of(replace(inputs, scenario=scenario))
    assert parts.by_part_gco2e == {}
    assert parts.answered_well == pytest.approx((0.8, 0.8))


def test_the_scenario_may_name_what_answers_without_a_router() -> None:
    inputs = routed_inputs(a_request_trace((0.0, 200, 20)), a_request_trace((60.0, 200, 20)))
    named = replace(inputs.scenario.model_pool[0], baseline="small")
    traces = a_request_trace((0.0, 200, 20)), a_request_trace((60.0, 200, 20))
    assert parts_of(routed_inputs(*traces, choice=named)).by_part_gco2e.get(Part.ROUTING) is None


def test_the_rows_end_with_the_sum_and_the_picture_says_the_same() -> None:
    parts = SavingsParts(
        baseline_gco2e=1000.0, policy_gco2e=800.0, by_part_gco2e={Part.TIME: 300.0, Part.FORECAST: -100.0}
    )
    assert part_rows(parts)[0] == ("time shift", "+300 g CO2e", "+30.0%")
    assert part_rows(parts)[-1] == ("in all", "+200 g CO2e", "+20.0%")
    assert plain_parts(parts) == {"time": 300.0, "forecast": -100.0}
    figure = waterfall_figure(parts)
    assert "+30.0%" in figure.picture
    assert "forecast error" in figure.picture
    assert "perfect forecast" in figure.caption
