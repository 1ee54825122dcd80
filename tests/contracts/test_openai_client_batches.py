"""Files and batches by the official `openai` client, unchanged, against a whole daemon with a simulated worker."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types import Batch

from tests.batch_files import CHAT, a_batch_daemon, a_line, as_file, some_lines
from tests.daemons import PATIENCE_S

pytestmark = pytest.mark.slow


async def a_batch(client: AsyncOpenAI, data: bytes, **options: Any) -> Batch:
    """A batch over an upload of these lines; `window` in place of the type that knows 24h only."""
    file = await client.files.create(file=("lines.jsonl", data), purpose="batch")
    window = options.pop("window", "24h")
    return await client.batches.create(
        input_file_id=file.id, endpoint=options.pop("endpoint", CHAT), completion_window=window, **options
    )


async def until_status(client: AsyncOpenAI, batch_id: str, *statuses: str) -> Batch:
    batch = await client.batches.retrieve(batch_id)
    async with asyncio.timeout(PATIENCE_S):
        while batch.status not in statuses:
            await asyncio.sleep(0.02)
            batch = await client.batches.retrieve(batch_id)
    return batch


async def lines_of(client: AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    content = await client.files.content(file_id)
    return [json.loads(line) for line in content.text.splitlines()]


# -- files -----------------------------------------------------------------------------------------------------------


async def test_a_file_is_uploaded_listed_read_and_deleted(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        data = bytes(range(256)) * 4000
        file = await client.files.create(file=("../../etc/passwd", data), purpose="user_data")
        assert (file.object, file.bytes, file.filename, file.purpose) == ("file", len(data), "passwd", "user_data")
        assert (await client.files.retrieve(file.id)) == file
        assert [one.id async for one in client.files.list()] == [file.id]
        assert (await client.files.content(file.id)).content == data
        deleted = await client.files.delete(file.id)
        assert (deleted.id, deleted.deleted) == (file.id, True)
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(file.id)
    assert list((tmp_path / "files").iterdir()) == []


async def test_a_part_of_a_file_is_read_by_its_range(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        file = await client.files.create(file=("a.txt", b"0123456789"), purpose="user_data")
        part = await client.files.content(file.id, extra_headers={"Range": "bytes=2-5"})
    assert (part.response.status_code, part.content) == (206, b"2345")
    assert part.response.headers["content-range"] == "bytes 2-5/10"


async def test_a_range_that_is_none_brings_the_whole_file_and_one_beyond_it_a_refusal(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        file = await client.files.create(file=("a.txt", b"0123456789"), purpose="user_data")
        whole = [
            await client.files.content(file.id, extra_headers={"Range": text})
            for text in ("items=0-5", "bytes=0-0,5-6", "bytes=9-5")
        ]
        with pytest.raises(openai.APIStatusError) as beyond:
            await client.files.content(file.id, extra_headers={"Range": "bytes=-0"})
    assert [(one.response.status_code, one.content) for one in whole] == [(200, b"0123456789")] * 3
    assert [one.response.headers["x-request-id"][:4] for one in whole] == ["req-"] * 3
    assert (beyond.value.status_code, beyond.value.code) == (416, "range_not_satisfiable")
    assert beyond.value.response.headers["content-range"] == "bytes */10"


async def test_files_are_listed_by_purpose_in_either_order_a_page_at_a_time(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        names = ["a", "b", "c", "d", "e"]
        for name in names:
            await client.files.create(file=(name, b"x"), purpose="user_data")
        await client.files.create(file=("other", b"x"), purpose="vision")
        oldest_first = [one.filename async for one in client.files.list(limit=2, order="asc", purpose="user_data")]
        first_page = await client.files.list(limit=2)
        with pytest.raises(openai.NotFoundError):
            await client.files.list(after="file-of-nobody")
    assert oldest_first == names
    assert [one.filename for one in first_page.data] == ["other", "e"]
    assert first_page.has_more


async def test_an_expired_file_is_gone_with_its_data(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        life: Any = {"anchor": "created_at", "seconds": 3600}
        file = await client.files.create(file=("a", b"x"), purpose="user_data", expires_after=life)
        kept = await client.files.create(file=("b", b"x"), purpose="user_data")
        assert file.expires_at is not None
        assert file.expires_at - file.created_at == 3600
        assert kept.expires_at is None
        async with asyncio.timeout(PATIENCE_S):
            while (tmp_path / "files" / file.id).exists():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        with pytest.raises(openai.NotFoundError):
            await client.files.retrieve(file.id)
        assert [one.id async for one in client.files.list()] == [kept.id]


async def test_too_large_a_file_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path, batches={"max_file_bytes": 2000}) as (_, client):
        with pytest.raises(openai.APIStatusError) as raised:
            await client.files.create(file=("a", b"x" * 2001), purpose="user_data")
        exact = await client.files.create(file=("a", b"x" * 2000), purpose="user_data")
    assert (raised.value.status_code, raised.value.code) == (413, "file_too_large")
    assert [path.name for path in (tmp_path / "files").iterdir()] == [exact.id]


WRONG_UPLOADS: list[tuple[Any, str]] = [
    ({"purpose": "batch_output"}, "purpose"),
    ({"purpose": "x"}, "purpose"),
    ({"expires_after": {"anchor": "created_at", "seconds": 60}}, "expires_after[seconds]"),
    ({"expires_after": {"anchor": "now", "seconds": 3600}}, "expires_after[anchor]"),
]


async def test_a_wrong_field_of_an_upload_is_named(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        for options, param in WRONG_UPLOADS:
            with pytest.raises(openai.BadRequestError) as raised:
                await client.files.create(file=("a", b"x"), **{"purpose": "batch", **options})
            assert raised.value.param == param
    assert list((tmp_path / "files").iterdir()) == []


# -- batches ---------------------------------------------------------------------------------------------------------


async def test_a_batch_runs_in_clean_hours_and_every_line_has_its_answer(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path, hour=6) as (daemon, client):
        created = await a_batch(client, some_lines(40), window="16h", metadata={"of": "tides"})
        assert (created.status, created.object, created.metadata) == ("validating", "batch", {"of": "tides"})
        assert created.expires_at == created.created_at + 16 * 3600
        batch = await until_status(client, created.id, "completed")
        answers = await lines_of(client, batch.output_file_id)
        account = await daemon.accounts.settled(created.created_at - 1, created.created_at + 16 * 3600)
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 40, "completed": 40, "failed": 0}
    assert (batch.error_file_id, batch.errors, batch.model) == (None, None, "llama-3.1-8b")
    assert batch.in_progress_at
    assert batch.finalizing_at
    assert batch.completed_at
    assert batch.expires_at
    assert batch.created_at <= batch.in_progress_at <= batch.finalizing_at <= batch.completed_at < batch.expires_at
    assert {one["custom_id"] for one in answers} == {f"line-{number}" for number in range(40)}
    assert len(answers) == 40
    assert all(one["response"]["status_code"] == 200 and one["error"] is None for one in answers)
    assert all(one["response"]["body"]["choices"] for one in answers)
    # Submitted before the sun is up: it waits for it, and saves by that.
    assert batch.completed_at - batch.created_at > 3 * 3600
    savings_ratio = account.by_category["batch"].savings_ratio
    assert savings_ratio is not None
    assert savings_ratio > 0.1
    assert not list((tmp_path / "batches").glob("batch-*"))


async def test_a_short_window_is_kept_whatever_the_grid_does(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        created = await a_batch(client, some_lines(5), window="2h")
        batch = await until_status(client, created.id, "completed", "expired")
    assert batch.status == "completed"
    assert batch.completed_at
    assert batch.expires_at
    assert batch.completed_at <= batch.expires_at


async def test_every_wrong_line_is_named_with_its_number(tmp_path: Path) -> None:
    wrong_body = {"model": "llama-3.1-8b", "messages": "hi"}
    data = (
        as_file(a_line("a"), a_line("a"), a_line("b", url="/v1/embeddings"), a_line("c", body=wrong_body))
        + b"\n{not json\n"
        + as_file(a_line("d", body={"model": "nobody", "messages": [{"role": "user", "content": "x"}]}))
        + json.dumps(a_line("e")).encode()[:-5]
    )
    async with a_batch_daemon(tmp_path) as (_, client):
        created = await a_batch(client, data)
        batch = await until_status(client, created.id, "failed")
    assert batch.failed_at
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(one.line, one.code, one.param) for one in batch.errors.data] == [
        (2, "duplicate_custom_id", "custom_id"),
        (3, "url_mismatch", "url"),
        (4, "invalid_request", "body.messages"),
        (6, "invalid_json_line", None),
        (7, "model_not_found", "body.model"),
        (8, "invalid_json_line", None),
    ]


async def test_a_cancelled_batch_keeps_what_was_answered_and_names_the_rest(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        created = await a_batch(client, some_lines(30), window="16h")
        await until_status(client, created.id, "in_progress")
        assert (await client.batches.cancel(created.id)).status in ("cancelling", "cancelled")
        batch = await until_status(client, created.id, "cancelled")
        errors = await lines_of(client, batch.error_file_id)
        with pytest.raises(openai.BadRequestError) as raised:
            await client.batches.cancel(created.id)
    assert batch.cancelling_at
    assert batch.cancelled_at
    assert {one["error"]["code"] for one in errors} == {"batch_cancelled"}
    assert len(errors) == 30
    assert raised.value.code == "not_cancellable"


async def test_what_did_not_make_the_window_is_batch_expired(tmp_path: Path) -> None:
    unreachable = [{"url": "http://127.0.0.1:9", "models": ["llama-3.1-8b"], "region": "here"}]
    async with a_batch_daemon(tmp_path, worker=unreachable) as (_, client):
        created = await a_batch(client, some_lines(3), window="1h")
        batch = await until_status(client, created.id, "expired")
        errors = await lines_of(client, batch.error_file_id)
    assert batch.expired_at
    assert batch.output_file_id is None
    assert [(one["custom_id"], one["response"], one["error"]["code"]) for one in errors] == [
        (f"line-{number}", None, "batch_expired") for number in range(3)
    ]


async def test_batches_are_listed_newest_first_a_page_at_a_time(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        made = [(await a_batch(client, some_lines(1), window="16h")).id for _ in range(5)]
        listed = [one.id async for one in client.batches.list(limit=2)]
        page = await client.batches.list(limit=2, after=made[3])
    assert listed == made[::-1]
    assert [one.id for one in page.data] == [made[2], made[1]]


WRONG_BATCHES: list[tuple[Any, str]] = [
    ({"endpoint": "/v1/images/generations"}, "endpoint"),
    ({"completion_window": "soon"}, "completion_window"),
    ({"completion_window": "5000h"}, "completion_window"),
    ({"metadata": {"k" * 65: "v"}}, "metadata"),
    ({"extra_body": {"metadata": {"k": 1}}}, "metadata"),
    ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
]


async def test_a_wrong_field_of_a_batch_is_named(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        file = await client.files.create(file=("a", some_lines(1)), purpose="batch")
        for options, param in WRONG_BATCHES:
            asked = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **options}
            with pytest.raises(openai.BadRequestError) as raised:
                await client.batches.create(**asked)
            assert raised.value.param == param


async def test_the_input_may_be_deleted_while_the_batch_runs(tmp_path: Path) -> None:
    async with a_batch_daemon(tmp_path) as (_, client):
        created = await a_batch(client, some_lines(3), window="2h")
        await client.files.delete(created.input_file_id)
        batch = await until_status(client, created.id, "completed")
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 3
