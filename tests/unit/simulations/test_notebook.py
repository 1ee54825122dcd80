"""The simulator from Python: the same numbers as the command, as arrays, frames and axes."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simulations import Result, Scenario, ScenarioError, simulate
from simulations.scenario import GridSettings, JobSettings, PolicySettings, RegionSettings, RequestSettings

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
DAY_S = 86400.0


def a_scenario(*, seed: int = 1, slack_s: float = DAY_S, has_requests: bool = False) -> Scenario:
    return Scenario(
        name=f"seed {seed}",
        start=0.0,
        seed=seed,
        grid=GridSettings(archetypes={"SUNNY": "solar"}, span_s=6 * DAY_S),
        region=(RegionSettings(name="plains", zone="SUNNY", gpus=9),),
        requests=(RequestSettings(name="chat", span_s=3600.0, flex_ratio=0.5),) if has_requests else (),
        jobs=(JobSettings(name="training", count=5, span_s=DAY_S, slack_s=slack_s),),
        policy=PolicySettings(),
    )


@pytest.fixture(scope="module")
def result() -> Result:
    return simulate(a_scenario(has_requests=True))


def test_a_result_says_what_the_command_prints(result: Result) -> None:
    plain = result.plain()
    assert plain["savings_ratio"] == pytest.approx(result.savings_ratio)
    assert plain["policy"]["jobs"] == len(result.jobs()) == 5
    assert plain["policy"]["requests"] == len(result.requests())


def test_tables_add_up_to_the_sides(result: Result) -> None:
    for side, numbers in (("baseline", result.results.baseline), ("policy", result.results.policy)):
        jobs, requests = result.jobs(side), result.requests(side)  # type: ignore[arg-type]
        assert jobs["energy_kwh"].sum() == pytest.approx(numbers.jobs_kwh)
        assert requests["energy_kwh"].sum() == pytest.approx(numbers.requests_kwh)
        assert int(jobs["is_late"].sum()) == numbers.late_jobs
        assert (jobs["started_at_s"] >= jobs["submitted_at_s"]).all()
    assert result.classes()["policy_gco2e"].sum() == pytest.approx(result.results.policy.emissions_gco2e)


def test_the_parts_of_a_saving_add_up_to_it(result: Result) -> None:
    parts = result.parts()
    assert parts["time shift"] > 0
    assert sum(parts.values()) == pytest.approx(result.results.avoided_gco2e)


def test_what_a_cell_ends_with_is_shown_in_a_line(result: Result) -> None:
    assert repr(result).startswith("<Result of seed 1: the policy saves ")
    assert repr(result.compare()).startswith(f"<Comparison: {result.savings_ratio:+.1%} saved (")
    assert repr(result.jobs()).startswith("<Table of 5 rows: job, ")


def test_an_error_brings_its_remedy_to_where_nobody_translates_it() -> None:
    with pytest.raises(ScenarioError, match="unknown key") as refused:
        simulate(a_scenario(), overrides={"jobs.slak_s": "2d"})
    assert refused.value.__notes__ == ["did you mean 'slack_s'?"]


def test_a_table_becomes_a_frame(result: Result) -> None:
    pytest.importorskip("pandas", reason="pandas is the caller's to install")
    frame = result.jobs().pandas()
    assert list(frame.columns) == list(result.jobs())
    assert frame["wait_s"].max() == result.jobs()["wait_s"].max()


def test_without_another_a_result_is_compared_with_running_at_once(result: Result) -> None:
    found = result.compare()
    assert found.savings_ratio == result.savings_ratio
    assert found.baseline is result.results.baseline
    assert found.more_late == result.results.policy.deadline_misses - result.results.baseline.deadline_misses


def test_two_policies_are_compared_on_the_same_work() -> None:
    patient, hasty = simulate(a_scenario()), simulate(a_scenario(slack_s=60.0))
    found = patient.compare(hasty)
    policies = patient.results.policy, hasty.results.policy
    assert found.avoided_gco2e is not None
    assert found.savings_ratio is not None
    assert found.avoided_gco2e == pytest.approx(policies[1].emissions_gco2e - policies[0].emissions_gco2e)
    assert found.savings_ratio == pytest.approx(found.avoided_gco2e / policies[1].emissions_gco2e)
    assert found.savings_ratio > 0


def test_other_work_is_not_compared() -> None:
    with pytest.raises(ValueError, match="'seed 1' and 'seed 2' do not do the same work"):
        simulate(a_scenario(seed=1)).compare(simulate(a_scenario(seed=2)))


def test_overrides_are_those_of_the_command() -> None:
    assert simulate(a_scenario(), overrides={"region.plains.gpus": 10}).scenario.region[0].gpus == 10
    with pytest.raises(ScenarioError, match=r"unknown key 'jobs\.slak_s'") as caught:
        simulate(a_scenario(), overrides={"jobs.slak_s": "2d"})
    assert caught.value.hint == "did you mean 'slack_s'?"
    with pytest.raises(ScenarioError, match="is no path"):
        simulate(a_scenario(), overrides={"jobs slack": "2d"})


def test_a_scenario_made_in_python_reads_its_files_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,gpus\n0,60,1\n")
    assert len(simulate(a_scenario(), overrides={"jobs.trace": "jobs.csv"}, folder=tmp_path).jobs()) == 1


def test_requests_of_a_scenario_without_any_are_an_empty_table() -> None:
    assert len(simulate(a_scenario()).requests()) == 0


def test_a_side_that_does_not_exist_is_named(result: Result) -> None:
    with pytest.raises(ValueError, match="side 'both' is neither"):
        result.jobs("both")  # type: ignore[arg-type]


@pytest.mark.slow
def test_pictures_are_drawn_on_the_axes_that_are_given(result: Result) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra: plots")
    from matplotlib.figure import Figure

    axes = Figure().subplots(4)
    assert result.plot_intensity(axes[0]) is axes[0]
    result.plot_power("baseline", axes[1])
    result.plot_power("policy", axes[2])
    result.plot_waits(axes[3])
    assert [one.get_title(loc="left") for one in axes] == [
        "SUNNY: gCO2e/kWh",
        "run at once, kW",
        "policy, kW",
        "share of jobs that waited at most so long",
    ]
    assert all(np.isfinite(line.get_xdata()).all() for line in axes[3].lines)


@pytest.mark.slow
def test_the_example_runs_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra: plots")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    runpy.run_path(str(EXAMPLES / "notebook_what_if.py"))
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said[:4]] == ["slack  2h", "slack  6h", "slack 24h", "24h instead of 6h"]
    assert "the longest of 40" in said[4]


@pytest.mark.slow
def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, simulations; print([one for one in ('numpy', 'pydantic', 'matplotlib') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout.strip() == "[]"
