"""`slacktide sweep --ray` on a real cluster of one machine: the same rows as here, and mistakes that are told."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.acceptance.test_sweep import SWEEP, slacktide

pytest.importorskip("ray", reason="Ray has no package for this Python")
pytestmark = pytest.mark.slow

SMALL = """\
name = "small"
start = "2025-06-02T00:00Z"
[grid]
trace = "grid.csv"
[[region]]
name = "plains"
zone = "SUNNY"
gpus = 8
[[jobs]]
name = "training"
count = 12
span_s = "1d"
"""


def a_free_port() -> int:
    """Below those that the system gives away by itself, so that nobody is given it before the cluster listens."""
    first = 20_000 + os.getpid() % 8000
    for port in range(first, first + 1000):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no free port from {first} on")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of two cores that stands somewhere else than the scenario."""
    # Ray's sockets have names of at most 107 characters, too few for a folder of pytest's.
    folder = Path(tempfile.mkdtemp(prefix="sweep-"))
    address = f"127.0.0.1:{a_free_port()}"
    started = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus", "2"),
        *("--port", address.rpartition(":")[2], "--node-ip-address", "127.0.0.1", "--temp-dir", str(folder)),
        *("--include-dashboard", "false", "--disable-usage-stats", "--object-store-memory", str(100 * 2**20)),
    ]
    with subprocess.Popen(
        started, cwd=tmp_path_factory.mktemp("elsewhere"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as head:
        try:
            assert head.stdout is not None
            said = next((line for line in head.stdout if "Ray runtime started" in line), None)
            assert said is not None, "the cluster ended at once"
            yield address
        finally:
            head.terminate()
            head.wait(120)
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(SMALL)
    days = [f"2025-{month:02d}-{day:02d}" for month, day in [(5, 30), (5, 31), *((6, day) for day in range(1, 12))]]
    hours = [f"{day}T{hour:02d}:00Z,SUNNY,{100 if 9 <= hour < 15 else 400}\n" for day in days for hour in range(24)]
    (tmp_path / "grid.csv").write_text("timestamp,zone,gco2e_per_kwh\n" + "".join(hours))
    return tmp_path


def test_a_cluster_makes_the_rows_that_this_machine_makes(folder: Path, cluster: str) -> None:
    here = slacktide(folder, *SWEEP, "--out", "here")
    assert here.returncode == 0, here.stderr
    there = slacktide(folder, *SWEEP, "--out", "there", "--ray", cluster)
    assert there.returncode == 0, there.stderr
    assert "8 of 8 runs done" in there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)
    assert (folder / "there" / "runs.csv").read_bytes() == (folder / "here" / "runs.csv").read_bytes()


def test_a_mistake_that_a_run_finds_comes_back_from_the_cluster(folder: Path, cluster: str) -> None:
    (folder / "grid.csv").write_text(
        "timestamp,zone,gco2e_per_kwh\n2025-06-09T00:00Z,SUNNY,1\n2025-06-09T01:00Z,SUNNY,1\n"
    )
    said = slacktide(folder, *SWEEP, "--ray", cluster)
    assert said.returncode == 2
    assert "the grid of SUNNY is not known at the start of the scenario" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_cluster_that_is_not_there_is_said_to_be_so(folder: Path) -> None:
    said = slacktide(folder, *SWEEP, "--ray", "127.0.0.1:1")
    assert said.returncode == 1
    assert "no Ray cluster answers at 127.0.0.1:1" in said.stderr
    assert "Traceback" not in said.stderr
