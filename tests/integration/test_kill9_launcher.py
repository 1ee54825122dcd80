"""kill -9 of the daemon at random instants while it starts runs: each run happens once or not at all, and is accounted
for."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from scheduler.daemon.env import Env
from scheduler.launchers.contract import Ending, RunEnded
from scheduler.launchers.local import LocalLauncher

LIVES = 8
SEED = 8_467
PATIENCE_S = 60.0


def started_until_killed(state_dir: Path, marks: Path, life: int, draw: random.Random) -> list[str]:
    """The runs whose start was acknowledged. The kill falls a random moment after a random one of them."""
    command = [sys.executable, "-m", "tests.integration.life_of_a_launcher", str(state_dir), str(marks), str(life)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().strip() for _ in range(draw.randint(1, 12))]
        for _ in range(draw.randint(0, 200_000)):  # somewhere inside the next start
            pass
        process.kill()
        said += process.stdout.read().splitlines()
    assert process.returncode == -9, said
    return said


async def every_end(state_dir: Path) -> list[RunEnded]:
    launcher = LocalLauncher(state_dir, Env())
    recovered = await launcher.recover()
    ends = launcher.outcomes()
    async with asyncio.timeout(PATIENCE_S):
        later = [await anext(ends) for _ in recovered.running]
    await launcher.close()
    return [*recovered.ended, *later]


@pytest.mark.slow
async def test_kill_9_while_runs_are_started_starts_none_twice_and_forgets_none(tmp_path: Path) -> None:
    state_dir, marks = tmp_path / "state", tmp_path / "marks"
    marks.touch()
    draw = random.Random(SEED)
    acknowledged: list[str] = []
    for life in range(LIVES):
        acknowledged += await asyncio.to_thread(started_until_killed, state_dir, marks, life, draw)
    ends = {ended.job_id: ended for ended in await every_end(state_dir)}
    ran = Counter(marks.read_text().split())
    assert set(ran.values()) == {1}
    assert {job_id for job_id, ended in ends.items() if ended.has_succeeded} == ran.keys()
    assert {ended.ending for job_id, ended in ends.items() if job_id not in ran} <= {Ending.LOST}
    assert set(acknowledged) <= ran.keys()
