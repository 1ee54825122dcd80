"""A simulated GPU worker behind an OpenAI-compatible port: real sockets, modelled time and joules.

The handlers submit, wait and write. Decides nothing: batching is worker_engine's, time worker_run's, content
worker_answers'.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import msgspec
from aiohttp import web

from shaping.prefixes import Prefix, named_blocks
from shaping.profiles import deployment
from simulations import worker_answers as answers
from simulations.worker_engine import PREFIX_BLOCK_TOKENS
from simulations.worker_engine import Sequence as Running
from simulations.worker_requests import (
    BadBody,
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    TransferParams,
    UnknownModel,
    output_limit_tokens,
    parse,
    texts,
)
from simulations.worker_run import Monotonic, SimulatedWorker, Sleep, WorkerOptions
from simulations.worker_shapes import ChatShape, CompletionShape, Document, Prompt, Shape

__all__ = ["ENERGY_COMMENT", "ENERGY_HEADER", "WorkerOptions", "build_app", "serve", "start"]

ENERGY_HEADER = "x-slacktide-worker-energy-j"
ENERGY_COMMENT = ": slacktide-worker-energy-j="  # one line of a stream, before its [DONE]
INSTANT_TOKENS = 4
B = TypeVar("B", ChatBody, CompletionBody, EmbeddingBody)
_LARGEST_EMBEDDING = 4096
_KEEP_ALIVE_S = 75.0
_DRAIN_S = 5.0
_MAX_BODY_BYTES = 64 * 1024 * 1024


async def _real_sleep(duration_s: float) -> None:
    await asyncio.sleep(duration_s)  # noqa: TID251  the default of an argument; tests pass their own


def build_app(
    options: WorkerOptions, *, monotonic_s: Monotonic = time.monotonic, sleep_s: Sleep = _real_sleep
) -> web.Application:
    """The worker as an aiohttp application; run it with handler_cancellation, as `start` does. Raises ProfileError."""
    made = deployment(gpu=options.gpu, model=options.model, gpus=options.gpus, stack=options.stack)
    service = _Service(SimulatedWorker(options, made, monotonic_s, sleep_s))
    app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_openai_errors])
    app.cleanup_ctx.append(service.running)
    app.router.add_post("/v1/chat/completions", service.instant_chat if options.is_instant else service.chat)
    app.router.add_post("/v1/completions", service.completions)
    app.router.add_post("/v1/embeddings", service.embeddings)
    app.router.add_get("/v1/models", service.models)
    app.router.add_get("/health", service.health)
    app.router.add_get("/metrics", service.metrics)
    app.router.add_get("/energy", service.energy)
    app.router.add_post("/sleep", service.sleep)
    app.router.add_post("/wake_up", service.wake_up)
    app.router.add_get("/is_sleeping", service.is_sleeping)
    return app


async def start(app: web.Application, *, host: str = "127.0.0.1", port: int = 0) -> tuple[web.AppRunner, int]:
    """Listen; the runner to clean up later, and the port, which the system chose when it was 0. Raises OSError."""
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        keepalive_timeout=_KEEP_ALIVE_S,
        shutdown_timeout=_DRAIN_S,
        access_log=None,
    )
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner, int(runner.addresses[0][1])


def serve(app: web.Application, *, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` is told the address once it answers. Raises OSError."""
    asyncio.run(_serve(app, host, port, announce))


async def _serve(app: web.Application, host: str, port: int, announce: Callable[[str], None]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    runner, bound_port = await start(app, host=host, port=port)
    try:
        announce(f"http://{f'[{host}]' if ':' in host else host}:{bound_port}")
        await stopped.wait()
    finally:
        await runner.cleanup()


@web.middleware
async def _openai_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadBody as error:
        document = answers.error_body(error.what, param=error.param, code=error.code)
        return web.json_response(document, status=error.status)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return web.json_response(answers.error_body(error.reason, code=str(error.status)), status=error.status)


class _Service:
    """The handlers of one worker."""

    def __init__(self, worker: SimulatedWorker) -> None:
        self._worker = worker
        self._options = worker.options
        self._numbers = itertools.count(1)
        instant = Prompt(text="", prompt_tokens=8, output_tokens=INSTANT_TOKENS, is_cut=True)
        self._instant_answer = msgspec.json.encode(ChatShape("chatcmpl-sim", self._options.name).whole([instant]))

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._worker.run())
        yield
        task.cancel()
        await asyncio.wait([task])

    async def chat(self, request: web.Request) -> web.StreamResponse:
        return await self._chat(request, self._parsed(await request.read(), ChatBody))

    async def instant_chat(self, request: web.Request) -> web.StreamResponse:
        """The same bytes to everyone; a stream takes the ordinary way."""
        body = self._parsed(await request.read(), ChatBody)
        if body.stream:
            return await self._chat(request, body)
        return web.Response(body=self._instant_answer, content_type="application/json")

    async def _chat(self, request: web.Request, body: ChatBody) -> web.StreamResponse:
        text = answers.chat_text(body.messages)
        prompt = self._prompt(text, answers.chat_tokens(body.messages), output_limit_tokens(body))
        return await self._answer(request, body, [prompt], ChatShape(self._new_id("chatcmpl"), self._options.name))

    async def completions(self, request: web.Request) -> web.StreamResponse:
        body = self._parsed(await request.read(), CompletionBody)
        limit = output_limit_tokens(body)
        prompts = [
            self._prompt(text, tokens or answers.text_tokens(text), limit)
            for text, tokens in texts(body.prompt, "prompt")
        ]
        return await self._answer(request, body, prompts, CompletionShape(self._new_id("cmpl"), self._options.name))

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = self._parsed(await request.read(), EmbeddingBody)
        size = answers.EMBEDDING_DIMENSIONS if body.dimensions is None else body.dimensions
        if not 1 <= size <= _LARGEST_EMBEDDING:
            raise BadBody(f"dimensions lie between 1 and {_LARGEST_EMBEDDING}", "dimensions")
        inputs = texts(body.input, "input")
        counts = [tokens or answers.text_tokens(text) for text, tokens in inputs]
        with self._worker.submitted((tokens, 0, ()) for tokens in counts) as sequences:
            await self._until_done(sequences)
        vectors = [answers.embedding(text, size) for text, _ in inputs]
        document = {
            "object": "list",
            "model": self._options.name,
            "data": [_embedding(index, vector, body.encoding_format) for index, vector in enumerate(vectors)],
            "usage": {"prompt_tokens": sum(counts), "total_tokens": sum(counts)},
        }
        return _document(document, sequences)

    async def models(self, _request: web.Request) -> web.StreamResponse:
        model = {
            "id": self._options.name,
            "object": "model",
            "created": 0,
            "owned_by": "slacktide-simulation",
            "max_model_len": self._worker.engine.kv_capacity_tokens,
        }
        return web.json_response({"object": "list", "data": [model]})

    async def health(self, _request: web.Request) -> web.StreamResponse:
        return web.Response()

    async def metrics(self, _request: web.Request) -> web.StreamResponse:
        self._worker.catch_up()
        page = self._worker.metrics.exposition(self._worker.engine)
        return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def energy(self, _request: web.Request) -> web.StreamResponse:
        """The account in virtual time up to the last finished step: what a meter on the machine would read."""
        self._worker.catch_up()
        account = self._worker.engine.account
        return web.json_response(
            {
                "energy_j": account.energy_j,
                "idle_energy_j": account.idle_energy_j,
                "cancelled_energy_j": account.cancelled_energy_j,
                "busy_s": account.busy_s,
                "idle_s": account.idle_s,
                "basis": "modelled",
            }
        )

    async def sleep(self, request: web.Request) -> web.StreamResponse:
        """As vLLM in its development mode; whoever calls has waited for the requests under way."""
        if request.query.get("level", "1") not in ("1", "2"):
            raise BadBody("level is 1 or 2", "level")
        self._worker.is_sleeping = True
        return web.Response()

    async def wake_up(self, _request: web.Request) -> web.StreamResponse:
        await self._worker.wake_up()
        return web.Response()

    async def is_sleeping(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"is_sleeping": self._worker.is_sleeping})

    def _parsed(self, raw: bytes, kind: type[B]) -> B:
        if self._worker.is_sleeping:
            raise web.HTTPServiceUnavailable(reason="the engine sleeps")
        body = parse(raw, kind)
        if body.model not in (self._options.name, self._options.model):
            raise UnknownModel(body.model, self._options.name)
        return body

    def _prompt(self, text: str, prompt_tokens: int, limit_tokens: int | None) -> Prompt:
        output_tokens = (
            answers.natural_length_tokens(text, self._options.seed) if limit_tokens is None else limit_tokens
        )
        if self._options.is_instant:
            output_tokens = INSTANT_TOKENS
        is_cut = limit_tokens is not None
        return Prompt(text=text, prompt_tokens=prompt_tokens, output_tokens=output_tokens, is_cut=is_cut)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}-sim-{next(self._numbers)}"

    async def _answer(
        self, request: web.Request, body: ChatBody | CompletionBody, prompts: Sequence[Prompt], shape: Shape
    ) -> web.StreamResponse:
        # An instant worker submits nothing: no sequence, no wait, no joule.
        named = [] if self._options.is_instant else prompts
        sizes = ((one.prompt_tokens, one.output_tokens, self._prefix(one.text)) for one in named)
        received_tokens = await self._received_tokens(body)
        with self._worker.submitted(sizes, received_tokens) as sequences:
            if body.stream:
                return await self._stream(request, body, prompts, shape, sequences)
            await self._until_done(sequences)
            document = shape.whole(self._with_cached(prompts, sequences))
            return _document({**document, **self._kept(request, body, prompts)}, sequences)

    async def _received_tokens(self, body: ChatBody | CompletionBody) -> int:
        """Prompt tokens whose KV cache another engine has read for this request, once it is here."""
        params = body.kv_transfer_params
        if params is None or not params.do_remote_prefill:
            return 0
        tokens = len(params.remote_block_ids or ()) * PREFIX_BLOCK_TOKENS
        await self._worker.fetch(tokens)
        return tokens

    def _kept(self, request: web.Request, body: ChatBody | CompletionBody, prompts: Sequence[Prompt]) -> Document:
        """Where another engine finds the KV cache of the prompt, if it was asked to be kept for one."""
        params = body.kv_transfer_params
        if params is None or not params.do_remote_decode:
            return {}
        blocks = -(-sum(one.prompt_tokens for one in prompts) // PREFIX_BLOCK_TOKENS)
        where = TransferParams(
            do_remote_prefill=True,
            remote_engine_id=f"{self._options.name}-sim",
            remote_block_ids=list(range(blocks)),
            remote_host=request.url.host,
            remote_port=request.url.port,
        )
        return {"kv_transfer_params": msgspec.to_builtins(where)}

    def _prefix(self, text: str) -> Prefix:
        if not self._options.has_prefix_cache:
            return ()
        block_bytes = PREFIX_BLOCK_TOKENS * answers.CHARACTERS_PER_TOKEN
        return named_blocks(text.encode("utf-8", "surrogatepass"), block_bytes)

    def _with_cached(self, prompts: Sequence[Prompt], sequences: Sequence[Running]) -> Sequence[Prompt]:
        """The prompts with what the cache spared of each, once that is known."""
        if not any(self._options.has_prefix_cache or one.received_tokens for one in sequences):
            return prompts
        return [replace(one, cached_tokens=of.cached_tokens) for one, of in zip(prompts, sequences, strict=True)]

    async def _until_done(self, sequences: Sequence[Running]) -> None:
        for sequence in sequences:
            async for _ in self._worker.tokens(sequence):
                pass

    async def _stream(
        self,
        request: web.Request,
        body: ChatBody | CompletionBody,
        prompts: Sequence[Prompt],
        shape: Shape,
        sequences: Sequence[Running],
    ) -> web.StreamResponse:
        """Server-sent events; several prompts follow one another. The energy is a comment that clients skip."""
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for index, prompt in enumerate(prompts):
            counts = self._worker.tokens(sequences[index]) if sequences else _at_once(prompt.output_tokens)
            async for event in _events(index, prompt, shape, counts):
                await response.write(_event(event))
        if body.stream_options is not None and body.stream_options.include_usage:
            await response.write(_event(shape.usage(self._with_cached(prompts, sequences))))
        if sequences:
            await response.write(f"{ENERGY_COMMENT}{_energy_j(sequences):.6f}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


async def _at_once(tokens: int) -> AsyncIterator[int]:
    yield tokens


async def _events(index: int, prompt: Prompt, shape: Shape, counts: AsyncIterator[int]) -> AsyncIterator[Document]:
    """The chunks of one answer: an opening, text as its tokens come, a closing."""
    opening = shape.opening(index)
    if opening is not None:
        yield opening
    written = 0
    async for count in counts:
        if count:
            yield shape.part(index, answers.answer_tokens(prompt.text, written, count))
            written += count
    yield shape.closing(index, prompt.finish_reason)


def _event(document: Document) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def _embedding(index: int, vector: list[float], encoding: str) -> Document:
    value = answers.encoded_embedding(vector) if encoding == "base64" else vector
    return {"object": "embedding", "index": index, "embedding": value}


def _document(document: Document, sequences: Sequence[Running]) -> web.Response:
    headers = {ENERGY_HEADER: f"{_energy_j(sequences):.6f}"} if sequences else {}
    return web.Response(body=msgspec.json.encode(document), content_type="application/json", headers=headers)


def _energy_j(sequences: Sequence[Running]) -> float:
    return sum(sequence.energy_j for sequence in sequences)
