"""`slacktide intensity` and `slacktide regions` from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.feed_service import Service, says, sends, served
from tests.real_data import real_data
from tests.unit.intensity_feeds.builders import an_electricity_maps_forecast, uk_slots

pytestmark = pytest.mark.slow

TIMEOUT_S = 180


@pytest.fixture
def service() -> Iterator[Service]:
    with served() as one:
        yield one


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "grid.csv"
    rows = [f"2022-03-01T{hour:02d}:00:00Z,DE,{300 + hour}" for hour in range(24) if hour not in (5, 6, 7)]
    path.write_text("\n".join(["timestamp,zone,gco2e_per_kwh", *rows]) + "\n", "utf-8")
    return path


def slacktide(*words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slacktide.main", *words],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1", **(env or {})},
    )


def test_a_trace_is_shown_with_its_provenance_its_gap_and_bars(trace: Path) -> None:
    done = slacktide("intensity", "--zone", "DE", "--trace", str(trace), "--hours", "10")
    assert done.returncode == 0, done.stderr
    assert "DE: average, lifecycle factors, measured, grid.csv" in done.stdout
    assert "rung live, feed trace" in done.stdout
    assert "2022-03-01T09:00:00Z      309.0  █" in done.stdout
    assert done.stdout.count("no data") == 1


def test_a_trace_as_json_has_null_where_nothing_is_known(trace: Path) -> None:
    words = ("--at", "2022-03-01T04:30:00Z", "--hours", "4", "--json")
    shown = json.loads(slacktide("intensity", "--zone", "DE", "--trace", str(trace), *words).stdout)
    assert [step["gco2e_per_kwh"] for step in shown["steps"]] == [304, None, 308]
    assert (shown["start"], shown["end"]) == ("2022-03-01T04:30:00Z", "2022-03-01T08:30:00Z")
    assert shown["mean_gco2e_per_kwh"] is None
    assert (shown["rung"], shown["feed"], shown["signal"], shown["basis"]) == ("live", "trace", "average", "lifecycle")


def test_great_britain_needs_no_key(service: Service) -> None:
    now_s = time.time() // 1800 * 1800
    service.will(says({"data": uk_slots([(100.0 + n, None) for n in range(96)], start_at_s=now_s)}))
    done = slacktide("intensity", "--zone", "GB", "--base-url", service.base_url, "--hours", "3", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["feed"], shown["basis"], shown["quality"]) == ("uk_carbon", "direct", "forecast")
    assert shown["steps"][0]["gco2e_per_kwh"] in (100, 101)


def test_a_token_in_the_environment_is_enough_for_another_zone(service: Service) -> None:
    now_s = time.time() // 3600 * 3600
    service.will(says(an_electricity_maps_forecast([50.0] * 25, zone="DE", start_at_s=now_s)))
    token = {"ELECTRICITYMAPS_TOKEN": "secret"}
    done = slacktide("intensity", "--zone", "DE", "--base-url", service.base_url, env=token)
    assert done.returncode == 0, done.stderr
    assert "feed electricity_maps" in done.stdout
    assert service.asked[0].headers["auth-token"] == "secret"


def test_a_service_that_fails_is_our_failure_with_a_way_out(service: Service) -> None:
    service.will(sends(b"", 500))
    done = slacktide("intensity", "--zone", "GB", "--base-url", service.base_url)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "slacktide: uk_carbon, zone GB: HTTP 500",
        "  hint: try again later, or read a recorded grid with --trace; "
        "the yearly average of 2023 of GB is 188 gCO2e/kWh, life-cycle",
    ]


def test_a_refused_token_says_so(service: Service) -> None:
    service.will(says({"error": "Invalid auth-token"}, 401))
    token = {"ELECTRICITYMAPS_TOKEN": "secret"}
    done = slacktide("intensity", "--zone", "DE", "--base-url", service.base_url, env=token)
    assert done.returncode == 1
    assert "the token is refused" in done.stderr
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "says_what"),
    [
        (["--zone", "DE"], "no source is known for DE"),
        (["--zone", "DE", "--feed", "electricity_maps"], "needs the environment variable ELECTRICITYMAPS_TOKEN"),
        (["--zone", "FR", "--feed", "uk_carbon"], "uk_carbon knows nothing of FR"),
        (["--zone", "DE", "--trace", "nowhere.csv"], "no such file"),
        (["--zone", "DE", "--trace", "x.csv", "--feed", "uk_carbon"], "--trace asks no service"),
        (["--zone", "GB", "--at", "2022-03-01T00:00Z"], "--at needs a --trace"),
        (["--zone", "GB", "--hours", "0"], "--hours must be above 0"),
    ],
)
def test_a_mistake_ends_in_two_lines_and_code_2(words: list[str], says_what: str) -> None:
    done = slacktide("intensity", *words)
    assert done.returncode == 2
    assert says_what in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_zone_or_instant_that_the_trace_lacks_is_named(trace: Path) -> None:
    wrong_zone = slacktide("intensity", "--zone", "FR", "--trace", str(trace))
    assert wrong_zone.returncode == 2
    assert "no line of FR; the file has DE" in wrong_zone.stderr
    for at in ("2023-01-01T00:00Z", "2022-03-01T00:00", "noon"):
        assert slacktide("intensity", "--zone", "DE", "--trace", str(trace), "--at", at).returncode == 2


def test_five_minute_data_are_shown_by_the_hour() -> None:
    path = real_data("carbon/marginal_2023-06_5min_caiso_north.csv.gz")
    done = slacktide("intensity", "--zone", "US-CAL-CISO", "--trace", str(path), "--hours", "6")
    assert "marginal, direct factors" in done.stdout
    assert "hourly means of 72 steps" in done.stdout
    assert sum(line.startswith("2023-06-08T") for line in done.stdout.splitlines()) == 6


def test_all_regions_are_listed_and_can_be_narrowed_down() -> None:
    assert len(slacktide("regions").stdout.splitlines()) == 136
    german = slacktide("regions", "--zone", "DE", "--provider", "GCP").stdout.splitlines()
    assert [line.split()[0] for line in german[1:]] == ["gcp:europe-west10", "gcp:europe-west3"]


def test_regions_as_json_tell_unknown_from_known() -> None:
    found = json.loads(slacktide("regions", "--zone", "HK", "--json").stdout)
    by_key = {one["key"]: one for one in found}
    assert by_key["aws:ap-east-1"]["pue"] is None
    assert by_key["aws:ap-east-1"]["wue_l_per_kwh"] == 0.18
    assert by_key["aws:ap-east-1"]["yearly_average_gco2e_per_kwh"] == 435.36


def test_an_unknown_provider_or_zone_is_answered_with_the_known_ones() -> None:
    provider = slacktide("regions", "--provider", "ibm")
    assert (provider.returncode, "aws, azure, gcp" in provider.stderr) == (2, True)
    zone = slacktide("regions", "--zone", "US-CAL-CIS")
    assert (zone.returncode, "did you mean US-CAL-CISO" in zone.stderr) == (2, True)
