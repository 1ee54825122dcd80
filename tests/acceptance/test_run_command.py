"""`slacktide run` from outside: the command's own exit code, streams and signals, and a plan nobody has to trust."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler.quantities import parse_instant_s

pytestmark = pytest.mark.slow

SLACKTIDE = [sys.executable, "-m", "slacktide.main", "run"]
# Of a zone that no table knows, so that the command runs at once.
NOWHERE = ["--within", "2h", "--duration", "1h", "--zone", "NOWHERE"]


def slacktide_run(*arguments: str, **said: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SLACKTIDE, *arguments], capture_output=True, text=True, timeout=120, check=False, input=said.get("stdin")
    )


def a_grid(path: Path, dirty_s: float) -> Path:
    """Zone DE by the second minute: 400 g until `dirty_s` from now, 100 g after that, for a day."""
    clean_from_s = time.time() + dirty_s
    rows = ["timestamp,zone,gco2e_per_kwh"]
    edges_s = [clean_from_s - 3600, clean_from_s, *(clean_from_s + 3600 * hour for hour in range(1, 24))]
    for edge_s in edges_s:
        instant = datetime.fromtimestamp(edge_s, UTC).isoformat()
        rows.append(f"{instant},DE,{400 if edge_s < clean_from_s else 100}")
    path.write_text("\n".join(rows))
    return path


def test_streams_and_exit_code_are_the_commands() -> None:
    done = slacktide_run(*NOWHERE, "--", "sh", "-c", "cat; echo $SLACKTIDE_ATTEMPT; exit 3", stdin="in\n")

    assert (done.returncode, done.stdout) == (3, "in\n1\n")
    assert "nothing is known of NOWHERE: the command runs at once" in done.stderr


def test_options_of_the_command_are_not_ours() -> None:
    done = slacktide_run(*NOWHERE, "echo", "--zone", "--help")

    assert (done.returncode, done.stdout) == (0, "--zone --help\n")


def test_it_waits_for_the_clean_minute_and_accounts_for_it(tmp_path: Path) -> None:
    clean_from_s = time.time() + 4.0
    grid = a_grid(tmp_path / "grid.csv", dirty_s=4.0)
    asked = ["--within", "5h", "--duration", "1h", "--zone", "DE", "--trace", str(grid), "--json"]

    done = slacktide_run(*asked, "--", "sleep", "0.1")

    account = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == 0
    assert account["exit_code"] == 0
    assert parse_instant_s(account["segments"][0]["start"]) >= clean_from_s - 1.0  # told to the second
    assert account["emissions_gco2e"] / account["energy_kwh"] == pytest.approx(100.0)
    assert account["savings_ratio"] in (pytest.approx(0.75), 0.0)  # 0 where the machine took so long to begin
    assert "cleanest window" in done.stderr


def test_a_dry_run_starts_nothing_and_prints_the_plan(tmp_path: Path) -> None:
    grid = a_grid(tmp_path / "grid.csv", dirty_s=1800.0)
    asked = ["--within", "5h", "--duration", "1h", "--zone", "DE", "--trace", str(grid), "--dry-run", "--json"]

    done = slacktide_run(*asked, "--", "touch", str(tmp_path / "started"))

    plan = json.loads(done.stdout)
    assert plan["baseline_emissions_gco2e"] == pytest.approx(
        0.7 * 250.0, rel=0.05
    )  # less by each second that it took to begin
    assert plan["emissions_gco2e"] == pytest.approx(70.0)
    assert (plan["zone"], plan["rung"]) == ("DE", "live")
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--within", "2h", "--duration", "3h", "--zone", "DE", "--", "true"], "--within 3h or more"),
        (["--within", "2h", "--duration", "3", "--zone", "DE", "--", "true"], "--duration"),
        ([*NOWHERE, "--", "no-such-command"], "there is no command 'no-such-command'"),
        ([*NOWHERE, "--trace", "gone.csv", "--", "true"], "gone.csv"),
        ([*NOWHERE, "--trace", "gone.csv", "--feed", "watttime", "--", "true"], "keep one of them"),
    ],
)
def test_a_mistake_is_answered_with_the_remedy_and_exit_code_2(arguments: list[str], message: str) -> None:
    done = slacktide_run(*arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_the_command_may_end_as_it_likes(number: signal.Signals) -> None:
    trapping = "trap 'echo told; exit 9' INT TERM; echo ready; while :; do sleep 0.05; done"
    command = [*SLACKTIDE, *NOWHERE, "--", "sh", "-c", trapping]
    # A session of its own: the signal goes to slacktide alone, as from `kill`.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == "told\n"
        assert process.wait(60) == 9


def test_no_thread_of_its_own_takes_a_signal_that_is_meant_for_the_command() -> None:
    command = [*SLACKTIDE, *NOWHERE, "--", "sh", "-c", "echo ready; read end"]
    several_threads = {**os.environ, "OPENBLAS_NUM_THREADS": "3"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=several_threads
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        others = [task for task in Path(f"/proc/{process.pid}/task").iterdir() if task.name != str(process.pid)]
        deaf = [_is_blocked(task, signal.SIGTERM) and _is_blocked(task, signal.SIGCHLD) for task in others]
        process.communicate("end\n", timeout=180)
    if not others:
        pytest.skip("numpy begins no threads on a machine with one processor")
    assert all(deaf)


def _is_blocked(task: Path, number: signal.Signals) -> bool:
    mask = next(line for line in (task / "status").read_text().splitlines() if line.startswith("SigBlk:"))
    return bool(int(mask.split()[1], 16) >> (number - 1) & 1)


def test_a_signal_before_the_start_ends_it_and_starts_nothing(tmp_path: Path) -> None:
    grid = a_grid(tmp_path / "grid.csv", dirty_s=1800.0)
    asked = ["--within", "5h", "--duration", "1h", "--zone", "DE", "--trace", str(grid)]
    command = [*SLACKTIDE, *asked, "--", "touch", str(tmp_path / "started")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "planned" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert "Traceback" not in process.stderr.read()
    assert not (tmp_path / "started").exists()
