"""What an answer says of itself, at its end where it is a stream, and what is known of it afterwards."""

from __future__ import annotations

import asyncio
import json

import pytest

from scheduler.daemon.request_records import RequestRecord, RequestRecords, Stage
from scheduler.ledger import EnergyBasis
from scheduler.shaping_settings import ShapingSettings
from shaping.policy import ReleaseReason
from shaping.request import LatencyClass
from tests.builders import a_series
from tests.integration.gateway_stand import (
    CHAT,
    CHAT_ANSWER,
    MODEL,
    SOON_S,
    FakeWorker,
    Gate,
    Reply,
    Stand,
    Uses,
    a_chat,
    a_stand,
    answers,
    as_passed,
    last_comment,
    streams,
    until,
)

EVENTS = b'data: {"choices":[]}\n\ndata: [DONE]\n\n'
EPOCH_S = 3600.0


def record_of(stand: Stand, reply: Reply) -> RequestRecord:
    record = stand.gateway.records.of(reply.headers["x-request-id"])
    assert record is not None
    return record


# -- grams ------------------------------------------------------------------------------------------------------------


async def test_an_answer_says_its_grams_where_the_grid_is_known() -> None:
    worker = FakeWorker(answers(200, CHAT_ANSWER, x_slacktide_worker_energy_j="3600"))
    async with a_stand(worker, epoch_s=EPOCH_S) as stand:
        stand.clean_hours.grid = a_series([400.0] * 24)
        reply = await stand.chat()
    assert reply.headers["x-slacktide-energy-wh"] == "1"
    # A watt-hour, by a PUE of 1.1, at 400 g/kWh.
    assert float(reply.headers["x-slacktide-gco2e"]) == pytest.approx(0.44)


async def test_an_unknown_grid_gives_no_grams_instead_of_a_guess() -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.chat()
        stream = await stand.chat(stream=True)
    assert "x-slacktide-energy-wh" in reply.headers
    assert "x-slacktide-gco2e" not in reply.headers
    assert "gco2e" not in last_comment(stream.body + b": slacktide none=\n\n")


# -- the end of a stream ----------------------------------------------------------------------------------------------


async def test_a_stream_ends_with_a_comment_that_says_what_it_used() -> None:
    end = b": slacktide-worker-energy-j=36\n\ndata: [DONE]\n\n"
    async with a_stand(FakeWorker(streams(b"data: {}\n\n", end)), epoch_s=EPOCH_S) as stand:
        stand.clean_hours.grid = a_series([100.0] * 24)
        reply = await stand.chat(stream=True)
    assert as_passed(reply.body) == b"data: {}\n\n" + end
    told = last_comment(reply.body)
    assert (told["energy-wh"], told["basis"], told["model"], told["region"]) == ("0.01", "modelled", MODEL, "here")
    assert "energy-band-wh" not in told  # how well a worker knows its own joules is not ours to say
    assert float(told["gco2e"]) == pytest.approx(0.0011)
    assert told["held-ms"] == "0"


async def test_a_stream_without_a_last_event_of_its_own_ends_with_the_comment_too() -> None:
    async with a_stand(FakeWorker(streams(b"data: {}\n\n"))) as stand:
        reply = await stand.chat(stream=True)
    assert as_passed(reply.body) == b"data: {}\n\n"
    told = last_comment(reply.body)
    low_wh, high_wh = map(float, told["energy-band-wh"].split(".."))
    assert low_wh < float(told["energy-wh"]) < high_wh
    assert told["error-class"] == "default"
    assert "gco2e-band" not in told  # nothing is known of the grid


async def test_grams_carry_the_band_of_their_energy() -> None:
    async with a_stand(FakeWorker(), epoch_s=EPOCH_S) as stand:
        stand.clean_hours.grid = a_series([100.0] * 24)
        told = (await stand.chat()).headers
    grams = float(told["x-slacktide-gco2e"])
    low_gco2e, high_gco2e = map(float, told["x-slacktide-gco2e-band"].split(".."))
    # 80% of a log-normal of 20%: exp(-1.28 * 0.2) to exp(1.28 * 0.2).
    assert (low_gco2e / grams, high_gco2e / grams) == pytest.approx((0.7741, 1.2918), rel=1e-3)


async def test_a_stream_ends_with_the_band_of_its_grams() -> None:
    async with a_stand(FakeWorker(streams(EVENTS)), epoch_s=EPOCH_S) as stand:
        stand.clean_hours.grid = a_series([100.0] * 24)
        told = last_comment((await stand.chat(stream=True)).body)
    low_gco2e, high_gco2e = map(float, told["gco2e-band"].split(".."))
    assert low_gco2e < float(told["gco2e"]) < high_gco2e


@pytest.mark.parametrize("cut", [b"data: {}\n", b"data: {}", b"\x1f\x8b"])
async def test_a_stream_that_ends_inside_an_event_is_left_as_it_is(cut: bytes) -> None:
    async with a_stand(FakeWorker(streams(cut))) as stand:
        assert (await stand.chat(stream=True)).body == cut
    assert len(stand.uses.kept) == 1


async def test_what_follows_the_last_event_still_passes_and_is_booked_once() -> None:
    async with a_stand(FakeWorker(streams(EVENTS, b": late\n\n"))) as stand:
        reply = await stand.chat(stream=True)
    assert reply.body.startswith(EVENTS)
    assert reply.body.replace(b": late\n\n", b"").startswith(EVENTS + b": slacktide ")
    assert len(stand.uses.kept) == 1


async def test_a_client_that_hangs_up_at_the_last_event_is_booked() -> None:
    """As the official one does; its worker may keep the connection open a little longer."""
    gate = Gate()

    async def lingers(request: object) -> object:
        response = await streams(EVENTS)(request)  # type: ignore[arg-type]
        await gate(request)  # type: ignore[arg-type]
        return response

    async with a_stand(FakeWorker(lingers)) as stand:  # type: ignore[arg-type]
        async with asyncio.timeout(SOON_S), stand.client.post(CHAT, json=a_chat(stream=True)) as response:
            await response.content.readuntil(b"data: [DONE]\n\n")
            response.close()
        await until(lambda: stand.gateway.running == 0)
    assert len(stand.uses.kept) == 1


# -- records ----------------------------------------------------------------------------------------------------------


async def test_an_answered_request_is_known_with_what_it_used() -> None:
    async with a_stand(FakeWorker()) as stand:
        record = record_of(stand, await stand.chat(service_tier="priority"))
    assert (record.stage, record.status, record.model, record.region) == (Stage.ENDED, 200, MODEL, "here")
    assert (record.released_because, record.service_tier) == (ReleaseReason.PASS_THROUGH, "priority")
    assert (record.prompt_tokens, record.output_tokens) == (5, 400)
    assert [use.basis for use in record.uses] == [EnergyBasis.MODELLED]
    assert record.uses == stand.uses.kept


async def test_a_held_request_is_known_while_it_waits_and_then_says_why_it_went() -> None:
    async with a_stand(FakeWorker()) as stand:
        stand.clean_hours.release_at = stand.env.now_s() + 300
        call = stand.call(service_tier="flex")
        await until(lambda: stand.gateway.held == 1)
        (record,) = stand.gateway.records.latest()
        assert (record.stage, record.latency_class) == (Stage.HELD, LatencyClass.FLEX)
        assert record.held_s(record.arrived_at_s + 7) == pytest.approx(7, abs=0.1)
        stand.clean_hours.release_at = 0.0
        stand.gateway.on_forecast_changed()
        reply = await call
    assert (record.stage, record.released_because) == (Stage.ENDED, ReleaseReason.PLANNED)
    assert float(reply.headers["x-slacktide-held-ms"]) == pytest.approx(record.held_s(0.0) * 1000, abs=1.0)


async def test_a_client_that_left_and_a_refusal_are_known_too() -> None:
    async with a_stand(FakeWorker(answers(500)), shaping=ShapingSettings(interactive_hold_s=0.0)) as stand:
        refused = record_of(stand, await stand.chat())
        stand.clean_hours.release_at = stand.env.now_s() + 300
        call = stand.call(service_tier="flex")
        await until(lambda: stand.gateway.held == 1)
        call.cancel()
        await until(lambda: stand.gateway.held == 0)
        left = list(stand.gateway.records.latest())[-1]
    assert (refused.status, refused.stage, refused.uses) == (502, Stage.ENDED, [])
    assert (left.status, left.released_because) == (499, None)


async def test_the_oldest_is_forgotten() -> None:
    records = RequestRecords(Uses(), max_records=2)
    for name in ("a", "b", "c"):
        records.began(
            RequestRecord(
                id=name,
                tenant="default",
                endpoint=CHAT,
                asked_model=MODEL,
                service_tier=None,
                is_streaming=False,
                arrived_at_s=0.0,
            )
        )
    assert [record.id for record in records.latest()] == ["b", "c"]
    assert records.of("a") is None


# -- the service tier -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "used"),
    [("auto", "default"), ("default", "default"), ("scale", "default"), ("priority", "priority"), ("flex", "flex")],
)
async def test_the_answer_echoes_the_tier_used(asked: str, used: str) -> None:
    async with a_stand(FakeWorker()) as stand:
        reply = await stand.chat(service_tier=asked)
    answer = json.loads(reply.body)
    assert answer.pop("service_tier") == used
    assert answer == json.loads(CHAT_ANSWER)
    assert reply.body.startswith(CHAT_ANSWER[:-1])


async def test_what_the_worker_says_of_a_tier_is_replaced_and_nothing_else() -> None:
    says = b'{"id": "x", "service_tier": null, "odd":  [1.50]}'
    async with a_stand(FakeWorker(answers(200, says))) as stand:
        named = await stand.chat(service_tier="auto")
        unnamed = await stand.chat()
    assert named.body == b'{"id":"x","service_tier":"default","odd":[1.50]}'
    assert unnamed.body == says


@pytest.mark.parametrize("says", [b"[1]", b"no json", b"", b'{"service_tier": nonsense}'])
async def test_an_answer_that_is_no_object_passes_as_it_is(says: bytes) -> None:
    async with a_stand(FakeWorker(answers(200, says))) as stand:
        assert (await stand.chat(service_tier="auto")).body == says
