"""`slacktide simulate` from outside: its contract, its files and its mistakes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.real_data import data_folder, real_data

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SMALL = """\
name = "small"
start = "2025-06-02T00:00Z"
[grid]
archetypes = { SUNNY = "solar" }
span_s = "4d"
[[region]]
name = "plains"
zone = "SUNNY"
gpus = 8
[[requests]]
name = "chat"
rate_per_s = 0.02
span_s = "12h"
flex_ratio = 0.5
[[jobs]]
name = "training"
count = 12
span_s = "1d"
"""


def slacktide(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slacktide.main", *arguments],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=folder,
        check=False,
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.mark.slow
def test_a_scenario_gives_a_table_json_and_a_report(small: Path) -> None:
    folder = small.parent
    done = slacktide(
        "simulate", "small.toml", "--json", "out.json", "--html", "out.html", "--svg", "svg", folder=folder
    )
    assert done.returncode == 0, done.stderr
    assert "misses no deadline" in " ".join(done.stdout.split())
    plain = json.loads((folder / "out.json").read_text())
    assert plain["scenario"] == "small"
    assert plain["savings_ratio"] > 0
    assert plain["deadline_misses_baseline_met"] == 0
    assert sum(plain["avoided_by_part_gco2e"].values()) == pytest.approx(plain["avoided_gco2e"])
    page = (folder / "out.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "Where the saving comes from" in page
    assert (folder / "svg" / "01-when-the-work-ran.svg").read_text().startswith("<svg")


@pytest.mark.slow
def test_other_policies_stand_beside_it_in_one_table(small: Path) -> None:
    folder = small.parent
    done = slacktide("simulate", "small.toml", "--compare", "all", "--json", "out.json", folder=folder)
    assert done.returncode == 0, done.stderr
    rows = {row["policy"]: row for row in json.loads((folder / "out.json").read_text())["policies"]}
    assert rows["run_now"]["savings_ratio"] == 0
    assert rows["wait_awhile"]["savings_ratio"] > 0
    assert "wait-awhile" in done.stdout
    again = slacktide("simulate", "small.toml", "--against", "wait-awhile,oracle", "--json", "-", folder=folder)
    assert [row["policy"] for row in json.loads(again.stdout)["policies"]] == [
        "run_now",
        "wait_awhile",
        "carbon_aware",
        "oracle",
    ]


def test_a_policy_that_is_not_known_is_named(small: Path) -> None:
    done = slacktide("simulate", str(small), "--compare", "lowest_price")
    assert done.returncode == 2
    assert "'lowest_price' is no policy" in done.stderr
    assert "wait_awhile" in done.stderr


@pytest.mark.slow
def test_a_dash_prints_only_json_and_the_same_twice(small: Path) -> None:
    first, second = (slacktide("simulate", str(small), "--json", "-") for _ in range(2))
    assert json.loads(first.stdout)["policy"]["jobs"] == 12
    assert first.stdout == second.stdout


@pytest.mark.slow
def test_a_picture_is_a_png(small: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra: plots")
    done = slacktide("simulate", "small.toml", "--png", "out.png", folder=small.parent)
    assert done.returncode == 0, done.stderr
    assert (small.parent / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_packaged_scenarios_are_listed() -> None:
    listed = slacktide("simulate", "--list").stdout
    assert "solar-week" in listed
    assert "two-regions" in listed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a scenario"),
        (("no-such",), "no such file, and no packaged scenario of that name"),
        (("solar-week", "--json", "absent/out.json"), "its folder does not exist"),
        (("solar-week", "--png", "out.svg"), "out.svg does not end in .png"),
        (("solar-week", "--set", "jobs.slak_s=2d"), "--set jobs.slak_s=2d: unknown key 'jobs.slak_s'"),
        (("small.toml",), "small.toml, line 9: unknown key 'region.gpu'"),
    ],
)
def test_a_users_mistake_is_two_lines_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    (tmp_path / "small.toml").write_text(SMALL.replace("gpus = 8", "gpu = 8"))
    done = slacktide("simulate", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 2


def judged(folder: Path) -> tuple[dict[str, Any], resource.struct_rusage]:
    """The results of the large example, and what it used of the machine: alone, whatever was run before it."""
    for name in (
        "carbon/avg_2022_hourly_34zones.csv.gz",
        "llm_requests/azure_2023_conv_1h.csv.gz",
        "training_jobs/philly_2017_09_10.csv.gz",
    ):
        real_data(name)
    text = (EXAMPLES / "azure-conv-philly-de2022.toml").read_text()
    (folder / "judged.toml").write_text(text.replace("../../shared/data", str(data_folder())))
    command = [sys.executable, "-m", "slacktide.main", "simulate", "judged.toml", "--json", "result.json"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return json.loads((folder / "result.json").read_text()), used


@pytest.mark.slow
def test_an_hour_of_chat_and_five_hundred_jobs_on_64_gpus_miss_nothing_that_running_at_once_would_meet(
    tmp_path: Path,
) -> None:
    plain, used = judged(tmp_path)
    assert plain["deadline_misses_baseline_met"] == 0
    for side in (plain["baseline"], plain["policy"]):
        assert (side["jobs"], side["requests"]) == (500, 19366)
        assert side["unpriced_kwh"] == 0
    assert used.ru_utime + used.ru_stime < 60  # seconds of processors: a busy machine takes longer by the clock
    assert used.ru_maxrss < 1024 * 1024  # KiB


@pytest.mark.slow
def test_a_loop_that_does_not_exist_is_refused_with_those_that_do(small: Path) -> None:
    found = slacktide("simulate", str(small), "--loop", "warp")
    assert found.returncode == 2
    assert "auto, plain, compiled" in found.stderr
