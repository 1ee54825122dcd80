"""A whole daemon inside the test: real sockets, real processes, a made-up grid and a clock that runs ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from scheduler.config import Settings, validate
from scheduler.daemon.app import Daemon
from scheduler.daemon.env import Env
from tests.builders import YEAR_2022_AT_S

# A second of the test is an hour of the grid: a window some hours away is reached while one looks.
SPEED = 3600.0
# Long enough for a busy machine: whoever waits so long is told that it never comes, and nobody waits who need not.
PATIENCE_S = 90.0


class SteadyEnv(Env):
    """An Env whose clock stands until `begin`, and then counts no time in which this process was kept from running.

    At an hour a second, half a second without a processor would cost a job its slack and the sun its noon. The clock
    therefore moves in small steps, and a longer gap between two of them counts as one step.
    """

    STEP_S, LONGEST_STEP_S = 0.005, 0.05
    SLOW = 60.0  # at a minute a second or less the clock may as well be the machine's, which meters are read by

    def __init__(self, *, epoch_s: float, speed: float, seed: int) -> None:
        super().__init__(epoch_s=epoch_s, speed=speed, seed=seed)
        self._counted_s, self._seen_at_s = 0.0, self._loop.time()
        self._next: asyncio.TimerHandle | None = None

    def now_s(self) -> float:
        if self._next is not None:
            seen_at_s, self._seen_at_s = self._seen_at_s, self._loop.time()
            passed_s = self._seen_at_s - seen_at_s
            self._counted_s += passed_s if self.speed <= self.SLOW else min(passed_s, self.LONGEST_STEP_S)
        return self._epoch_s + self._counted_s * self.speed

    async def sleep_s(self, duration_s: float) -> None:
        ends_at_s = self.now_s() + duration_s
        await super().sleep_s(duration_s)
        while (left_s := ends_at_s - self.now_s()) > 0:  # noqa: ASYNC110  its clock may stand
            await asyncio.sleep(max(self.STEP_S, left_s / self.speed))

    def begin(self) -> None:
        self._seen_at_s = self._loop.time()
        self._step()

    def end(self) -> None:
        if self._next is not None:
            self._next.cancel()

    def _step(self) -> None:
        self._next = self._loop.call_later(self.STEP_S, self._step)
        self.now_s()


def settings_of(folder: Path, tables: Mapping[str, Any]) -> Settings:
    """A daemon on any free port with one region on a solar grid and a template that sleeps."""
    defaults: dict[str, Any] = {
        "server": {"port": 0, "state_dir": str(folder), "drain_s": 2},
        "region": [{"name": "here", "zone": "SUN", "gpus": 2, "pue": 1.0}],
        "feed": [{"kind": "synthetic", "zones": ["SUN"], "archetype": "solar", "poll_s": 600}],
        "template": [{"name": "sleep", "command": ["sleep", "{seconds}"]}],
    }
    return validate({**defaults, **tables})


@asynccontextmanager
async def a_daemon(
    folder: Path,
    tables: Mapping[str, Any] | None = None,
    *,
    speed: float = SPEED,
    epoch_s: float = YEAR_2022_AT_S,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[Daemon, aiohttp.ClientSession]]:
    """A running daemon and a client of it. The clock starts at midnight of 2022-01-01, once the daemon serves."""
    env = SteadyEnv(epoch_s=epoch_s, speed=speed, seed=1)
    daemon = Daemon(settings_of(folder, tables or {}), env, environment or {})
    await daemon.start()
    env.begin()
    try:
        async with aiohttp.ClientSession(base_url=daemon.listener.base_url) as client:
            yield daemon, client
    finally:
        await daemon.stop()
        env.end()


def a_submission(**fields: Any) -> dict[str, Any]:
    """One hour of work for the sleeping template, to finish within a day."""
    defaults = {
        "template": "sleep",
        "arguments": {"seconds": "0.1"},
        "duration": "1h",
        "power": "1kW",
        "within": "24h",
    }
    return {**defaults, **fields}


async def posted(client: aiohttp.ClientSession, path: str, body: Mapping[str, Any], **headers: str) -> tuple[int, Any]:
    async with client.post(path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def got(client: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with client.get(path) as response:
        return response.status, await response.json()


async def until_state(client: aiohttp.ClientSession, job_id: str, *states: str) -> Any:
    """The job once it has reached one of the states."""
    job: Any = None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while job is None or job["state"] not in states:
                _, job = await got(client, f"/api/v1/jobs/{job_id}")
                await asyncio.sleep(0.02)
    except TimeoutError:
        _, explained = await got(client, f"/api/v1/jobs/{job_id}/explain")
        raise AssertionError(f"never reached {states}: {job} {explained}") from None
    return job


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that no event tells of."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
