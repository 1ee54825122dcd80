"""FLEET.toml and FILE.csv: what they mean, and that a mistake is pointed at by file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from slacktide.fleet_file import read_fleet
from slacktide.jobs_file import read_jobs
from slacktide.terminal import UsageProblem

GRID = "timestamp,zone,gco2e_per_kwh\n2022-03-01T00:00Z,DE,300\n2022-03-01T01:00Z,DE,200\n"
HEADER = "job_id,earliest_start,finish_by,duration_s,gpus,power_w_per_gpu,interruptible,regions\n"
LINE = "night,2022-03-01T00:00Z,2022-03-01T06:00Z,3600,2,300,0,DE;FR\n"
FLEET = '[carbon]\ntrace = "grid.csv"\n\n[[region]]\nzone = "DE"\ngpus = 4\n'


def fleet_path(folder: Path, text: str) -> Path:
    (folder / "grid.csv").write_text(GRID, encoding="utf-8")
    path = folder / "fleet.toml"
    path.write_text(text, encoding="utf-8")
    return path


def jobs_path(folder: Path, text: str) -> Path:
    path = folder / "jobs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_fleet_has_its_defaults_and_finds_its_trace_beside_it(tmp_path: Path) -> None:
    fleet = read_fleet(fleet_path(tmp_path, FLEET))
    assert [(one.zone, one.gpus, one.pue) for one in fleet.regions] == [("DE", 4, 1.0)]
    assert fleet.forecasts["DE"].at(fleet.forecasts["DE"].start_at_s) == 300
    assert fleet.power_caps_w == {}


def test_a_power_cap_is_read_in_watts(tmp_path: Path) -> None:
    fleet = read_fleet(fleet_path(tmp_path, FLEET + "pue = 1.2\npower_cap_kw = 1.5\n"))
    assert fleet.power_caps_w == {"DE": 1500.0}
    assert fleet.regions[0].pue == 1.2


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (FLEET + "puee = 1.2\n", "7:1", "unknown key puee"),
        (FLEET + "pue = 0.9\n", "7:1", "pue = 0.9"),
        (FLEET + "power_cap_kw = nan\n", "7:1", "power_cap_kw = nan"),
        (FLEET.replace("gpus = 4", "gpus = 0"), "6:1", "gpus = 0"),
        (FLEET.replace("gpus = 4\n", ""), "4:1", "no gpus"),
        (FLEET.replace('"DE"', '"DD"'), "5:1", "no zone DD"),
        (FLEET.replace("grid.csv", "gird.csv"), "2:1", "no file gird.csv"),
        (FLEET.replace('trace = "grid.csv"', ""), "1:1", "names no trace"),
        (FLEET + '[[region]]\nzone = "DE"\ngpus = 1\n', "8:1", "DE is there twice"),
        ("[carbon]\ntrace = 'grid.csv'\n", "1:1", "no regions"),
        (FLEET + "zone\n", "7:5", "is no TOML"),
    ],
)
def test_a_mistake_in_a_fleet_is_pointed_at(tmp_path: Path, text: str, place: str, what: str) -> None:
    path = fleet_path(tmp_path, text)
    with pytest.raises(UsageProblem) as problem:
        read_fleet(path)
    assert f"{path}:{place}: " in problem.value.what
    assert what in problem.value.what


def test_a_job_has_the_power_of_all_its_gpus(tmp_path: Path) -> None:
    (job,) = read_jobs(jobs_path(tmp_path, HEADER + LINE))
    assert (job.id, job.gpus, job.power_w, job.duration_s) == ("night", 2, 600.0, 3600.0)
    assert (job.interruption, job.regions) == (None, ("DE", "FR"))
    assert job.deadline_at_s - job.earliest_start_at_s == 6 * 3600.0


def test_a_job_that_may_pause_may_have_a_shortest_run(tmp_path: Path) -> None:
    header, line = HEADER.replace("\n", ",min_run_s\n"), LINE.replace(",0,DE;FR\n", ",1,DE;FR,1800\n")
    (job,) = read_jobs(jobs_path(tmp_path, header + line))
    assert job.interruption is not None
    assert job.interruption.min_run_s == 1800.0
    with pytest.raises(UsageProblem, match="min_run_s"):
        read_jobs(jobs_path(tmp_path, header + line.replace(",1,DE", ",0,DE")))


def test_the_last_two_columns_may_be_left_out(tmp_path: Path) -> None:
    header, line = (",".join(text.split(",")[:6]) + "\n" for text in (HEADER, LINE))
    (job,) = read_jobs(jobs_path(tmp_path, header + line))
    assert (job.interruption, job.regions) == (None, ())


def test_a_column_that_is_not_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_jobs(jobs_path(tmp_path, HEADER.replace("\n", ",region\n") + LINE.replace("\n", ",DE\n")))
    assert "jobs.csv:1:87: column region is not read (did you mean regions?)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", "1:1", "is empty"),
        (HEADER.replace("gpus,", ""), "1:1", "no column gpus"),
        (HEADER + LINE + LINE, "3:1", "job night is there twice"),
        (HEADER + LINE.replace("06:00Z", "06:00"), "2:25", "has no time zone"),
        (HEADER + LINE.replace("2022-03-01T06", "2022-02-01T06"), "2:25", "lies not after earliest_start"),
        (HEADER + LINE.replace("3600", "nan"), "2:43", "'nan' is not a number of seconds from 0.01"),
        (HEADER + LINE.replace("3600", "1e300"), "2:43", "'1e300' is not a number of seconds from 0.01 to 315360000"),
        (HEADER + LINE.replace("3600", "1e-9"), "2:43", "'1e-9' is not a number of seconds from 0.01"),
        (HEADER + LINE.replace(",300,", ",1e308,"), "2:50", "'1e308' is not a number of watts from 0 to 1000000"),
        (HEADER + LINE.replace(",2,300", ",1e30,300"), "2:48", "'1e30' is not a whole number from 1 to 1000000"),
        (HEADER + LINE.replace("2022-03-01T00:00Z", "0001-01-01T00:00+12:00"), "2:7", "is far from any grid"),
        (HEADER + LINE.replace("night", "ni\x1b[31mght"), "2:1", "holds a sign that cannot be printed"),
        (HEADER + LINE.replace("2022-03-01T06", "2022-03-01T00"), "2:25", "lies not after earliest_start"),
        (HEADER + LINE.replace(",2,300", ",1.5,300"), "2:48", "'1.5' is not a whole number from 1"),
        (HEADER + LINE.replace(",300,", ",-300,"), "2:50", "'-300' is not a number of watts from 0"),
        (HEADER + LINE.replace(",0,", ",yes,"), "2:54", "'yes' is not 0 or 1"),
        (HEADER + LINE.replace(",DE;FR", ""), "2:56", "7 cells under 8 columns"),
        (HEADER + LINE.replace("night", ""), "2:1", "is empty"),
    ],
)
def test_a_mistake_in_a_file_of_jobs_is_pointed_at(tmp_path: Path, text: str, place: str, what: str) -> None:
    path = jobs_path(tmp_path, text)
    with pytest.raises(UsageProblem) as problem:
        read_jobs(path)
    assert f"{path}:{place}: " in problem.value.what
    assert what in problem.value.what
