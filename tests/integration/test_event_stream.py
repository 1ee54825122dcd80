"""`GET /api/v1/events` over real sockets: who is told what, when it ends, and how it goes on."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scheduler.daemon.dashboard import events_api
from tests.builders import YEAR_2022_AT_S
from tests.daemons import PATIENCE_S, a_daemon, a_submission, got, posted, until, until_state

pytestmark = pytest.mark.slow

ADMIN = "the-first-key-of-the-settings"
PATH = "/api/v1/events"


class Stream:
    """One listener."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response, self.mark = response, ""

    async def event(self) -> tuple[str, Any] | None:
        """The next event; None at the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE_S):
            while line := (await self.response.content.readline()).decode():
                if line == "\n" and "data" in fields:
                    self.mark = fields.get("id", self.mark)
                    return fields["event"], json.loads(fields["data"])
                name, _, value = line.rstrip("\n").partition(": ")
                fields[name] = value
        return None

    async def told(self) -> Any:
        """The next event that tells of changes."""
        while (event := await self.event()) is not None:
            if event[0] == "changes":
                return event[1]
        raise AssertionError("the stream has ended")

    async def changes(self, table: str) -> Any:
        """The next change of a table."""
        while table not in (told := await self.told())["tables"]:
            pass
        return told["tables"][table]

    async def until_end(self) -> None:
        async with asyncio.timeout(PATIENCE_S):  # however often it beats
            while await self.event() is not None:
                pass


@asynccontextmanager
async def a_stream(client: aiohttp.ClientSession, mark: str = "", key: str = "") -> AsyncIterator[Stream]:
    headers = ({"Last-Event-ID": mark} if mark else {}) | ({"Authorization": f"Bearer {key}"} if key else {})
    async with client.get(PATH, headers=headers) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        yield Stream(response)


def keyed(folder: Path) -> dict[str, Any]:
    digest = hashlib.sha256(ADMIN.encode()).hexdigest()
    return {"server": {"port": 0, "state_dir": str(folder), "drain_s": 2, "keys_sha256": [digest]}}


async def a_key(client: aiohttp.ClientSession, tenant: str, *scopes: str) -> dict[str, Any]:
    bearer = {"Authorization": f"Bearer {ADMIN}"}
    status, made = await posted(client, "/api/v1/keys", {"tenant": tenant, "scopes": scopes}, **bearer)
    assert status == 201
    return dict(made)


async def test_a_listener_is_told_everything_once_and_then_what_changes(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client), a_stream(client) as stream:
        first = await stream.event()
        assert first is not None
        kind, told = first
        assert (kind, told["is_whole"], told["speed"]) == ("changes", True, 1.0)
        assert set(told["tables"]) == {"daemon", "region", "zone", "job", "batch", "worker", "model", "template"}
        assert told["tables"]["template"]["rows"] == {"sleep": {"arguments": ["seconds"]}}
        assert told["tables"]["zone"]["rows"]["SUN"]["gco2e_per_kwh"] > 0

        _, job = await posted(client, "/api/v1/jobs", a_submission())
        change = await stream.changes("job")
        assert list(change["rows"]) == [job["id"]]
        await posted(client, f"/api/v1/jobs/{job['id']}/cancel", {})
        while (await stream.changes("job"))["rows"][job["id"]]["state"] != "cancelled":
            pass  # of how it was planned


async def test_one_who_comes_back_is_told_what_it_missed_and_after_a_restart_everything(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client):
        async with a_stream(client) as stream:
            await stream.event()
        _, job = await posted(client, "/api/v1/jobs", a_submission())
        async with a_stream(client, stream.mark) as again:
            told = await again.told()
            assert told["is_whole"] is False
            assert list(told["tables"]["job"]["rows"]) == [job["id"]]
            assert "template" not in told["tables"]
    async with a_daemon(tmp_path, speed=1.0) as (_, client), a_stream(client, again.mark) as third:
        told = await third.told()
        assert told["is_whole"] is True
        assert list(told["tables"]["job"]["rows"]) == [job["id"]]


async def test_the_stream_ends_when_the_daemon_stops(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client), a_stream(client) as stream:
        await stream.event()
        daemon.events.close()
        await stream.until_end()
        status, refusal = await got(client, PATH)
        assert (status, refusal["error"]["code"]) == (503, "draining")


async def test_a_quiet_stream_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_api, "HEARTBEAT_S", 0.0)
    monkeypatch.setattr(events_api, "LOOK_S", 0.05)
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client), a_stream(client) as stream:
        kinds = [event[0] for _ in range(4) if (event := await stream.event()) is not None]
        counted = daemon.metrics.exposition().decode()
    assert kinds[0] == "changes"
    assert "heartbeat" in kinds
    assert 'slacktide_events_total{kind="heartbeat"}' in counted
    assert "slacktide_event_listeners 1.0" in counted


async def test_listeners_are_limited_and_a_place_is_free_again_when_one_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events_api, "MAX_OF_ONE_KEY", 1)
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client):
        async with a_stream(client) as stream:
            await stream.event()
            status, refusal = await got(client, PATH)
            assert (status, refusal["error"]["code"]) == (503, "too_many_listeners")
        await until(lambda: "slacktide_event_listeners 0.0" in daemon.metrics.exposition().decode())
        async with a_stream(client) as stream:
            assert await stream.event() is not None


async def test_a_tenant_hears_of_its_own_jobs_only_and_no_longer_than_its_key_lives(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, keyed(tmp_path), speed=1.0) as (_, client):
        red = await a_key(client, "red", "jobs", "read")
        blue, blind = await a_key(client, "blue", "jobs"), await a_key(client, "blue", "inference")
        async with a_stream(client, key=red["key"]) as stream:
            await stream.event()
            for key in (blue, red):
                await posted(client, "/api/v1/jobs", a_submission(), Authorization=f"Bearer {key['key']}")
            change = await stream.changes("job")
            assert [job["tenant"] for job in change["rows"].values()] == ["red"]

            ended, _ = await posted(client, f"/api/v1/keys/{red['id']}/revoke", {}, Authorization=f"Bearer {ADMIN}")
            assert ended == 200
            await stream.until_end()

        for refused in ("", blind["key"]):
            async with client.get(PATH, headers={"Authorization": f"Bearer {refused}"}) as response:
                assert response.status in (401, 403)


async def test_what_plans_promised_is_held_beside_the_account_in_the_daemons_next_life_too(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=4 * 3600.0) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission(within="16h"))
        await until_state(client, job["id"], "succeeded")
        _, before = await got(client, "/api/v1/savings/planned")
    async with a_daemon(tmp_path, epoch_s=YEAR_2022_AT_S + 86_400.0) as (_, client):
        _, after = await got(client, "/api/v1/savings/planned")
    assert before["jobs"] == after["jobs"] == 1
    assert before["planned"] == after["planned"]
    assert after["realised"]["uses"] == 1


async def test_savings_are_sorted_and_held_beside_their_plan_for_the_keys_tenant(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, keyed(tmp_path), speed=4 * 3600.0) as (_, client):
        keys = {name: (await a_key(client, name, "jobs", "read"))["key"] for name in ("red", "blue")}
        bearer = {"Authorization": f"Bearer {keys['red']}"}
        _, job = await posted(client, "/api/v1/jobs", a_submission(within="16h"), **bearer)

        async def asked(path: str, key: str) -> Any:
            async with client.get(f"/api/v1/{path}", headers={"Authorization": f"Bearer {key}"}) as response:
                return response.status, await response.json()

        async with a_stream(client, key=keys["red"]) as stream:
            while (await stream.changes("job"))["rows"].get(job["id"], job)["state"] != "succeeded":
                pass
        _, by_day = await asked("savings/by?group=day", keys["red"])
        _, by_tenant = await asked("savings/by?group=tenant", keys["red"])
        _, by_tenant_of_blue = await asked("savings/by?group=tenant", keys["blue"])
        _, planned = await asked("savings/planned", keys["red"])
        _, planned_of_blue = await asked("savings/planned", keys["blue"])
        groups = {by: (await asked(f"savings/planned?group={by}", keys["red"]))[1] for by in ("day", "month", "tenant")}
        badly, wrong = await asked("savings/planned?group=kind", keys["red"])
        status, refusal = await asked("savings/by?group=mood", keys["red"])

    assert [one["name"] for one in by_day["data"]] == ["2022-01-01"]
    assert by_day["data"][0]["savings_ratio"] > 0.1
    assert [one["name"] for one in by_tenant["data"]] == ["red"]
    assert by_tenant_of_blue["data"] == []
    assert planned["jobs"] == 1
    assert 0 < planned["planned"]["emissions_gco2e"] < planned["planned"]["at_once_emissions_gco2e"]
    assert planned["realised"]["uses"] == 1
    assert planned_of_blue["jobs"] == 0
    assert [one["data"][0]["name"] for one in groups.values()] == ["2022-01-01", "2022-01", "red"]
    assert all(one["data"][0]["planned"] == planned["planned"] for one in groups.values())
    assert (badly, wrong["error"]["param"]) == (400, "group")
    assert (status, refusal["error"]["param"]) == (400, "group")
