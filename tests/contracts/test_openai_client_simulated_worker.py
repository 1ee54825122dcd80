"""The official `openai` client through the gateway to simulated GPU workers: what `slacktide demo` shows, in small."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from openai import AsyncOpenAI

from simulations.worker_server import WorkerOptions, build_app, start
from tests.integration.gateway_stand import MODEL, Stand, a_front, settings_for

# An answer of some 130 tokens takes about a second of an H100, and so a few milliseconds here.
SPEED = 500.0


@asynccontextmanager
async def a_client() -> AsyncIterator[tuple[AsyncOpenAI, Stand]]:
    runner, port = await start(build_app(WorkerOptions(model=MODEL, speed=SPEED)))
    try:
        async with (
            a_front(settings_for([f"http://127.0.0.1:{port}"])) as stand,
            AsyncOpenAI(base_url=f"{stand.base_url}/v1", api_key="unused", max_retries=0) as client,
        ):
            yield client, stand
    finally:
        await runner.cleanup()


async def test_chat_is_answered_and_its_joules_are_booked() -> None:
    async with a_client() as (client, stand):
        answer = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "When is the grid clean?"}], max_tokens=20
        )
    assert "[simulated]" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    (use,) = stand.uses.kept
    assert (use.prompt_tokens, use.output_tokens) == (answer.usage.prompt_tokens, 20)
    # Twenty steps of some 7 ms at some 460 W.
    assert use.energy_kwh * 3.6e6 == pytest.approx(20 * 0.0073 * 460, rel=0.15)


async def test_a_stream_is_answered_word_by_word_and_its_joules_are_booked() -> None:
    async with a_client() as (client, stand):
        chunks = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hi"}], max_tokens=20, stream=True
        )
        words = [chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices]
    assert "[simulated]" in "".join(words)
    (use,) = stand.uses.kept
    assert use.energy_kwh * 3.6e6 == pytest.approx(20 * 0.0073 * 460, rel=0.15)


async def test_completions_embeddings_and_models() -> None:
    async with a_client() as (client, _):
        completion = await client.completions.create(model=MODEL, prompt="Noon is", max_tokens=8)
        embedded = await client.embeddings.create(model=MODEL, input=["a", "b"])
        models = [model.id async for model in client.models.list()]
    assert completion.choices[0].text
    assert [len(one.embedding) for one in embedded.data] == [384, 384]
    assert models == [MODEL]
