"""A cascade behind the gateway: two fake models, one after another while the first is not sure."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from scheduler.config import Server, Settings
from scheduler.region_settings import RegionSettings
from scheduler.shaping_settings import ShapingSettings
from scheduler.worker_settings import ModelPoolSettings, WorkerSettings
from tests.integration.gateway_stand import REGION, Behaviour, FakeWorker, Stand, a_front, answers, resets

SMALL, LARGE = "llama-3.1-8b", "llama-3.1-70b"


def says(model: str, sure_ratio: float | None, **choice: Any) -> Behaviour:
    """An answer of 100 + 50 tokens, with log probabilities where they were asked for."""

    async def behave(request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read())
        logprobs = None
        if asked.get("logprobs") and sure_ratio is not None:
            logprobs = {"content": [{"token": "t", "logprob": math.log(sure_ratio)}]}
        message = {"role": "assistant", "content": f"said by {model}"}
        one = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": logprobs, **choice}
        usage = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
        return web.json_response(
            {"id": "x", "object": "chat.completion", "model": model, "choices": [one], "usage": usage}
        )

    return behave


@asynccontextmanager
async def a_cascade(
    small: Behaviour, large: Behaviour, **changes: Any
) -> AsyncIterator[tuple[Stand, list[FakeWorker]]]:
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(FakeWorker(one).listening()) for one in (small, large)]
        settings = Settings(
            server=Server(port=0),
            shaping=ShapingSettings(interactive_hold_s=0.0),
            region=(RegionSettings(name=REGION, zone="DE"),),
            worker=(
                WorkerSettings(url=workers[0].url, models=(SMALL,), region=REGION),
                WorkerSettings(url=workers[1].url, models=(LARGE,), region=REGION, gpus=4),
            ),
            model_pool=(ModelPoolSettings(name="auto", candidates=(SMALL, LARGE), cascade=True, sure_ratio=0.7),),
        )
        yield await stack.enter_async_context(a_front(settings)), workers


async def test_a_sure_answer_of_the_small_model_stands() -> None:
    async with a_cascade(says(SMALL, 0.9), says(LARGE, None)) as (stand, (small, large)):
        reply = await stand.chat(model="auto")
        assert json.loads(reply.body)["choices"][0]["message"]["content"] == f"said by {SMALL}"
        assert json.loads(reply.body)["choices"][0]["logprobs"] is None  # nobody asked for them but us
        assert reply.headers["x-slacktide-model"] == SMALL
        assert reply.headers["x-slacktide-route"] == "sure"
        assert reply.headers["x-slacktide-cascade"] == f"{SMALL}=0.900"
        assert (len(small.requests), len(large.requests)) == (1, 0)
        assert len(stand.uses.kept) == 1
        assert stand.count("slacktide_routed_requests_total", pool="auto", model=SMALL, reason="sure") == 1


async def test_an_unsure_one_is_answered_by_the_large_model_and_costs_both() -> None:
    async with a_cascade(says(SMALL, 0.5), says(LARGE, None)) as (stand, (_, large)):
        reply = await stand.chat(model="auto", temperature=0)
        assert json.loads(reply.body)["model"] == LARGE
        assert reply.headers["x-slacktide-model"] == LARGE
        assert reply.headers["x-slacktide-route"] == "unsure"
        assert reply.headers["x-slacktide-cascade"] == f"{SMALL}=0.500, {LARGE}"
        sent = json.loads(large.requests[0][1])
        assert (sent["model"], sent["temperature"], sent.get("logprobs")) == (LARGE, 0, None)
        first, second = stand.uses.kept
        assert (first.model, second.model) == (SMALL, LARGE)
        assert first.subject_id == second.subject_id == reply.headers["x-request-id"]
        both_wh = 1000 * (first.energy_kwh + second.energy_kwh)
        assert float(reply.headers["x-slacktide-energy-wh"]) == pytest.approx(both_wh, rel=1e-4)
        assert first.energy_kwh < second.energy_kwh
        assert stand.gateway.running == 0


@pytest.mark.parametrize(
    ("small", "reason"),
    [
        (says(SMALL, None), "no_confidence"),
        (says(SMALL, 0.9, finish_reason="length"), "cut_off"),
        (says(SMALL, 0.9, message={"role": "assistant", "content": ""}), "empty"),
        (answers(400), "failed"),
        (answers(503), "failed"),
        (resets, "failed"),
    ],
)
async def test_the_response_says_why_the_small_model_was_left(small: Behaviour, reason: str) -> None:
    async with a_cascade(small, says(LARGE, None)) as (stand, _):
        reply = await stand.chat(model="auto")
    assert (reply.status, reply.headers["x-slacktide-model"]) == (200, LARGE)
    assert reply.headers["x-slacktide-route"] == reason


@pytest.mark.parametrize("large", [answers(503), answers(500), answers(400), resets])
async def test_where_the_large_model_fails_the_answer_before_it_stands(large: Behaviour) -> None:
    async with a_cascade(says(SMALL, 0.5), large) as (stand, _):
        reply = await stand.chat(model="auto")
    assert (reply.status, reply.headers["x-slacktide-model"]) == (200, SMALL)
    assert reply.headers["x-slacktide-route"] == "escalation_failed"
    assert json.loads(reply.body)["choices"][0]["logprobs"] is None


async def test_where_both_fail_the_caller_hears_it() -> None:
    async with a_cascade(resets, answers(503)) as (stand, _):
        assert (await stand.chat(model="auto")).status == 503
    async with a_cascade(answers(400), answers(400)) as (stand, _):
        assert (await stand.chat(model="auto")).status == 400


async def test_a_caller_who_asks_for_log_probabilities_gets_them() -> None:
    async with a_cascade(says(SMALL, 0.9), says(LARGE, None)) as (stand, _):
        reply = await stand.chat(model="auto", logprobs=True, top_logprobs=2)
    assert json.loads(reply.body)["choices"][0]["logprobs"]["content"][0]["token"] == "t"


@pytest.mark.parametrize(
    ("changes", "model", "reason"),
    [
        ({"service_tier": "priority"}, LARGE, "premium"),
        ({"model": "eco:auto"}, SMALL, "eco"),
        ({"stream": True}, LARGE, "cannot_escalate"),
    ],
)
async def test_premium_eco_and_streams_ask_one_model_only(changes: dict[str, Any], model: str, reason: str) -> None:
    async with a_cascade(says(SMALL, 0.1), says(LARGE, None)) as (stand, workers):
        reply = await stand.chat(**{"model": "auto", **changes})
    assert (reply.headers["x-slacktide-model"], reply.headers["x-slacktide-route"]) == (model, reason)
    assert sum(len(worker.requests) for worker in workers) == 1


async def test_a_deferred_call_waits_for_its_hour_once() -> None:
    async with a_cascade(says(SMALL, 0.5), says(LARGE, None)) as (stand, _):
        reply = await stand.chat(model="auto", service_tier="flex")
        assert reply.headers["x-slacktide-model"] == LARGE
        assert [use.category for use in stand.uses.kept] == ["flex", "flex"]
