"""The official `openai` client asks for `auto`: simulated workers of two models answer, and the response says which."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from intensity_feeds.series import IntensitySeries
from scheduler.config import Server, Settings
from scheduler.daemon.env import Env
from scheduler.daemon.gateway import Gateway
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.model_routing import ModelPoolError
from scheduler.region_settings import RegionSettings
from scheduler.shaping_settings import ShapingSettings
from scheduler.worker_settings import ModelPoolSettings, WorkerSettings
from shaping.router_model import to_document
from shaping.router_training import train
from simulations.worker_server import WorkerOptions, build_app, start
from tests.integration.gateway_stand import REGION, KnownCleanHours, Stand, Uses, a_front
from tests.unit.shaping.judged_queries import LONG, SHORT, judged

pytestmark = pytest.mark.slow

SMALL, LARGE = "llama-3.1-8b", "llama-3.1-70b"
SPEED = 500.0


def router_file(folder: Path) -> str:
    path = folder / "router.json"
    path.write_text(json.dumps(to_document(train(judged()))), "utf-8")
    return str(path)


def pool_settings(file: str, urls: tuple[str, str] = ("http://a", "http://b"), /, **changes: Any) -> Settings:
    pool = ModelPoolSettings(
        name="auto", candidates=(SMALL, LARGE), router=file, estimates=("weak", "strong"), eco_floor_ratio=0.0
    )
    return Settings(
        server=Server(port=0),
        shaping=ShapingSettings(interactive_hold_s=0.0),
        region=(RegionSettings(name=REGION, zone="DE"),),
        worker=(
            WorkerSettings(url=urls[0], models=(SMALL,), region=REGION),
            WorkerSettings(url=urls[1], models=(LARGE,), region=REGION, gpus=4),
        ),
        model_pool=(dataclasses.replace(pool, **changes),),
    )


@asynccontextmanager
async def a_client(folder: Path, **changes: Any) -> AsyncIterator[tuple[AsyncOpenAI, Stand]]:
    async with AsyncExitStack() as stack:
        ports = []
        for model, gpus in ((SMALL, 1), (LARGE, 4)):
            runner, port = await start(build_app(WorkerOptions(model=model, gpus=gpus, speed=SPEED)))
            stack.push_async_callback(runner.cleanup)
            ports.append(f"http://127.0.0.1:{port}")
        settings = pool_settings(router_file(folder), (ports[0], ports[1]), **changes)
        stand = await stack.enter_async_context(a_front(settings))
        client = AsyncOpenAI(base_url=f"{stand.base_url}/v1", api_key="unused", max_retries=0)
        yield await stack.enter_async_context(client), stand


async def served(client: AsyncOpenAI, text: str, model: str = "auto", **options: Any) -> tuple[str, str, str]:
    """Which model the body names, which one the header names, and why."""
    raw = await client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": text}], max_tokens=4, **options
    )
    headers = raw.headers
    return raw.parse().model, headers["x-slacktide-model"], headers.get("x-slacktide-route", "")


async def test_an_easy_query_goes_to_the_small_model_and_a_hard_one_to_the_large(tmp_path: Path) -> None:
    async with a_client(tmp_path) as (client, stand):
        assert await served(client, SHORT) == (SMALL, SMALL, "cheapest_adequate")
        assert await served(client, LONG) == (LARGE, LARGE, "cheapest_adequate")
        labels = {"pool": "auto", "model": LARGE, "reason": "cheapest_adequate"}
        assert stand.count("slacktide_routed_requests_total", **labels) == 1


async def test_premium_gets_the_best_model_and_eco_a_lighter_one(tmp_path: Path) -> None:
    async with a_client(tmp_path) as (client, _):
        assert await served(client, SHORT, service_tier="priority") == (LARGE, LARGE, "premium")
        assert await served(client, LONG, extra_headers={"x-slacktide-eco": "1"}) == (SMALL, SMALL, "eco")
        assert await served(client, LONG, model="eco:auto") == (SMALL, SMALL, "eco")


async def test_a_named_model_is_served_as_named_and_eco_only_lets_it_wait(tmp_path: Path) -> None:
    async with a_client(tmp_path) as (client, stand):
        assert await served(client, SHORT, model=LARGE) == (LARGE, LARGE, "")
        assert stand.clean_hours.asked == []
        assert await served(client, SHORT, model=f"eco:{LARGE}") == (LARGE, LARGE, "")
        assert len(stand.clean_hours.asked) == 1


async def test_a_stream_says_which_model_serves_it(tmp_path: Path) -> None:
    async with a_client(tmp_path) as (client, _):
        raw = await client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": SHORT}], max_tokens=4, stream=True
        )
        models = {chunk.model async for chunk in raw.parse()}
    assert (raw.headers["x-slacktide-model"], models) == (SMALL, {SMALL})


async def test_the_pool_is_listed_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    async with a_client(tmp_path) as (client, _):
        assert [model.id async for model in client.models.list()] == [SMALL, LARGE, "auto"]
        assert (await client.models.retrieve("auto")).id == "auto"
        with pytest.raises(openai.NotFoundError):
            await served(client, SHORT, model="eco:nothing")


async def test_a_spent_budget_takes_the_small_model_where_it_is_adequate_and_leaves_premium_alone(
    tmp_path: Path,
) -> None:
    async with a_client(tmp_path, budget_kwh=1e-9, floor_ratio=0.0) as (client, _):
        await served(client, SHORT)
        assert (await served(client, LONG))[1] == SMALL
        assert (await served(client, LONG, service_tier="priority"))[1:] == (LARGE, "premium")


async def test_a_budget_in_grams_serves_the_cheapest_while_nobody_knows_the_grid(tmp_path: Path) -> None:
    async with a_client(tmp_path, budget_gco2e=1e9, floor_ratio=0.0) as (client, _):
        assert (await served(client, LONG))[1:] == (SMALL, "cheapest_adequate")


async def test_a_worker_that_is_down_is_no_candidate(tmp_path: Path) -> None:
    async with a_client(tmp_path) as (client, stand):
        (small, _) = stand.gateway._workers
        for _ in range(3):
            small.failed("unreachable", stand.env.monotonic_s())  # type: ignore[arg-type]
        assert await served(client, SHORT) == (LARGE, LARGE, "only_candidate")


def a_gateway(settings: Settings) -> Gateway:
    series = IntensitySeries.flat("DE", 0.0, 1e12, 300.0)
    return Gateway(
        env=Env(seed=1),
        settings=settings,
        clean_hours=KnownCleanHours(),
        sink=Uses(),
        metrics=Metrics(),
        grid_of=lambda _: series,
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"router": "/nowhere/router.json"}, "No such file"),
        ({"estimates": ("weak", "middle")}, "has no estimate 'middle'; it has weak, strong"),
        ({"estimates": ()}, f"has no estimate '{SMALL}'"),
    ],
)
async def test_a_pool_that_cannot_route_is_refused_at_start(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelPoolError, match=said):
        a_gateway(pool_settings(router_file(tmp_path), **changes))


async def test_a_candidate_of_unknown_energy_is_refused_at_start(tmp_path: Path) -> None:
    settings = pool_settings(router_file(tmp_path))
    odd = dataclasses.replace(settings.worker[1], profile="no-such-model")
    with pytest.raises(ModelPoolError, match=r"energy of llama-3\.1-70b is unknown: no model profile"):
        a_gateway(dataclasses.replace(settings, worker=(settings.worker[0], odd)))
