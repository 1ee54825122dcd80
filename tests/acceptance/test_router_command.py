"""`slacktide router` from outside, on a table small enough to see through."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COLUMNS = ("query_id", "dataset", "subject", "query", "weak_correct", "strong_correct", "excluded_by_authors")


def router(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slacktide.main", "router", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1"},
    )


def table(path: Path, subjects: str, right: str = "1") -> Path:
    """Long questions with numbers are answered by the strong model only; others by both."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for subject in subjects:
            for place in range(20):
                hard = place % 2
                query = "Compute 17 + 25 * 3 - 4 =\nfor each of the many steps" * 5 if hard else "Who was he?"
                writer.writerow((f"{subject}{place}", "made up", subject, query, 1 - hard, right, 0))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A router trained on the subjects a, b, c and d."""
    folder = tmp_path_factory.mktemp("router")
    trained = router("train", "--data", table(folder / "a.csv", "abcd"), "--out", folder / "router.json")
    assert trained.returncode == 0, trained.stderr
    return folder / "router.json"


def test_a_router_learns_and_is_judged_on_other_subjects(model: Path, tmp_path: Path) -> None:
    judged = router("evaluate", "--model", model, "--data", table(tmp_path / "b.csv", "xyz"), "--json")

    found = json.loads(judged.stdout)
    assert (found["weak"], found["strong"], found["oracle"], found["queries"]) == (0.5, 1.0, 1.0, 60)
    assert [point["strong_share_ratio"] for point in found["points"]] == [tenth / 10 for tenth in range(1, 10)]
    half = found["points"][4]
    assert half["accuracy_ratio"] == 1.0
    assert half["random_accuracy_ratio"] == 0.75
    assert half["low"] <= 1.0 <= half["high"]
    assert "trained on" not in judged.stderr


def test_subjects_seen_in_training_are_pointed_out(model: Path, tmp_path: Path) -> None:
    shown = router("evaluate", "--model", model, "--data", table(tmp_path / "a.csv", "abcd"))

    assert shown.returncode == 0
    assert "4 of these subjects were trained on" in shown.stderr
    assert "GAP RECOVERED" in shown.stdout


def test_a_batch_is_assigned_within_its_budget_and_the_hard_half_gets_the_strong_model(
    model: Path, tmp_path: Path
) -> None:
    data = table(tmp_path / "b.csv", "xyz")
    words = ("assign", "--model", model, "--data", data, "--energy", "weak=100", "--energy", "strong=1000")
    half_kwh = (30 * 100 + 30 * 1000) / 3.6e6
    found = json.loads(router(*words, "--budget-kwh", str(half_kwh * 1.0001), "--json").stdout)
    shown = router(*words, "--budget-kwh", str(half_kwh * 1.0001))
    poor = router(*words, "--budget-kwh", "0.0001")

    assert found["models"] == ["weak", "strong"] * 30
    assert found["energy_kwh"] == pytest.approx(half_kwh)
    assert found["is_optimal"]
    assert found["gap_ratio"] < 0.001
    assert shown.stdout.split() == found["models"]
    assert poor.returncode == 2
    assert "at least 0.001667" in poor.stderr


@pytest.mark.parametrize(("word", "said"), [("other=1", "there are weak, strong"), ("weak=x", "no energy")])
def test_an_energy_that_is_none_is_pointed_out(model: Path, tmp_path: Path, word: str, said: str) -> None:
    data = table(tmp_path / "a.csv", "ab")
    result = router("assign", "--model", model, "--data", data, "--energy", word, "--budget-kwh", "1")

    assert result.returncode == 2
    assert said in result.stderr


def test_a_judgement_that_is_no_judgement_is_named_with_its_row(tmp_path: Path) -> None:
    result = router("train", "--data", table(tmp_path / "a.csv", "ab", "yes"), "--out", tmp_path / "m.json")

    assert result.returncode == 2
    assert "row 1, column strong_correct" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_column_and_a_file_that_is_no_model_are_mistakes_of_the_caller(tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    bare.write_text("query,subject\nWho?,history\n", "utf-8")
    no_column = router("train", "--data", bare, "--out", tmp_path / "m.json")
    no_model = router("evaluate", "--model", bare, "--data", table(tmp_path / "a.csv", "ab"))

    assert (no_column.returncode, no_model.returncode) == (2, 2)
    assert "has no column weak_correct" in no_column.stderr
    assert "is no JSON" in no_model.stderr


def test_a_daemon_whose_router_file_is_missing_says_so_and_how_to_write_one(tmp_path: Path) -> None:
    settings = tmp_path / "slacktide.toml"
    settings.write_text(
        f"""
[server]
port = 0
state_dir = "{tmp_path / "state"}"

[[region]]
name = "here"
zone = "DE"

[[worker]]
url = "http://127.0.0.1:9"
models = ["llama-3.1-8b", "llama-3.1-70b"]
region = "here"

[[model_pool]]
name = "auto"
candidates = ["llama-3.1-8b", "llama-3.1-70b"]
router = "{tmp_path / "router.json"}"
""",
        "utf-8",
    )
    result = subprocess.run(
        [sys.executable, "-m", "slacktide.main", "serve", "-c", str(settings)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1"},
    )

    assert result.returncode == 2
    assert "model_pool 'auto': router" in result.stderr
    assert "No such file or directory" in result.stderr
    assert "slacktide router train" in result.stderr
    assert "Traceback" not in result.stderr
