"""A gateway on a real socket with fake workers behind it, for tests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

from intensity_feeds.series import IntensitySeries
from scheduler.config import Server, Settings
from scheduler.daemon.env import Env
from scheduler.daemon.gateway import POLICIES, Gateway
from scheduler.daemon.http import make_app
from scheduler.daemon.listener import Listener
from scheduler.daemon.metrics import Metrics
from scheduler.ledger import EnergyUse
from scheduler.region_settings import RegionSettings
from scheduler.shaping_settings import ShapingSettings
from scheduler.worker_settings import WorkerSettings

CHAT = "/v1/chat/completions"
MODEL = "llama-3.1-8b"
REGION = "here"
# Long enough for a busy machine; nobody waits so long where all is well.
SOON_S = 60.0
HANG_UPS = 5
CHAT_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"llama-3.1-8b","choices":[{"index":0,'
    b'"finish_reason":"stop","message":{"role":"assistant","content":"hello"}}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":400,"total_tokens":405}}'
)
_LAST_COMMENT = re.compile(rb": slacktide ([^\n]*)\n\n\Z")
Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def answers_at_once(_: web.Request) -> web.StreamResponse:
    return web.Response(body=CHAT_ANSWER, content_type="application/json")


def answers(status: int, body: bytes = b'{"error":{"message":"no"}}', **headers: str) -> Behaviour:
    async def behave(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, content_type="application/json", headers=named)

    return behave


def streams(*chunks: bytes, breaks_off: bool = False) -> Behaviour:
    async def behave(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if breaks_off and request.transport is not None:
            request.transport.abort()
        return response

    return behave


async def resets(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class Gate:
    """A worker behaviour that says when a request has come, and answers once it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.entered.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return await answers_at_once(request)


class FakeWorker:
    """Answers every call by its `behaviour` and keeps what it was sent."""

    def __init__(self, behaviour: Behaviour = answers_at_once) -> None:
        self.behaviour = behaviour
        self.requests: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, await request.read(), request.headers))
        return await self.behaviour(request)

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[FakeWorker]:
        app = web.Application()
        app.router.add_get("/health", self.health)
        app.router.add_get("/metrics", self.health)
        app.router.add_post("/v1/{rest:.*}", self.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


@dataclass
class KnownCleanHours:
    """A planner that names one instant, and remembers what it was asked."""

    release_at: float = 0.0
    asked: list[tuple[str, float, float, float]] = field(default_factory=list)
    intensity: float | None = None
    grid: IntensitySeries | None = None

    def release_at_s(self, region: str, now_s: float, duration_s: float, release_by_s: float) -> float:
        self.asked.append((region, now_s, duration_s, release_by_s))
        return max(now_s, min(self.release_at, release_by_s))

    def intensity_gco2e_per_kwh(self, region: str, now_s: float) -> float | None:
        return self.intensity


@dataclass
class Uses:
    """A sink that keeps every use."""

    kept: list[EnergyUse] = field(default_factory=list)

    def record(self, use: EnergyUse) -> None:
        self.kept.append(use)


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


@dataclass
class Stand:
    base_url: str
    env: Env
    gateway: Gateway
    metrics: Metrics
    clean_hours: KnownCleanHours
    uses: Uses
    client: ClientSession

    async def post(self, path: str, **options: Any) -> Reply:
        async with self.client.post(path, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Reply:
        async with self.client.get(path, **options) as response:
            return Reply(response.status, response.headers, await response.read())

    async def chat(self, headers: Mapping[str, str] | None = None, **changes: object) -> Reply:
        return await self.post(CHAT, json=a_chat(**changes), headers=headers)

    def call(self, headers: Mapping[str, str] | None = None, **changes: object) -> asyncio.Task[Reply]:
        """A chat under way."""
        return asyncio.create_task(self.chat(headers, **changes))

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def settings_for(
    urls: list[str],
    *,
    shaping: ShapingSettings | None = None,
    server: Server | None = None,
    max_sequences: int = 64,
    worker_timeout_s: float = 5.0,
    models: tuple[str, ...] = (MODEL,),
) -> Settings:
    return Settings(
        server=server or Server(port=0),
        shaping=shaping or ShapingSettings(interactive_hold_s=0.0),
        region=(RegionSettings(name=REGION, zone="DE", pue=1.1),),
        worker=tuple(
            WorkerSettings(
                url=url, models=models, region=REGION, max_sequences=max_sequences, timeout_s=worker_timeout_s
            )
            for url in urls
        ),
    )


@asynccontextmanager
async def a_stand(
    *workers: FakeWorker, speed: float = 1.0, epoch_s: float | None = None, **settings: Any
) -> AsyncIterator[Stand]:
    """The request path of the daemon on a socket of its own, before these workers."""
    async with AsyncExitStack() as stack:
        urls = [(await stack.enter_async_context(worker.listening())).url for worker in workers]
        yield await stack.enter_async_context(a_front(settings_for(urls, **settings), speed=speed, epoch_s=epoch_s))


@asynccontextmanager
async def a_front(settings: Settings, *, speed: float = 1.0, epoch_s: float | None = None) -> AsyncIterator[Stand]:
    env = Env(speed=speed, epoch_s=epoch_s, seed=1)
    metrics, clean_hours, uses = Metrics(), KnownCleanHours(), Uses()
    gateway = Gateway(
        env=env,
        settings=settings,
        clean_hours=clean_hours,
        sink=uses,
        metrics=metrics,
        grid_of=lambda _: clean_hours.grid,
    )
    app = make_app(settings.server, env=env, metrics=metrics, problems=gateway.problems, policies=POLICIES)
    gateway.add_routes(app)
    listener = Listener(app, settings.server)
    await gateway.start()
    await listener.start()
    try:
        async with ClientSession(base_url=listener.base_url) as client:
            yield Stand(listener.base_url, env, gateway, metrics, clean_hours, uses, client)
    finally:
        await gateway.stop(0.0)
        await listener.stop()


def as_passed(body: bytes) -> bytes:
    """A stream without the comment that the gateway ends it with."""
    return _LAST_COMMENT.sub(b"", body)


def last_comment(body: bytes) -> dict[str, str]:
    """What a stream says of itself at its end."""
    found = _LAST_COMMENT.search(body)
    assert found is not None, body[-200:]
    return dict(one.split("=", 1) for one in found[1].decode().split(" "))


async def quickest_hang_up_s(
    stand: Stand, gate: Gate, headers: Mapping[str, str] | None = None, **changes: object
) -> float:
    """How long after its client hangs up a call is cancelled at its worker; a busy machine may delay any of some."""
    loop, lasted_s = asyncio.get_running_loop(), []
    for _ in range(HANG_UPS):
        gate.entered.clear()
        gate.cancelled.clear()
        call = stand.call(headers, **changes)
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        call.cancel()
        left_at_s = loop.time()
        await asyncio.wait_for(gate.cancelled.wait(), SOON_S)
        lasted_s.append(loop.time() - left_at_s)
    return min(lasted_s)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(SOON_S):
        while not holds():  # noqa: ASYNC110  the gateway is seen from outside, and fires no event for us
            await asyncio.sleep(0.001)


def a_chat(**changes: object) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], **changes}
