"""Quotas set while a daemon runs: they hold at once, outlive it, are on the record, and yield to the settings."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from scheduler.quota_settings import TenantSettings
from scheduler.quotas import Limit, What, Window
from tests.integration.gateway_stand import CHAT, FakeWorker, a_chat
from tests.integration.test_keys import Api, an_api, code_of

pytestmark = pytest.mark.slow


def worker_table(worker: FakeWorker) -> dict[str, object]:
    return {"url": worker.url, "models": ["llama-3.1-8b"], "region": "here"}


async def chat(api: Api, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    async with api.client.post(CHAT, json=a_chat(), headers=headers) as answer:
        return answer.status


async def test_a_quota_holds_from_the_next_request_on_and_after_a_restart(tmp_path: Path) -> None:
    async with FakeWorker().listening() as worker:
        workers = [worker_table(worker)]
        async with an_api(tmp_path, worker=workers) as api:
            key = await api.key("red", "inference")
            assert await chat(api, key) == 200
            status, set_ = await api("POST", "quotas/red", {"requests_per_minute": 1, "gco2e_per_month": 5000})
            assert (status, set_["set_by"], set_["used"]["requests"]) == (200, "keys", 1)
            assert [(one["what"], one["per"], one["most"]) for one in set_["limits"]] == [
                ("requests", "minute", 1.0),
                ("gco2e", "month", 5000.0),
            ]
            assert [await chat(api, key), await chat(api, key)] == [200, 429]
        async with an_api(tmp_path, worker=workers) as api:
            assert [await chat(api, key), await chat(api, key)] == [200, 429]
            _, cleared = await api("POST", "quotas/red/clear")
            assert (cleared["limits"], cleared["set_by"]) == ([], None)
            assert await chat(api, key) == 200


async def test_a_quota_that_was_set_by_another_daemon_on_the_database_is_learned(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        limits = (Limit(what=What.TOKENS, window=Window.MONTH, most_cost=7.0),)
        await api.daemon.writer.write(lambda store: store.write_quota("red", limits))
        await api.daemon.quotas.read(api.daemon.reads)
        _, shown = await api("GET", "quotas/red")
        assert [one["left"] for one in shown["limits"]] == [7.0]


async def test_what_the_settings_say_of_a_tenant_wins_and_is_changed_there_alone(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        await api("POST", "quotas/red", {"requests_per_month": 10})
        settings = api.daemon.settings
        named = TenantSettings(name="red", tokens_per_month=5)
        await api.daemon.reload(dataclasses.replace(settings, tenant=(named,)))
        _, shown = await api("GET", "quotas/red")
        assert (shown["set_by"], [one["what"] for one in shown["limits"]]) == ("settings", ["tokens"])
        for path, body in (("quotas/red", {"requests_per_month": 3}), ("quotas/red/clear", None)):
            status, refused = await api("POST", path, body)
            assert (status, code_of(refused)) == (409, "quota_of_settings")
        await api.daemon.reload(settings)
        _, shown = await api("GET", "quotas/red")
        assert (shown["set_by"], [one["most"] for one in shown["limits"]]) == ("keys", [10.0])


async def test_every_change_is_in_the_audit_log_and_only_an_operator_makes_one(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        boss = await api.key("red", "admin", "read")
        await asyncio.gather(*(api("POST", "quotas/red", {"usd_per_month": 1}) for _ in range(2)))
        status, refused = await api("POST", "quotas/red", {"usd_per_month": 9}, key=boss)
        assert (status, code_of(refused)) == (403, "other_tenant")
        assert (await api("GET", "quotas/red", key=boss))[0] == 200
        assert (await api("GET", "quotas/blue", key=boss))[0] == 403
        reader = await api.key("red", "jobs")
        assert (await api("POST", "quotas/red", {"usd_per_month": 9}, key=reader))[0] == 403
        _, noted = await api("GET", "audit")
        found = [
            (one["target"], one["status"]) for one in noted["data"] if one["action"] == "POST /api/v1/quotas/{tenant}"
        ]
        assert found.count(("red", 200)) == 2
        assert {status for _, status in found} == {200, 403}


@pytest.mark.parametrize(
    "body",
    [{}, {"requests_per_minute": -1}, {"requests_per_hour": 1}, {"usd_per_month": "1"}, {"gco2e_per_month": 1e400}],
)
async def test_what_is_no_quota_is_refused_and_changes_nothing(tmp_path: Path, body: dict[str, object]) -> None:
    async with an_api(tmp_path) as api:
        await api("POST", "quotas/red", {"requests_per_month": 10})
        assert (await api("POST", "quotas/red", body))[0] == 400
        assert [one["most"] for one in (await api("GET", "quotas/red"))[1]["limits"]] == [10.0]


async def test_a_name_that_was_only_asked_for_is_not_kept(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        assert (await api("GET", "quotas/nobody"))[1]["limits"] == []
        assert (await api("GET", "quotas"))[1]["data"] == []
