"""Keys and quotas as the official `openai` client sees them, against a whole daemon with a simulated worker."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from scheduler.daemon.app import Daemon
from scheduler.store.sql import SqlReader
from tests.batch_files import MODEL, a_batch_daemon, some_lines
from tests.contracts.test_openai_client_batches import until_status
from tests.daemons import until

pytestmark = pytest.mark.slow

BOOTSTRAP = "the-first-key-of-the-settings"
EVERYTHING = ["inference", "batches", "jobs", "read", "admin"]


@dataclass(frozen=True, kw_only=True)
class Front:
    """A daemon that asks for keys, and its administrator."""

    daemon: Daemon
    admin: AsyncOpenAI

    async def api(self, method: str, path: str, body: Any = None, *, key: str = BOOTSTRAP) -> Any:
        """An answer of `/api/v1`, whatever its status."""
        response = await self.admin._client.request(
            method,
            f"{self.daemon.listener.base_url}/api/v1/{path}",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
        )
        return response.json()

    async def key(self, tenant: str | None = "red", *scopes: str, **more: Any) -> str:
        made = await self.api("POST", "keys", {"tenant": tenant, "scopes": scopes or ["inference"], **more})
        key: str = made["key"]
        return key

    def client(self, key: str, retries: int = 0) -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.daemon.listener.base_url}/v1", api_key=key, max_retries=retries)


@asynccontextmanager
async def a_front(folder: Path, **tables: Any) -> AsyncIterator[Front]:
    digest = hashlib.sha256(BOOTSTRAP.encode()).hexdigest()
    server = {"port": 0, "state_dir": str(folder), "drain_s": 2, "keys_sha256": [digest]}
    async with a_batch_daemon(folder, server=server, **tables) as (daemon, client):
        yield Front(daemon=daemon, admin=client)


async def ask(client: AsyncOpenAI, **options: Any) -> Any:
    options = {"max_tokens": 20, **options}
    return await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Name a tide."}], **options
    )


async def test_a_good_key_is_served_and_its_tenant_pays(tmp_path: Path) -> None:
    async with a_front(tmp_path) as front:
        answer = await ask(front.client(await front.key("red")))
        listed = await front.client(await front.key("red")).models.list()
        used = await front.api("GET", "quotas")
        await front.daemon.accounts.flush()
        (use,) = front.daemon.reads.uses(0.0, 1e12)
    assert answer.choices[0].message.content
    assert [one.id for one in listed.data] == [MODEL]
    assert use.tenant == "red"
    (red,) = used["data"]
    assert (red["tenant"], red["used"]["requests"]) == ("red", 1)
    assert red["used"]["tokens"] == answer.usage.total_tokens
    assert red["used"]["energy_kwh"] == pytest.approx(use.energy_kwh * use.pue)
    assert red["used"]["gco2e"] > 0


async def test_an_unknown_an_expired_and_a_revoked_key_are_told_apart(tmp_path: Path) -> None:
    async with a_front(tmp_path) as front:
        revoked, short = await front.key(), await front.key(expires="1s")
        await front.api("POST", f"keys/{revoked[5:17]}/revoke")
        codes = []
        for key in ("sk-nobody", f"tide-0123456789ab-{'x' * 43}", f"{revoked[:-1]}!", revoked, short):
            with pytest.raises(openai.AuthenticationError) as raised:
                while True:  # an hour of the daemon's clock is a second of ours: the short one has ended by the second
                    await ask(front.client(key))
            codes.append(raised.value.code)
    assert codes == ["invalid_api_key", "invalid_api_key", "invalid_api_key", "revoked_api_key", "expired_api_key"]


async def test_a_key_opens_what_its_scopes_name(tmp_path: Path) -> None:
    async with a_front(tmp_path) as front:
        reader = front.client(await front.key("red", "read"))
        asker = front.client(await front.key("red", "inference"))
        with pytest.raises(openai.PermissionDeniedError, match="lacks the scope inference") as raised:
            await ask(reader)
        assert raised.value.code == "missing_scope"
        await ask(asker)
        with pytest.raises(openai.PermissionDeniedError, match="batches or jobs"):
            await asker.files.create(file=("a.jsonl", some_lines(1)), purpose="batch")
        with pytest.raises(openai.PermissionDeniedError, match="lacks the scope jobs"):
            await asker.fine_tuning.jobs.create(model=MODEL, training_file="file-1")
        refused = await front.api("GET", "keys", key=await front.key(None, *EVERYTHING[:-1]))
    assert refused["error"]["code"] == "missing_scope"


async def test_tenants_do_not_see_each_others_files_and_batches(tmp_path: Path) -> None:
    async with a_front(tmp_path, hour=11) as front:
        red = front.client(await front.key("red", "batches"))
        blue = front.client(await front.key("blue", "batches", "read"))
        file = await red.files.create(file=("a.jsonl", some_lines(2)), purpose="batch")
        batch = await red.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        for theirs in (
            blue.files.retrieve(file.id),
            blue.files.content(file.id),
            blue.files.delete(file.id),
            blue.batches.retrieve(batch.id),
            blue.batches.cancel(batch.id),
            blue.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"),
        ):
            with pytest.raises(openai.NotFoundError):
                await theirs
        assert (await blue.files.list()).data == []
        assert (await blue.batches.list()).data == []
        ended = await until_status(red, batch.id, "completed")
        assert ended.output_file_id is not None
        assert (await red.files.content(ended.output_file_id)).text.count("\n") == 2
        with pytest.raises(openai.NotFoundError):
            await blue.files.content(ended.output_file_id)
        assert [one.id async for one in red.batches.list()] == [batch.id]
        assert [use.tenant for use in front.daemon.reads.uses(0.0, 1e12)] in ([], ["red", "red"])


async def test_a_request_too_many_is_told_when_to_come_back(tmp_path: Path) -> None:
    async with a_front(tmp_path, tenant=[{"name": "red", "requests_per_minute": 2}]) as front:
        red, blue = front.client(await front.key("red")), front.client(await front.key("blue"))
        first = await red.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": "Name a tide."}], max_tokens=5
        )
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        chunks = [chunk async for chunk in await ask(red, stream=True)]
        with pytest.raises(openai.RateLimitError, match="2 requests a minute") as raised:
            await ask(red)
        await ask(blue)
    assert chunks
    assert (raised.value.code, raised.value.type) == ("rate_limit_exceeded", "requests")
    headers = raised.value.response.headers
    assert 55 <= int(headers["retry-after"]) <= 61
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"].startswith(("1m", "5"))


async def test_tokens_are_reserved_at_the_start_and_settled_at_the_end(tmp_path: Path) -> None:
    async with a_front(tmp_path, tenant=[{"name": "red", "tokens_per_minute": 600}]) as front:
        red = front.client(await front.key("red"))
        raw = await red.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": "Name a tide."}], max_tokens=500
        )
        used = raw.parse().usage
        assert used is not None
        with pytest.raises(openai.RateLimitError, match="This request alone is more") as raised:
            await ask(red, max_tokens=700)
        left = int(raised.value.response.headers["x-ratelimit-remaining-tokens"])
        shown = await front.api("GET", "quotas")
    reserved = int(raw.headers["x-ratelimit-remaining-tokens"])
    assert 70 <= reserved <= 100
    assert left == 600 - used.total_tokens
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert shown["data"][0]["used"]["tokens"] == used.total_tokens


async def test_a_month_that_is_used_up_is_not_asked_again_and_survives_a_restart(tmp_path: Path) -> None:
    tenant = [{"name": "red", "energy_kwh_per_month": 1e-9, "requests_per_month": 1000}]
    async with a_front(tmp_path, tenant=tenant) as front:
        key = await front.key("red", "inference", "batches", "jobs")
        await ask(front.client(key))
        with pytest.raises(openai.RateLimitError) as raised:
            await ask(front.client(key, retries=2))
        before = await front.api("GET", "quotas")
    assert (raised.value.code, raised.value.type) == ("insufficient_quota", "insufficient_quota")
    assert raised.value.request.headers["x-stainless-retry-count"] == "0"
    assert int(raised.value.response.headers["retry-after"]) > 86_400

    async with a_front(tmp_path, tenant=tenant) as front:
        assert await front.api("GET", "quotas") == before
        red = front.client(key)
        with pytest.raises(openai.RateLimitError):
            await ask(red)
        file = await red.files.create(file=("a.jsonl", some_lines(1)), purpose="batch")
        with pytest.raises(openai.RateLimitError):
            await red.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


async def test_the_lines_of_a_batch_end_where_the_month_does(tmp_path: Path) -> None:
    async with a_front(tmp_path, hour=11, tenant=[{"name": "red", "requests_per_month": 3}]) as front:
        red = front.client(await front.key("red", "batches"))
        file = await red.files.create(file=("a.jsonl", some_lines(5)), purpose="batch")
        batch = await red.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        ended = await until_status(red, batch.id, "completed")
        assert ended.request_counts is not None
        assert ended.error_file_id is not None
        errors = (await red.files.content(ended.error_file_id)).text
    assert ended.request_counts.to_dict() == {"total": 5, "completed": 3, "failed": 2}
    assert errors.count("insufficient_quota") >= 2


def bytes_of(folder: Path) -> bytes:
    """All that a daemon leaves on the disk, but its own key to itself."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "own.key")


def logged_by_us(caplog: pytest.LogCaptureFixture) -> str:
    """What was logged on the daemon's side; the client of the test logs what it sends."""
    theirs = ("openai", "httpx", "httpcore")
    ours = [record for record in caplog.records if not record.name.startswith(theirs)]
    assert ours
    return "\n".join(f"{record.getMessage()} {record.__dict__}" for record in ours)


async def test_no_secret_is_logged_kept_or_shown_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with a_front(tmp_path) as front:
        first = await front.key("red", "inference", "read", name="canary")
        made = await front.api("POST", f"keys/{first[5:17]}/rotate", {"overlap": "0s"})
        await ask(front.client(made["key"]))
        for wrong in (first[:-3], f"{made['key']}x"):
            with pytest.raises(openai.AuthenticationError):
                await ask(front.client(wrong))
        login = await front.admin._client.post(
            f"{front.daemon.listener.base_url}/api/v1/session", json={"key": made["key"]}
        )
        cookie = login.cookies["slacktide_session"]
        shown = [str(await front.api("GET", path)) for path in ("keys", "audit", "quotas", "status")]
        shown.append(front.daemon.metrics.exposition().decode())
        await until(lambda: len(front.daemon.reads.audit(limit=9)) >= 3)
    kept, logged = bytes_of(tmp_path), logged_by_us(caplog)
    assert "canary" in shown[0]
    for secret in (first[18:], made["key"][18:], cookie, BOOTSTRAP):
        assert secret not in "".join(shown)
        assert secret not in logged
        assert secret.encode() not in kept
    reader = SqlReader(f"sqlite:///{tmp_path / 'queue.db'}")
    assert [entry.action for entry in reader.audit(limit=9)] == [
        "POST /api/v1/session",
        "POST /api/v1/keys/{id}/rotate",
        "POST /api/v1/keys",
    ]
    reader.close()
