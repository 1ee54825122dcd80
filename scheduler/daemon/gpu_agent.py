"""The agent on a GPU machine: reads its GPUs again and again, and tells whoever asks with its token.

Decides only when to open NVML again. A machine without NVML is told as one that meters nothing. Asking costs no call of
NVML, so however often it is asked, the GPUs are read as often as its options say. What simulated GPUs draw is told as
a problem beside the figures, so that no daemon takes it for metered.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Never, Protocol

from aiohttp import hdrs, web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from scheduler.daemon.env import Env
from scheduler.daemon.gpu_metrics import exposition
from scheduler.daemon.http import names_loopback
from scheduler.daemon.nvml import NvmlError
from scheduler.daemon.nvml_gpus import GpuSample
from scheduler.gpu_counters import GpuCounter
from scheduler.gpu_report import FORMAT, READINGS_PATH, GpuReading, Report, written

log = logging.getLogger(__name__)

REOPEN_S = 30.0
SIMULATED = "its GPUs are simulated (--simulated)"
_FOR_SIMULATED = "start the agent without --simulated, on a machine with NVML"
_OPEN_PATHS = frozenset({"/healthz"})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gpus(Protocol):
    """All GPUs of a machine; both calls may block."""

    driver: str
    version: str
    is_simulated: bool

    def read(self) -> Sequence[GpuSample]: ...

    def close(self) -> None: ...


class GpuAgent:
    """The latest reading of every GPU here, and a sum of its joules."""

    def __init__(self, env: Env, open_gpus: Callable[[], Gpus], *, version: str, sample_s: float) -> None:
        self._env, self._open_gpus, self._sample_s = env, open_gpus, sample_s
        self._gpus: Gpus | None = None
        self._is_reading = False
        self._counters: dict[str, GpuCounter] = {}
        self._read_at_s = env.monotonic_s()
        self._report = Report(
            format=FORMAT,
            agent=version,
            life_id=env.new_id("agent"),
            sequence=0,
            age_s=0.0,
            driver="",
            nvml="",
            problem="the GPUs have not been read yet",
            remedy="ask again in a second",
            gpus=(),
        )

    def report(self) -> Report:
        """As of now."""
        return replace(self._report, age_s=max(0.0, self._env.monotonic_s() - self._read_at_s))

    async def run(self) -> Never:
        """Until cancelled."""
        while True:
            await self.look()
            await self._env.sleep_s(self._sample_s if self._gpus is not None else REOPEN_S)

    async def look(self) -> None:
        """Read every GPU once; what cannot be is told in the report, and never ends the agent."""
        try:
            if self._gpus is None:
                self._gpus = await self._env.in_thread(self._open_gpus)
            samples = await self._env.in_thread(self._gpus.read)
        except NvmlError as error:
            await self._lost(error)
        else:
            self._take(samples)

    async def close(self) -> None:
        if self._gpus is not None:
            await self._env.in_thread(self._gpus.close)

    def _take(self, samples: Sequence[GpuSample]) -> None:
        assert self._gpus is not None
        at_s = self._env.monotonic_s()
        is_simulated = self._gpus.is_simulated
        if not self._is_reading:
            self._is_reading = True
            told = {"gpus": len(samples), "driver": self._gpus.driver, "is_simulated": is_simulated}
            log.info("GPUs are read", extra={"action": "gpus_read", **told})
        self._next(
            at_s,
            driver=self._gpus.driver,
            nvml=self._gpus.version,
            problem=SIMULATED if is_simulated else "",
            remedy=_FOR_SIMULATED if is_simulated else "",
            is_simulated=is_simulated,
            gpus=tuple(self._reading(at_s, one) for one in samples),
        )

    def _reading(self, at_s: float, sample: GpuSample) -> GpuReading:
        key = sample.uuid or f"lost {sample.index}"
        counter = self._counters.setdefault(key, GpuCounter(f"{self._report.life_id}/{key}"))
        trusted = counter.disagreement_ratio is None
        counter.read(at_s, sample.counter_j, sample.power_w)
        if trusted and counter.disagreement_ratio is not None:
            off = f"{counter.disagreement_ratio:+.0%}"
            told = {"gpu": sample.index, "counter_off_by": off}
            log.warning("an energy counter is not believed", extra={"action": "gpu_counter_distrusted", **told})
        return GpuReading(
            index=sample.index,
            uuid=sample.uuid,
            name=sample.name,
            counter_id=counter.counter_id,
            energy_j=counter.energy_j,
            energy_from=counter.energy_from,
            power_w=sample.power_w,
            utilisation_ratio=sample.utilisation_ratio,
            is_divided=sample.is_divided,
            problem=sample.problem,
        )

    async def _lost(self, error: NvmlError) -> None:
        if self._report.problem != error.what:
            log.warning("GPUs are not read", extra={"action": "gpus_unread", "why": error.what, "fix": error.remedy})
        self._is_reading = False
        gpus, self._gpus = self._gpus, None
        if gpus is not None:
            await self._env.in_thread(gpus.close)
        self._counters.clear()
        # Sums that begin after this must not look like a continuation of those before.
        self._next(self._env.monotonic_s(), life_id=self._env.new_id("agent"), problem=error.what, remedy=error.remedy)

    def _next(
        self,
        at_s: float,
        *,
        life_id: str = "",
        driver: str = "",
        nvml: str = "",
        problem: str = "",
        remedy: str = "",
        is_simulated: bool = False,
        gpus: tuple[GpuReading, ...] = (),
    ) -> None:
        self._read_at_s = at_s
        self._report = replace(
            self._report,
            life_id=life_id or self._report.life_id,
            sequence=self._report.sequence + 1,
            driver=driver,
            nvml=nvml,
            problem=problem,
            remedy=remedy,
            is_simulated=is_simulated,
            gpus=gpus,
        )


def agent_app(agent: GpuAgent, token: str) -> web.Application:
    """Its HTTP interface. Without a token everybody may ask who reaches it."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not token and not names_loopback(request):  # a page whose name resolves to 127.0.0.1
            return _json(b'{"error":"without a token this agent answers to loopback names only"}', 421)
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if token and request.path not in _OPEN_PATHS and not hmac.compare_digest(given, expected):
            return _json(b'{"error":"Authorization: Bearer TOKEN is needed, as the agent was started with"}', 401)
        return await handler(request)

    async def readings(_: web.Request) -> web.Response:
        return _json(written(agent.report()))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=exposition(agent.report), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return _json(b'{"status":"ok"}')

    async def nameless(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.pop(hdrs.SERVER, None)

    app = web.Application(middlewares=[guarded], client_max_size=1024)
    app.on_response_prepare.append(nameless)
    app.router.add_get(READINGS_PATH, readings, allow_head=False)
    app.router.add_get("/metrics", metrics, allow_head=False)
    app.router.add_get("/healthz", healthz, allow_head=False)
    return app


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
