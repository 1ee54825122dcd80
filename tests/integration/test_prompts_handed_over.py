"""The gateway before a prefill and a decode worker: the one reads long prompts for the other, unseen by callers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from scheduler.config import Settings
from scheduler.shaping_settings import HandOverSettings
from scheduler.worker_settings import WorkerRole, WorkerSettings
from shaping.phases import Objective
from simulations import worker_server
from simulations.worker_run import WorkerOptions
from tests.integration.gateway_stand import (
    CHAT_ANSWER,
    MODEL,
    REGION,
    SOON_S,
    Behaviour,
    FakeWorker,
    Stand,
    a_front,
    answers,
    as_passed,
    resets,
    settings_for,
    streams,
    until,
)

WHERE = {
    "do_remote_prefill": True,
    "do_remote_decode": False,
    "remote_engine_id": "engine-7",
    "remote_block_ids": [4, 5, 6],
    "remote_host": "10.0.0.7",
    "remote_port": 5600,
    "tp_size": 1,
}
LONG = [{"role": "user", "content": "a word of it " * 2000}]
FAST = HandOverSettings(objective=Objective.LATENCY, link_setup_s=0.0)


def reads() -> Behaviour:
    return answers(200, json.dumps({**json.loads(CHAT_ANSWER), "kv_transfer_params": WHERE}).encode())


@asynccontextmanager
async def before(*workers: tuple[FakeWorker, WorkerRole], hand_over: HandOverSettings = FAST) -> AsyncIterator[Stand]:
    """Prefill workers are H100s, the others L40S, which read long prompts several times slower."""
    async with AsyncExitStack() as stack:
        urls = [(await stack.enter_async_context(worker.listening())).url for worker, _ in workers]
        roles = {url: role for url, (_, role) in zip(urls, workers, strict=True)}
        yield await stack.enter_async_context(a_front(settings(roles, hand_over)))


def settings(roles: Mapping[str, WorkerRole], hand_over: HandOverSettings = FAST) -> Settings:
    workers = tuple(
        WorkerSettings(
            url=url,
            models=(MODEL,),
            region=REGION,
            role=role,
            gpu="h100-sxm" if role is WorkerRole.PREFILL else "l40s",
            timeout_s=SOON_S,
        )
        for url, role in roles.items()
    )
    return dataclasses.replace(settings_for([]), worker=workers, hand_over=hand_over)


def bodies(worker: FakeWorker) -> list[dict[str, Any]]:
    return [json.loads(body) for _, body, _ in worker.requests]


async def test_a_long_prompt_is_read_by_the_one_and_written_by_the_other() -> None:
    reader, writer = FakeWorker(reads()), FakeWorker()
    async with before((reader, WorkerRole.PREFILL), (writer, WorkerRole.DECODE)) as stand:
        reply = await stand.chat(messages=LONG, max_tokens=50, temperature=0.3)
        assert (reply.status, reply.body) == (200, CHAT_ANSWER)
        ((asked,), (told,)) = bodies(reader), bodies(writer)
        assert (asked["max_tokens"], asked["stream"], asked["messages"]) == (1, False, LONG)
        assert asked["kv_transfer_params"]["do_remote_decode"] is True
        assert asked["kv_transfer_params"]["do_remote_prefill"] is False
        assert told.pop("kv_transfer_params") == WHERE
        assert told == {"model": MODEL, "messages": LONG, "max_tokens": 50, "temperature": 0.3}
        ids = {worker.requests[0][2]["x-request-id"] for worker in (reader, writer)}
        assert ids == {reply.headers["x-request-id"]}
        assert stand.count("slacktide_hand_overs_total", worker=reader.url, outcome="done") == 1


async def test_an_answer_is_known_as_well_as_the_worse_of_its_two_workers() -> None:
    reader, writer = FakeWorker(reads()), FakeWorker()
    async with before((reader, WorkerRole.PREFILL), (writer, WorkerRole.DECODE)) as stand:
        reply = await stand.chat(messages=LONG, max_tokens=50)
    assert sorted(str(use.error_class) for use in stand.uses.kept) == ["datasheet", "default"]
    assert reply.headers["x-slacktide-error-class"] == "datasheet"


async def test_a_short_prompt_is_read_where_it_is_written() -> None:
    reader, writer = FakeWorker(reads()), FakeWorker()
    slow = dataclasses.replace(FAST, link_setup_s=0.1)  # longer than it takes the L40S to read it
    async with before((reader, WorkerRole.PREFILL), (writer, WorkerRole.DECODE), hand_over=slow) as stand:
        assert (await stand.chat(max_tokens=50)).status == 200
        assert (len(reader.requests), len(writer.requests)) == (0, 1)
        assert (await stand.chat(messages=LONG)).status == 200
        assert (len(reader.requests), len(writer.requests)) == (1, 2)


async def test_a_stream_passes_unchanged() -> None:
    chunks = (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n")
    reader, writer = FakeWorker(reads()), FakeWorker(streams(*chunks))
    async with before((reader, WorkerRole.PREFILL), (writer, WorkerRole.DECODE)) as stand:
        reply = await stand.chat(messages=LONG, stream=True, stream_options={"include_usage": True}, max_tokens=9)
        assert as_passed(reply.body) == b"".join(chunks)
        (asked,) = bodies(reader)
        assert asked["stream"] is False
        assert "stream_options" not in asked
        (told,) = bodies(writer)
        assert told["stream"] is True
        assert told["kv_transfer_params"] == WHERE


@pytest.mark.parametrize(
    "reading",
    [answers(500), answers(400), answers(200, CHAT_ANSWER), answers(200, b"no json"), resets],
    ids=["error", "refusal", "no params", "no json", "reset"],
)
async def test_where_the_prefill_worker_fails_the_call_is_made_whole(reading: Behaviour) -> None:
    reader, writer = FakeWorker(reading), FakeWorker()
    async with before((reader, WorkerRole.PREFILL), (writer, WorkerRole.DECODE)) as stand:
        reply = await stand.chat(messages=LONG)
        assert (reply.status, reply.body) == (200, CHAT_ANSWER)
        (told,) = bodies(writer)
        assert told == {"model": MODEL, "messages": LONG}
        assert stand.count("slacktide_hand_overs_total", worker=reader.url, outcome="failed") == 1


async def test_a_decode_worker_that_cannot_take_it_over_is_asked_for_the_whole_call() -> None:
    async def refuses_once(request: web.Request) -> web.StreamResponse:
        behave = answers(500) if len(writer.requests) == 1 else answers(200, CHAT_ANSWER)
        return await behave(request)

    reader, writer = FakeWorker(reads()), FakeWorker(refuses_once)
    async with before((reader, WorkerRole.PREFILL), (writer, WorkerRole.DECODE)) as stand:
        reply = await stand.chat(messages=LONG)
        assert (reply.status, reply.body) == (200, CHAT_ANSWER)
        assert ["kv_transfer_params" in told for told in bodies(writer)] == [True, False]
        assert stand.count("slacktide_hand_overs_total", worker=reader.url, outcome="refused") == 1


async def test_a_prefill_worker_that_is_down_is_left_out_and_answers_nobody_by_itself() -> None:
    reader, writer = FakeWorker(resets), FakeWorker()
    async with before((reader, WorkerRole.PREFILL), (writer, WorkerRole.DECODE)) as stand:
        for _ in range(3):  # three failures in a row are a state
            assert (await stand.chat(messages=LONG)).status == 200
        assert (await stand.chat(messages=LONG)).status == 200
        assert len(reader.requests) == 3
        assert len(writer.requests) == 4


async def test_a_caller_who_hangs_up_while_the_prompt_is_read_cancels_it() -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def reads_for_long(request: web.Request) -> web.StreamResponse:
        entered.set()
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return web.Response()

    reader, writer = FakeWorker(reads_for_long), FakeWorker()
    async with before((reader, WorkerRole.PREFILL), (writer, WorkerRole.DECODE)) as stand:
        call = stand.call(messages=LONG)
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), SOON_S)
        await until(lambda: stand.gateway.running == 0)
        assert writer.requests == []


async def test_both_workers_energy_is_booked_and_told() -> None:
    reader, writer = FakeWorker(reads()), FakeWorker()
    async with before((reader, WorkerRole.PREFILL), (writer, WorkerRole.DECODE)) as stand:
        reply = await stand.chat(messages=LONG)
        written, read = stand.uses.kept
        assert {written.subject_id, read.subject_id} == {reply.headers["x-request-id"]}
        assert (written.prompt_tokens, read.prompt_tokens) == (5, 0)  # counted once
        told_wh = float(reply.headers["x-slacktide-energy-wh"])
        assert told_wh == pytest.approx(1000.0 * (written.energy_kwh + read.energy_kwh), rel=1e-4)


@pytest.mark.slow
async def test_a_simulated_decode_worker_reads_nothing_of_what_another_has_read() -> None:
    async with AsyncExitStack() as stack:
        urls, apps = [], []
        for gpu in ("h100-sxm", "l40s"):
            apps.append(worker_server.build_app(WorkerOptions(model=MODEL, gpu=gpu, speed=20.0)))
            runner, port = await worker_server.start(apps[-1])
            stack.push_async_callback(runner.cleanup)
            urls.append(f"http://127.0.0.1:{port}")
        roles = {urls[0]: WorkerRole.PREFILL, urls[1]: WorkerRole.DECODE}
        stand = await stack.enter_async_context(a_front(settings(roles)))
        plain = await stack.enter_async_context(a_front(settings({urls[1]: WorkerRole.BOTH})))
        handed, whole = await stand.chat(messages=LONG, max_tokens=5), await plain.chat(messages=LONG, max_tokens=5)
        assert handed.status == whole.status == 200
        said, alone = json.loads(handed.body), json.loads(whole.body)
        assert said["choices"] == alone["choices"]
        usage = said["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] - 1
        # The reading is on the other's account, and both are in what the caller is told.
        written, read = stand.uses.kept
        assert read.energy_kwh > 0.0
        assert written.energy_kwh < plain.uses.kept[0].energy_kwh
