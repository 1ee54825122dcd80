"""Points out of a meter's log: which windows count, which reading is believed, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from shaping.calibration import CalibrationError, calibrate
from shaping.deployment import ErrorClass
from shaping.measurements import MeasurementError
from shaping.meter_log import COLUMNS, EnergyFrom, Sample, points_from, read_meter_log
from shaping.profiles import deployment
from shaping.saturation import Traffic, saturated


def a_log(*phases: tuple[int, float, float, float], counter_ratio: float = 1.0) -> list[Sample]:
    """Phases of (seconds, batch, tokens/s, watts), sampled each second; requests of 350 and 400 tokens."""
    samples, at_s, tokens, energy_j = [], 1000.0, 0.0, 0.0
    for seconds, batch, tokens_per_s, power_w in phases:
        for _ in range(seconds):
            samples.append(
                Sample(
                    at_s=at_s,
                    running_requests=batch,
                    output_tokens=tokens,
                    prompt_tokens=tokens / 400 * 350,
                    requests=tokens / 400,
                    energy_j=energy_j,
                    power_w=power_w,
                )
            )
            at_s, tokens, energy_j = at_s + 1, tokens + tokens_per_s, energy_j + power_w * counter_ratio
    return samples


def without(samples: Sequence[Sample], *names: str) -> list[Sample]:
    nothing: dict[str, Any] = dict.fromkeys(names)
    return [replace(one, **nothing) for one in samples]


SMALL, LARGE = (61, 8.0, 1000.0, 500.0), (61, 256.0, 9000.0, 690.0)


def test_a_steady_minute_is_a_point_by_hand() -> None:
    reading = points_from(a_log(SMALL))
    (point,) = reading.points
    assert (point.batch_sequences, point.tokens_per_s, point.j_per_token) == (8.0, 1000.0, 0.5)
    assert reading.traffic == Traffic(prompt_tokens=350, output_tokens=400)
    assert (reading.windows_used, reading.windows_left_out) == (1, 0)


def test_the_window_in_which_the_batch_changes_is_left_out() -> None:
    reading = points_from(a_log((90, 8.0, 1000.0, 500.0), (151, 256.0, 9000.0, 690.0)))
    assert [point.batch_sequences for point in reading.points] == [8.0, 256.0]
    assert (reading.windows_used, reading.windows_left_out) == (3, 1)


def test_windows_with_near_batches_make_one_point_by_their_sums() -> None:
    reading = points_from(a_log((60, 100.0, 6000.0, 600.0), (61, 104.0, 6200.0, 620.0)))
    (point,) = reading.points
    assert 100 < point.batch_sequences < 104
    assert point.j_per_token == pytest.approx(0.1, abs=1e-3)


def test_an_idle_worker_says_nothing() -> None:
    with pytest.raises(CalibrationError, match="no 60 s of the log"):
        points_from(a_log((200, 0.0, 0.0, 120.0)))


def test_the_counter_is_believed_when_both_agree() -> None:
    reading = points_from(a_log(SMALL, counter_ratio=1.05))
    assert reading.energy_from is EnergyFrom.COUNTER
    assert reading.disagreement_ratio == pytest.approx(0.05)
    assert reading.points[0].j_per_token == pytest.approx(0.525)


def test_integrated_power_is_believed_when_they_do_not() -> None:
    reading = points_from(a_log(SMALL, counter_ratio=0.5))
    assert reading.energy_from is EnergyFrom.POWER
    assert reading.points[0].j_per_token == pytest.approx(0.5)


@pytest.mark.parametrize(("missing", "left"), [("energy_j", EnergyFrom.POWER), ("power_w", EnergyFrom.COUNTER)])
def test_one_of_the_two_is_enough(missing: str, left: EnergyFrom) -> None:
    reading = points_from(without(a_log(SMALL), missing))
    assert (reading.energy_from, reading.disagreement_ratio) == (left, None)
    assert reading.points[0].j_per_token == pytest.approx(0.5)


def test_without_either_nothing_was_metered() -> None:
    with pytest.raises(CalibrationError, match="nothing was metered"):
        points_from(without(a_log(SMALL), "energy_j", "power_w"))


def test_a_counter_that_began_anew_ends_a_stretch() -> None:
    before = a_log((40, 8.0, 1000.0, 500.0))
    after = [replace(one, at_s=one.at_s + 40) for one in before]
    with pytest.raises(CalibrationError, match="no 60 s"):
        points_from([*before, *after])


def test_a_gap_ends_a_stretch() -> None:
    samples = a_log((80, 8.0, 1000.0, 500.0))
    with pytest.raises(CalibrationError, match="no 60 s"):
        points_from([one for one in samples if not 1040 <= one.at_s <= 1050])


def test_a_log_without_prompts_knows_no_lengths() -> None:
    assert points_from(without(a_log(SMALL), "prompt_tokens")).traffic is None


def test_a_log_of_two_batches_calibrates_a_profile_to_itself() -> None:
    reading = points_from(a_log(SMALL, LARGE))
    assert reading.traffic is not None
    plain = deployment(gpu="h100-sxm", model="llama-3.1-8b")
    found = calibrate(plain, reading.points, reading.traffic)
    assert found.error_class is ErrorClass.CALIBRATED
    for point in reading.points:
        made = saturated(found, point.batch_sequences, reading.traffic)
        assert made.j_per_token == pytest.approx(point.j_per_token)
        assert made.tokens_per_s == pytest.approx(point.tokens_per_s)


def test_a_window_too_short_for_the_sensor_is_refused() -> None:
    with pytest.raises(ValueError, match="noise"):
        points_from(a_log(SMALL), window_s=1.0)


def test_a_log_is_read_with_its_empty_cells() -> None:
    first, second = read_meter_log([",".join(COLUMNS) + "\n", "1,0,0,0,0,,120\n", "2,3,10,20,1,5.5,\n"], "m.csv")
    assert (first.running_requests, first.energy_j, first.power_w) == (0.0, None, 120.0)
    assert (second.running_requests, second.energy_j, second.power_w) == (3.0, 5.5, None)


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (["2,1,1\n", "1,1,1\n"], "not after the line before"),
        (["1,1,1\n"], "fewer than two samples"),
        (["1,1,1\n", "2,some,1\n"], "'some' is not a number"),
    ],
)
def test_a_log_that_is_none_is_refused_with_its_line(lines: list[str], what: str) -> None:
    with pytest.raises(MeasurementError, match=what):
        read_meter_log(["at_s,running,output_tokens\n", *lines], "m.csv")
