"""`slacktide demo` from outside: it ends when told to, and leaves neither processes nor files behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "slacktide.main", "demo", "--no-browser"]
GRACE_S = 180.0


def a_demo(folder: Path, *words: str) -> subprocess.Popen[str]:
    """A demo whose temporary files are in `folder` and whose processes are one group."""
    return subprocess.Popen(
        [*COMMAND, *words],
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_holding(folder: Path) -> list[str]:
    """Commands that run in a folder or below it: the runs of a demo start in its own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text())
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_demo_cut_short_reports_and_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with a_demo(tmp_path, "--for", "60s") as demo:
        assert demo.stderr is not None
        for line in demo.stderr:
            if "starts:" in line:
                break
        demo.send_signal(number)
        said, complained = demo.communicate(timeout=GRACE_S)
    assert demo.returncode == 128 + number
    assert "What was saved" in said
    assert "Traceback" not in complained
    assert list(tmp_path.iterdir()) == []
    assert processes_holding(tmp_path) == []


@pytest.mark.slow
def test_a_whole_demo_prints_its_savings_and_exits_0(tmp_path: Path) -> None:
    with a_demo(tmp_path, "--for", "10s", "--json") as demo:
        said, complained = demo.communicate(timeout=GRACE_S)
    assert demo.returncode == 0, complained
    result = json.loads(said)
    assert result["jobs"] == 7
    assert result["savings"]["savings_ratio"] is not None
    assert list(tmp_path.iterdir()) == []
    assert processes_holding(tmp_path) == []


@pytest.mark.slow
def test_a_demo_on_a_taken_port_says_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with a_demo(tmp_path, "--port", str(port), "--for", "10s") as demo:
            _, complained = demo.communicate(timeout=GRACE_S)
    assert demo.returncode == 1
    assert "choose another --port" in complained
    assert "Traceback" not in complained
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_cannot_be_is_the_users_mistake() -> None:
    done = subprocess.run([*COMMAND, "--port", "99999"], capture_output=True, text=True, timeout=GRACE_S, check=False)
    assert done.returncode == 2
    assert "--port" in done.stderr
