"""Runs whose power changes, worked by hand and against every start on the minute."""

from __future__ import annotations

import numpy as np
import pytest

from intensity_feeds.trace import read_trace
from scheduler.planning.one_job.power_profile import Phase, cheapest_profiled_window, emissions_gco2e, energy_kwh
from scheduler.planning.one_job.window import cheapest_window
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_curve, a_series
from tests.real_data import real_data

RISING = (Phase(duration_s=HOUR_S, power_w=1000.0), Phase(duration_s=HOUR_S, power_w=10_000.0))


def test_the_hungry_phase_gets_the_clean_hour() -> None:
    one = a_curve(a_series(100, 300, 50, 100))
    found = cheapest_profiled_window([one], RISING, MIDNIGHT_S, MIDNIGHT_S + 4 * HOUR_S)
    assert found is not None
    assert found.segment.start_at_s == MIDNIGHT_S + HOUR_S
    assert found.emissions_gco2e == pytest.approx(300 + 10 * 50)
    # At constant power the window would be another one: 50 + 100.
    flat = cheapest_window([one], 2 * HOUR_S, MIDNIGHT_S, MIDNIGHT_S + 4 * HOUR_S)
    assert flat is not None
    assert flat.start_at_s == MIDNIGHT_S + 2 * HOUR_S


def test_a_border_between_phases_may_decide_the_start() -> None:
    # Half an hour of warm-up before the two clean hours: the start lies on no edge, nor does the end.
    phases = (Phase(duration_s=1800.0, power_w=100.0), Phase(duration_s=HOUR_S, power_w=5000.0))
    one = a_curve(a_series(200, 50, 300))
    found = cheapest_profiled_window([one], phases, MIDNIGHT_S, MIDNIGHT_S + 3 * HOUR_S)
    assert found is not None
    assert found.segment.start_at_s == MIDNIGHT_S + 1800.0
    assert found.emissions_gco2e == pytest.approx(0.05 * 200 + 5 * 50)


def test_pue_and_gaps_count_and_equal_starts_go_to_the_earliest() -> None:
    phases = (Phase(duration_s=HOUR_S, power_w=1000.0),)
    dear, cheap = a_curve(a_series(100, 100), pue=1.5, region="DE"), a_curve(a_series(None, 120, 120), region="FR")
    found = cheapest_profiled_window([dear, cheap], phases, MIDNIGHT_S, MIDNIGHT_S + 3 * HOUR_S)
    assert found is not None
    assert (found.segment.region, found.segment.start_at_s) == ("FR", MIDNIGHT_S + HOUR_S)
    assert cheapest_profiled_window([dear], phases, MIDNIGHT_S, MIDNIGHT_S + HOUR_S / 2) is None


def test_energy_is_the_sum_over_the_phases() -> None:
    assert energy_kwh(RISING) == pytest.approx(11.0)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["DE", "US-CAL-CISO", "FR"])
def test_a_recorded_grid_equals_every_start_on_the_minute(zone: str) -> None:
    series = read_trace(real_data("carbon/avg_2022_hourly_34zones.csv.gz"), [zone])[zone]
    random = np.random.default_rng(11)
    for _ in range(10):
        earliest_s = series.start_at_s + 60.0 * float(random.integers(0, 360 * 1440))
        phases = [
            Phase(duration_s=60.0 * float(random.integers(1, 400)), power_w=float(random.integers(0, 12_000)))
            for _ in range(int(random.integers(1, 6)))
        ]
        length_s = sum(phase.duration_s for phase in phases)
        deadline_s = earliest_s + length_s + 60.0 * float(random.integers(0, 2880))
        one = a_curve(series.between(earliest_s, deadline_s))
        found = cheapest_profiled_window([one], phases, earliest_s, deadline_s)
        assert found is not None
        minutes = np.arange(earliest_s, deadline_s - length_s + 1.0, 60.0)
        by_hand = [by_minutes(one.edges_at_s, one.gco2e_per_kwh, phases, start_at_s) for start_at_s in minutes[::17]]
        assert found.emissions_gco2e <= min(by_hand) * (1 + 1e-9)
        best = float(emissions_gco2e(one, phases, minutes).min())
        assert found.emissions_gco2e == pytest.approx(best, rel=1e-9)
        exact = by_minutes(one.edges_at_s, one.gco2e_per_kwh, phases, found.segment.start_at_s)
        assert found.emissions_gco2e == pytest.approx(exact, rel=1e-9)


def by_minutes(edges: np.ndarray, values: np.ndarray, phases: list[Phase], start_at_s: float) -> float:
    """Grams of a run, one minute after the other."""
    total_gco2e = 0.0
    for phase in phases:
        middles = start_at_s + np.arange(30.0, phase.duration_s, 60.0)
        steps = np.searchsorted(edges, middles, side="right") - 1
        total_gco2e += float(values[steps].sum()) / 60.0 * phase.power_w / 1000.0
        start_at_s += phase.duration_s
    return total_gco2e
