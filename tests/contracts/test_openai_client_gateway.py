"""The official `openai` client, unchanged, against the gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from aiohttp import web
from openai import AsyncOpenAI

from scheduler.shaping_settings import ShapingSettings
from tests.integration.gateway_stand import MODEL, FakeWorker, Gate, Stand, a_stand, answers, until

VECTOR = [0.25, -0.5, 1.0]


async def speaks_openai(request: web.Request) -> web.StreamResponse:
    """The least that an OpenAI-compatible engine answers."""
    body = await request.json()
    if request.path.endswith("/responses"):
        return await stream_of_a_response(request) if body.get("stream") else web.json_response(a_response())
    if request.path.endswith("/embeddings"):
        return web.json_response(embeddings(body))
    if body.get("stream"):
        return await stream(request, chat=request.path.endswith("/chat/completions"))
    document = chat_completion(body) if request.path.endswith("/chat/completions") else completion()
    return web.json_response(document)


def chat_completion(body: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": f"you said: {body['messages'][-1]['content']}"}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]} | USAGE


def completion() -> dict[str, Any]:
    choice = {"index": 0, "text": "noon", "finish_reason": "stop", "logprobs": None}
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": MODEL, "choices": [choice]} | USAGE


USAGE = {"usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}}


def embeddings(body: dict[str, Any]) -> dict[str, Any]:
    packed = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()
    vector = packed if body.get("encoding_format") == "base64" else VECTOR
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, _ in enumerate(inputs)]
    return {"object": "list", "data": data, "model": MODEL, "usage": {"prompt_tokens": 3, "total_tokens": 3}}


async def stream(request: web.Request, *, chat: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for word in ("clean", "est", " hour"):
        choice = {"index": 0, "finish_reason": None} | ({"delta": {"content": word}} if chat else {"text": word})
        chunk = {"id": "1", "object": "chunk", "created": 1, "model": MODEL, "choices": [choice]}
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


def a_response() -> dict[str, Any]:
    said = {"type": "output_text", "text": "noon", "annotations": []}
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [said]}
    usage = {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }
    named = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": MODEL}
    return {**named, "output": [message], "usage": usage, "tools": [], "tool_choice": "auto", "service_tier": None}


async def stream_of_a_response(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    delta = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "noon"}
    events: list[dict[str, Any]] = [
        {"type": "response.output_text.delta", **delta},
        {"type": "response.completed", "response": a_response()},
    ]
    for number, event in enumerate(events):
        data = json.dumps({**event, "sequence_number": number})
        await response.write(f"event: {event['type']}\ndata: {data}\n\n".encode())
    return response


@asynccontextmanager
async def a_client(*workers: FakeWorker, **settings: Any) -> AsyncIterator[tuple[AsyncOpenAI, Stand]]:
    async with (
        a_stand(*(workers or (FakeWorker(speaks_openai),)), **settings) as stand,
        AsyncOpenAI(base_url=f"{stand.base_url}/v1", api_key="unused", max_retries=0) as client,
    ):
        yield client, stand


async def ask(client: AsyncOpenAI, **options: Any) -> Any:
    return await client.chat.completions.create(
        model=options.pop("model", MODEL), messages=[{"role": "user", "content": "hi"}], **options
    )


async def test_chat() -> None:
    async with a_client() as (client, _):
        answer = await ask(client, temperature=0.0, max_tokens=5)
    assert answer.choices[0].message.content == "you said: hi"
    assert answer.usage.completion_tokens == 4
    assert answer._request_id.startswith("req-")


async def test_chat_as_a_stream() -> None:
    async with a_client() as (client, _):
        words = [chunk.choices[0].delta.content async for chunk in await ask(client, stream=True)]
    assert "".join(words) == "cleanest hour"


async def test_the_comment_that_ends_a_stream_is_there_and_no_chunk_of_it() -> None:
    async with a_client() as (client, _):
        asked = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "stream": True}
        async with client.with_streaming_response.chat.completions.create(**asked) as raw:  # type: ignore[call-overload]
            lines = [line async for line in raw.iter_lines()]
        chunks = [chunk async for chunk in await ask(client, stream=True)]
    assert [line for line in lines if line][-2] == "data: [DONE]"
    assert lines[-2].startswith(": slacktide held-ms=0 ")
    assert len(chunks) == 3


async def test_completions_plain_and_as_a_stream() -> None:
    async with a_client() as (client, _):
        answer = await client.completions.create(model=MODEL, prompt="when?")
        chunks = await client.completions.create(model=MODEL, prompt=[1, 2, 3], stream=True)
        words = [chunk.choices[0].text async for chunk in chunks]
    assert answer.choices[0].text == "noon"
    assert "".join(words) == "cleanest hour"


async def test_embeddings_in_base64_which_the_client_asks_for_unsaid() -> None:
    async with a_client() as (client, stand):
        answer = await client.embeddings.create(model=MODEL, input=["a", "b"])
        floats = await client.embeddings.create(model=MODEL, input="a", encoding_format="float")
    assert [one.embedding for one in answer.data] == [VECTOR, VECTOR]
    assert floats.data[0].embedding == VECTOR
    assert [use.output_tokens for use in stand.uses.kept] == [0, 0]


async def test_responses_plain_and_as_a_stream() -> None:
    async with a_client() as (client, stand):
        answer = await client.responses.create(model=MODEL, input="when?", service_tier="auto")
        events = [event async for event in await client.responses.create(model=MODEL, input="when?", stream=True)]
    assert (answer.output_text, answer.service_tier) == ("noon", "default")
    assert [event.type for event in events] == ["response.output_text.delta", "response.completed"]
    assert [(use.prompt_tokens, use.output_tokens) for use in stand.uses.kept] == [(3, 4), (3, 4)]


async def test_a_worker_without_responses_says_so_itself() -> None:
    async with a_client(FakeWorker(answers(404))) as (client, _):
        with pytest.raises(openai.NotFoundError):
            await client.responses.create(model=MODEL, input="when?")


async def test_models() -> None:
    async with a_client(models=(MODEL, "org/other")) as (client, _):
        listed = [model.id async for model in client.models.list()]
        shown = await client.models.retrieve("org/other")
    assert listed == [MODEL, "org/other"]
    assert (shown.id, shown.object) == ("org/other", "model")


async def test_an_unknown_model_is_a_not_found_error() -> None:
    async with a_client() as (client, _):
        with pytest.raises(openai.NotFoundError) as raised:
            await ask(client, model="gpt-17")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


async def test_a_wrong_type_is_a_bad_request_error_that_names_the_field() -> None:
    async with a_client() as (client, _):
        with pytest.raises(openai.BadRequestError) as raised:
            await ask(client, extra_body={"max_tokens": "many"})
    assert raised.value.param == "max_tokens"
    assert raised.value.type == "invalid_request_error"


@pytest.mark.parametrize("status", [500, 503])
async def test_a_failing_worker_is_an_internal_server_error(status: int) -> None:
    async with a_client(FakeWorker(answers(status))) as (client, _):
        with pytest.raises(openai.InternalServerError) as raised:
            await ask(client)
    assert raised.value.status_code in (502, 503)


async def test_a_full_queue_is_a_rate_limit_error() -> None:
    async with a_client(shaping=ShapingSettings(max_held=1)) as (client, stand):
        stand.clean_hours.release_at = stand.env.now_s() + 300
        held = stand.call(service_tier="flex")
        await until(lambda: stand.gateway.held == 1)
        with pytest.raises(openai.RateLimitError):
            await ask(client, service_tier="flex")
        held.cancel()


@pytest.mark.slow
async def test_a_read_timeout_of_the_client_frees_the_place() -> None:
    gate = Gate()
    async with a_client(FakeWorker(gate)) as (client, stand):
        with pytest.raises(openai.APITimeoutError):
            await ask(client, timeout=1.0)
        await until(lambda: stand.gateway.running == 0)
        await gate.cancelled.wait()


async def test_the_flex_tier_waits_for_the_clean_hour() -> None:
    async with a_client(speed=36_000.0, epoch_s=1_700_000_000.0) as (client, stand):
        stand.clean_hours.release_at = 1_700_072_000.0  # two real seconds ahead
        answer = await ask(client, service_tier="flex", extra_headers={"x-slacktide-deadline": "100h"})
    assert answer.choices[0].message.content == "you said: hi"
    (use,) = stand.uses.kept
    assert use.category == "flex"
    assert use.at_once_at_s < 1_700_072_000.0 <= use.started_at_s


async def test_the_clients_read_timeout_bounds_the_hold() -> None:
    async with a_client() as (client, stand):
        await ask(client, service_tier="flex", timeout=60.0)
    # 60 s of patience, less 2 s of service and 5 s of margin.
    assert stand.clean_hours.asked[0][3] - stand.uses.kept[0].at_once_at_s == pytest.approx(53.0, abs=0.001)


def let_go(stand: Stand) -> None:
    stand.clean_hours.release_at = 0.0
    stand.gateway.on_forecast_changed()


@pytest.mark.slow
async def test_a_held_stream_outlasts_the_read_timeout_by_comments() -> None:
    async with a_client() as (client, stand):
        stand.clean_hours.release_at = stand.env.now_s() + 300
        chunks = await ask(client, service_tier="flex", stream=True, timeout=0.75)
        asyncio.get_running_loop().call_later(1.0, let_go, stand)
        words = [chunk.choices[0].delta.content async for chunk in chunks]
    assert "".join(words) == "cleanest hour"


@pytest.mark.slow
async def test_an_error_inside_a_stream_is_raised_by_the_client() -> None:
    async with a_client(FakeWorker(answers(500))) as (client, stand):
        stand.clean_hours.release_at = stand.env.now_s() + 300
        chunks = await ask(client, service_tier="flex", stream=True, timeout=0.75)  # its status is sent by now
        let_go(stand)
        with pytest.raises(openai.APIError, match="worker failed"):
            async for _ in chunks:
                pass


@pytest.mark.slow
def test_the_synchronous_client_works_as_well() -> None:
    """Its own transport, on a thread of its own."""

    async def talk() -> str:
        async with a_stand(FakeWorker(speaks_openai)) as stand:

            def blocking() -> str:
                with openai.OpenAI(base_url=f"{stand.base_url}/v1", api_key="unused", max_retries=0) as client:
                    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "hi"}])
                    return answer.choices[0].message.content or ""

            return await asyncio.to_thread(blocking)

    assert asyncio.run(talk()) == "you said: hi"
