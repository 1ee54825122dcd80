"""Constants under their owner's name reach the points that they are of, and no others."""

from __future__ import annotations

import pytest

from benchmarks.energy_fit_older import FAMILIES, Family, shipped, with_values
from shaping.evaluation import Subject
from shaping.measurements import read_measurements
from shaping.profiles.published import subject
from tests.unit.shaping.measured_rows import a_table

VALUES = {"hopper.step_s": 0.5, "h100-sxm.busy_floor_w": 1.0, "sharegpt-chat.prompt_tokens": 7.0}


def a_point(**cells: str) -> Subject:
    (measured,) = read_measurements(a_table({"avg_prompt_tokens": "", **cells}), "points.csv")
    return subject(measured)


def test_constants_reach_a_point_of_their_gpu_and_task() -> None:
    found = with_values(a_point(gpu="H100-SXM5-80GB", task="sharegpt-chat"), VALUES)
    assert found.deployment is not None and found.traffic is not None
    assert found.deployment.rates.host_step_s == 0.5
    assert found.deployment.gpu.busy_floor_w == 1.0
    assert found.traffic.prompt_tokens == 7.0


def test_constants_of_others_change_nothing() -> None:
    before = a_point(gpu="B200-SXM-180GB", task="lm-arena-chat")
    found = with_values(before, VALUES)
    assert found.deployment is not None and before.deployment is not None
    assert found.deployment.rates == before.deployment.rates
    assert found.traffic == before.traffic


@pytest.mark.parametrize("family", FAMILIES, ids=[family.name for family in FAMILIES])
def test_every_constant_that_is_fitted_is_one_that_is_shipped(family: Family) -> None:
    assert all(shipped(family, name) > 0 for name in family.start)
