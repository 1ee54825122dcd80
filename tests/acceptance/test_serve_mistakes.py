"""`slacktide serve` that cannot start: two lines, the right exit code, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = """
[server]
port = {port}
state_dir = "{state_dir}"
[[region]]
name = "here"
zone = "A"
gpus = 1
[[feed]]
kind = "synthetic"
zones = ["A"]
"""


def served(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "slacktide.main", "serve", "-c", "slacktide.toml"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """What stands on stderr beside the log."""
    assert "Traceback" not in done.stderr
    return done.stderr[done.stderr.index("slacktide: ") :]


@pytest.mark.slow
def test_a_taken_port_is_named_with_its_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "slacktide.toml").write_text(SETTINGS.format(port=port, state_dir="state"))
        done = served(tmp_path)
    assert done.returncode == 1
    assert complaint(done).startswith(
        f"slacktide: the daemon cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )
    assert "server.port" in complaint(done)


@pytest.mark.slow
def test_a_state_folder_that_is_a_file_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    (tmp_path / "slacktide.toml").write_text(SETTINGS.format(port=0, state_dir="state"))
    done = served(tmp_path)
    assert done.returncode == 1
    assert complaint(done) == (
        "slacktide: the daemon cannot use state: File exists\n"
        "  hint: server.state_dir (state) must be a folder that this user may write\n"
    )


@pytest.mark.slow
def test_settings_that_are_no_text_are_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "slacktide.toml").write_bytes(b"\xff\xfe")
    done = served(tmp_path)
    assert done.returncode == 2
    assert complaint(done) == "slacktide: slacktide.toml is no UTF-8 text (byte 0)\n  hint: save it as UTF-8\n"


@pytest.mark.slow
def test_a_calibration_that_is_not_there_is_the_users_to_mend(tmp_path: Path) -> None:
    worker = '[[worker]]\nurl = "http://127.0.0.1:1"\nmodels = ["llama-3.1-8b"]\nregion = "here"\n'
    worker += 'calibration = "no.csv"\n'
    (tmp_path / "slacktide.toml").write_text(SETTINGS.format(port=0, state_dir="state") + worker)
    done = served(tmp_path)
    assert done.returncode == 2
    said, hint = complaint(done).splitlines()
    assert said == "slacktide: calibration of worker http://127.0.0.1:1: no.csv: No such file or directory"
    assert "slacktide profiles calibrate" in hint
