"""A process that submits, claims and finishes jobs, and says what was acknowledged. Made to be killed.

python -m tests.integration.life_of_a_writer URL LIFE: one line for every acknowledged write, `accepted ID`,
`claimed ID TOKEN` or `finished ID`, written at once and unbuffered.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys

from scheduler.events import Outcome
from scheduler.store.sql import open_store
from scheduler.store.writer import Writer
from tests.stores import a_job

SUBMITTERS = 16


def say(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


async def submit(writer: Writer, job_id: str) -> None:
    job = a_job(job_id)
    await writer.write(lambda store: store.submit(job, now_s=1.0), is_admission=True)
    say(f"accepted {job_id}")


async def run(writer: Writer, job_id: str) -> None:
    claim = await writer.write(lambda store: store.claim(job_id, holder="d", region="DE", now_s=2.0, lease_s=30.0))
    assert claim is not None
    say(f"claimed {job_id} {claim.token}")
    assert await writer.write(lambda store: store.finish(job_id, claim.token, outcome=Outcome.SUCCEEDED, now_s=3.0))
    say(f"finished {job_id}")


async def work(writer: Writer, life: int, submitter: int) -> None:
    for number in itertools.count():
        job_id = f"life{life}-by{submitter}-{number}"
        await submit(writer, job_id)
        if number % 2:
            await run(writer, job_id)


async def live(url: str, life: int) -> None:
    writer = Writer(open_store(url), on_fatal=lambda error: sys.exit(str(error)))
    writer.start()
    async with asyncio.TaskGroup() as group:
        for submitter in range(SUBMITTERS):
            group.create_task(work(writer, life, submitter))


if __name__ == "__main__":
    asyncio.run(live(sys.argv[1], int(sys.argv[2])))
