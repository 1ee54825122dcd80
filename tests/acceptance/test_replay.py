"""`slacktide replay` from outside: what a real daemon did becomes a scenario, and the scenario runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulations.scenario_file import load_scenario
from slacktide.terminal import OwnFailure, UsageProblem
from tests.acceptance.test_import_trace import run
from tests.builders import HOUR_S, YEAR_2022_AT_S
from tests.daemons import a_daemon, a_submission, posted, until_state

pytestmark = pytest.mark.slow

SETTINGS = """
[server]
state_dir = "{folder}"
[[region]]
name = "here"
zone = "SUN"
gpus = 2
pue = 1.0
[[feed]]
kind = "synthetic"
zones = ["SUN"]
archetype = "solar"
"""


async def a_past(folder: Path) -> None:
    """Two jobs that end well, one that fails, on the first day of 2022."""
    tables = {"template": [{"name": "sleep", "command": ["sleep", "{seconds}"]}, {"name": "no", "command": ["false"]}]}
    bodies = [a_submission(), a_submission(gpus=2, power="2kW"), a_submission(template="no", arguments={})]
    async with a_daemon(folder, tables, epoch_s=YEAR_2022_AT_S + 9 * HOUR_S) as (_, client):
        answers = [await posted(client, "/api/v1/jobs", body) for body in bodies]
        assert [status for status, _ in answers] == [201] * 3, answers
        for _, job in answers:
            await until_state(client, job["id"], "succeeded", "failed")


def a_grid(path: Path) -> Path:
    hours = [
        f"2022-01-{day:02d}T{hour:02d}:00Z,SUN,{100 if 9 <= hour < 15 else 400}"
        for day in range(1, 8)
        for hour in range(24)
    ]
    path.write_text("timestamp,zone,gco2e_per_kwh\n" + "\n".join(hours) + "\n")
    return path


async def test_the_past_of_a_daemon_is_run_again_with_twice_the_slack(tmp_path: Path) -> None:
    state, config, out = tmp_path / "state", tmp_path / "slacktide.toml", tmp_path / "past"
    await a_past(state)
    config.write_text(SETTINGS.format(folder=state))
    until = ("--until", "2022-01-06T00:00Z")
    asked_for = ("replay", "-c", str(config), "--trace", str(a_grid(tmp_path / "grid.csv")), "--out", str(out), *until)

    with pytest.raises(UsageProblem, match="knows SUN from 2022-01-01T00:00:00Z to 2022-01-08T00:00:00Z only"):
        run(*asked_for, "--since", "2021-12-31T00:00Z")
    said = run(*asked_for)  # from the hour of the first job: the grid is not known thirty days back
    asked = ("simulate", str(out / "scenario.toml"), "--set", "jobs.recorded_slack_ratio=2", "--json", "-")
    result = json.loads(run(*asked))

    assert said.startswith("slacktide simulate")
    (jobs,) = load_scenario(str(out / "scenario.toml")).scenario.jobs
    assert jobs.trace == "jobs.csv"
    rows = [line.split(",") for line in (out / "jobs.csv").read_text().splitlines()]
    assert rows[0] == ["submit_s", "duration_s", "gpus", "slack_s", "power_per_gpu_w"]
    assert [(row[2], float(row[3]), float(row[4])) for row in rows[1:]] == [
        ("1", 82_800.0, 1000.0),
        ("2", 82_800.0, 1000.0),
    ]
    assert all(float(row[1]) > 0 for row in rows[1:])
    assert result["policy"]["jobs"] == 2
    assert result["policy"]["deadline_misses"] == 0


def test_what_is_no_database_is_named_without_a_traceback(tmp_path: Path) -> None:
    config, grid = tmp_path / "slacktide.toml", a_grid(tmp_path / "grid.csv")
    config.write_text(SETTINGS.format(folder=tmp_path))

    with pytest.raises(OwnFailure, match=r"grid\.csv cannot be read: .*file is not a database") as failed:
        run("replay", "-c", str(config), "--trace", str(grid), "--out", str(tmp_path / "out"), "--from", str(grid))

    assert "slacktide backup" in failed.value.hint


def test_a_past_that_is_not_there_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "slacktide.toml"
    config.write_text(SETTINGS.format(folder=tmp_path / "nowhere"))

    with pytest.raises(UsageProblem, match="no trace"):
        run("replay", "-c", str(config), "--trace", str(tmp_path / "none.csv"), "--out", str(tmp_path / "out"))
    grid = a_grid(tmp_path / "grid.csv")
    with pytest.raises(UsageProblem, match="no database"):
        run("replay", "-c", str(config), "--trace", str(grid), "--out", str(tmp_path / "out"))
