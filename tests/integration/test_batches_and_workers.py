"""What becomes of the lines of a batch when workers refuse or fail, and when the daemon's life ends in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, FormData, web

from scheduler.batches import Batch, BatchStatus, LineCounts
from scheduler.daemon.app import Daemon
from scheduler.daemon.batch_folder import BatchFolder
from scheduler.daemon.batch_lines import Line, result_line
from scheduler.daemon.request_records import RequestRecord, Stage
from scheduler.store.dialects import sqlite_url
from scheduler.store.sql import open_store
from shaping.request import LatencyClass
from tests.batch_files import CHAT, MODEL, some_lines
from tests.builders import YEAR_2022_AT_S
from tests.daemons import a_daemon, got, posted
from tests.integration.gateway_stand import FakeWorker, Gate, answers, answers_at_once, until

PATIENCE_S = 60.0


@asynccontextmanager
async def a_life(folder: Path, worker: FakeWorker, **options: Any) -> AsyncIterator[tuple[Daemon, ClientSession]]:
    """A daemon in real time that sends lines at once."""
    tables = {
        "planning": {"policy": "run_now"},
        "worker": [{"url": worker.url, "models": [MODEL], "region": "here", **options}],
    }
    async with a_daemon(folder, tables, speed=1.0) as pair:
        yield pair


async def a_batch(client: ClientSession, lines: int) -> str:
    return await a_batch_of(client, some_lines(lines))


async def a_batch_of(client: ClientSession, data: bytes) -> str:
    form = FormData()
    form.add_field("purpose", "batch")
    form.add_field("file", data, filename="lines.jsonl")
    async with client.post("/v1/files", data=form) as response:
        file = await response.json()
    asked = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
    _, batch = await posted(client, "/v1/batches", asked)
    return str(batch["id"])


async def until_ended(client: ClientSession, batch_id: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            _, batch = await got(client, f"/v1/batches/{batch_id}")
            if batch["status"] in ("completed", "cancelled", "expired", "failed"):
                return dict(batch)
            await asyncio.sleep(0.01)


async def results(client: ClientSession, file_id: str) -> list[dict[str, Any]]:
    async with client.get(f"/v1/files/{file_id}/content") as response:
        return [json.loads(line) for line in (await response.text()).splitlines()]


@pytest.mark.slow
async def test_a_refusal_of_the_worker_is_the_answer_of_its_line(tmp_path: Path) -> None:
    refusing = FakeWorker(answers(400, b'{"error":{"code":"too_long"}}'))
    async with refusing.listening() as worker, a_life(tmp_path, worker) as (_, client):
        batch = await until_ended(client, await a_batch(client, 2))
        errors = await results(client, batch["error_file_id"])
    assert batch["status"] == "completed"
    assert batch["request_counts"] == {"total": 2, "completed": 0, "failed": 2}
    assert batch["output_file_id"] is None
    assert [one["response"]["status_code"] for one in errors] == [400, 400]
    assert errors[0]["response"]["body"]["error"]["code"] == "too_long"
    assert len(worker.requests) == 2


@pytest.mark.slow
async def test_a_full_worker_is_asked_again_until_it_answers(tmp_path: Path) -> None:
    refusals = iter([503, 503])

    async def full_at_first(request: web.Request) -> web.StreamResponse:
        status = next(refusals, 200)
        return await answers_at_once(request) if status == 200 else web.Response(status=status)

    async with FakeWorker(full_at_first).listening() as worker, a_life(tmp_path, worker) as (_, client):
        batch = await until_ended(client, await a_batch(client, 1))
    assert batch["request_counts"] == {"total": 1, "completed": 1, "failed": 0}


@pytest.mark.slow
async def test_a_line_that_fails_every_time_is_given_up_on(tmp_path: Path) -> None:
    async with FakeWorker(answers(500)).listening() as worker, a_life(tmp_path, worker) as (_, client):
        batch = await until_ended(client, await a_batch(client, 1))
        (error,) = await results(client, batch["error_file_id"])
    assert error["response"]["status_code"] == 502
    assert len(worker.requests) == 3


def is_held_person(record: RequestRecord) -> bool:
    return record.stage is Stage.HELD and record.latency_class is LatencyClass.INTERACTIVE


@pytest.mark.slow
async def test_a_call_of_a_person_goes_ahead_of_the_lines_that_wait(tmp_path: Path) -> None:
    gate = Gate()
    async with FakeWorker(gate).listening() as worker, a_life(tmp_path, worker, max_sequences=1) as (daemon, client):
        batch_id = await a_batch(client, 5)
        await asyncio.wait_for(gate.entered.wait(), PATIENCE_S)
        body = {"model": MODEL, "messages": [{"role": "user", "content": "a person"}]}
        call = asyncio.create_task(posted(client, CHAT, body))
        await until(lambda: any(is_held_person(one) for one in daemon.gateway.records.latest()))
        gate.opened.set()
        assert (await call)[0] == 200
        batch = await until_ended(client, batch_id)
    asked = [json.loads(body)["messages"][0]["content"] for _, body, _ in worker.requests]
    assert asked == ["Name a tide.", "a person", *["Name a tide."] * 4]
    assert batch["request_counts"]["completed"] == 5


@pytest.mark.slow
async def test_a_cancellation_breaks_off_what_is_at_the_worker(tmp_path: Path) -> None:
    gate = Gate()
    async with FakeWorker(gate).listening() as worker, a_life(tmp_path, worker) as (daemon, client):
        batch_id = await a_batch(client, 3)
        await asyncio.wait_for(gate.entered.wait(), PATIENCE_S)
        _, cancelling = await posted(client, f"/v1/batches/{batch_id}/cancel", {})
        batch = await until_ended(client, batch_id)
        await asyncio.wait_for(gate.cancelled.wait(), PATIENCE_S)
        assert (daemon.gateway.running, daemon.gateway.held) == (0, 0)
    assert cancelling["status"] == "cancelling"
    assert batch["request_counts"] == {"total": 3, "completed": 0, "failed": 3}


@pytest.mark.slow
async def test_a_stop_in_the_middle_fails_no_line_and_the_next_life_goes_on(tmp_path: Path) -> None:
    gate = Gate()
    async with FakeWorker(gate).listening() as worker:
        async with a_life(tmp_path, worker, max_sequences=2) as (_, client):
            batch_id = await a_batch(client, 6)
            await asyncio.wait_for(gate.entered.wait(), PATIENCE_S)
        gate.opened.set()
        async with a_life(tmp_path, worker, max_sequences=2) as (_, client):
            batch = await until_ended(client, batch_id)
    assert batch["request_counts"] == {"total": 6, "completed": 6, "failed": 0}


def left_behind(folder: Path, status: BatchStatus, *, answered: int, is_linked: bool = False) -> Batch:
    """A batch of three lines as a crash may leave it."""
    (folder / "files").mkdir(parents=True)
    (folder / "files" / "file-1").write_bytes(some_lines(3))
    batch = Batch(
        id="batch-ab",
        endpoint=CHAT,
        input_file_id="file-1",
        completion_window="24h",
        created_at_s=YEAR_2022_AT_S - 60,
        deadline_at_s=YEAR_2022_AT_S + 86_400,
        output_file_id="file-2",
        error_file_id="file-3",
        status=status,
        model=MODEL,
        counts=LineCounts(total=3),
    )
    kept = BatchFolder(folder / "batches" / batch.id, 10_000)
    kept.take_input(folder / "files" / "file-1")
    lines = [Line(number=number + 1, custom_id=f"line-{number}", body=b"") for number in range(answered)]
    kept.append(kept.output, [result_line(batch.id, line, status=200, request_id="r", body=b"{}") for line in lines])
    if is_linked:
        kept.publish(kept.output, folder / "files" / "file-2")
    store = open_store(sqlite_url(folder / "queue.db"))
    store.add_batch(batch)
    store.close()
    return batch


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "answered", "is_linked", "ends_as", "asked"),
    [
        (BatchStatus.VALIDATING, 0, False, "completed", 3),
        (BatchStatus.IN_PROGRESS, 2, False, "completed", 1),
        (BatchStatus.IN_PROGRESS, 3, False, "completed", 0),
        (BatchStatus.FINALIZING, 3, True, "completed", 0),
        (BatchStatus.CANCELLING, 2, True, "cancelled", 0),
    ],
)
async def test_every_state_is_taken_up_where_a_crash_left_it(
    tmp_path: Path, status: BatchStatus, answered: int, is_linked: bool, ends_as: str, asked: int
) -> None:
    batch = left_behind(tmp_path, status, answered=answered, is_linked=is_linked)
    async with FakeWorker().listening() as worker, a_life(tmp_path, worker) as (_, client):
        ended = await until_ended(client, batch.id)
        outputs = await results(client, ended["output_file_id"])
    assert (ended["status"], len(worker.requests)) == (ends_as, asked)
    assert ended["request_counts"]["total"] == 3
    assert ended["request_counts"]["completed"] == len(outputs) == answered + asked
    assert len({one["custom_id"] for one in outputs}) == len(outputs)
    assert not (tmp_path / "batches" / batch.id).exists()


@pytest.mark.slow
async def test_a_window_that_ended_while_nobody_was_there_expires_with_what_was_answered(tmp_path: Path) -> None:
    batch = left_behind(tmp_path, BatchStatus.IN_PROGRESS, answered=2)
    store = open_store(sqlite_url(tmp_path / "queue.db"))
    store.write_batch(replace(batch, deadline_at_s=YEAR_2022_AT_S - 1))
    store.close()
    async with FakeWorker().listening() as worker, a_life(tmp_path, worker) as (_, client):
        ended = await until_ended(client, batch.id)
        (error,) = await results(client, ended["error_file_id"])
    assert (ended["status"], worker.requests) == ("expired", [])
    assert ended["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert (error["custom_id"], error["error"]["code"]) == ("line-2", "batch_expired")
