"""`slacktide sweep` from outside: its files, its mistakes, and that a kill costs only the runs under way."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SMALL = """\
name = "small"
start = "2025-06-02T00:00Z"
[grid]
archetypes = { SUNNY = "solar" }
span_s = "6d"
[[region]]
name = "plains"
zone = "SUNNY"
gpus = 8
[[jobs]]
name = "training"
count = 12
span_s = "1d"
"""
SWEEP = (
    "sweep",
    "small.toml",
    "--param",
    "jobs.slack_s=2h,12h",
    "--param",
    "region.0.gpus=6:8:2",
    "--seeds",
    "2",
    "--json",
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "slacktide.main", *arguments]


def slacktide(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=280, cwd=folder, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(SMALL)
    return tmp_path


def kill_in_the_middle(folder: Path) -> None:
    with subprocess.Popen(
        command(*SWEEP, "--out", "killed"), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("3 of 8"))
        process.send_signal(signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was_and_says_the_same(folder: Path) -> None:
    journal = folder / "killed" / "runs.jsonl"
    for _ in range(5):  # a sweep may be faster than the kill
        shutil.rmtree(folder / "killed", ignore_errors=True)
        kill_in_the_middle(folder)
        kept = journal.read_bytes()
        if kept.count(b"\n") < 8:
            break
    assert 3 <= kept.count(b"\n") < 8
    journal.write_bytes(kept + b'{"key": "torn')

    resumed = slacktide(folder, *SWEEP, "--out", "killed")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr.startswith(f"{kept.count(chr(10).encode())} of 8 runs done")
    assert journal.read_bytes().startswith(kept)
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 8

    plain = summary_of_a_whole_sweep(folder)
    assert json.loads(resumed.stdout) == plain
    assert (folder / "killed" / "points.csv").read_bytes() == (folder / "whole" / "points.csv").read_bytes()
    refuse_other_tables(folder / "killed")


def summary_of_a_whole_sweep(folder: Path) -> dict[str, Any]:
    whole = slacktide(folder, *SWEEP, "--out", "whole", "--processes", "1")
    assert whole.returncode == 0, whole.stderr
    plain: dict[str, Any] = json.loads(whole.stdout)
    assert (plain["scenario"], plain["seeds"], plain["runs"], len(plain["points"])) == ("small", 2, 8, 4)
    for point in plain["points"]:
        assert point["savings_low_ratio"] < point["savings_mean_ratio"] < point["savings_high_ratio"]
    with (folder / "whole" / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["jobs.slack_s"], row["region.0.gpus"], row["seed"]) for row in rows[1:4]] == [
        ("7200.0", "6", "1"),
        ("7200.0", "8", "0"),
        ("7200.0", "8", "1"),
    ]
    return plain


def refuse_other_tables(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra: parquet")
    pytest.importorskip("matplotlib", reason="needs the extra: plots")
    table = parquet.read_table(folder / "points.parquet")
    assert table.column("jobs.slack_s").to_pylist() == [7200.0, 7200.0, 43200.0, 43200.0]
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("small.toml", "--param", "jobs.slak_s=1h"), "--param jobs.slak_s=1h: unknown key 'jobs.slak_s'"),
        (("small.toml", "--param", "jobs.slack_s=1h", "--out", "no/where"), "--out: no/where cannot be made"),
        (("small.toml", "--param", "grid.archetypes.SUNNY=wnd"), "grid.archetypes"),
    ],
)
def test_a_users_mistake_is_told_without_a_traceback(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    done = slacktide(folder, "sweep", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
