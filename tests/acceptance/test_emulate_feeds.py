"""`slacktide emulate-feeds` from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from slacktide.main import app
from slacktide.terminal import UsageProblem

TIMEOUT_S = 120.0
HOURS = [f"2022-03-01T{hour:02d}:00:00Z" for hour in range(24)]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A day of DE: the hour of the day plus 300."""
    path = tmp_path / "grid.csv"
    rows = [f"{stamp},DE,{300 + hour}" for hour, stamp in enumerate(HOURS)]
    path.write_text("\n".join(["timestamp,zone,gco2e_per_kwh", *rows]) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True, slots=True)
class Served:
    said: dict[str, Any]
    process: subprocess.Popen[str]

    def latest(self, **query: str) -> requests.Response:
        url = f"{self.said['services']['electricity_maps']}/carbon-intensity/latest"
        return requests.get(url, params={"zone": "DE"} | query, headers={"auth-token": "any"}, timeout=TIMEOUT_S)

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_S)


@contextmanager
def served(*arguments: str) -> Iterator[Served]:
    command = [sys.executable, "-m", "slacktide.main", "emulate-feeds", "--port", "0", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"COLUMNS": "200"}) as process:
        try:
            yield Served(json.loads(_document(process)), process)
        finally:
            process.kill()


def _document(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            break
    return "".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_answers_and_stops_when_told(trace: Path, number: int) -> None:
    with served("--trace", str(trace), "--at", "2022-03-01T12:30Z") as server:
        answer = server.latest().json()
        assert server.said["zones"] == ["DE"]
        assert (server.said["start"], server.said["end"]) == ("2022-03-01T00:00Z", "2022-03-02T00:00Z")
        assert (answer["datetime"], answer["carbonIntensity"]) == ("2022-03-01T12:00:00.000Z", 312)
        assert server.stop(number) == 0


@pytest.mark.slow
def test_a_fault_and_a_mapping_are_taken_from_the_command_line(trace: Path) -> None:
    with served("--trace", str(trace), "--fault", "server-error=503@1", "--map", "GB=DE") as server:
        assert [server.latest().status_code for _ in range(2)] == [503, 200]
        national = requests.get(f"{server.said['address']}/intensity", timeout=TIMEOUT_S).json()
    assert national["data"][0]["intensity"]["forecast"] == 300


@pytest.mark.slow
def test_a_shifted_trace_speaks_of_the_present(trace: Path) -> None:
    before_s = time.time()
    with served("--trace", str(trace), "--at", "2022-03-01T12:00Z", "--shift-to-now") as server:
        answer = server.latest().json()
    hours = {time.strftime("%Y-%m-%dT%H:00:00.000Z", time.gmtime(at_s)) for at_s in (before_s, time.time())}
    assert answer["datetime"] in hours
    assert answer["carbonIntensity"] in (312, 313)


@pytest.mark.slow
def test_a_port_in_use_is_told_without_a_traceback(trace: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "slacktide.main", "emulate-feeds", "--trace", str(trace)]
        command += ["--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fault", "fire"], "fire"),
        (["--fault", "slow=soon"], "slow=soon"),
        (["--at", "2023-01-01T00:00Z"], "not in the trace"),
        (["--at", "noon"], "noon"),
        (["--map", "GB=FR"], "GB=FR"),
        (["--map", "GB-18=DE"], "GB-18=DE"),
        (["--speed", "0"], "--speed"),
        (["--login", "ada"], "--login"),
        (["--marginal-trace", "absent.csv"], "absent.csv"),
    ],
)
def test_a_mistake_is_told_with_a_remedy(trace: Path, arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["emulate-feeds", "--trace", str(trace), "--port", "0", *arguments])
    assert isinstance(result.exception, UsageProblem)
    assert told in result.exception.what
    assert result.exception.hint
