"""`slacktide profiles` from outside."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.shaping.measured_rows import a_table

pytestmark = pytest.mark.slow

TIMEOUT_S = 180


def profiles(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slacktide.main", "profiles", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1"},
    )


def answer(*words: str | Path) -> Any:
    result = profiles(*words, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def a_file(folder: Path, text: str, name: str = "points.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


POINTS = "batch,j_per_token,tokens_per_s\n8,0.455,1073\n256,0.077,9010\n"


def test_a_prediction_says_its_class_and_its_band() -> None:
    words = "predict --model llama-3.1-8b --gpu h100-sxm --batch 64 --prompt 350 --output 400"
    found = answer(*words.split())
    assert found["j_per_token"] == pytest.approx(0.112, rel=0.005)
    assert found["j_per_request"] == pytest.approx(45.0, rel=0.005)
    assert found["tokens_per_s"] == pytest.approx(4856, rel=0.005)
    assert found["power_w"] == pytest.approx(545.7, rel=0.005)
    assert (found["error_class"], found["basis"]) == ("default", "modelled")
    band = found["bands"]["j_per_token"]
    assert band["low"] < found["j_per_token"] < band["high"]


def test_a_calibrated_prediction_meets_its_points_in_a_narrower_band(tmp_path: Path) -> None:
    found = answer("predict", "--batch", "256", "--calibration", a_file(tmp_path, POINTS))
    assert found["error_class"] == "calibrated"
    assert found["j_per_token"] == pytest.approx(0.077)
    assert found["bands"]["j_per_token"]["high"] == pytest.approx(0.077 * 1.0798, rel=1e-3)


def test_calibrating_shows_the_points_before_and_after(tmp_path: Path) -> None:
    path = a_file(tmp_path, POINTS)
    found = answer("calibrate", path)
    assert [row["predicted_j_per_token"] for row in found["points"]] == pytest.approx([0.455, 0.077])
    assert found["correction"]["from_batch"] == 8
    shown = profiles("calibrate", path).stdout
    assert "step_time x exp(" in shown


def a_meter_log(folder: Path) -> Path:
    """A minute at a batch of 8 and 1000 tokens/s for 480 W, two at 256 and 9000 tokens/s for 690 W."""
    rows, tokens, energy_j = ["at_s,running,prompt_tokens,output_tokens,requests,energy_j,power_w"], 0, 7_000_000
    for second in range(182):
        batch, tokens_per_s, power_w = (8, 1000, 480) if second < 61 else (256, 9000, 690)
        rows.append(f"{1000 + second},{batch},{tokens * 2},{tokens},{tokens / 100},{energy_j},{power_w}")
        tokens, energy_j = tokens + tokens_per_s, energy_j + power_w
    return a_file(folder, "\n".join(rows) + "\n", "meter.csv")


def test_a_meters_log_calibrates_with_the_lengths_it_counted(tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    found = answer("calibrate", "--from-nvml-log", a_meter_log(tmp_path), "--write-points", points)
    assert (found["prompt_tokens"], found["output_tokens"]) == (200, 100)
    assert (found["energy_from"], found["error_class"]) == ("energy counter", "calibrated")
    assert [row["predicted_j_per_token"] for row in found["points"]] == pytest.approx([0.48, 0.07667], rel=1e-3)
    words = ("predict", "--prompt", "200", "--output", "100", "--batch", "256", "--calibration", points)
    assert answer(*words)["j_per_token"] == pytest.approx(0.07667, rel=1e-3)


def test_a_point_above_the_limit_is_used_with_a_warning(tmp_path: Path) -> None:
    path = a_file(tmp_path, "batch,j_per_token,tokens_per_s\n8,1,1000\n")
    result = profiles("calibrate", path)
    assert result.returncode == 0
    assert "points.csv:2:1: warning: 1000 W a GPU is outside 121.7 to 700 W" in result.stderr


def test_every_profile_can_be_listed_and_shown() -> None:
    known = answer("list")
    assert len(known["gpus"]) >= 17
    assert len(known["models"]) >= 30
    assert known["gpu_error_classes"]["h200-sxm"] == "datasheet"
    assert answer("show", "meta-llama/Llama-3.1-8B-Instruct")["name"] == "llama-3.1-8b"
    assert "busy_floor_w" in profiles("show", "h100-sxm").stdout


def test_an_evaluation_lists_every_group(tmp_path: Path) -> None:
    rows = [{"avg_batch_size": str(batch)} for batch in (8, 16, 32)]
    path = tmp_path / "measured.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(a_table(*rows, {"group_id": "odd|g", "model_id": "x/unheard-of"}))
    found = answer("evaluate", "--measurements", path)
    assert [one["group_id"] for one in found["groups"]] == ["m|g", "odd|g"]
    group, odd = found["groups"]
    assert {"batch", "j_per_token", "predicted_j_per_token", "tokens_per_s", "predicted_tokens_per_s"} <= set(
        group["rows"][0]
    )
    assert set(group["j_per_token_error_ratio"]) >= {"median", "p90"}
    assert (group["gpu"], group["architecture"]) == ("H100-SXM5-80GB", "Dense Transformer")
    assert odd["rows"] == []
    assert odd["reason"] == "no model profile is called 'x/unheard-of'"
    assert found["overall"]["rows"] == 3
    anchored = answer("evaluate", "--measurements", path, "--anchors", "2")
    assert [one["batch"] for one in anchored["groups"][0]["rows"]] == [16]
    assert anchored["groups"][0]["error_class"] == "calibrated"
    assert "odd|g" in profiles("evaluate", "--measurements", path).stdout


def test_a_row_that_cannot_be_read_is_listed_in_its_group_and_spoils_no_other(tmp_path: Path) -> None:
    rows = [{"avg_batch_size": "8"}, {"avg_batch_size": ""}, {"avg_batch_size": "many", "group_id": "other|g"}]
    path = a_file(tmp_path, "".join(a_table(*rows)))
    found = answer("evaluate", "--measurements", path)
    group, other = found["groups"]
    assert [one["batch"] for one in group["rows"]] == [8]
    assert group["not_predicted"] == [{"line": 3, "reason": "avg_batch_size: is empty; a number is needed here"}]
    assert (other["group_id"], other["rows"]) == ("other|g", [])
    assert other["reason"] == "avg_batch_size: 'many' is not a number"


def test_an_evaluation_reads_a_table_whatever_its_name_and_lists_rows_that_cannot_be_read(tmp_path: Path) -> None:
    rows = a_table({"avg_batch_size": "8"}, {"avg_batch_size": "many"}, {"avg_batch_size": "1000000"})
    path = a_file(tmp_path, "".join(rows), "measured.csv.gz")  # not packed in truth
    found = answer("evaluate", "--measurements", path)
    (group,) = found["groups"]
    assert [one["batch"] for one in group["rows"]] == [8, 1000000]  # past the KV memory, yet measured
    assert group["not_predicted"] == [{"line": 3, "reason": "avg_batch_size: 'many' is not a number"}]
    assert found["overall"]["rows_not_predicted"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("predict --model llama-3.1-80b", "did you mean llama-3.1-8b"),
        ("predict --gpu l4 --model llama-3.1-70b", "it needs at least 8"),
        ("predict --precision 3bit", "choose one of 16bit"),
        ("predict --batch 0", "--batch must lie between 1 and"),
        ("predict --batch nan", "--batch must lie between 1 and"),
        ("show h100", "did you mean h100"),
        ("calibrate nowhere.csv", "No such file"),
        ("calibrate", "one table of points or one log is needed"),
        ("calibrate --from-nvml-log nowhere.csv", "No such file"),
        ("calibrate --from-nvml-log nowhere.csv --window 1", "--window must lie between 5 and"),
        ("calibrate points.csv --write-points other.csv", "--write-points is for --from-nvml-log"),
        ("evaluate --measurements nowhere.csv", "No such file"),
    ],
)
def test_a_mistake_is_two_lines_and_exit_code_2(words: str, message: str) -> None:
    result = profiles(*words.split())
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (POINTS.replace("0.077", "cheap"), "points.csv:3:5: j_per_token: 'cheap' is not a number"),
        (POINTS.replace("tokens_per_s", "speed"), "points.csv:1:1: tokens_per_s: the column is missing"),
        ("", "points.csv:1:1: the file is empty"),
        (POINTS + "\n64,119,5000\n", "points.csv:5:1: j_per_token is 1.06e+03 times what the profile says"),
    ],
)
def test_a_wrong_table_is_named_by_file_line_and_column(tmp_path: Path, text: str, place: str) -> None:
    result = profiles("calibrate", a_file(tmp_path, text))
    assert result.returncode == 2
    assert place in result.stderr


def test_a_damaged_archive_is_said_to_be_one(tmp_path: Path) -> None:
    path = tmp_path / "measured.csv.gz"
    path.write_bytes(gzip.compress("".join(a_table({})).encode())[:60])
    result = profiles("evaluate", "--measurements", path)
    assert result.returncode == 2
    assert "measured.csv.gz:1:1: cannot be unpacked" in result.stderr
