"""Power caps and jobs in phases in a scenario: what both sides draw, and what their account says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from simulations.accounts import accounts_of
from simulations.runs import Inputs, Side, run_both
from simulations.scenario import JobSettings
from simulations.scenario_file import parse_scenario
from simulations.scenario_tables import ScenarioError
from tests.builders import HOUR_S
from tests.unit.simulations.scenarios import a_job_trace, some_inputs

SCENARIO = """
name = "phases"
start = "2022-03-01T00:00Z"
grid.archetypes = { Z = "solar" }
[[region]]
name = "here"
zone = "Z"
gpus = 4
[[jobs]]
power_profile = "10m:200W,1h:700W"
"""


def grams(inputs: Inputs, side: Side) -> list[float]:
    regions = {one.name: one for one in inputs.scenario.region}
    return [float(one) for one in accounts_of(side, regions, inputs.grid.realised).jobs.emissions_gco2e]


def capped(inputs: Inputs, power_cap_kw: float) -> Inputs:
    settings = replace(inputs.scenario.region[0], power_cap_kw=power_cap_kw)
    return replace(inputs, scenario=replace(inputs.scenario, region=(settings,)))


def test_jobs_that_draw_too_much_together_take_turns_on_both_sides() -> None:
    inputs = capped(some_inputs(jobs=a_job_trace((0.0, HOUR_S, 1), (0.0, HOUR_S, 1), (0.0, HOUR_S, 1))), 1.5)
    runs = run_both(inputs)
    for side in (runs.baseline, runs.policy):
        starts = sorted(one.start_at_s for one in side.stretches)
        assert len(starts) == 3
        assert starts[2] >= starts[0] + HOUR_S  # two of 700 W fit below 1.5 kW, not three


def test_phases_stretch_to_each_run_and_are_accounted_with_their_own_power() -> None:
    settings = JobSettings(name="jobs", power_profile="1h:100W,3h:1kW", slack_s=HOUR_S * 24)
    inputs = some_inputs(jobs=a_job_trace((0.0, 4 * HOUR_S, 2)), job_settings=settings)
    runs = run_both(inputs)
    assert grams(inputs, runs.baseline) == [pytest.approx(400 * (0.2 * 1 + 2.0 * 3))]
    assert grams(inputs, runs.policy) == [pytest.approx(100 * (0.2 * 1 + 2.0 * 3))]


def test_a_wrong_estimate_stretches_the_account_to_what_truly_ran() -> None:
    settings = JobSettings(name="jobs", power_profile="1h:100W,3h:1kW", estimate_ratio=0.5, slack_s=HOUR_S)
    inputs = some_inputs(jobs=a_job_trace((0.0, 4 * HOUR_S, 1)), job_settings=settings, values=[400.0] * 72)
    assert grams(inputs, run_both(inputs).policy) == [pytest.approx(400 * (0.1 * 1 + 1.0 * 3))]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('power_profile = "10m"', "is no phase"),
        ('power_profile = "10m:200W"\ninterruptible_ratio = 0.5', "runs in one piece"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(line: str, what: str) -> None:
    with pytest.raises(ScenarioError, match=what):
        parse_scenario(SCENARIO.replace('power_profile = "10m:200W,1h:700W"', line), "phases.toml")


def test_a_scenario_with_phases_is_read() -> None:
    settings: Any = parse_scenario(SCENARIO, "phases.toml").jobs[0]
    assert settings.power_profile == "10m:200W,1h:700W"


def test_elastic_jobs_of_a_scenario_run_on_multiples_of_their_gpus_and_are_accounted_with_them() -> None:
    settings = JobSettings(name="jobs", elastic="0.5:0.6,1:1,2:1.8", slack_s=HOUR_S * 8, power_per_gpu_w=1000.0)
    inputs = some_inputs(jobs=a_job_trace((0.0, 9 * HOUR_S, 2)), job_settings=settings)
    runs = run_both(inputs)
    # Nine hours on two GPUs are five on four: they fit into the six clean ones.
    (stretch,) = runs.policy.stretches
    assert (stretch.gpus, stretch.end_at_s - stretch.start_at_s) == (4, 5 * HOUR_S)
    assert grams(inputs, runs.policy) == [pytest.approx(100 * 4 * 5)]
    assert grams(inputs, runs.baseline) == [pytest.approx(2 * (400 * 6 + 100 * 3))]
