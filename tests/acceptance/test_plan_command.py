"""`slacktide plan` from outside: its contract, and what it says when it cannot answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from intensity_feeds.trace import read_trace
from tests.plan_cases import best_on_the_minute_fast
from tests.real_data import real_data

pytestmark = pytest.mark.slow

NOON = "2022-03-01T12:00Z"
NOON_AT_S = 1_646_136_000.0


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """DE falls by 100 every hour from 500 at noon, then is flat; FR is 250 throughout."""
    lines = ["timestamp,zone,gco2e_per_kwh"]
    for zone, values in (("DE", [500, 400, 300, 200, 100, 400]), ("FR", [250] * 6)):
        lines += [f"2022-03-01T{12 + hour}:00:00Z,{zone},{value}" for hour, value in enumerate(values)]
    path = tmp_path / "grid.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def plan(trace: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "slacktide.main", "plan", "--trace", str(trace), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def asked(zone: str = "DE", duration: str = "1h", within: str = "6h", at: str = NOON) -> list[str]:
    return ["--zone", zone, "--at", at, "--duration", duration, "--within", within, "--power", "10kW"]


def answer(trace: Path, *arguments: str) -> dict[str, Any]:
    done = plan(trace, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_contract(trace: Path) -> None:
    found = answer(trace, *asked(duration="2h"))
    assert found["start"] == "2022-03-01T15:00:00Z"
    assert found["end"] == "2022-03-01T17:00:00Z"
    assert found["zone"] == "DE"
    assert found["segments"] == [{"start": found["start"], "end": found["end"], "zone": "DE"}]
    assert found["mean_gco2e_per_kwh"] == pytest.approx(150)
    assert found["emissions_gco2e"] == pytest.approx(3000)
    assert found["baseline"]["start"] == "2022-03-01T12:00:00Z"
    assert found["baseline"]["zone"] == "DE"
    assert found["baseline"]["mean_gco2e_per_kwh"] == pytest.approx(450)
    assert found["baseline"]["emissions_gco2e"] == pytest.approx(9000)
    assert found["savings_ratio"] == pytest.approx(2 / 3)


def test_several_zones_and_the_baseline_stays_in_the_first(trace: Path) -> None:
    found = answer(trace, *asked(duration="6h"), "--zone", "FR")
    assert found["zone"] == "FR"
    assert found["baseline"]["zone"] == "DE"


def test_pieces_may_lie_in_different_zones(trace: Path) -> None:
    found = answer(trace, *asked(duration="4h"), "--zone", "FR", "--interruptible")
    assert [one["zone"] for one in found["segments"]] == ["FR", "DE"]
    assert found["emissions_gco2e"] == pytest.approx(10 * (250 + 200 + 100 + 250))


def test_a_step_cost_makes_pauses_dear(trace: Path) -> None:
    found = answer(trace, *asked(duration="4h"), "--zone", "FR", "--interruptible", "--step-cost", "5000")
    assert len(found["segments"]) == 1
    some = answer(trace, *asked(duration="4h"), "--zone", "FR", "--interruptible", "--step-cost", "10")
    assert some["interruption_gco2e"] == 10 * (len(some["segments"]) - 1)


def test_pue_weighs_each_zone(trace: Path) -> None:
    found = answer(trace, *asked(duration="6h"), "--zone", "FR", "--pue", "1.0", "--pue", "1.5")
    assert found["zone"] == "DE"


def test_too_little_time_names_the_earliest_finish(trace: Path) -> None:
    done = plan(trace, *asked(duration="4h", within="3h"))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "2022-03-01T16:00:00Z" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (asked(zone="DEE"), "did you mean DE"),
        (asked(at="2022-03-01T12:00"), "append Z for UTC"),
        (asked(duration="4"), "write a number and a unit"),
        (asked(at="2023-03-01T12:00Z"), "no whole window"),
        (asked(at="9999-12-31T00:00Z"), "write an instant from 1970 to 2199"),
        (asked(at="0001-01-01T00:00+14:00"), "write an instant from 1970 to 2199"),
        (asked(duration="9999999999d"), "write ten years"),
        (asked(within="9999999999d"), "write ten years"),
        (asked(duration="0.1ms"), "longer than nothing"),
        ([*asked()[:-1], "99999999999999999999MW"], "write one gigawatt"),
    ],
)
def test_a_mistake_ends_in_two_lines_with_a_hint(trace: Path, arguments: list[str], said: str) -> None:
    done = plan(trace, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_a_trace_that_ends_before_the_deadline_is_said(trace: Path) -> None:
    done = plan(trace, *asked(within="2d"))
    assert done.returncode == 0
    assert "2022-03-01T18:00:00Z" in done.stderr


def test_one_job_is_explained_with_its_limit_and_its_next_best(trace: Path) -> None:
    # From noon to two: the second hour at 400 is best, the fifth at 100 would be, and the first is next best.
    explanation = answer(trace, *asked(within="2h"))["explanation"]
    assert explanation["binds"] == "deadline"
    assert explanation["limits"][0]["saves_gco2e"] == pytest.approx(3000)
    assert explanation["next_best"]["extra_gco2e"] == pytest.approx(1000)
    said = plan(trace, *asked(within="2h")).stdout
    assert "held by   deadline: 3,000 g (75.0%) less in DE from 2022-03-01 16:00 to 17:00Z" in said
    assert "forecast  of DE: recorded from grid.csv" in said


def test_a_pause_that_costs_counts_in_the_explanation_too(trace: Path) -> None:
    costly = answer(trace, *asked(duration="3h", within="6h"), "--interruptible", "--step-cost", "2500")
    assert costly["explanation"]["emissions_gco2e"] == pytest.approx(costly["emissions_gco2e"])
    assert all(one["limit"] != "capacity" for one in costly["explanation"]["limits"])


def test_people_see_a_table_and_where_the_job_runs(trace: Path) -> None:
    done = plan(trace, *asked(duration="2h"))
    assert done.returncode == 0
    assert "2022-03-01T15:00Z" in done.stdout
    assert "━" in done.stdout
    assert "saves 66.7%" in done.stdout


@pytest.mark.parametrize("zone", ["DE", "FR"])
def test_real_grids_equal_every_start_on_the_minute(zone: str) -> None:
    path = real_data("carbon/avg_2022_hourly_34zones.csv.gz")
    found = answer(path, *asked(zone=zone, duration="4h30m", within="24h", at="2022-03-01T12:07Z"))
    earliest_s = NOON_AT_S + 7 * 60
    best = best_on_the_minute_fast(read_trace(path, [zone])[zone], 4.5 * 3600, earliest_s, earliest_s + 24 * 3600)
    assert found["emissions_gco2e"] == pytest.approx(10 * best / 3600, rel=1e-9)
