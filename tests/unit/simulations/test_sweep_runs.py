"""The file of finished runs: what a kill leaves of it, who may write it, and when a run counts as another."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from simulations.fleet import StalledError
from simulations.scenario_file import ScenarioError, read_scenario
from simulations.sweep import parse_parameter
from simulations.sweep_runs import DoneRun, PlannedRun, SweepError, make_runs, opened_journal, plan_runs

SMALL = """\
name = "small"
start = "2025-06-02T00:00Z"
seed = 4
[grid]
archetypes = { SUNNY = "solar" }
[[region]]
name = "plains"
zone = "SUNNY"
gpus = 8
[[jobs]]
name = "training"
count = 3
"""


def planned(folder: Path, text: str = SMALL, seeds: int = 2) -> list[PlannedRun]:
    (folder / "small.toml").write_text(text)
    return plan_runs(read_scenario(str(folder / "small.toml")), [parse_parameter("jobs.slack_s=1h,2h")], [], seeds)


def test_a_run_is_a_point_with_a_seed_from_the_scenarios_upwards(tmp_path: Path) -> None:
    runs = planned(tmp_path)
    assert [(run.point, run.values, run.seed) for run in runs] == [
        (0, (3600.0,), 4),
        (0, (3600.0,), 5),
        (1, (7200.0,), 4),
        (1, (7200.0,), 5),
    ]
    assert len({run.key for run in runs}) == 4


def test_a_run_is_another_when_a_file_that_it_reads_has_changed(tmp_path: Path) -> None:
    text = SMALL.replace("count = 3", 'trace = "jobs.csv"')
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,gpus\n0,60,1\n")
    before = planned(tmp_path, text)[0].key
    assert planned(tmp_path, text)[0].key == before
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,gpus\n0,90,1\n")
    assert planned(tmp_path, text)[0].key != before


def test_a_run_reads_its_prices_too(tmp_path: Path) -> None:
    text = SMALL + '[price]\ntrace = "prices.csv"\n'
    (tmp_path / "prices.csv").write_text("1")
    before = planned(tmp_path, text)[0].key
    (tmp_path / "prices.csv").write_text("2")
    assert planned(tmp_path, text)[0].key != before


def test_spelling_a_value_otherwise_is_the_same_run(tmp_path: Path) -> None:
    assert planned(tmp_path)[0].key == planned(tmp_path, SMALL.replace("count = 3", "count = 3\nmax_gpus = 8"))[0].key


def test_a_mistake_in_a_parameter_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    read = read_scenario(str(tmp_path / "small.toml"))
    with pytest.raises(ScenarioError, match=r"--param jobs\.slak_s=1h: unknown key") as caught:
        plan_runs(read, [parse_parameter("jobs.slak_s=1h")], [], 1)
    assert caught.value.hint == "did you mean 'slack_s'?"


def test_what_a_kill_left_half_written_is_cut_off(tmp_path: Path) -> None:
    run = planned(tmp_path)[0]
    with opened_journal(tmp_path) as journal:
        journal.append(DoneRun(planned=run, measures={"late": 1}), ["jobs.slack_s"])
    with (tmp_path / "runs.jsonl").open("ab") as file:
        file.write(b'{"key": "half')
    with opened_journal(tmp_path) as journal:
        assert journal.measures == {run.key: {"late": 1}}
        journal.append(DoneRun(planned=planned(tmp_path)[1], measures={"late": 2}), ["jobs.slack_s"])
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["measures"]["late"] for line in lines] == [1, 2]


def test_a_whole_line_that_is_no_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text("nonsense\n")
    with pytest.raises(SweepError, match="line 1: is no finished run"), opened_journal(tmp_path):
        pass


def test_two_sweeps_do_not_write_one_folder(tmp_path: Path) -> None:
    with (
        opened_journal(tmp_path),
        pytest.raises(SweepError, match="another sweep is writing"),
        opened_journal(tmp_path),
    ):
        pass


def nobody_makes(runs: Sequence[PlannedRun]) -> Iterator[DoneRun]:
    raise AssertionError(f"{len(runs)} runs are made again")


def test_runs_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    runs = planned(tmp_path)
    told: list[int] = []
    with opened_journal(tmp_path) as journal:
        for run in runs:
            journal.append(DoneRun(planned=run, measures={"late": run.seed}), ["jobs.slack_s"])
        done = make_runs(runs, journal, ["jobs.slack_s"], nobody_makes, told.append)
    assert [run.measures["late"] for run in done] == [4, 5, 4, 5]
    assert told == [4]


@pytest.mark.parametrize(
    "error",
    [ScenarioError("small.toml", "is wrong", "mend it", 3), StalledError(5.0), SweepError("is lost", "again")],
    ids=["scenario", "stalled", "sweep"],
)
def test_a_mistake_comes_back_from_another_process_as_it_was(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.__dict__) == (type(error), str(error), error.__dict__)
