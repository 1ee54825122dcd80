"""A process that starts runs as fast as it can, and says which were started. Made to be killed.

python -m tests.integration.life_of_a_launcher STATE_DIR MARKS LIFE: every run appends its name to MARKS.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from scheduler.daemon.env import Env
from scheduler.launchers.contract import RunSpec
from scheduler.launchers.local import LocalLauncher

STARTERS = 3


async def start_for_ever(launcher: LocalLauncher, marks: str, name: str) -> None:
    for number in itertools.count():
        command = ("sh", "-c", 'echo "$SLACKTIDE_JOB_ID" >> "$1"', "sh", marks)
        run = await launcher.start(RunSpec(job_id=f"{name}-{number}", attempt=1, token=1, command=command))
        os.write(sys.stdout.fileno(), f"{run.job_id}\n".encode())


async def live(state_dir: Path, marks: str, life: str) -> None:
    launcher = LocalLauncher(state_dir, Env())
    await launcher.recover()
    async with asyncio.TaskGroup() as group:
        for starter in range(STARTERS):
            group.create_task(start_for_ever(launcher, marks, f"life{life}-by{starter}"))


if __name__ == "__main__":
    asyncio.run(live(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
