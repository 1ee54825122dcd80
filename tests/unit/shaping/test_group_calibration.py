"""Anchors shared among the curves of a group, worked by hand."""

from __future__ import annotations

import math

import pytest

from shaping.calibration import CalibrationError, Point, correction_from
from shaping.deployment import ErrorClass
from shaping.group_calibration import MIDDLE_BATCH, Anchor, Departure, Departures, correction_for, expected_line
from shaping.saturation import Yield

CHAT, CODE = ("chat", "1 GPU"), ("code", "1 GPU")


def a_departure(group: float = 0.0, curve: float = 0.0, point: float = 1e-6, *, slopes: float = 0.0) -> Departure:
    return Departure(
        group_ln_ratio=group,
        group_slope_ln_ratio=slopes,
        curve_ln_ratio=curve,
        curve_slope_ln_ratio=slopes,
        point_ln_ratio=point,
    )


def an_anchor(curve: tuple[str, ...], batch: float = MIDDLE_BATCH, factor: float = 1.0, slower: float = 1.0) -> Anchor:
    """Measured `factor` times the energy modelled, and `slower` times the time."""
    modelled = Yield(
        batch_sequences=batch,
        step_s=batch / 1000.0,
        power_w=500.0,
        tokens_per_s=1000.0,
        j_per_token=0.5,
        j_per_request=200.0,
        limit_w=700.0,
        error_class=ErrorClass.DEFAULT,
    )
    point = Point(batch_sequences=batch, j_per_token=0.5 * factor, tokens_per_s=1000.0 / slower)
    return Anchor(curve=curve, measured=point, modelled=modelled)


def level_at_middle(curve: tuple[str, ...], departure: Departure, *anchors: Anchor) -> float:
    line = expected_line(curve, anchors, [one.energy_ln_ratio for one in anchors], departure)
    return math.log(line.at_ratio(MIDDLE_BATCH))


def test_a_curve_that_has_all_anchors_is_calibrated_as_by_its_own_points() -> None:
    anchors = [an_anchor(CHAT, 8, 1.3), an_anchor(CHAT, 256, 0.9, 1.2)]
    departures = Departures(energy=a_departure(0.1, 0.1), time=a_departure(0.1, 0.1))
    expected = correction_from([(one.measured, one.modelled) for one in anchors])
    assert correction_for(CHAT, anchors, departures) == expected


def test_another_curve_takes_the_part_that_is_common() -> None:
    # A level of variance 9 in common and 16 of one's own: 9/25 of what one curve shows holds for the other.
    departure = a_departure(group=0.3, curve=0.4)
    anchor = an_anchor(CHAT, factor=1.5)
    assert level_at_middle(CODE, departure, anchor) == pytest.approx(math.log(1.5) * 9 / 25, rel=1e-6)
    assert level_at_middle(CHAT, departure, anchor) == pytest.approx(math.log(1.5), rel=1e-6)


def test_what_single_points_scatter_is_not_believed() -> None:
    departure = a_departure(curve=0.1, point=0.1)
    assert level_at_middle(CHAT, departure, an_anchor(CHAT, factor=2.0)) == pytest.approx(math.log(2.0) / 2)


def test_curves_with_nothing_in_common_say_nothing_of_each_other() -> None:
    assert level_at_middle(CODE, a_departure(curve=0.4), an_anchor(CHAT, factor=1.5)) == pytest.approx(0.0)


def test_one_anchor_on_each_of_two_curves_moves_each_by_its_own() -> None:
    # A line through both would turn two levels into a slope.
    anchors = (an_anchor(CHAT, 8, 1.2), an_anchor(CODE, 256, 0.8))
    departure = a_departure(curve=0.3)
    assert level_at_middle(CHAT, departure, *anchors) == pytest.approx(math.log(1.2), rel=1e-6)
    assert level_at_middle(CODE, departure, *anchors) == pytest.approx(math.log(0.8), rel=1e-6)


def test_a_slope_in_common_is_carried_to_the_other_curve() -> None:
    # Slopes of equal variance in common and of one's own: half of it. The level is known to be right.
    departure = a_departure(slopes=0.1)
    anchors = [
        an_anchor(CHAT, MIDDLE_BATCH / math.e, math.exp(-0.2)),
        an_anchor(CHAT, MIDDLE_BATCH * math.e, math.exp(0.2)),
    ]
    line = expected_line(CODE, anchors, [one.energy_ln_ratio for one in anchors], departure)
    assert line.slope_ln_ratio == pytest.approx(0.1, rel=1e-6)
    assert math.log(line.at_ratio(MIDDLE_BATCH)) == pytest.approx(0.0, abs=1e-9)


def test_power_is_what_energy_and_time_leave() -> None:
    # All of it common: 1.5 times the energy in 1.2 times the time is 1.25 times the power, at any batch measured.
    departures = Departures(energy=a_departure(group=0.3), time=a_departure(group=0.3))
    found = correction_for(CODE, [an_anchor(CHAT, 8, 1.5, 1.2), an_anchor(CHAT, 256, 1.5, 1.2)], departures)
    assert found.time_ratio(64) == pytest.approx(1.2)
    assert found.power_ratio(64) == pytest.approx(1.25)
    assert (found.from_batch, found.to_batch) == (8, 256)


def test_nothing_can_be_learnt_without_an_anchor() -> None:
    with pytest.raises(CalibrationError, match="no point"):
        correction_for(CHAT, [], Departures(energy=a_departure(0.1), time=a_departure(0.1)))
