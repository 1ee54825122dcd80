"""Single values set from outside a scenario's file land where they are meant, or are refused with a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulations.overrides import parse_override, parse_value
from simulations.scenario import Scenario
from simulations.scenario_file import ScenarioError, load_scenario

TWO_KINDS = """\
name = "small"
start = "2022-03-01T00:00Z"
[grid]
archetypes = { SUNNY = "solar" }
[[region]]
name = "plains"
zone = "SUNNY"
gpus = 4
[[jobs]]
name = "training"
[[jobs]]
name = "fine.tuning"
slack_s = "36h"
"""


def with_overrides(folder: Path, *texts: str) -> Scenario:
    path = folder / "small.toml"
    path.write_text(TWO_KINDS)
    return load_scenario(str(path), [parse_override(text) for text in texts]).scenario


def test_hours_may_be_said_as_hours_and_a_fleet_is_its_regions(tmp_path: Path) -> None:
    scenario = with_overrides(tmp_path, "jobs.slack_h=36", "jobs.training.checkpoint_min=5", "fleet.gpus=128")
    assert [jobs.slack_s for jobs in scenario.jobs] == [36 * 3600.0] * 2
    assert [jobs.checkpoint_s for jobs in scenario.jobs] == [300.0, 120.0]
    assert [region.gpus for region in scenario.region] == [128]


def test_the_budget_of_shaping_is_how_long_an_interactive_request_is_held(tmp_path: Path) -> None:
    assert with_overrides(tmp_path, "shaping.budget_s=5").policy.interactive_hold_s == 5.0


def test_jobs_may_have_no_slack(tmp_path: Path) -> None:
    assert with_overrides(tmp_path, "jobs.slack_h=0").jobs[0].slack_s == 0.0


def test_a_key_of_a_list_of_tables_is_set_in_all_of_them(tmp_path: Path) -> None:
    scenario = with_overrides(tmp_path, "jobs.slack_s=2d")
    assert [jobs.slack_s for jobs in scenario.jobs] == [172800.0, 172800.0]


@pytest.mark.parametrize("path", ["jobs.1.slack_s", 'jobs."fine.tuning".slack_s'])
def test_one_table_is_named_by_its_place_or_its_name(tmp_path: Path, path: str) -> None:
    scenario = with_overrides(tmp_path, f"{path}=1h")
    assert [jobs.slack_s for jobs in scenario.jobs] == [86400.0, 3600.0]


def test_the_later_override_wins_and_tables_that_are_absent_are_made(tmp_path: Path) -> None:
    scenario = with_overrides(tmp_path, "region.0.gpus=8", "region.gpus=16", "policy.replan_s=1h", "forecast.kind=none")
    assert (scenario.region[0].gpus, scenario.policy.replan_s, scenario.forecast.kind) == (16, 3600.0, "none")


def test_a_table_of_text_takes_further_keys(tmp_path: Path) -> None:
    scenario = with_overrides(tmp_path, "grid.archetypes.WINDY=wind", "region.0.zone=WINDY")
    assert scenario.grid.archetypes == {"SUNNY": "solar", "WINDY": "wind"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("128", 128),
        ("0.5", 0.5),
        ("true", True),
        ("2d", "2d"),
        ('"2"', "2"),
        ('["a", "b"]', ["a", "b"]),
        ("seasonal", "seasonal"),
        ("2022-03-01T00:00:00Z", "2022-03-01T00:00:00+00:00"),
        ("1\nother = 2", "1\nother = 2"),
    ],
)
def test_a_value_is_read_as_toml_where_it_is_toml(text: str, value: object) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("jobs.slak_s=2d", "--set jobs.slak_s=2d: unknown key 'jobs.slak_s'", "did you mean 'slack_s'?"),
        ("job.slack_s=2d", "unknown key 'job'", "did you mean 'jobs'?"),
        ("jobs.slack_s=2x", "--set jobs.slack_s=2x: jobs.slack_s: '2x': 'x' is no unit of time", ""),
        ("jobs.traning.slack_s=2d", "no \\[\\[jobs\\]\\] is called 'traning'", "did you mean 'training'?"),
        ("region.3.gpus=2", "no \\[\\[region\\]\\] is called '3'", "known here: 0, or plains"),
        ("requests.workers=2", "the scenario has no \\[\\[requests\\]\\]", "add one to its file"),
        ("jobs=2", "'jobs' is a list of tables", "name a key of it: jobs.KEY=VALUE"),
        ("name.of=2", "'name' is a value, not a table", "write name=VALUE"),
        ("seed", "is not PATH=VALUE", "write it like jobs.slack_s=2d or region.0.gpus=8"),
        ("a b=2", "is not PATH=VALUE", "write it like jobs.slack_s=2d or region.0.gpus=8"),
    ],
)
def test_a_mistake_is_named_as_it_was_written(tmp_path: Path, text: str, words: str, hint: str) -> None:
    with pytest.raises(ScenarioError, match=words) as caught:
        with_overrides(tmp_path, text)
    assert caught.value.hint == hint
