"""`slacktide estimate` and `slacktide reproduce claims` from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RUN = ("estimate", "--params", "70e9", "--tokens", "2e12", "--gpu", "H100", "--region", "europe-north1")


def slacktide(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slacktide.main", *words],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1"},
    )


def test_an_estimate_stands_beside_its_alternatives_best_first() -> None:
    found = json.loads(slacktide(*RUN, "--gpu-hour-usd", "3.22", "--json").stdout)

    asked, others = found["asked"], found["alternatives"]
    assert asked["region"] == "gcp:europe-north1"
    assert asked["gpu_hours"] == pytest.approx(589_821, abs=1)
    assert asked["cost_usd"] == pytest.approx(589_821 * 3.22, rel=1e-5)
    assert asked["water_l"] == pytest.approx(asked["energy_kwh"] / 1.09 * (0.999 + 1.09 * 4.5289), rel=1e-5)
    grams = [one["emissions_kgco2e"] for one in others]
    assert grams == sorted(grams)
    assert asked in others
    assert {one["gpu"] for one in others if one["region"] != asked["region"]} == {"h100-sxm"}


def test_people_get_a_table_that_says_what_is_unknown() -> None:
    result = slacktide(*RUN, "--top", "3")

    assert result.returncode == 0, result.stderr
    head, asked, *others = result.stdout.splitlines()
    assert head.split()[:4] == ["GPU", "REGION", "GPU", "HOURS"]
    assert asked.split()[:2] == ["asked", "h100-sxm"]
    assert asked.split()[-1] == "1,899,225"  # 589,821 hours at 3.22, the example's price
    assert others[0].split()[-1] == "-"
    assert len(others) == 3
    assert "example prices" in result.stderr
    assert "40% of the peak" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--region", "europe-nort1"), "did you mean europe-north1"),
        (("--mfu", "1.4"), "mfu_ratio cannot be above 1"),
        (("--most-usd", "1000"), "add --gpu-hour-usd"),
        (("--region", "ap-southeast-5"), "yearly average of the grid of aws:ap-southeast-5 is not known"),
    ],
)
def test_a_mistake_is_two_lines_and_exit_code_two(words: tuple[str, ...], said: str) -> None:
    result = slacktide(*RUN, *words)

    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_claims_are_shown_with_their_verdicts() -> None:
    shown = slacktide("reproduce", "claims")
    rows = json.loads(slacktide("reproduce", "claims", "--json").stdout)["rows"]

    assert shown.returncode == 0, shown.stderr
    assert "CONTRADICTS ITSELF" in shown.stdout
    assert [one["verdict"] for one in rows if one["name"] == "QLoRA with FP4"] == ["contradicts itself"]
    assert slacktide("reproduce", "claims", "--out", "x").returncode == 2
