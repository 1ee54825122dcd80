"""A whole daemon with a model pool: the grid that its poller knows reaches the choice of the model."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

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
        chat = a_chat(model="auto", messages=[{"role": "user", "content": LONG}])
        async with client.post(CHAT, json=chat) as answer:
            said = (answer.status, answer.headers["x-slacktide-model"], answer.headers["x-slacktide-route"])

        assert said == (200, model, route)
        asked = small if model == SMALL else large
        (_, body, _) = asked.requests[-1]
        assert f'"model":"{model}"'.encode() in body
