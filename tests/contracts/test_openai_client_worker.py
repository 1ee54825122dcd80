"""The official OpenAI client, unchanged, against a simulated worker on a loopback port."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import aiohttp
import openai
import pytest

from shaping.energy import step
from shaping.profiles import deployment
from simulations.worker_server import ENERGY_COMMENT, ENERGY_HEADER, WorkerOptions, build_app, start

MODEL = "llama-3.1-8b"
FAST = WorkerOptions(model=MODEL, speed=1000.0)


async def _served(options: WorkerOptions) -> AsyncIterator[str]:
    runner, port = await start(build_app(options))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async for found in _served(FAST):
        yield found


@pytest.fixture
async def client(address: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as made:
        yield made


async def test_chat_answers_with_usage_and_says_that_it_is_simulated(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "How clean is the grid?"}], max_tokens=20
    )
    assert answer.choices[0].message.content is not None
    assert answer.choices[0].message.content.startswith("[simulated]")
    assert len(answer.choices[0].message.content.split()) == 20
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 20
    assert answer.usage.prompt_tokens == 10  # 22 characters in fours, and 4 for the message


async def test_the_same_prompt_gets_the_same_answer_of_its_own_length(client: openai.AsyncOpenAI) -> None:
    first, second = [
        await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Again?"}])
        for _ in range(2)
    ]
    assert first.choices[0].message.content == second.choices[0].message.content
    assert first.choices[0].finish_reason == "stop"


async def test_a_stream_brings_the_text_piece_by_piece_and_the_usage_last(client: openai.AsyncOpenAI) -> None:
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "Tell me"}]
    whole = await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=30)
    stream = await client.chat.completions.create(
        model=MODEL, messages=messages, max_tokens=30, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 30
    assert chunks[-2].choices[0].finish_reason == "length"


async def test_completions_answer_several_prompts_and_stream(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model=MODEL, prompt=["one", "two"], max_tokens=5)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 10
    stream = await client.completions.create(model=MODEL, prompt="one", max_tokens=5, stream=True)
    text = "".join([chunk.choices[0].text async for chunk in stream])
    assert text == answer.choices[0].text


async def test_embeddings_are_unit_vectors_and_the_same_in_both_encodings(client: openai.AsyncOpenAI) -> None:
    as_base64 = await client.embeddings.create(model=MODEL, input=["wind", "sun"])  # the client's own default
    as_floats = await client.embeddings.create(model=MODEL, input="wind", encoding_format="float")
    assert as_base64.data[0].embedding == pytest.approx(as_floats.data[0].embedding)
    assert math.hypot(*as_base64.data[1].embedding) == pytest.approx(1.0, rel=1e-5)
    assert as_base64.data[0].embedding != as_base64.data[1].embedding


async def test_models_lists_what_is_served(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == [MODEL]


async def test_an_unknown_model_is_not_found(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model="gpt-0", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "model"),
        ({"model": MODEL, "messages": []}, "messages"),
        ({"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": "ten"}, "max_tokens"),
        ({"model": MODEL, "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}, "max_tokens"),
        ({"model": MODEL, "messages": [{"role": "user", "content": "x"}], "n": 3}, "n"),
    ],
)
async def test_a_bad_body_is_refused_and_names_its_field(address: str, body: dict[str, object], param: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{address}/v1/chat/completions", json=body) as response,
    ):
        assert response.status == 400
        assert (await response.json())["error"]["param"] == param


async def test_a_body_that_is_no_json_is_refused(address: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{address}/v1/completions", data=b'{"model": ') as response,
    ):
        assert response.status == 400
        assert "no valid JSON" in (await response.json())["error"]["message"]


async def test_energy_of_concurrent_requests_sums_to_the_meter(address: str) -> None:
    async with aiohttp.ClientSession() as session:

        async def chat(number: int) -> float:
            body = {
                "model": MODEL,
                "messages": [{"role": "user", "content": "x" * 40 * number}],
                "max_tokens": 10 + 5 * number,
                "stream": number % 2 == 0,
            }
            async with session.post(f"{address}/v1/chat/completions", json=body) as response:
                text = await response.text()
                if ENERGY_HEADER in response.headers:
                    return float(response.headers[ENERGY_HEADER])
                lines = [line for line in text.splitlines() if line.startswith(ENERGY_COMMENT)]
                return float(lines[0].removeprefix(ENERGY_COMMENT))

        parts_j = await asyncio.gather(*(chat(number) for number in range(1, 25)))
        async with session.get(f"{address}/energy") as response:
            account = await response.json()
    assert min(parts_j) > 0.0
    assert sum(parts_j) == pytest.approx(account["energy_j"] - account["idle_energy_j"], rel=1e-5)
    assert account["idle_energy_j"] == pytest.approx(121.7 * account["idle_s"])


async def test_a_lone_request_costs_what_the_model_says(address: str) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{address}/v1/completions", json={"model": MODEL, "prompt": "x" * 400, "max_tokens": 50}
        ) as response,
    ):
        energy_j = float(response.headers[ENERGY_HEADER])
    # 100 prompt tokens alone, which yield the first token, then 49 decode steps of a growing context.
    made = deployment(gpu="h100-sxm", model=MODEL)
    expected_j = step(made, 0, 0, 100, 100**2).energy_j + sum(step(made, 1, 100 + n).energy_j for n in range(1, 50))
    assert energy_j == pytest.approx(expected_j, rel=1e-6)


async def test_metrics_carry_the_names_of_vllm(client: openai.AsyncOpenAI, address: str) -> None:
    await client.completions.create(model=MODEL, prompt="x" * 80, max_tokens=7)
    async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as response:
        page = await response.text()
    label = '{engine="0",model_name="llama-3.1-8b"}'
    assert f"vllm:num_requests_running{label} 0.0" in page
    assert f"vllm:num_requests_waiting{label} 0.0" in page
    assert f"vllm:kv_cache_usage_perc{label} 0.0" in page
    assert f"vllm:generation_tokens_total{label} 7.0" in page
    assert f"vllm:prompt_tokens_total{label} 20.0" in page
    assert f"vllm:iteration_tokens_total_sum{label} 26.0" in page


async def test_a_client_that_leaves_frees_its_place() -> None:
    slow = WorkerOptions(model=MODEL, speed=1.0, max_sequences=1)
    async for address in _served(slow):
        async with aiohttp.ClientSession() as session:
            body = {"model": MODEL, "prompt": "x", "max_tokens": 100_000, "stream": True}
            response = await session.post(f"{address}/v1/completions", json=body)
            await response.content.readline()  # it runs
            response.close()
            short = {"model": MODEL, "prompt": "y", "max_tokens": 1}
            async with asyncio.timeout(60), session.post(f"{address}/v1/completions", json=short) as second:
                assert second.status == 200
            async with session.get(f"{address}/energy") as account:
                assert (await account.json())["cancelled_energy_j"] > 0.0


async def test_an_instant_worker_answers_without_energy() -> None:
    async for address in _served(WorkerOptions(model=MODEL, is_instant=True)):
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            raw = await client.chat.completions.with_raw_response.create(
                model=MODEL, messages=[{"role": "user", "content": "x"}]
            )
            assert ENERGY_HEADER not in raw.headers
            assert raw.parse().usage is not None
            stream = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "x"}], stream=True
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
            assert len(text.split()) == 4


async def test_a_worker_with_a_prefix_cache_says_how_much_of_a_prompt_it_knew() -> None:
    text = "The same long document. " * 40
    async for address in _served(WorkerOptions(model=MODEL, speed=1000.0, has_prefix_cache=True)):
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            cached = []
            for question in ("Who?", "When?"):
                messages = [{"role": "user", "content": text + question}]
                answer = await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=2)  # type: ignore[arg-type]
                assert answer.usage is not None
                assert answer.usage.prompt_tokens_details is not None
                cached.append(answer.usage.prompt_tokens_details.cached_tokens)
    assert cached == [0, 240]  # 15 blocks of 64 characters
