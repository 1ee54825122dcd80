"""Scales and ticks are where a reader expects them."""

from __future__ import annotations

import numpy as np
import pytest

from simulations.charts import shade
from simulations.svg import duration_ticks, linear, logarithmic, nice_ticks, steps_area, time_ticks


def test_a_linear_scale_may_run_upwards() -> None:
    place = linear((0.0, 10.0), 200.0, 100.0)
    assert (place(0.0), place(5.0), place(10.0)) == (200.0, 150.0, 100.0)


def test_a_logarithmic_scale_gives_each_decade_the_same_width() -> None:
    place = logarithmic((1.0, 1000.0), 0.0, 300.0)
    assert [place(value) for value in (0.0, 1.0, 10.0, 1000.0)] == pytest.approx([0.0, 0.0, 100.0, 300.0])


@pytest.mark.parametrize(
    ("high", "labels"), [(41.3, ["0", "20", "40", "60"]), (0.7, ["0", "0.25", "0.5", "0.75"]), (0.0, ["0", "1"])]
)
def test_ticks_are_round_and_reach_the_highest_value(high: float, labels: list[str]) -> None:
    assert [label for _, label in nice_ticks((0.0, high))] == labels


def test_days_are_marked_over_a_week_and_hours_over_a_day() -> None:
    week = time_ticks(0.0, 7 * 86400.0)
    day = time_ticks(0.0, 86400.0)
    assert [label for _, label in week][:3] == ["1 Jan", "2 Jan", "3 Jan"]
    assert [label for _, label in day][:3] == ["1 Jan", "03:00", "06:00"]


def test_an_hour_is_marked_every_ten_minutes() -> None:
    assert [label for _, label in time_ticks(8 * 3600.0, 9 * 3600.0)][:3] == ["08:00", "08:10", "08:20"]


def test_durations_are_marked_within_the_axis_only() -> None:
    assert [label for _, label in duration_ticks(0.5, 700.0)] == ["1 s", "10 s", "1 min", "10 min"]


def test_an_area_is_a_closed_band_of_steps() -> None:
    area = steps_area(np.array([0.0, 10.0, 20.0]), np.array([9.0, 9.0]), np.array([5.0, 3.0]), "--x")
    assert 'points="0.0,5.0 10.0,5.0 10.0,3.0 20.0,3.0 20.0,9.0 10.0,9.0 10.0,9.0 0.0,9.0"' in area


def test_clean_and_dirty_have_their_own_colours() -> None:
    assert shade(0.0) == "rgb(64,170,136)"
    assert shade(1.0) == "rgb(120,66,44)"
    assert shade(0.5) == "rgb(228,190,90)"
