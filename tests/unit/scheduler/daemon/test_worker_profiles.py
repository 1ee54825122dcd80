"""A worker whose settings name what was measured on it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from scheduler.daemon.worker_profiles import CalibrationFileError, worker_deployment
from scheduler.worker_settings import WorkerSettings
from shaping.deployment import Deployment, ErrorClass
from shaping.meter_log import COLUMNS
from shaping.saturation import Traffic, saturated

POINTS = "batch,j_per_token,tokens_per_s\n8,0.455,1073\n256,0.077,9010\n"


def a_worker(path: Path | None = None, **changes: object) -> WorkerSettings:
    calibration = "" if path is None else str(path)
    settings = {"url": "http://w:1", "models": ("llama-3.1-8b",), "region": "here", "calibration": calibration}
    return WorkerSettings(**{**settings, **changes})  # type: ignore[arg-type]


def written(folder: Path, text: str, name: str = "points.csv") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def j_per_token(found: Deployment, batch: float, prompt_tokens: float = 350, output_tokens: float = 400) -> float:
    return saturated(found, batch, Traffic(prompt_tokens=prompt_tokens, output_tokens=output_tokens)).j_per_token


def test_without_a_calibration_the_profile_is_as_it_ships() -> None:
    assert worker_deployment(a_worker()).error_class is ErrorClass.DEFAULT


def test_a_calibrated_worker_meets_its_points(tmp_path: Path) -> None:
    found = worker_deployment(a_worker(written(tmp_path, POINTS)))
    assert found.error_class is ErrorClass.CALIBRATED
    assert (j_per_token(found, 8), j_per_token(found, 256)) == pytest.approx((0.455, 0.077))


def test_lengths_in_the_file_win_over_those_of_the_settings(tmp_path: Path) -> None:
    text = "batch,j_per_token,tokens_per_s,prompt_tokens,output_tokens\n32,0.2,3000,1000,100\n"
    found = worker_deployment(a_worker(written(tmp_path, text)))
    assert j_per_token(found, 32, 1000, 100) == pytest.approx(0.2)
    without = written(tmp_path, "batch,j_per_token,tokens_per_s\n32,0.2,3000\n", "bare.csv")
    found = worker_deployment(a_worker(without, calibration_prompt_tokens=1000, calibration_output_tokens=100))
    assert j_per_token(found, 32, 1000, 100) == pytest.approx(0.2)


def test_a_log_kept_beside_a_meter_calibrates_too(tmp_path: Path) -> None:
    """Ten requests at once, each second one of 300 + 100 tokens and 500 J: 5 J a token at 100 tokens/s."""
    lines = [",".join(COLUMNS), *(f"{1000 + n},10,{300 * n},{100 * n},{n},{500 * n}," for n in range(121))]
    found = worker_deployment(a_worker(written(tmp_path, "\n".join(lines) + "\n", "worker-1-000001.csv")))
    assert j_per_token(found, 10, 300, 100) == pytest.approx(5.0)


def test_a_packed_file_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "points.csv.gz"
    path.write_bytes(gzip.compress(POINTS.encode()))
    assert worker_deployment(a_worker(path)).error_class is ErrorClass.CALIBRATED


def test_another_model_of_the_worker_is_not_calibrated_by_it(tmp_path: Path) -> None:
    worker = a_worker(written(tmp_path, POINTS), models=("llama-3.1-8b", "qwen2.5-7b"), profile="llama-3.1-8b")
    assert worker_deployment(worker, "llama-3.1-8b").error_class is ErrorClass.CALIBRATED
    other = worker_deployment(worker, "qwen2.5-7b")
    assert (other.model.name, other.error_class) == ("qwen2.5-7b", ErrorClass.DEFAULT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("", "the file is empty"),
        ("batch,j_per_token\n8,0.4\n", "tokens_per_s"),
        ("batch,j_per_token,tokens_per_s\n8,4550,1073\n", "is the unit right"),
        (",".join(COLUMNS) + "\n1,1,0,0,0,5,\n", "fewer than two samples"),
    ],
)
def test_a_calibration_that_says_nothing_names_worker_and_file(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "missing.csv" if text is None else written(tmp_path, text)
    with pytest.raises(CalibrationFileError, match=said) as raised:
        worker_deployment(a_worker(path))
    assert raised.value.worker == "http://w:1"
    assert str(path) in str(raised.value)
