"""kill -9 at random instants: whatever was acknowledged is there afterwards."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scheduler.jobs import JobState
from scheduler.store.sql import open_store
from tests.stores import sqlite_store_url

LIVES = 10
SEED = 20_260_727


def acknowledged_until_killed(url: str, life: int, after: int) -> list[str]:
    """Everything the process said before it died; it is killed once it has said `after` lines, in mid-work."""
    command = [sys.executable, "-m", "tests.integration.life_of_a_writer", url, str(life)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(after)]
        process.kill()
        said += process.stdout.read().splitlines()
    assert process.returncode == -9, said
    return said


def ids(said: Sequence[str], verb: str) -> list[str]:
    return [line.split()[1] for line in said if line.startswith(verb)]


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9_at_any_instant(tmp_path: Path) -> None:
    url = sqlite_store_url(tmp_path)
    draw = random.Random(SEED)
    said: list[str] = []
    for life in range(LIVES):
        said += acknowledged_until_killed(url, life, after=draw.randint(1, 600))
        store = open_store(url)
        # Raises UnknownJobError for one that was acknowledged and lost.
        states = {job_id: store.job(job_id).standing for job_id in ids(said, "accepted")}
        assert all(states[job_id].state is JobState.SUCCEEDED for job_id in ids(said, "finished"))
        claimed = {line.split()[1]: int(line.split()[2]) for line in said if line.startswith("claimed")}
        assert all(states[job_id].token >= token for job_id, token in claimed.items())
        assert store._connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        store.close()
    assert len(ids(said, "accepted")) > LIVES
