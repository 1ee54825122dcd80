"""`GET /api/v1/requests/{id}` of a whole daemon: priced, after a restart, and only for whom it concerns."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.daemons import a_daemon, got, posted
from tests.integration.gateway_stand import CHAT, MODEL, FakeWorker, a_chat

pytestmark = pytest.mark.slow

ADMIN = "the-first-key-of-the-settings"


def tables(worker: FakeWorker, **more: Any) -> dict[str, Any]:
    return {
        "worker": [{"url": worker.url, "models": [MODEL], "region": "here"}],
        "shaping": {"interactive_hold_s": 0.0},
        **more,
    }


async def asked(client: aiohttp.ClientSession, key: str | None = None) -> str:
    """The id of a request that was just answered."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with client.post(CHAT, json=a_chat(), headers=headers) as response:
        assert response.status == 200, await response.text()
        return response.headers["x-request-id"]


async def test_a_request_says_its_grams_beside_those_of_running_at_once(tmp_path: Path) -> None:
    async with FakeWorker().listening() as worker, a_daemon(tmp_path, tables(worker), speed=1.0) as (_, client):
        status, told = await got(client, f"/api/v1/requests/{await asked(client)}")
    assert (status, told["object"], told["stage"], told["status"]) == (200, "request", "ended", 200)
    assert (told["model"], told["region"], told["endpoint"]) == (MODEL, "here", CHAT)
    assert (told["prompt_tokens"], told["output_tokens"]) == (5, 400)
    assert told["basis"] == "modelled"
    assert (told["released_because"], told["why"]) == ("pass_through", "nothing is held here")
    assert told["energy_wh"] > 0.3
    assert told["error_class"] == "default"
    for amount, band in (("energy_wh", "energy_band_wh"), ("emissions_gco2e", "emissions_band_gco2e")):
        ends_ratio = (told[band]["low"] / told[amount], told[band]["high"] / told[amount])
        assert ends_ratio == pytest.approx((0.7741, 1.2918), rel=1e-3)
    # It was not held, so the two sides are of the same seconds.
    assert told["emissions_gco2e"] == pytest.approx(told["at_once_emissions_gco2e"], rel=1e-3)
    assert told["emissions_gco2e"] == pytest.approx(told["energy_wh"] / 1000 * 400, rel=1)


async def test_after_a_restart_the_ledger_still_knows_the_energy(tmp_path: Path) -> None:
    async with FakeWorker().listening() as worker:
        async with a_daemon(tmp_path, tables(worker), speed=1.0) as (_, client):
            request_id = await asked(client)
            _, before = await got(client, f"/api/v1/requests/{request_id}")
        async with a_daemon(tmp_path, tables(worker), speed=1.0) as (_, client):
            status, after = await got(client, f"/api/v1/requests/{request_id}")
    assert status == 200
    assert set(after) == set(before)
    known = (
        *("id", "stage", "model", "region", "energy_wh", "emissions_gco2e", "output_tokens", "latency_class"),
        *("error_class", "energy_band_wh", "emissions_band_gco2e"),
    )
    assert {name: after[name] for name in known} == {name: before[name] for name in known}
    assert (after["status"], after["why"]) == (None, None)


async def test_an_id_that_nobody_was_given_is_a_404(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client):
        status, answer = await got(client, "/api/v1/requests/req-none")
    assert (status, answer["error"]["code"]) == (404, "not_found")


async def test_another_tenants_request_is_not_there(tmp_path: Path) -> None:
    digest = hashlib.sha256(ADMIN.encode()).hexdigest()
    server = {"port": 0, "state_dir": str(tmp_path), "drain_s": 2, "keys_sha256": [digest]}
    admin = {"Authorization": f"Bearer {ADMIN}"}
    async with (
        FakeWorker().listening() as worker,
        a_daemon(tmp_path, tables(worker, server=server), speed=1.0) as (_, client),
    ):
        keys = {}
        for tenant in ("red", "blue"):
            status, made = await posted(client, "/api/v1/keys", {"tenant": tenant, "scopes": ["inference"]}, **admin)
            assert status == 201, made
            keys[tenant] = made["key"]
        request_id = await asked(client, keys["red"])

        async def seen_by(key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            async with client.get(f"/api/v1/requests/{request_id}", headers=headers) as response:
                return response.status

        assert [await seen_by(one) for one in (keys["red"], keys["blue"], ADMIN)] == [200, 404, 200]
