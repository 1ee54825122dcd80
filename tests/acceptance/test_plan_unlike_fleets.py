"""`slacktide plan --jobs --fleet` for unlike GPUs, power profiles and elastic jobs from outside, checked by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

COLUMNS = ("job_id", "earliest_start", "finish_by", "duration_s", "gpus", "power_w_per_gpu", "interruptible", "regions")
# Six hours from midnight.
GRID = {"DE": (500, 400, 100, 200, 450, 300), "FR": (120, 120, 120, 120, 120, 120)}
FLEET = """
[carbon]
trace = "grid.csv"
[[region]]
zone = "DE"
gpus = 2
gpu_type = "A100"
[[region]]
zone = "FR"
gpus = 2
gpu_type = "A100"
[[region]]
name = "FR-new"
zone = "FR"
gpus = 1
gpu_type = "H100"
speed = 2.0
power_ratio = 1.5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"2022-03-01T{hour:02}:00Z,{zone},{value}" for zone in GRID for hour, value in enumerate(GRID[zone])]
    (tmp_path / "grid.csv").write_text("timestamp,zone,gco2e_per_kwh\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "fleet.toml").write_text(FLEET, encoding="utf-8")
    return tmp_path


def line(name: str, **cells: str | float) -> dict[str, str]:
    usual = {
        "job_id": name,
        "earliest_start": "2022-03-01T00:00Z",
        "finish_by": "2022-03-01T06:00Z",
        "duration_s": "3600",
        "gpus": "1",
        "power_w_per_gpu": "1000",
    }
    return {**usual, **{name: str(cell) for name, cell in cells.items()}}


def run(
    folder: Path, *lines: dict[str, str], options: tuple[str, ...] = ("--json",)
) -> subprocess.CompletedProcess[str]:
    header = list(dict.fromkeys([*COLUMNS, *(name for one in lines for name in one)]))
    rows = [",".join(one.get(name, "") for name in header) for one in lines]
    (folder / "jobs.csv").write_text("\n".join([",".join(header), *rows]) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "slacktide.main", "plan", *options]
    files = ["--jobs", str(folder / "jobs.csv"), "--fleet", str(folder / "fleet.toml")]
    return subprocess.run([*command, *files], capture_output=True, text=True, timeout=180, check=False)


def answer(folder: Path, *lines: dict[str, str]) -> dict[str, Any]:
    done = run(folder, *lines)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_job_goes_where_its_grams_are_fewest_on_the_gpus_it_may_use(folder: Path) -> None:
    found = answer(
        folder,
        line("any"),
        line("old", gpu_types="A100"),
        line("here", regions="FR", gpu_types="A100"),
        line("fast", duration_s=6 * 3600, finish_by="2022-03-01T04:00Z", gpu_types="H100", interruptible=1),
        line("none", regions="DE", gpu_types="H100"),
    )
    jobs = {one["job_id"]: one for one in found["jobs"]}
    # On H100 an hour's work is half an hour at 1.5 kW: 90 g. On A100 it is 120 g in FR and 100 g in DE's best hour.
    assert jobs["any"]["emissions_gco2e"] == pytest.approx(90)
    assert {one["region"] for one in jobs["any"]["segments"]} == {"FR-new"}
    assert {one["zone"] for one in jobs["any"]["segments"]} == {"FR"}
    assert jobs["old"]["segments"] == [
        {
            "start": "2022-03-01T02:00:00Z",
            "end": "2022-03-01T03:00:00Z",
            "zone": "DE",
            "region": "DE",
            "gpus": 1,
            "power_w": 1000,
        }
    ]
    assert {one["power_w"] for one in jobs["any"]["segments"]} == {1500}
    assert jobs["here"]["emissions_gco2e"] == pytest.approx(120)
    assert {one["region"] for one in jobs["here"]["segments"]} == {"FR"}
    assert jobs["fast"]["emissions_gco2e"] == pytest.approx(6 * 90)
    assert jobs["none"]["status"] == "refused"
    assert jobs["none"]["suggestions"] == [
        {"text": "allow FR-new", "changes": [{"field": "regions", "value": "DE;FR-new", "instead_of": "DE"}]},
        {
            "text": "allow GPUs of type A100",
            "changes": [{"field": "gpu_types", "value": "H100;A100", "instead_of": "H100"}],
        },
    ]
    helps = "allow FR-new, or allow GPUs of type A100"
    assert jobs["none"]["reason"] == f"region: the fleet has none of DE with H100; {helps}"
    assert found["emissions_gco2e"] == pytest.approx(90 + 100 + 120 + 540)
    assert found["lower_bound_gco2e"] == pytest.approx(850, rel=1e-3)


def test_people_see_which_gpus_a_job_got(folder: Path) -> None:
    done = run(folder, line("any"), options=())
    assert "FR-new" in done.stdout
    told = run(folder, line("any", gpu_types="A100"), options=("--explain", "any")).stdout
    # On DE's A100 it emits 100 g; on the H100 in FR it would emit 90.
    assert "runs      in DE from 2022-03-01 02:00 to 03:00Z" in told
    assert "held by   GPU types: 10 g (10.0%) less in FR-new from" in told
    assert "were it allowed on those GPUs" in told
    assert "next best in FR from 2022-03-01 00:00 to 01:00Z: 20 g (20.0%) more" in told


def test_a_power_profile_runs_in_one_piece_with_its_hungry_phase_in_the_clean_hour(folder: Path) -> None:
    shape: dict[str, str | float] = {
        "power_profile": "30m:100W;1h:2kW;30m:300W",
        "duration_s": "",
        "power_w_per_gpu": "",
        "gpus": 2,
    }
    (job, other) = answer(folder, line("train", regions="DE", **shape), line("b", regions="DE", gpu_types="A100"))[
        "jobs"
    ]
    told = [(one["start"][11:16], one["end"][11:16], one["gpus"], one["power_w"]) for one in job["segments"]]
    assert told == [("01:30", "02:00", 2, 100), ("02:00", "03:00", 2, 2000), ("03:00", "03:30", 2, 300)]
    # 0.05 kWh at 400 g, 2 kWh at 100 g, 0.15 kWh at 200 g; the two GPUs are its own, so the other job comes after it.
    assert job["emissions_gco2e"] == pytest.approx(20 + 200 + 30)
    # Three parts of a run in one piece.
    assert job["explanation"]["next_best"]["pieces"] == 1
    assert job["explanation"]["at_once"]["emissions_gco2e"] == pytest.approx(0.05 * 500 + 500 + 400 + 0.15 * 400)
    assert other["segments"][0]["start"] >= "2022-03-01T03:30"


def test_an_elastic_job_takes_more_gpus_in_the_clean_hour_and_says_how_many(folder: Path) -> None:
    found = answer(folder, line("a", regions="DE", duration_s=2.5 * 3600, elastic="1:1;2:1.8"))
    (job,) = found["jobs"]
    told = [(one["start"][11:16], one["end"][11:16], one["gpus"], one["power_w"]) for one in job["segments"]]
    # A second GPU gains 0.8 at 100 g: 125 g a unit of work, cheaper than a first one at 200 g, where 0.7 h is left.
    assert told == [("02:00", "03:00", 2, 2000), ("03:00", "03:42", 1, 1000)]
    assert job["emissions_gco2e"] == pytest.approx(2 * 100 + 0.7 * 200)
    assert found["lower_bound_gco2e"] == pytest.approx(340, rel=1e-3)
    explanation = job["explanation"]
    assert explanation["gpus"] == {"least": 1, "most": 2}
    assert explanation["on_more_gpus"] is None
    # FR's H100 does it in an hour and a quarter at 1.5 kW and 120 g.
    assert explanation["binds"] == "regions"
    assert explanation["limits"][0]["saves_gco2e"] == pytest.approx(340 - 225)
    # At once it runs on one GPU: two hours and a half from midnight.
    assert found["run_now"]["emissions_gco2e"] == pytest.approx(500 + 400 + 50)


def test_a_page_draws_jobs_that_change_their_gpus_and_their_power(folder: Path) -> None:
    lines = (
        line("elastic", regions="DE", duration_s=2.5 * 3600, elastic="1:1;2:1.8"),
        line("train", regions="FR", power_profile="30m:100W;1h:2kW", duration_s="", power_w_per_gpu=""),
    )
    assert run(folder, *lines, options=("--html", str(folder / "plan.html"))).returncode == 0
    page = (folder / "plan.html").read_text(encoding="utf-8")
    assert "1 to 2 GPUs" in page
    assert "pieces" not in page


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        ({"power_profile": "10m:1kW"}, "duration_s: goes not with power_profile"),
        ({"power_profile": "10m", "duration_s": "", "power_w_per_gpu": ""}, "power_profile: '10m' is no phase"),
        ({"elastic": "1:1;2:fast"}, "elastic: '1:1,2:fast' is no list of GPUs and speeds"),
        ({"elastic": "2:1;4:1.8"}, "gpus: 1 has no speed in elastic"),
        ({"elastic": "1:1;2:2", "cold_start_s": "60"}, "cold_start_s: goes not with elastic"),
        (
            {"power_profile": "10m:1kW", "duration_s": "", "power_w_per_gpu": "", "interruptible": "1"},
            "interruptible: a job with a power_profile runs in one piece",
        ),
    ],
)
def test_a_mistake_in_a_shape_is_pointed_at(folder: Path, cells: dict[str, str], what: str) -> None:
    done = run(folder, line("a", **cells))
    assert done.returncode == 2
    assert what in done.stderr.splitlines()[0]
    assert "jobs.csv:2:" in done.stderr


def test_one_job_is_compared_in_grams_on_the_gpus_of_each_zone(folder: Path) -> None:
    command = [sys.executable, "-m", "slacktide.main", "plan", "--trace", str(folder / "grid.csv"), "--json"]
    job = ["--at", "2022-03-01T00:00Z", "--within", "6h", "--duration", "1h", "--power", "10kW"]
    zones = [
        "--zone",
        "DE",
        "--zone",
        "FR",
        "--speed",
        "1",
        "--speed",
        "2",
        "--power-ratio",
        "1",
        "--power-ratio",
        "1.5",
    ]

    def planned(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *job, *zones, *options], capture_output=True, text=True, timeout=180, check=False
        )

    found = json.loads(planned().stdout)
    # FR: half an hour at 15 kW and 120 g; DE's best hour at 10 kW and 100 g is 1000 g.
    assert (found["zone"], found["end"]) == ("FR", "2022-03-01T00:30:00Z")
    assert found["emissions_gco2e"] == pytest.approx(900)
    assert found["baseline"]["emissions_gco2e"] == pytest.approx(5000)
    pieces = json.loads(planned("--interruptible", "--duration", "2h").stdout)
    assert pieces["emissions_gco2e"] == pytest.approx(1800)
    costly = planned("--interruptible", "--checkpoint", "5m")
    assert (costly.returncode, costly.stderr.splitlines()[0]) == (
        2,
        "slacktide: a job whose pauses cost something stays on GPUs of one --speed",
    )
    assert "2 times --speed for 1 zones" in _one_zone(folder, "--speed", "1", "--speed", "2").stderr
    assert "hold for a job of constant power" in _one_zone(folder, "--elastic", "1:1,2:2", "--speed", "2").stderr


def _one_zone(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slacktide.main", "plan", "--trace", str(folder / "grid.csv"), "--zone", "DE"]
    job = ["--at", "2022-03-01T00:00Z", "--within", "6h", "--duration", "1h", "--power", "10kW"]
    return subprocess.run([*command, *job, *options], capture_output=True, text=True, timeout=180, check=False)
