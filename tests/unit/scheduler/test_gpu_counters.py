"""Sums of joules: what is believed, and where a sum ends."""

from __future__ import annotations

import pytest

from scheduler.gpu_counters import CHECK_S, CHECKS, PATIENCE_S, EnergyFrom, GpuCounter


def a_counter(*readings: tuple[float, float | None, float | None]) -> GpuCounter:
    """One that was read so: instant, the driver's counter, its power."""
    counter = GpuCounter("life/GPU-a")
    for at_s, counter_j, power_w in readings:
        counter.read(at_s, counter_j, power_w)
    return counter


def test_a_sum_begins_at_nothing_and_follows_the_drivers_counter() -> None:
    counter = a_counter((0.0, 5000.0, 400.0), (1.0, 5400.0, 400.0), (2.0, 5900.0, 400.0))
    assert (counter.energy_j, counter.energy_from) == (900.0, EnergyFrom.COUNTER)


def test_a_counter_that_fell_is_another_sum() -> None:
    counter = a_counter((0.0, 5000.0, None), (1.0, 5400.0, None))
    before = counter.counter_id
    counter.read(2.0, 100.0, None)
    assert counter.counter_id != before
    assert counter.energy_j == 0.0
    counter.read(3.0, 500.0, None)
    assert counter.energy_j == 400.0


def test_a_counter_that_jumped_beyond_what_any_board_draws_is_another_sum() -> None:
    counter = a_counter((0.0, 5000.0, None), (1.0, 5400.0, None))
    before = counter.counter_id
    counter.read(2.0, 9e9, None)
    assert (counter.counter_id == before, counter.energy_j) == (False, 0.0)


def test_a_counter_that_was_silent_for_a_moment_goes_on_and_loses_nothing() -> None:
    counter = a_counter((0.0, 5000.0, None), (1.0, 5400.0, None))
    before = counter.counter_id
    counter.read(2.0, None, 400.0)
    missing_j = counter.energy_j
    counter.read(3.0, 6200.0, 400.0)
    assert (missing_j, counter.counter_id, counter.energy_j) == (None, before, 1200.0)


def test_a_counter_that_stays_silent_is_followed_by_power_under_another_name() -> None:
    counter = a_counter((0.0, 5000.0, 400.0))
    before = counter.counter_id
    counter.read(1.0 + PATIENCE_S, None, 400.0)
    counter.read(2.0 + PATIENCE_S, None, 400.0)
    assert (counter.energy_from, counter.energy_j) == (EnergyFrom.POWER, 400.0)
    assert counter.counter_id != before


def test_without_a_counter_power_is_integrated() -> None:
    counter = a_counter((0.0, None, 100.0), (1.0, None, 300.0), (2.0, None, 300.0))
    assert (counter.energy_j, counter.energy_from) == (500.0, EnergyFrom.POWER)


@pytest.mark.parametrize("missed", [[(8.0, None, 300.0)], [(2.0, None, None), (2.5, None, 300.0)]], ids=["gap", "mute"])
def test_power_is_not_guessed_over_a_gap(missed: list[tuple[float, float | None, float | None]]) -> None:
    counter = a_counter((0.0, None, 300.0), (1.0, None, 300.0))
    before = counter.counter_id
    for reading in missed:
        counter.read(*reading)
    assert (counter.counter_id == before, counter.energy_j) == (False, 0.0)


def test_a_gpu_that_tells_nothing_has_no_energy_and_never_zero() -> None:
    counter = a_counter((0.0, None, None), (1.0, None, None))
    assert (counter.energy_j, counter.energy_from) == (None, None)


@pytest.mark.parametrize(
    ("counted_w", "believed"), [(400.0, EnergyFrom.COUNTER), (430.0, EnergyFrom.COUNTER), (250.0, EnergyFrom.POWER)]
)
def test_a_counter_far_from_power_is_not_believed(counted_w: float, believed: EnergyFrom) -> None:
    counter = GpuCounter("life/GPU-a")
    for second in range(int(CHECKS * CHECK_S) + 2):
        counter.read(float(second), counted_w * second, 400.0)
    assert counter.energy_from is believed
    expected_j = counted_w * (CHECKS * CHECK_S + 1) if believed is EnergyFrom.COUNTER else 400.0
    assert counter.energy_j == pytest.approx(expected_j)
    if believed is EnergyFrom.POWER:
        assert counter.disagreement_ratio == pytest.approx(-0.375)


def test_power_that_lags_behind_a_load_is_no_reason_to_give_the_counter_up() -> None:
    counter, drawn_j = GpuCounter("life/GPU-a"), 0.0
    for second in range(int(CHECKS * CHECK_S) + 2):
        drawn_j += 70.0 if second < CHECK_S - 2 else 700.0
        counter.read(float(second), drawn_j, 70.0 if second < CHECK_S - 1 else 700.0)
    assert counter.energy_from is EnergyFrom.COUNTER


def test_after_the_first_half_minute_the_counter_alone_is_followed() -> None:
    counter = GpuCounter("life/GPU-a")
    for second in range(100):
        counter.read(float(second), 400.0 * second, 400.0 if second < 50 else 100.0)
    assert counter.energy_from is EnergyFrom.COUNTER
