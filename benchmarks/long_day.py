"""A day of moderate, mixed traffic through a whole daemon, compressed: whether its memory grows once it is warm.

The daemon's policy clock and the simulated worker run so much faster than the real one that a day takes minutes. Plain
and streamed requests, streams held for a cleaner hour, batches, jobs that run as processes, a listener to the status
page and somebody who looks at the lists: each at times drawn from a seed. Before the day begins, as many requests have
been answered as the daemon remembers; the first hours of the day are not counted either.
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

import aiohttp
import numpy as np

from benchmarks.batches import ENDPOINT, MIDNIGHT_AT_S, lines, uploaded
from benchmarks.processes import Process, started
from benchmarks.queued_lines import settings
from benchmarks.scale_servers import MODEL, prompt
from scheduler.daemon.request_records import MAX_RECORDS

HOUR_S = 3600.0
# A batch may wait for six hours: before that the traffic is not yet what it stays.
WARM_HOURS = 8.0
_SAMPLES_PER_HOUR = 8
REMEMBERED = MAX_RECORDS + 500
_CALLERS = 16
# A second of the real clock sees so many of each.
PLAIN_PER_S, STREAMED_PER_S, HELD_PER_S = 20.0, 10.0, 5.0
# An hour of the day sees so many.
BATCHES_PER_HOUR, JOBS_PER_HOUR, LOOKS_PER_HOUR = 1.0, 4.0, 4.0
_LINES, _WINDOW, _HELD_FOR, _JOB_MINUTES = 100, "6h", "3h", 20
_PAGES = ("/metrics", "/api/v1/jobs?limit=100", "/v1/batches", "/api/v1/savings", "/api/v1/plan")
_CONFIDENCE_RATIO = 0.95
MOST_HALF_WIDTH_MB_PER_HOUR = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Growth by hour, and half of its interval of 95%."""

    mb_per_hour: float
    half_width_mb_per_hour: float

    @property
    def is_growth(self) -> bool:
        """Whether zero is below the whole interval."""
        return self.mb_per_hour - self.half_width_mb_per_hour > 0.0

    @property
    def is_known(self) -> bool:
        """Whether the interval is narrow enough to say anything."""
        return self.half_width_mb_per_hour < MOST_HALF_WIDTH_MB_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFigures:
    """`samples` are (hour of the day, resident MB)."""

    samples: list[tuple[float, float]]
    answered: Counter[str]
    cpu_ratio: float

    @property
    def slope(self) -> Slope:
        return slope_of([one for one in self.samples if one[0] >= WARM_HOURS])


def slope_of(samples: Sequence[tuple[float, float]]) -> Slope:
    """Least squares; what is left over is alike from one sample to the next, so that fewer of them count."""
    from scipy import stats  # takes two seconds, and whoever only reads a command's options need not wait

    hours, resident_mb = np.array(samples).T
    fitted = stats.linregress(hours, resident_mb)
    left_mb = resident_mb - fitted.intercept - fitted.slope * hours
    spread = float(left_mb @ left_mb)
    alike = 0.0 if spread == 0.0 else min(0.99, max(0.0, float(left_mb[1:] @ left_mb[:-1]) / spread))
    counted = max(3.0, len(samples) * (1 - alike) / (1 + alike))
    error = float(fitted.stderr) * ((len(samples) - 2) / (counted - 2)) ** 0.5
    half_width = float(stats.t.ppf(0.5 + _CONFIDENCE_RATIO / 2, counted - 2)) * error
    return Slope(mb_per_hour=float(fitted.slope), half_width_mb_per_hour=half_width)


@contextmanager
def stand(speed: float) -> Iterator[Process]:
    clock = ("--speed", str(speed))
    with tempfile.TemporaryDirectory() as place, started("benchmarks.scale_servers", "simulated", *clock) as worker:
        file = Path(place, "settings.json")
        file.write_text(json.dumps(settings(Path(place, "state"), worker)))
        options = ("--settings", str(file), "--epoch", str(MIDNIGHT_AT_S), *clock)
        with started("benchmarks.scale_servers", "daemon", *options) as daemon:
            yield daemon


class Day:
    """Those who use the daemon."""

    def __init__(self, session: aiohttp.ClientSession, speed: float, seed: int) -> None:
        self._session, self._speed = session, speed
        self._random = random.Random(seed)
        self._numbers = iter(range(10**9))
        self.answered: Counter[str] = Counter()

    async def lasts(self, real_s: float) -> None:
        """Until so many real seconds have passed and those who were held have their answers."""
        hour_s = HOUR_S / self._speed
        ends_at_s = asyncio.get_running_loop().time() + real_s
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen())
            async with asyncio.TaskGroup() as calls:
                for call, per_s in (
                    (self.plain, PLAIN_PER_S),
                    (self._streamed, STREAMED_PER_S),
                    (self._held, HELD_PER_S),
                    (self._batch, BATCHES_PER_HOUR / hour_s),
                    (self._job, JOBS_PER_HOUR / hour_s),
                    (self._look, LOOKS_PER_HOUR / hour_s),
                ):
                    calls.create_task(self._again_and_again(calls, call, per_s, ends_at_s))
            listening.cancel()

    async def _again_and_again(
        self, group: asyncio.TaskGroup, call: Callable[[], Awaitable[None]], per_s: float, ends_at_s: float
    ) -> None:
        async def one() -> None:
            await call()

        clock = asyncio.get_running_loop().time
        due_at_s = clock()
        while (due_at_s := due_at_s + self._random.expovariate(per_s)) < ends_at_s:
            await pause(due_at_s - clock())
            group.create_task(one())

    async def plain(self) -> None:
        await self._chat("plain", {}, stream=False)

    async def _streamed(self) -> None:
        await self._chat("streamed", {}, stream=True)

    async def _held(self) -> None:
        await self._chat("held", {"x-slacktide-deadline": _HELD_FOR}, stream=True)

    async def _chat(self, name: str, headers: dict[str, str], *, stream: bool) -> None:
        messages = [{"role": "user", "content": prompt(next(self._numbers))}]
        body = {"model": MODEL, "stream": stream, "max_tokens": 24, "messages": messages}
        async with self._session.post(ENDPOINT, json=body, headers=headers) as response:
            said = await response.read()
            if response.status != 200 or (stream and b"data: [DONE]" not in said):
                raise RuntimeError(f"a {name} request was answered {response.status}: {said[-300:]!r}")
        self.answered[name] += 1

    async def _batch(self) -> None:
        file_id = await uploaded(self._session, lines(_LINES))
        body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": _WINDOW}
        await self._accepted("lines", "/v1/batches", body, _LINES)

    async def _job(self) -> None:
        real_s = _JOB_MINUTES * 60.0 / self._speed
        fields = {
            "template": "sleep",
            "arguments": {"seconds": f"{real_s:.1f}"},
            "duration": f"{_JOB_MINUTES}m",
            "power": "700W",
            "within": "12h",
        }
        await self._accepted("jobs", "/api/v1/jobs", fields, 1)

    async def _accepted(self, name: str, path: str, body: dict[str, Any], count: int) -> None:
        async with self._session.post(path, json=body) as response:
            if response.status not in (200, 201):
                raise RuntimeError(f"POST {path} answered {response.status}: {await response.text()}")
        self.answered[name] += count

    async def _look(self) -> None:
        for path in _PAGES:
            async with self._session.get(path) as response:
                await response.read()
                response.raise_for_status()
        self.answered["looks"] += 1

    async def _listen(self) -> Never:
        while True:  # the stream ends where a listener is too slow
            async with self._session.get("/api/v1/events") as response:
                async for _ in response.content.iter_any():
                    self.answered["events"] += 1


async def pause(duration_s: float) -> None:
    if duration_s > 0:
        await asyncio.sleep(duration_s)  # noqa: TID251  a load generator lives in real time


async def warm_up(day: Day) -> None:
    """As many requests as are remembered."""

    async def caller(count: int) -> None:
        for _ in range(count):
            await day.plain()

    await asyncio.gather(*(caller(REMEMBERED // _CALLERS) for _ in range(_CALLERS)))


async def sampled(daemon: Process, speed: float, samples: list[tuple[float, float]]) -> Never:
    clock = asyncio.get_running_loop().time
    began_s = clock()
    while True:
        samples.append(((clock() - began_s) * speed / HOUR_S, daemon.resident_mb()))
        await pause(HOUR_S / speed / _SAMPLES_PER_HOUR)


async def measured(daemon: Process, speed: float, hours: float, seed: int) -> DayFigures:
    # A held stream waits for hours of the day, and what is asked for at once has a connection of its own.
    connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(base_url=daemon.base_url, connector=connector, timeout=timeout) as session:
        day = Day(session, speed, seed)
        await warm_up(day)
        day.answered.clear()
        samples: list[tuple[float, float]] = []
        sampling = asyncio.create_task(sampled(daemon, speed, samples))
        used_s, began_s = daemon.cpu_s(), asyncio.get_running_loop().time()
        await day.lasts(hours * HOUR_S / speed)
        cpu_ratio = (daemon.cpu_s() - used_s) / (asyncio.get_running_loop().time() - began_s)
        sampling.cancel()
        return DayFigures(
            samples=[one for one in samples if one[0] <= hours], answered=day.answered, cpu_ratio=cpu_ratio
        )


def run(speed: float, hours: float, seed: int) -> DayFigures:
    with stand(speed) as daemon:
        return asyncio.run(measured(daemon, speed, hours, seed))


if __name__ == "__main__":
    import sys

    figures = run(float(sys.argv[1]), float(sys.argv[2]), 0)
    print([f"{hour:.1f}:{mb:.1f}" for hour, mb in figures.samples[::4]])
    print(figures.slope, figures.answered, figures.cpu_ratio)
