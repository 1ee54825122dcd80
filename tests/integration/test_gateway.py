"""What the gateway promises on a socket: bytes unchanged, places freed, failures named, and an orderly end."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError, web

from scheduler.ledger import EnergyBasis
from tests.integration.gateway_stand import (
    CHAT,
    CHAT_ANSWER,
    HANG_UPS,
    MODEL,
    SOON_S,
    Behaviour,
    FakeWorker,
    Gate,
    a_chat,
    a_front,
    a_stand,
    answers,
    answers_at_once,
    as_passed,
    last_comment,
    quickest_hang_up_s,
    resets,
    settings_for,
    streams,
    until,
)


async def test_an_answer_passes_unchanged_and_says_what_it_used() -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.chat(seed=7, unknown={"field": [1.50]})
    assert (reply.status, reply.body) == (200, CHAT_ANSWER)
    assert reply.headers["x-request-id"].startswith("req-")
    assert reply.headers["x-slacktide-model"] == MODEL
    assert reply.headers["x-slacktide-region"] == "here"
    assert reply.headers["x-slacktide-held-ms"] == "0"
    assert reply.headers["x-slacktide-basis"] == "modelled"
    assert reply.headers["x-slacktide-error-class"] == "default"
    low_wh, high_wh = map(float, reply.headers["x-slacktide-energy-band-wh"].split(".."))
    assert low_wh < float(reply.headers["x-slacktide-energy-wh"]) < high_wh
    assert "Server" not in reply.headers


async def test_the_request_body_reaches_the_worker_byte_for_byte_without_our_key() -> None:
    body = b'{ "messages":[{"role":"user","content":"\\u00e9"}],  "model":"llama-3.1-8b", "service_tier":"default" }'
    headers = {"Content-Type": "application/json", "Authorization": "Bearer secret"}
    worker = FakeWorker()
    async with a_stand(worker) as stand:
        reply = await stand.post(CHAT, data=body, headers=headers)
    path, sent, worker_headers = worker.requests[0]
    assert (path, sent) == (CHAT, body)
    assert "Authorization" not in worker_headers
    assert worker_headers["x-request-id"] == reply.headers["x-request-id"]


async def test_energy_is_booked_in_the_region_of_the_worker_from_the_arrival_on() -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.chat()
    (use,) = stand.uses.kept
    # 400 tokens alone on an H100 with a short context: a little under the 1361 J of energy_model 2.4's B = 1.
    assert 1200 < use.energy_kwh * 3.6e6 < 1361
    assert use.energy_kwh * 1000 == pytest.approx(float(reply.headers["x-slacktide-energy-wh"]), rel=1e-4)
    assert (use.zone, use.pue, use.basis) == ("DE", 1.1, EnergyBasis.MODELLED)
    assert (use.prompt_tokens, use.output_tokens) == (5, 400)
    assert use.at_once_at_s <= use.started_at_s < use.ended_at_s


async def test_the_energy_that_a_worker_reports_wins_over_the_model() -> None:
    async with a_stand(FakeWorker(answers(200, CHAT_ANSWER, x_slacktide_worker_energy_j="36"))) as stand:
        reply = await stand.chat()
    assert reply.headers["x-slacktide-energy-wh"] == "0.01"
    assert stand.uses.kept[0].energy_kwh == pytest.approx(1e-5)


async def test_the_energy_that_a_worker_reports_inside_a_stream_wins_too() -> None:
    end = b"data: {}\n\n: slacktide-worker-energy-j=7.2\n\ndata: [DONE]\n\n"
    async with a_stand(FakeWorker(streams(end))) as stand:
        reply = await stand.chat(stream=True)
    assert as_passed(reply.body) == end
    assert last_comment(reply.body)["energy-wh"] == "0.002"
    assert stand.uses.kept[0].energy_kwh == pytest.approx(2e-6)


async def test_a_worker_without_a_known_profile_gives_no_number_instead_of_a_guess() -> None:
    async with a_stand(FakeWorker(), models=("mystery",)) as stand:
        reply = await stand.chat(model="mystery")
    assert reply.status == 200
    assert "x-slacktide-energy-wh" not in reply.headers
    assert stand.uses.kept == []
    assert stand.count("slacktide_uncounted_requests_total", model="mystery") == 1


async def test_a_stream_passes_byte_for_byte() -> None:
    chunks = (b'data: {"choi', b'ces":[]}\n\n: comment\r\n\n', b"\x00\xff raw \n\ndata: [DONE]\n\n")
    async with a_stand(FakeWorker(streams(*chunks))) as stand:
        reply = await stand.chat(stream=True)
    assert reply.headers["Content-Type"] == "text/event-stream"
    assert as_passed(reply.body) == b"".join(chunks)


async def test_usage_inside_a_stream_is_what_gets_booked() -> None:
    last = b'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":22}}\n\ndata: [DONE]\n\n'
    async with a_stand(FakeWorker(streams(b'data: {"choices":[1]}\n\n', last))) as stand:
        await stand.chat(stream=True)
    assert (stand.uses.kept[0].prompt_tokens, stand.uses.kept[0].output_tokens) == (11, 22)


# -- clients that leave ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_hangs_up_frees_its_place_and_cancels_its_generation_within_100_ms(stream: bool) -> None:
    gate = Gate()
    async with a_stand(FakeWorker(gate)) as stand:
        assert await quickest_hang_up_s(stand, gate, stream=stream) < 0.1
        assert (stand.gateway.running, stand.gateway.held) == (0, 0)
        labels = {"endpoint": CHAT, "model": MODEL, "latency_class": "interactive", "status": "499"}
        assert stand.count("slacktide_requests_total", **labels) == HANG_UPS


async def test_a_client_that_hangs_up_at_the_last_event_was_answered_and_is_charged() -> None:
    gate = Gate()

    async def ends_late(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(
            b'data: {"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":22}}\n\ndata: [DONE]\n\n'
        )
        return await gate(request)

    async with a_stand(FakeWorker(ends_late)) as stand:
        async with stand.client.post(CHAT, json=a_chat(stream=True)) as reply:
            await reply.content.readuntil(b"[DONE]")
            reply.close()
        await until(lambda: stand.gateway.running == 0)
        (record,) = stand.gateway.records.latest()
        await until(lambda: record.status is not None)
        labels = {"endpoint": CHAT, "model": MODEL, "latency_class": "interactive"}
        statuses = [stand.count("slacktide_requests_total", **labels, status=status) for status in ("200", "499")]
    assert (statuses, record.status) == ([1, 0], 200)
    assert (stand.uses.kept[0].prompt_tokens, stand.uses.kept[0].output_tokens) == (11, 22)


async def test_the_place_of_one_that_left_goes_to_the_next() -> None:
    gate = Gate()
    worker = FakeWorker(gate)
    async with a_stand(worker, max_sequences=1) as stand:
        first = stand.call()
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        worker.behaviour = answers_at_once
        second = stand.call()
        await until(lambda: stand.gateway.held == 1)
        first.cancel()
        assert (await asyncio.wait_for(second, SOON_S)).body == CHAT_ANSWER


@pytest.mark.parametrize("stream", [False, True])
async def test_one_that_left_no_longer_counts_as_load_of_its_worker(stream: bool) -> None:
    left, right = FakeWorker(begins_and_waits if stream else Gate()), FakeWorker()
    async with a_stand(left, right) as stand:
        call = stand.call(stream=stream)
        await until(lambda: len(left.requests) == 1)
        call.cancel()
        await until(lambda: stand.gateway.running == 0)
        left.behaviour = answers_at_once
        await stand.chat()
    assert (len(left.requests), len(right.requests)) == (2, 0)


async def test_what_a_worker_may_not_say_in_a_header_is_left_out() -> None:
    async def says_it_oddly(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\x01\r\nRetry-After: \x7f3\xff\r\n"
        request.transport.write(head + b"Content-Length: 2\r\n\r\n{}")
        await asyncio.Event().wait()
        return web.Response()

    async with a_stand(FakeWorker(says_it_oddly)) as stand:
        reply = await stand.chat()
    assert (reply.status, reply.body) == (200, b"{}")
    assert (reply.headers["Content-Type"], reply.headers["Retry-After"]) == ("application/json", "3")


async def begins_and_waits(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: {}\n\n")
    await asyncio.Event().wait()
    return response


async def test_a_held_client_that_hangs_up_is_forgotten() -> None:
    worker = FakeWorker()
    async with a_stand(worker) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        call = stand.call(service_tier="flex")
        await until(lambda: stand.gateway.held == 1)
        call.cancel()
        await until(lambda: stand.gateway.held == 0)
    assert worker.requests == []


# -- workers that fail -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (answers(500), 502, "worker_error"),
        (answers(503), 503, "worker_overloaded"),
        (resets, 502, "worker_broke_off"),
    ],
)
async def test_a_failing_worker_becomes_a_named_error_with_a_time_to_come_back(
    behaviour: Behaviour, status: int, code: str
) -> None:
    worker = FakeWorker(behaviour)
    async with a_stand(worker) as stand:
        reply = await stand.chat()
    assert (reply.status, reply.error["code"], reply.error["type"]) == (status, code, "server_error")
    assert int(reply.headers["Retry-After"]) >= 1
    assert worker.url not in json.dumps(reply.error)


@pytest.mark.slow
async def test_a_hanging_worker_is_a_504_and_no_other_is_asked_to_do_the_same_again() -> None:
    gate = Gate()
    workers = [FakeWorker(gate), FakeWorker(gate)]
    async with a_stand(*workers, worker_timeout_s=1.0) as stand:
        reply = await stand.chat()
        await asyncio.wait_for(gate.cancelled.wait(), SOON_S)
    assert (reply.status, reply.error["code"]) == (504, "worker_timeout")
    assert [len(worker.requests) for worker in workers] == [1, 0]


async def test_a_worker_that_is_not_there_is_a_503() -> None:
    async with a_front(settings_for(["http://127.0.0.1:1"])) as stand:
        reply = await stand.chat()
    assert reply.status == 503
    assert reply.error["code"] in ("worker_unreachable", "no_worker")


@pytest.mark.parametrize("behaviour", [answers(500), resets, answers(503)])
async def test_another_worker_takes_over_while_nothing_was_sent(behaviour: Behaviour) -> None:
    bad, good = FakeWorker(behaviour), FakeWorker()
    async with a_stand(bad, good) as stand:
        reply = await stand.chat()
    assert reply.body == CHAT_ANSWER
    assert (len(bad.requests), len(good.requests)) == (1, 1)


async def test_a_worker_that_fails_three_times_in_a_row_rests() -> None:
    bad, good = FakeWorker(answers(500)), FakeWorker()
    async with a_stand(bad, good) as stand:
        assert [(await stand.chat()).status for _ in range(5)] == [200] * 5
        assert stand.gateway.workers_up == 1
    assert len(bad.requests) == 3


async def test_requests_go_to_the_worker_with_the_least_in_flight() -> None:
    gate = Gate()
    left, right = FakeWorker(gate), FakeWorker(gate)
    async with a_stand(left, right) as stand:
        calls = [stand.call() for _ in range(4)]
        await until(lambda: len(left.requests) + len(right.requests) == 4)
        gate.opened.set()
        await asyncio.gather(*calls)
    assert (len(left.requests), len(right.requests)) == (2, 2)


async def test_a_workers_own_refusal_passes_as_it_is() -> None:
    refusal = b'{"error":{"message":"context length exceeded","param":"messages"}}'
    async with a_stand(FakeWorker(answers(400, refusal))) as stand:
        reply = await stand.chat()
    assert (reply.status, reply.body) == (400, refusal)
    assert stand.uses.kept == []


async def test_a_redirect_of_a_worker_is_not_followed() -> None:
    worker = FakeWorker(answers(307, b"", Location="http://127.0.0.1:1/elsewhere"))
    async with a_stand(worker) as stand:
        reply = await stand.post(CHAT, json={"model": MODEL, "messages": [1]}, allow_redirects=False)
    assert reply.status == 502
    assert len(worker.requests) == 1


async def test_a_stream_that_breaks_between_events_ends_with_an_error_event() -> None:
    async with a_stand(FakeWorker(streams(b'data: {"choices":[1]}\n\n', breaks_off=True))) as stand:
        first, last, _ = (await stand.chat(stream=True)).body.split(b"\n\n")
    assert first == b'data: {"choices":[1]}'
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "worker_broke_off"


async def test_a_stream_that_breaks_inside_an_event_breaks_for_the_client_too() -> None:
    async with a_stand(FakeWorker(streams(b'data: {"choices', breaks_off=True))) as stand:
        with pytest.raises(ClientPayloadError):
            await stand.chat(stream=True)


# -- draining ----------------------------------------------------------------------------------------------------------


async def test_draining_finishes_what_runs_lets_held_ones_go_and_refuses_new_ones() -> None:
    gate = Gate()
    async with a_stand(FakeWorker(gate)) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        running = stand.call()
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        held = stand.call(service_tier="flex")
        await until(lambda: stand.gateway.held == 1)
        stopping = asyncio.create_task(stand.gateway.stop(SOON_S))
        await until(lambda: stand.gateway.running == 2)
        refused = await stand.chat()
        assert (refused.status, refused.error["code"]) == (503, "draining")
        assert ((await stand.get("/readyz")).status, (await stand.get("/healthz")).status) == (503, 200)
        gate.opened.set()
        assert [(await running).status, (await held).status] == [200, 200]
        await asyncio.wait_for(stopping, SOON_S)


async def test_draining_does_not_wait_for_ever() -> None:
    gate = Gate()
    async with a_stand(FakeWorker(gate)) as stand:
        call = stand.call()
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        await asyncio.wait_for(stand.gateway.stop(0.01), SOON_S)
        assert (await call).status in (502, 503)


async def test_a_prompt_that_begins_alike_goes_to_the_worker_that_had_it_before() -> None:
    document = {"role": "user", "content": "wind and sun " * 100}
    first, second = FakeWorker(Gate()), FakeWorker()
    async with AsyncExitStack() as stack:
        urls = [(await stack.enter_async_context(worker.listening())).url for worker in (first, second)]
        settings = settings_for(urls)
        caching = tuple(dataclasses.replace(one, prefix_cache_tokens=100_000) for one in settings.worker)
        stand = await stack.enter_async_context(a_front(dataclasses.replace(settings, worker=caching)))
        under_way = [stand.call(messages=[document])]
        await asyncio.wait_for(first.behaviour.entered.wait(), SOON_S)  # type: ignore[attr-defined]
        await stand.chat(messages=[{"role": "user", "content": "something else"}])
        assert len(second.requests) == 1  # the idler one
        under_way.append(stand.call(messages=[document, {"role": "user", "content": "and now?"}]))
        await until(lambda: len(first.requests) == 2)
        first.behaviour.opened.set()  # type: ignore[attr-defined]
        assert [(await call).status for call in under_way] == [200, 200]


async def test_adapters_share_the_places_of_their_model_and_only_so_many_run_at_once() -> None:
    worker = FakeWorker(Gate())
    async with AsyncExitStack() as stack:
        settings = settings_for([(await stack.enter_async_context(worker.listening())).url])
        adapting = dataclasses.replace(settings.worker[0], adapters=("sql", "chat"), max_adapters=1)
        stand = await stack.enter_async_context(a_front(dataclasses.replace(settings, worker=(adapting,))))
        listed = json.loads((await stand.get("/v1/models")).body)["data"]
        assert [model["id"] for model in listed] == [MODEL, "sql", "chat"]
        calls = [stand.call(model=name) for name in ("sql", MODEL, "chat")]
        await until(lambda: stand.gateway.held == 1 and len(worker.requests) == 2)
        worker.behaviour.opened.set()  # type: ignore[attr-defined]
        replies = [await call for call in calls]
    assert [reply.headers["x-slacktide-model"] for reply in replies] == ["sql", MODEL, "chat"]
    assert json.loads(worker.requests[-1][1])["model"] == "chat"
    assert sorted(use.model for use in stand.uses.kept) == ["chat", MODEL, "sql"]


async def test_a_calibrated_worker_s_joules_are_of_that_class(tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    points.write_text("batch,j_per_token,tokens_per_s\n8,0.455,1073\n256,0.077,9010\n", "utf-8")
    async with AsyncExitStack() as stack:
        settings = settings_for([(await stack.enter_async_context(FakeWorker().listening())).url])
        calibrated = dataclasses.replace(settings.worker[0], calibration=str(points))
        stand = await stack.enter_async_context(a_front(dataclasses.replace(settings, worker=(calibrated,))))
        reply = await stand.chat()
    assert reply.headers["x-slacktide-error-class"] == "calibrated"
    low_wh, high_wh = map(float, reply.headers["x-slacktide-energy-band-wh"].split(".."))
    assert high_wh / low_wh == pytest.approx(1.0798**2, rel=1e-3)
