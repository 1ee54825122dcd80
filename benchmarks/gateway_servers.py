"""The servers of the gateway benchmark, each a process of its own: instant workers, a bare proxy, the gateway.

    python -m benchmarks.gateway_servers worker
    python -m benchmarks.gateway_servers simulated
    python -m benchmarks.gateway_servers bare --upstream http://127.0.0.1:PORT
    python -m benchmarks.gateway_servers gateway --upstream http://127.0.0.1:PORT --hold 0.0

Each prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import aiohttp
from aiohttp import web
from yarl import URL

from benchmarks.whole_requests import WholeRequests
from scheduler.config import Server, Settings
from scheduler.daemon.env import Env
from scheduler.daemon.garbage import look_seldom
from scheduler.daemon.gateway import POLICIES, Gateway
from scheduler.daemon.http import make_app
from scheduler.daemon.listener import Listener
from scheduler.daemon.metrics import Metrics
from scheduler.ledger import EnergyUse
from scheduler.region_settings import RegionSettings
from scheduler.shaping_settings import ShapingSettings
from scheduler.worker_settings import WorkerSettings

MODEL = "llama-3.1-8b"
CHAT = "/v1/chat/completions"
ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"llama-3.1-8b","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"'
    + b"The grid is cleanest at noon. "
    * 20
    + b'"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":350,"completion_tokens":120,"total_tokens":470}}'
)
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "host"})


class InstantWorker(WholeRequests):
    """Answers at once with the same bytes, so that it is never what is measured."""

    _ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER

    def answer(self, body: bytes) -> None:
        self.transport.write(self._ANSWER)


class BareProxy:
    """What one writes with aiohttp to pass requests on, with its client's costly defaults already switched off."""

    def __init__(self, upstream: str) -> None:
        self._url = URL(upstream + CHAT)

    async def start(self, _: web.Application) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=256),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=300.0),
        )

    async def stop(self, _: web.Application) -> None:
        await self._session.close()

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        body = await request.read()
        async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
            content_type = answer.headers.get("Content-Type", "application/json")
            return web.Response(status=answer.status, body=await answer.read(), headers={"Content-Type": content_type})


async def serve_worker() -> int:
    server = await asyncio.get_running_loop().create_server(InstantWorker, "127.0.0.1", 0, backlog=1024)
    return int(server.sockets[0].getsockname()[1])


async def serve_simulated() -> int:
    from simulations.worker_server import WorkerOptions, build_app, start

    _, port = await start(build_app(WorkerOptions(model=MODEL, is_instant=True)))
    return port


async def serve_bare(upstream: str) -> int:
    proxy = BareProxy(upstream)
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.on_startup.append(proxy.start)
    app.on_cleanup.append(proxy.stop)
    app.router.add_post(CHAT, proxy.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    return int(runner.addresses[0][1])


class AtOnce:
    """Every hour is clean."""

    def release_at_s(self, region: str, now_s: float, duration_s: float, release_by_s: float) -> float:
        return now_s

    def intensity_gco2e_per_kwh(self, region: str, now_s: float) -> float | None:
        return None


class Tally:
    """A sink that adds up, as the daemon's account does in memory."""

    def __init__(self) -> None:
        self.energy_kwh = 0.0

    def record(self, use: EnergyUse) -> None:
        self.energy_kwh += use.energy_kwh


async def serve_gateway(upstream: str, interactive_hold_s: float) -> int:
    settings = Settings(
        server=Server(port=0),
        shaping=ShapingSettings(interactive_hold_s=interactive_hold_s),
        region=(RegionSettings(name="here", zone="DE"),),
        worker=(WorkerSettings(url=upstream, models=(MODEL,), region="here", max_sequences=256),),
    )
    env, metrics = Env(), Metrics()
    gateway = Gateway(env=env, settings=settings, clean_hours=AtOnce(), sink=Tally(), metrics=metrics)
    app = make_app(settings.server, env=env, metrics=metrics, problems=gateway.problems, policies=POLICIES)
    gateway.add_routes(app)
    listener = Listener(app, settings.server)
    await gateway.start()
    await listener.start()
    look_seldom()  # as `slacktide serve` does
    return listener.port


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("role", choices=["worker", "simulated", "bare", "gateway"])
    parser.add_argument("--upstream", default="")
    parser.add_argument("--hold", type=float, default=0.0, help="interactive_hold_s of the gateway")
    chosen = parser.parse_args()
    match chosen.role:
        case "worker":
            port = await serve_worker()
        case "simulated":
            port = await serve_simulated()
        case "bare":
            port = await serve_bare(chosen.upstream)
        case _:
            port = await serve_gateway(chosen.upstream, chosen.hold)
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
