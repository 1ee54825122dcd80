"""A whole daemon with a model pool: the grid that its poller knows reaches the choice of the model."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.contracts.test_openai_client_model_pool import LARGE, SMALL, router_file
from tests.daemons import a_daemon
from tests.integration.gateway_stand import CHAT, FakeWorker, a_chat
from tests.unit.shaping.judged_queries import LONG

pytestmark = pytest.mark.slow

GENEROUS_GCO2E, TINY_GCO2E = 1e9, 1e-9


def tables(folder: Path, small: FakeWorker, large: FakeWorker, **pool: Any) -> dict[str, Any]:
    return {
        "shaping": {"interactive_hold_s": 0},
        "worker": [
            {"url": small.url, "models": [SMALL], "region": "here"},
            {"url": large.url, "models": [LARGE], "region": "here", "gpus": 4},
        ],
        "model_pool": [
            {
                "name": "auto",
                "candidates": [SMALL, LARGE],
                "router": router_file(folder),
                "estimates": ["weak", "strong"],
                "floor_ratio": 0,
                "eco_floor_ratio": 0,
                **pool,
            }
        ],
    }


async def asked_long(client: ClientSession) -> tuple[int, str, str]:
    chat = a_chat(model="auto", messages=[{"role": "user", "content": LONG}])
    async with client.post(CHAT, json=chat) as answer:
        return answer.status, answer.headers["x-slacktide-model"], answer.headers["x-slacktide-route"]


@pytest.mark.parametrize(
    ("pool", "model", "route"),
    [
        ({"budget_gco2e": GENEROUS_GCO2E}, LARGE, "worth_its_price"),
        ({"budget_kwh": 1e6}, LARGE, "worth_its_price"),
        ({"budget_gco2e": TINY_GCO2E}, SMALL, "budget_spent"),
        ({}, SMALL, "cheapest_adequate"),
    ],
)
async def test_a_budget_buys_the_large_model_only_while_there_is_some(
    tmp_path: Path, pool: dict[str, Any], model: str, route: str
) -> None:
    async with AsyncExitStack() as stack:
        small = await stack.enter_async_context(FakeWorker().listening())
        large = await stack.enter_async_context(FakeWorker().listening())
        settings = tables(tmp_path, small, large, **pool)
        _, client = await stack.enter_async_context(a_daemon(tmp_path / "state", settings))
        assert await asked_long(client) == (200, model, route)
        asked = small if model == SMALL else large
        (_, body, _) = asked.requests[-1]
        assert f'"model":"{model}"'.encode() in body


async def test_what_was_spent_outlives_the_daemon(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        small = await stack.enter_async_context(FakeWorker().listening())
        large = await stack.enter_async_context(FakeWorker().listening())
        generous = tables(tmp_path, small, large, budget_gco2e=GENEROUS_GCO2E)
        async with a_daemon(tmp_path / "state", generous) as (_, client):
            assert await asked_long(client) == (200, LARGE, "worth_its_price")

        spent_gco2e = json.loads((tmp_path / "state" / "model_pools.json").read_text())["auto"]["spent_cost"]
        half_left = tables(tmp_path, small, large, budget_gco2e=1.5 * spent_gco2e)
        async with a_daemon(tmp_path / "state", half_left) as (_, client):
            assert await asked_long(client) == (200, SMALL, "budget_spent")
