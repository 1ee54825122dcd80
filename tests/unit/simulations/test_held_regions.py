"""GPUs that a scenario's region holds are no job's, on either side of the comparison."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from simulations.runs import Inputs, regions_for_jobs, run_both
from simulations.scenario_file import parse_scenario, plain_settings
from simulations.scenario_tables import ScenarioError
from tests.builders import HOUR_S
from tests.unit.simulations.scenarios import a_job_trace, some_inputs

SCENARIO = """
name = "held"
start = "2022-03-01T00:00Z"
grid.archetypes = { Z = "solar" }
[[region]]
name = "here"
zone = "Z"
gpus = 4
[[region.reserved]]
from = "08:00"
to = "18:00"
gpus = 3
[[jobs]]
name = "training"
"""


def held(inputs: Inputs, **window: Any) -> Inputs:
    from scheduler.held_settings import MaintenanceSettings

    settings = replace(inputs.scenario.region[0], maintenance=(MaintenanceSettings(**window),))
    return replace(inputs, scenario=replace(inputs.scenario, region=(settings,)))


def test_no_run_of_either_side_touches_a_maintenance_window() -> None:
    inputs = some_inputs(jobs=a_job_trace((0.0, 2 * HOUR_S, 2), (1800.0, 2 * HOUR_S, 2), (3600.0, HOUR_S, 4)))
    window = {"from": 1 * HOUR_S, "to": 7 * HOUR_S}
    runs = run_both(held(inputs, **window))
    for side in (runs.baseline, runs.policy):
        assert len(side.finished_at_s) == 3
        assert all(one.end_at_s <= HOUR_S or one.start_at_s >= 7 * HOUR_S for one in side.stretches)


def test_weekly_hours_of_a_scenario_are_held_all_year_and_come_back_as_they_were_written() -> None:
    scenario = parse_scenario(SCENARIO, "held.toml")
    (region,) = regions_for_jobs(scenario)
    assert [(one.start_at_s - scenario.start) / HOUR_S for one in region.held[:2]] == [8, 32]
    assert len(region.held) > 365
    assert plain_settings(scenario)["region"][0]["reserved"][0]["from"] == "08:00"


def test_a_misspelled_key_of_a_nested_table_is_told() -> None:
    with pytest.raises(ScenarioError, match=r"unknown key 'region\.reserved\.form'") as caught:
        parse_scenario(SCENARIO.replace("from =", "form ="), "held.toml")
    assert caught.value.hint == "did you mean 'from'?"
