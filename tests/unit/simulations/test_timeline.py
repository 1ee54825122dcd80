"""A comparison cut into steps loses no energy and mixes no sides."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.results import results_of
from simulations.runs import run_both
from simulations.scenario import RequestSettings
from simulations.timeline import mean_power_kw, timeline_of
from tests.unit.simulations.scenarios import HOUR_S, a_job_trace, a_request_trace, some_inputs


def test_power_is_a_mean_over_each_step() -> None:
    starts, ends, powers = np.array([0.0, 30.0]), np.array([60.0, 90.0]), np.array([1000.0, 2000.0])
    kilowatts = mean_power_kw(starts, ends, powers, np.array([0.0, 60.0, 120.0]))
    # First minute: 1 kW throughout and 2 kW for half of it; second: 2 kW for half of it.
    assert kilowatts.tolist() == [pytest.approx(2.0), pytest.approx(1.0)]


def test_all_energy_of_both_sides_is_in_the_timeline_once() -> None:
    inputs = some_inputs(
        jobs=a_job_trace((0.0, 2 * HOUR_S, 1), (900.0, HOUR_S, 2)),
        requests=a_request_trace(*[(30.0 * index, 300, 80) for index in range(50)]),
        request_settings=RequestSettings(name="chat", flex_ratio=0.5),
    )
    results = results_of(run_both(inputs))
    timeline = timeline_of(results)
    hours = np.diff(timeline.edges_at_s) / HOUR_S
    for side, by_class, by_zone in (
        (results.baseline, timeline.baseline_by_class_kw, timeline.baseline_by_zone_kw),
        (results.policy, timeline.policy_by_class_kw, timeline.policy_by_zone_kw),
    ):
        assert sum(float((kw * hours).sum()) for kw in by_class.values()) == pytest.approx(side.energy_kwh, rel=1e-6)
        assert sum(float((kw * hours).sum()) for kw in by_zone.values()) == pytest.approx(side.energy_kwh, rel=1e-6)


def test_intensity_beyond_the_data_is_unknown_and_not_zero() -> None:
    inputs = some_inputs(jobs=a_job_trace((0.0, 4 * HOUR_S, 1)), values=[400.0, 400.0])
    values = timeline_of(results_of(run_both(inputs))).intensity_gco2e_per_kwh["Z"]
    assert np.isnan(values).any()
    assert set(values[~np.isnan(values)].tolist()) == {400.0}
