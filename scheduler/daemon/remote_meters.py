"""Asks the agents of other machines what the GPUs of workers there have drawn, and books it as a local meter is booked.

Decides when an agent has been silent for too long. What it says is gpu_report.py's, whose joules they are
metered_shares.py's. Addresses and tokens are the settings' alone; redirects are not followed. Joules are placed by the
age that the agent gives its reading, so its clock need not agree with ours.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Never

import aiohttp

from scheduler.agent_settings import AgentSettings
from scheduler.config import TelemetrySettings
from scheduler.daemon.env import Env
from scheduler.daemon.load_reading import at_most
from scheduler.daemon.metering import Metering, MeterSight
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.nvml import Reading
from scheduler.daemon.telemetry import MeterLog, metering_of
from scheduler.daemon.workers import Worker
from scheduler.gpu_report import (
    MOST_BYTES,
    READINGS_PATH,
    Metered,
    Report,
    Unmetered,
    of_devices,
    read_answer,
    shown_token,
    silent,
    token_of,
)

log = logging.getLogger(__name__)


class RemoteMeter:
    """The same GPUs of one agent, and the workers that stand on them: one, or several that share them."""

    def __init__(
        self,
        env: Env,
        source: str,
        workers: Sequence[Worker],
        metering: Metering | None,
        lines: Iterable[tuple[MeterLog, Worker]] = (),
    ) -> None:
        """`metering` is None where nothing is to be booked."""
        self._env, self._source, self._metering = env, source, metering
        self.workers, self._lines = tuple(workers), list(lines)
        self.devices = self.workers[0].settings.devices
        self._counter_id: str | None = None
        self._read_at_s = -math.inf
        self._lost_at_s: float | None = None  # of the policy clock
        self._began_at_s = env.now_s() - env.monotonic_s()
        for worker in self.workers:
            worker.metering = metering

    def take(self, found: Metered, at_s: float) -> None:
        """A reading of that instant, of the clock that never jumps."""
        if at_s > self._read_at_s:
            self._book(found, at_s)
            self._write(found, at_s)
            self._lost_at_s = None
            self._see(MeterSight(source=self._source, power_w=found.power_w, utilisation_ratio=found.utilisation_ratio))

    def miss(self, why: Unmetered, at_s: float, stale_s: float) -> None:
        """A reading that does not tell of these GPUs. One changes nothing: the sums go on, and the next covers it."""
        if self._counter_id is None or at_s - self._read_at_s >= stale_s:
            self.lose(why)

    def lose(self, why: Unmetered) -> None:
        """Nothing is known from the last reading on, until the next."""
        if self._lost_at_s is None:
            silence_s = 0.0 if self._counter_id is None else self._env.monotonic_s() - self._read_at_s
            self._lost_at_s = self._env.now_s() - silence_s * self._env.speed
        self._counter_id = None
        self._read_at_s = self._env.monotonic_s()
        if self._metering is not None:
            self._metering.gap(self._read_at_s)
        self._see(MeterSight(source=self._source, what=why.what, remedy=why.remedy, since_at_s=self._lost_at_s))

    def close(self) -> None:
        for worker in self.workers:
            worker.metering = None
        if self._metering is not None:
            self._metering.close()
        for lines, _ in self._lines:
            lines.close()

    def _book(self, found: Metered, at_s: float) -> None:
        if self._metering is not None:
            if found.counter_id != self._counter_id:  # another sum: what lies between the two is not known
                self._metering.gap(at_s)
            self._metering.read(at_s, found.energy_j, None)
        self._counter_id, self._read_at_s = found.counter_id, at_s

    def _write(self, found: Metered, at_s: float) -> None:
        reading = Reading(energy_j=found.energy_j, power_w=found.power_w)
        for lines, worker in list(self._lines):
            try:
                lines.append(self._began_at_s + at_s, worker, reading)
            except OSError as error:  # the log explains and calibrates; booking goes on without it
                lines.close()
                self._lines.remove((lines, worker))
                told = {"worker": worker.name, "why": str(error)}
                log.warning("meter log ended", extra={"action": "meter_log_ended", **told})

    def _see(self, sight: MeterSight) -> None:
        for worker in self.workers:
            before, worker.meter = worker.meter, sight
            if before is not None and before.what == sight.what:
                continue
            told = {"worker": worker.name, "source": sight.source}
            if sight.what:
                told |= {"why": sight.what, "fix": sight.remedy}
                log.warning("GPUs cannot be metered", extra={"action": "meter_unavailable", **told})
            else:
                log.info("GPUs are metered", extra={"action": "meter_started", **told})


class AgentClient:
    """One agent, and what stands on its GPUs."""

    def __init__(
        self, env: Env, agent: AgentSettings, token: str | Unmetered, stale_s: float, meters: Sequence[RemoteMeter]
    ) -> None:
        """`token` is empty where the settings name none. Where it is not known the agent is not asked."""
        self._env, self.agent, self._token, self._stale_s, self._meters = env, agent, token, stale_s, meters
        self._last: tuple[str, int] | None = None
        self._fresh_at_s = -math.inf
        self.is_fresh = False

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Ask once; a single lost answer changes nothing, silence of `stale_s` does."""
        asked_at_s = self._env.monotonic_s()
        found = await self._asked(session)
        answered_at_s = self._env.monotonic_s()
        if isinstance(found, Report):
            self.heard(found, (asked_at_s + answered_at_s) / 2 - found.age_s)
        elif answered_at_s - self._fresh_at_s > self._stale_s:
            self.lost(found)

    def heard(self, report: Report, at_s: float) -> None:
        """Its reading of that instant, of the clock that never jumps."""
        if report.problem:  # it answers, and says that it meters nothing
            self.lost(Unmetered(what=f"agent {self.agent.name}: {report.problem}", remedy=report.remedy))
            return
        self.is_fresh, self._fresh_at_s = True, at_s
        if (report.life_id, report.sequence) == self._last:  # asked again before it has read again
            return
        self._last = (report.life_id, report.sequence)
        doubled = _counted_twice(of_devices(report, meter.devices) for meter in self._meters)
        for meter in self._meters:
            found = of_devices(report, meter.devices)
            if isinstance(found, Unmetered):
                meter.miss(found, at_s, self._stale_s)
            elif both := found.uuids & doubled:
                meter.lose(_twice(both))
            else:
                meter.take(found, at_s)

    def lost(self, why: Unmetered) -> None:
        """Nothing is known of its GPUs until it is heard again."""
        self.is_fresh, self._last = False, None
        for meter in self._meters:
            meter.lose(why)

    async def _asked(self, session: aiohttp.ClientSession) -> Report | Unmetered:
        name, url = self.agent.name, self.agent.url.rstrip("/") + READINGS_PATH
        if isinstance(self._token, Unmetered):
            return self._token
        try:
            async with (
                asyncio.timeout(self.agent.timeout_s),
                session.get(url, headers=shown_token(self._token), allow_redirects=False) as response,
            ):
                body = await at_most(response.content, MOST_BYTES)
                return read_answer(name, response.status, body, self._stale_s)
        except TimeoutError:
            return silent(name, f"nothing in {self.agent.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            return silent(name, type(error).__name__)


def _counted_twice(found: Iterable[Metered | Unmetered]) -> frozenset[str]:
    """The GPUs that stand in two meters: by index in one and by UUID in the other, which no settings show."""
    counts = Counter(uuid for one in found if isinstance(one, Metered) for uuid in one.uuids)
    return frozenset(uuid for uuid, count in counts.items() if count > 1)


def _twice(uuids: Iterable[str]) -> Unmetered:
    return Unmetered(
        what=f"GPU {min(uuids)} is named by two workers, each with other names or other GPUs beside it",
        remedy="workers share all of their devices, named alike, or none",
    )


class RemoteMeters:
    """One task for each agent that a worker names."""

    def __init__(
        self,
        env: Env,
        *,
        agents: Iterable[AgentSettings],
        settings: TelemetrySettings,
        folder: Path,
        workers: Sequence[Worker],
        environment: Mapping[str, str],
        metrics: Metrics,
    ) -> None:
        self._env, self._settings, self._folder, self._metrics = env, settings, folder, metrics
        self._environment = environment
        numbered = [(f"worker-{number}", one) for number, one in enumerate(workers, 1)]
        self._named = [(name, one) for name, one in numbered if one.settings.agent and one.settings.devices]
        used = {worker.settings.agent for _, worker in self._named}
        self._agents = [one for one in agents if one.name in used]

    async def run(self) -> None:
        """Until cancelled; returns at once where no agent is to be asked."""
        if not self._agents:
            return
        async with (
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            for agent in self._agents:
                group.create_task(self._follow(agent, session), name=f"agent {agent.name}")

    async def _follow(self, agent: AgentSettings, session: aiohttp.ClientSession) -> Never:
        meters = self._meters_of(agent)
        token = token_of(agent.token_env, self._environment)
        client = AgentClient(self._env, agent, token, self._settings.stale_s, meters)
        try:
            while True:
                await client.look(session)
                self._note(client, meters)
                await self._env.sleep_s(self._settings.sample_s * self._env.speed)
        finally:
            for meter in meters:
                meter.close()

    def _meters_of(self, agent: AgentSettings) -> list[RemoteMeter]:
        """Workers that name the same GPUs have one meter: their joules are split over the requests of all of them."""
        shared: dict[frozenset[str], dict[str, Worker]] = {}
        for name, worker in self._named:
            if worker.settings.agent == agent.name:
                shared.setdefault(frozenset(worker.settings.devices), {})[name] = worker
        return [self._meter(f"agent {agent.name}", workers) for workers in shared.values()]

    def _meter(self, source: str, named: Mapping[str, Worker]) -> RemoteMeter:
        workers = list(named.values())
        lines = [(MeterLog(self._folder, name, self._settings), worker) for name, worker in named.items()]
        metering = metering_of(workers) if self._settings.book_metered else None
        return RemoteMeter(self._env, source, workers, metering, lines)

    def _note(self, client: AgentClient, meters: Sequence[RemoteMeter]) -> None:
        self._metrics.agent_up.labels(client.agent.name).set(client.is_fresh)
        for worker in (worker for meter in meters for worker in meter.workers):
            self._metrics.metered(
                worker.name,
                is_metered=worker.is_metered,
                power_w=worker.meter.power_w if worker.meter else None,
                utilisation_ratio=worker.meter.utilisation_ratio if worker.meter else None,
            )
