"""Which column of a trace is counted, which one decides, and which recorded forecasts belong to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from intensity_feeds.series import Signal
from simulations.inputs import gather_inputs
from simulations.results import results_of
from simulations.results_json import plain_results
from simulations.runs import Inputs, run_both
from simulations.scenario_file import ScenarioError, load_scenario

# Average intensity says that the night is clean, marginal that the day is.
HOURS = 96
GRID = "timestamp,zone,gco2e_per_kwh,marginal_gco2e_per_kwh,direct_gco2e_per_kwh\n" + "".join(
    f"2022-03-{1 + hour // 24:02d}T{hour % 24:02d}:00Z,Z,{100 if hour % 24 < 12 else 300},"
    f"{600 if hour % 24 < 12 else 500},{90 if hour % 24 < 12 else 290}\n"
    for hour in range(HOURS)
)
# Issued at midnight: wrongly, the evening is said to be clean.
FORECASTS = "issued_at,timestamp,zone,forecast_gco2e_per_kwh\n" + "".join(
    f"2022-03-01T00:00Z,2022-03-{1 + hour // 24:02d}T{hour % 24:02d}:00Z,Z,{50 if hour % 24 >= 18 else 200}\n"
    for hour in range(48)
)
SCENARIO = """
name = "small"
start = "2022-03-01T00:00Z"
[grid]
trace = "grid.csv"
{grid}
[[region]]
name = "here"
zone = "Z"
gpus = 1
pue = 1.0
[[jobs]]
trace = "jobs.csv"
slack_s = "23h"
power_per_gpu_w = "1kW"
[forecast]
{forecast}
"""


def inputs_of(folder: Path, *, grid: str = "", forecast: str = "") -> Inputs:
    (folder / "grid.csv").write_text(GRID)
    (folder / "forecasts.csv").write_text(FORECASTS)
    (folder / "jobs.csv").write_text("submit_s,duration_s,gpus\n0,3600,1\n")
    path = folder / "small.toml"
    path.write_text(SCENARIO.format(grid=grid, forecast=forecast))
    return gather_inputs(load_scenario(str(path)))


def grams_of(inputs: Inputs) -> tuple[float, float]:
    results = results_of(run_both(inputs))
    return results.baseline.emissions_gco2e, results.policy.emissions_gco2e


def test_the_column_that_is_named_is_counted(tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, grid='column = "marginal_gco2e_per_kwh"')
    assert inputs.grid.realised["Z"].signal is Signal.MARGINAL
    assert grams_of(inputs) == (600.0, 500.0)


def test_work_decided_by_one_signal_is_counted_in_the_other(tmp_path: Path) -> None:
    inputs = inputs_of(tmp_path, forecast='column = "marginal_gco2e_per_kwh"')
    assert grams_of(inputs) == (100.0, 300.0)
    assert plain_results(results_of(run_both(inputs)))["decided_by"] == "marginal"


def test_recorded_forecasts_decide_and_the_truth_is_counted(tmp_path: Path) -> None:
    inputs = inputs_of(
        tmp_path, grid='column = "direct_gco2e_per_kwh"', forecast='kind = "recorded"\ntrace = "forecasts.csv"'
    )
    assert grams_of(inputs) == (90.0, 290.0)


def test_recorded_forecasts_of_another_basis_are_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        inputs_of(tmp_path, forecast='kind = "recorded"\ntrace = "forecasts.csv"')
    assert "column" in caught.value.hint
