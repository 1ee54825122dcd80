"""`slacktide plan` for jobs of changing power and of more or fewer GPUs, from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intensity_feeds.trace import read_trace
from scheduler.quantities import format_instant, parse_instant_s
from tests.real_data import real_data

pytestmark = pytest.mark.slow

NOON = "2022-03-01T12:00Z"


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """DE falls by 100 every hour from 500 at noon, then is flat; FR is 250 throughout."""
    lines = ["timestamp,zone,gco2e_per_kwh"]
    for zone, values in (("DE", [500, 400, 300, 200, 100, 400]), ("FR", [250] * 6)):
        lines += [f"2022-03-01T{12 + hour}:00:00Z,{zone},{value}" for hour, value in enumerate(values)]
    path = tmp_path / "grid.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def plan(trace: Path, *arguments: str, within: str = "6h", at: str = NOON) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slacktide.main", "plan", "--trace", str(trace), "--at", at, "--within", within]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=180, check=False)


def answer(trace: Path, *arguments: str, **when: str) -> dict[str, Any]:
    done = plan(trace, *arguments, "--json", **when)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_power_profile_puts_the_hungry_phase_into_the_clean_hour(trace: Path) -> None:
    found = answer(trace, "--zone", "DE", "--power-profile", "1h:1kW,1h:10kW")
    assert found["segments"] == [{"start": "2022-03-01T15:00:00Z", "end": "2022-03-01T17:00:00Z", "zone": "DE"}]
    assert found["emissions_gco2e"] == pytest.approx(200 + 10 * 100)
    assert found["baseline"]["emissions_gco2e"] == pytest.approx(500 + 10 * 400)
    assert found["energy_kwh"] == pytest.approx(11)
    explanation = found["explanation"]
    # An hour earlier: a kilowatt-hour at 300 g and ten at 200 g.
    assert explanation["next_best"]["emissions_gco2e"] == pytest.approx(300 + 10 * 200)
    assert (explanation["saves_gco2e"], explanation["binds"]) == (pytest.approx(4500 - 1200), None)


def test_a_power_profile_on_a_recorded_grid_equals_every_start_on_the_minute() -> None:
    path = real_data("carbon/avg_2022_hourly_34zones.csv.gz")
    at, within_m, phases = "2022-06-01T00:00Z", 36 * 60, ((10, 3.0), (120, 10.0), (20, 5.0))
    found = answer(path, "--zone", "DE", "--power-profile", "10m:3kW,2h:10kW,20m:5kW", at=at, within="36h")
    series, at_s = read_trace(path, ["DE"])["DE"], parse_instant_s(at)
    minutes = np.arange(within_m)
    steps = np.searchsorted(series.edges_at_s, at_s + 60.0 * minutes, side="right") - 1
    g_per_kw = series.gco2e_per_kwh[steps] / 60.0
    power_kw = np.concatenate([np.full(length_m, kw) for length_m, kw in phases])
    emissions = [float(g_per_kw[start:][: len(power_kw)] @ power_kw) for start in range(within_m - len(power_kw) + 1)]
    assert found["emissions_gco2e"] == pytest.approx(min(emissions), rel=1e-9)
    assert found["start"] == format_instant(at_s + 60.0 * int(np.argmin(emissions)))


def test_an_elastic_job_takes_more_gpus_in_the_clean_hours(trace: Path, tmp_path: Path) -> None:
    said = ("--zone", "DE", "--duration", "4h", "--power", "1kW")
    found = answer(trace, *said, "--elastic", "1:1,2:1.8,4:3")
    # For each hour of work 100, 125 and 167 g at 100 g/kWh, 200 and 250 at 200, 300 at 300: 3 hours, then 1 at 200.
    assert [(one["start"][11:16], one["end"][11:16], one["gpus"]) for one in found["segments"]] == [
        ("15:00", "16:00", 1),
        ("16:00", "17:00", 4),
    ]
    assert found["emissions_gco2e"] == pytest.approx(200 + 4 * 100)
    assert found["baseline"]["gpus"] == 1
    assert found["baseline"]["emissions_gco2e"] == pytest.approx(500 + 400 + 300 + 200)
    curve = tmp_path / "curve.csv"
    curve.write_text("gpus,speed\n1,1\n2,1.8\n4,3\n", encoding="utf-8")
    assert answer(trace, *said, "--elastic", str(curve)) == found


def test_an_elastic_job_changes_its_zone_only_when_it_may(trace: Path) -> None:
    said = ("--zone", "DE", "--zone", "FR", "--duration", "16h", "--power", "1kW", "--elastic", "1:1,4:3")
    assert {one["zone"] for one in answer(trace, *said)["segments"]} == {"FR"}
    assert {one["zone"] for one in answer(trace, *said, "--interruptible")["segments"]} == {"DE", "FR"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--power-profile", "10m"], "write DURATION:POWER"),
        (["--power-profile", "10m:3kW", "--power", "3kW"], "leave out --duration and --power"),
        (["--power-profile", "10m:3kW", "--interruptible"], "in one piece"),
        (["--power-profile", "7h:3kW"], "2022-03-01T19:00:00Z"),
        (["--elastic", "1:1,2:1.8"], "needs --duration, --power"),
        (["--elastic", "1:1,two:1.8", "--duration", "1h", "--power", "1kW"], "1:1,2:1.8,4:3"),
        (["--elastic", "1:1,1:2", "--duration", "1h", "--power", "1kW"], "named once"),
        (["--elastic", "gone.csv", "--duration", "1h", "--power", "1kW"], "gone.csv"),
        (["--elastic", "1:1,2:1.8", "--duration", "12h", "--power", "1kW"], "of the 12 h of work"),
        (["--elastic", "1:1", "--duration", "1h", "--power", "1kW", "--checkpoint", "2m"], "constant power"),
    ],
)
def test_a_mistake_ends_in_two_lines_with_a_hint(trace: Path, arguments: list[str], said: str) -> None:
    done = plan(trace, "--zone", "DE", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert "Traceback" not in done.stderr


def test_a_plan_of_a_file_keeps_the_shortest_run(tmp_path: Path) -> None:
    """The cleanest two hours are the first and the last; the cleanest two in a row are the last two."""
    (tmp_path / "grid.csv").write_text(
        "timestamp,zone,gco2e_per_kwh\n"
        + "".join(f"2022-03-01T{12 + hour}:00:00Z,DE,{value}\n" for hour, value in enumerate((10, 500, 300, 90, 20))),
        encoding="utf-8",
    )
    (tmp_path / "fleet.toml").write_text(
        '[carbon]\ntrace = "grid.csv"\n\n[[region]]\nzone = "DE"\ngpus = 2\n', encoding="utf-8"
    )
    header = "job_id,earliest_start,finish_by,duration_s,gpus,power_w_per_gpu,interruptible"
    job = "one,2022-03-01T12:00Z,2022-03-01T17:00Z,7200,1,1000,1"
    pieces = {}
    for name, columns in (("free", ("", "")), ("long", (",min_run_s", ",7200"))):
        jobs = tmp_path / f"{name}.csv"
        jobs.write_text(f"{header}{columns[0]}\n{job}{columns[1]}\n", encoding="utf-8")
        command = [sys.executable, "-m", "slacktide.main", "plan", "--jobs", str(jobs), "--json"]
        done = subprocess.run(
            [*command, "--fleet", str(tmp_path / "fleet.toml")],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        pieces[name] = [one["start"][11:13] for one in json.loads(done.stdout)["jobs"][0]["segments"]]
    assert pieces == {"free": ["12", "16"], "long": ["15"]}


def test_people_see_how_many_gpus_run_when(trace: Path) -> None:
    done = plan(trace, "--zone", "DE", "--duration", "4h", "--power", "1kW", "--elastic", "1:1,2:1.8,4:3")
    assert done.returncode == 0
    assert "4 GPUs" in done.stdout
    assert "saves 57.1%" in done.stdout
