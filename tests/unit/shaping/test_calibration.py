"""Calibration from one, two and more points, worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from shaping.calibration import CalibrationError, Point, calibrate, correction_from
from shaping.correction import Correction, LogLine
from shaping.deployment import ErrorClass
from shaping.energy import prefill, step
from shaping.profiles import deployment
from shaping.saturation import Traffic, Yield, saturated

H100_8B = deployment(gpu="h100-sxm", model="llama-3.1-8b")
CHAT = Traffic(prompt_tokens=350, output_tokens=400)


def a_yield(batch: float = 8.0, j_per_token: float = 0.5, tokens_per_s: float = 1000.0) -> Yield:
    return Yield(
        batch_sequences=batch,
        step_s=batch / tokens_per_s,
        power_w=j_per_token * tokens_per_s,
        tokens_per_s=tokens_per_s,
        j_per_token=j_per_token,
        j_per_request=400 * j_per_token,
        limit_w=700.0,
        error_class=ErrorClass.DEFAULT,
    )


def a_point(batch: float = 8.0, j_per_token: float = 0.5, tokens_per_s: float = 1000.0) -> Point:
    return Point(batch_sequences=batch, j_per_token=j_per_token, tokens_per_s=tokens_per_s)


def test_one_point_scales_time_and_power_at_every_batch() -> None:
    # Twice as slow, at 0.6 J x 500 /s = 300 W instead of 0.5 x 1000 = 500 W.
    found = correction_from([(a_point(j_per_token=0.6, tokens_per_s=500.0), a_yield())])
    assert found.time_ratio(8) == pytest.approx(2.0)
    assert found.power_ratio(8) == pytest.approx(0.6)
    assert found.time_ratio(500) == pytest.approx(2.0)
    assert found.power_ratio(1) == pytest.approx(0.6)


def test_two_points_bend_the_curve_between_them() -> None:
    # Right at a batch of 1, four times as slow at e^2: halfway in the logarithm, at e, twice as slow.
    top = math.exp(2.0)
    pairs = [(a_point(1.0), a_yield(1.0)), (a_point(top, 2.0, 250.0), a_yield(top, 0.5, 1000.0))]
    found = correction_from(pairs)
    assert found.time.ln_ratio == pytest.approx(0.0)
    assert found.time.slope_ln_ratio == pytest.approx(math.log(4.0) / 2.0)
    assert found.time_ratio(math.e) == pytest.approx(2.0)
    assert found.power_ratio(math.e) == pytest.approx(1.0)  # four times the energy in four times the time


def test_three_points_are_fitted_by_least_squares() -> None:
    # Logs of the ratio 0, 0, ln 8 at ln B = 0, 1, 2: slope ln 8 / 2, mean ln 2 at ln B = 1.
    batches = [1.0, math.e, math.exp(2.0)]
    speeds = [1000.0, 1000.0, 125.0]
    pairs = [(a_point(batch, 0.5, speed), a_yield(batch)) for batch, speed in zip(batches, speeds, strict=True)]
    found = correction_from(pairs).time
    assert found.slope_ln_ratio == pytest.approx(math.log(8.0) / 2.0)
    assert found.ln_ratio == pytest.approx(math.log(2.0) - math.log(8.0) / 2.0)


def test_points_at_one_batch_are_averaged() -> None:
    pairs = [(a_point(8.0, 0.5, 500.0), a_yield(8.0)), (a_point(8.0, 0.5, 2000.0), a_yield(8.0))]
    assert correction_from(pairs).time_ratio(8.0) == pytest.approx(1.0)  # twice as slow and twice as fast


def test_the_line_is_not_carried_beyond_the_batches_measured() -> None:
    bent = LogLine(slope_ln_ratio=1.0)
    found = Correction(time=bent, power=LogLine(), from_batch=4.0, to_batch=16.0)
    assert [found.time_ratio(batch) for batch in (1, 4, 8, 16, 900)] == pytest.approx([4, 4, 8, 16, 16])


def test_a_calibrated_worker_meets_its_points_and_says_its_class() -> None:
    # The published measurement of this pair: 0.455 J/token at 8 and 0.077 at 256.
    points = [a_point(8, 0.455, 1073.0), a_point(256, 0.077, 9010.0)]
    found = calibrate(H100_8B, points, CHAT)
    for point in points:
        made = saturated(found, point.batch_sequences, CHAT)
        assert made.j_per_token == pytest.approx(point.j_per_token)
        assert made.tokens_per_s == pytest.approx(point.tokens_per_s)
        assert made.error_class is ErrorClass.CALIBRATED
    assert H100_8B.error_class is ErrorClass.DEFAULT


def test_power_never_passes_the_limit_nor_falls_below_idle() -> None:
    hot = calibrate(H100_8B, [a_point(64, 1.0, 4856.0)], CHAT)  # 4856 W
    cold = calibrate(H100_8B, [a_point(64, 0.002, 4856.0)], CHAT)  # 10 W
    assert saturated(hot, 64, CHAT).power_w == pytest.approx(700.0)
    assert saturated(cold, 64, CHAT).power_w == pytest.approx(121.7)


def test_prompts_alone_are_scaled_as_the_smallest_batch() -> None:
    plain = saturated(H100_8B, 8, CHAT)
    slower = calibrate(H100_8B, [a_point(8, plain.j_per_token * 2, plain.tokens_per_s / 2)], CHAT)
    assert prefill(slower, 512).duration_s == pytest.approx(2 * prefill(H100_8B, 512).duration_s)
    assert prefill(slower, 512).power_w == pytest.approx(prefill(H100_8B, 512).power_w)


def test_utilisation_falls_as_time_grows() -> None:
    plain = saturated(H100_8B, 8, CHAT)
    slower = calibrate(H100_8B, [a_point(8, plain.j_per_token * 2, plain.tokens_per_s / 2)], CHAT)
    before, after = step(H100_8B, 8, 670, 7), step(slower, 8, 670, 7)
    assert after.memory_utilisation_ratio == pytest.approx(before.memory_utilisation_ratio / 2)
    assert after.energy_j == pytest.approx(before.energy_j * 2)


def test_calibrating_again_starts_from_the_profile() -> None:
    first = calibrate(H100_8B, [a_point(8, 3.0, 100.0)], CHAT)
    points = [a_point(8, 0.455, 1073.0)]
    assert calibrate(first, points, CHAT) == calibrate(H100_8B, points, CHAT)


def test_a_point_in_another_unit_is_refused() -> None:
    # 455 mJ/token taken for J: the profile says 0.478 J.
    with pytest.raises(CalibrationError, match=r"point 1: j_per_token is 952 times .* \(0.478\); is the unit right"):
        calibrate(H100_8B, [a_point(8, 455.0, 1073.0)], CHAT)


def test_nothing_is_learnt_from_no_point_or_a_wrong_one() -> None:
    with pytest.raises(CalibrationError, match="one is enough"):
        calibrate(H100_8B, [], CHAT)
    for wrong in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(CalibrationError, match=r"point 2: .*above 0") as caught:
            calibrate(H100_8B, [a_point(), replace(a_point(), j_per_token=wrong)], CHAT)
        assert caught.value.index == 1
