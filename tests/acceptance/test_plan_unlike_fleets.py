"""`slacktide plan --jobs --fleet` for unlike GPUs from outside, checked by hand."""

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
    return subprocess.run([*command, *files], capture_output=True, text=True, timeout=60, check=False)


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
        {"start": "2022-03-01T02:00:00Z", "end": "2022-03-01T03:00:00Z", "zone": "DE", "region": "DE", "gpus": 1}
    ]
    assert jobs["here"]["emissions_gco2e"] == pytest.approx(120)
    assert {one["region"] for one in jobs["here"]["segments"]} == {"FR"}
    assert jobs["fast"]["emissions_gco2e"] == pytest.approx(6 * 90)
    assert (jobs["none"]["status"], jobs["none"]["suggestions"]) == ("refused", [])
    assert jobs["none"]["reason"] == "region: the fleet has none of DE with H100"
    assert found["emissions_gco2e"] == pytest.approx(90 + 100 + 120 + 540)
    assert found["lower_bound_gco2e"] == pytest.approx(850, rel=1e-3)


def test_people_see_which_gpus_a_job_got(folder: Path) -> None:
    done = run(folder, line("any"), options=())
    assert "FR-new" in done.stdout
    refused = run(folder, line("any"), options=("--explain", "any"))
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (
        2,
        "slacktide: --explain compares places by their grams alone, on GPUs that are alike",
    )
