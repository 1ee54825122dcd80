"""A long batch in the queue: what a submission beside it asks of the database. benchmarks/daemon_scale.py has times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, FormData
from sqlalchemy import Engine, event

from benchmarks.batches import lines
from tests.batch_files import CHAT, MODEL
from tests.daemons import a_daemon, a_submission, posted, until
from tests.integration.gateway_stand import FakeWorker, Gate

LINES = 20_000
Submit = Callable[[], Awaitable[None]]


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """The SQL that the whole process runs meanwhile."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def fewest_statements(submit: Submit, *, last: str) -> int:
    """Of some times: tasks beside it may ask for something of their own now and then.

    The write that begins with `last` ends each time, even where it comes after the answer, as the check of a batch.
    """
    counts = []
    for _ in range(6):
        with counted_statements() as seen:
            await submit()
            await until(partial(has_ended, seen, last))
        counts.append(len(seen))
    return min(counts)


def has_ended(seen: list[str], last: str) -> bool:
    written = [place for place, statement in enumerate(seen) if statement.startswith(last)]
    return bool(written) and any(statement.startswith("RELEASE") for statement in seen[written[0] :])


async def uploaded(client: ClientSession, count: int) -> str:
    form = FormData()
    form.add_field("purpose", "batch")
    form.add_field("file", lines(count), filename="lines.jsonl")
    async with client.post("/v1/files", data=form) as response:
        return str((await response.json())["id"])


@pytest.mark.slow
async def test_a_submission_asks_no_more_of_the_database_with_twenty_thousand_lines_in_the_queue(
    tmp_path: Path,
) -> None:
    worker = {"url": "http://127.0.0.1:9", "models": [MODEL], "region": "here"}
    async with a_daemon(tmp_path, {"worker": [worker]}, speed=1.0) as (daemon, client):
        one, many = await uploaded(client, 1), await uploaded(client, LINES)

        async def batch(file_id: str = one) -> None:
            fields = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
            status, said = await posted(client, "/v1/batches", fields)
            assert status == 200, said

        async def job() -> None:
            status, said = await posted(client, "/api/v1/jobs", a_submission(duration="1m"))
            assert status == 201, said

        def waiting() -> int:
            return sum(counts.open for counts in daemon.batches.live_counts().values())

        async def asked() -> tuple[int, int]:
            return (
                await fewest_statements(batch, last="UPDATE batches"),
                await fewest_statements(job, last="INSERT INTO jobs"),
            )

        before = await asked()
        await batch(many)
        await until(lambda: waiting() >= LINES)
        after = await asked()
        assert min(before) > 0
        assert after == before


class OneATurn:
    """A rate that never lets two lines go in one turn; keeps what it granted."""

    per_s = 1000.0

    def __init__(self) -> None:
        self._room = 1

    def turned(self, asked_s: float, took_s: float) -> None:
        self._room = 1

    def granted(self, wanted: int) -> int:
        lines = min(wanted, self._room)
        self._room -= lines
        return lines


@pytest.mark.slow
async def test_lines_that_may_not_go_in_this_turn_go_in_the_next_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.daemon.batches.LineRate", OneATurn)
    gate = Gate()
    async with FakeWorker(gate).listening() as worker:
        table = {"url": worker.url, "models": [MODEL], "region": "here", "max_sequences": 64}
        async with a_daemon(tmp_path, {"worker": [table]}, speed=1.0) as (_, client):
            fields = {"input_file_id": await uploaded(client, 30), "endpoint": CHAT, "completion_window": "1h"}
            await posted(client, "/v1/batches", fields)
            # Nothing is answered yet, so nothing but the turns calls the feeder.
            await until(lambda: len(worker.requests) == 30)
            gate.opened.set()
