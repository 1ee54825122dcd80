"""A million lines of batches in the queue: what a submission takes beside them, waiting and running, and their memory.

A daemon, a worker that answers at once and the clients are three processes. At midnight of a made-up solar grid,
batches with a window of a day wait for the sun; batches with a window of an hour run at once. Jobs and batches of one
line are submitted beside them in turn, each timed from the instant at which it was due.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.batches import ENDPOINT, LINES_PER_BATCH, MIDNIGHT_AT_S, MODEL, lines, uploaded
from benchmarks.processes import Process, started

EVERY_S = 0.1
_LOOK_S = 0.5
_CHECKED_S = 600.0
# For memory to settle before the first look.
_WARM_UP_CALLS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What submissions took while the queue was in one state."""

    name: str
    job_s: list[float]
    batch_s: list[float]
    resident_mb: float
    cpu_ratio: float
    lines_answered: int

    def row(self) -> str:
        cells = [f"{_p(took_s, share) * 1000:.1f} ms" for took_s in (self.job_s, self.batch_s) for share in (0.5, 0.99)]
        return (
            f"| {self.name} | {' | '.join(cells)} | {self.resident_mb:.0f} MB | {self.cpu_ratio:.0%} "
            f"| {self.lines_answered:,} |"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedFigures:
    """`resident_by_lines_mb` is the memory after so many lines had been checked."""

    phases: list[Phase]
    resident_by_lines_mb: dict[int, float]
    checked_s: float

    @property
    def mb_per_100k_lines(self) -> float:
        counts = list(self.resident_by_lines_mb)
        return statistics.linear_regression(counts, list(self.resident_by_lines_mb.values())).slope * 1e5

    @property
    def worst_p99_s(self) -> float:
        return max(_p(took_s, 0.99) for phase in self.phases for took_s in (phase.job_s, phase.batch_s))


def _p(took_s: list[float], share_ratio: float) -> float:
    return sorted(took_s)[min(len(took_s) - 1, int(share_ratio * len(took_s)))]


def settings(folder: Path, worker: Process) -> dict[str, Any]:
    """Of a daemon with one worker, on a made-up grid."""
    return {
        "server": {"port": 0, "state_dir": str(folder), "drain_s": 0},
        "region": [{"name": "here", "zone": "SUN", "gpus": 4}],
        "feed": [{"kind": "synthetic", "zones": ["SUN"], "archetype": "solar"}],
        "template": [{"name": "sleep", "command": ["sleep", "{seconds}"]}],
        "worker": [{"url": worker.base_url, "models": [MODEL], "region": "here", "max_sequences": 256}],
    }


@contextmanager
def stand() -> Iterator[Process]:
    with tempfile.TemporaryDirectory() as place, started("benchmarks.scale_servers", "worker") as worker:
        file = Path(place, "settings.json")
        file.write_text(json.dumps(settings(Path(place, "state"), worker)))
        options = ("--settings", str(file), "--epoch", str(MIDNIGHT_AT_S))
        with started("benchmarks.scale_servers", "daemon", *options) as daemon:
            yield daemon


class Clients:
    """What is asked of the daemon."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def submit_batch(self, file_id: str, window: str = "24h") -> str:
        body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": window}
        return str((await self._posted("/v1/batches", body))["id"])

    async def submit_job(self) -> str:
        """It waits for the sun, too."""
        fields = {"template": "sleep", "arguments": {"seconds": "1"}, "duration": "1m", "power": "1kW", "within": "24h"}
        return str((await self._posted("/api/v1/jobs", fields))["id"])

    async def cancel_job(self, job_id: str) -> None:
        await self._posted(f"/api/v1/jobs/{job_id}/cancel", {})

    async def _posted(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._session.post(path, json=body) as response:
            said: dict[str, Any] = await response.json()
            if response.status not in (200, 201):
                raise RuntimeError(f"POST {path} answered {response.status}: {said}")
            return said

    async def until_checked(self) -> None:
        async with asyncio.timeout(_CHECKED_S):
            while any(batch["status"] == "validating" for batch in await self._newest()):
                await _until(asyncio.get_running_loop().time() + _LOOK_S)

    async def _newest(self) -> list[dict[str, Any]]:
        async with self._session.get("/v1/batches?limit=100") as response:
            found: list[dict[str, Any]] = (await response.json())["data"]
            return found

    async def lines_answered(self) -> int:
        """By the daemon's own count of requests of batches."""
        async with self._session.get("/metrics") as response:
            page = await response.text()
        found = re.findall(r"^slacktide_requests_total{[^}]*batch[^}]*} (\S+)$", page, re.MULTILINE)
        return round(sum(float(one) for one in found))


async def _until(instant_s: float) -> None:
    left_s = instant_s - asyncio.get_running_loop().time()
    if left_s > 0:
        await asyncio.sleep(left_s)  # noqa: TID251  a load generator lives in real time


async def phase(name: str, daemon: Process, clients: Clients, one_line: str, submissions: int) -> Phase:
    """So many jobs and so many batches, in turn; the jobs are cancelled afterwards, the batches stay."""
    clock = asyncio.get_running_loop().time
    jobs: list[str] = []
    job_s: list[float] = []
    batch_s: list[float] = []

    async def call(number: int, due_at_s: float) -> None:
        await _until(due_at_s)
        if number % 2:
            await clients.submit_batch(one_line)
            batch_s.append(clock() - due_at_s)
        else:
            jobs.append(await clients.submit_job())
            job_s.append(clock() - due_at_s)

    answered, used_s, began_s = await clients.lines_answered(), daemon.cpu_s(), clock()
    await asyncio.gather(*(call(number, began_s + number * EVERY_S / 2) for number in range(2 * submissions)))
    cpu_ratio = (daemon.cpu_s() - used_s) / (clock() - began_s)
    answered = await clients.lines_answered() - answered
    resident_mb = daemon.resident_mb()
    for job_id in jobs:
        await clients.cancel_job(job_id)
    return Phase(
        name=name,
        job_s=job_s,
        batch_s=batch_s,
        resident_mb=resident_mb,
        cpu_ratio=cpu_ratio,
        lines_answered=answered,
    )


async def queue(daemon: Process, clients: Clients, many: str, waiting: int) -> dict[int, float]:
    """The memory after each two batches."""
    resident_mb = {0: daemon.resident_mb()}
    for count in range(1, waiting // LINES_PER_BATCH + 1):
        await clients.submit_batch(many)
        if count % 2 == 0:
            await clients.until_checked()
            resident_mb[count * LINES_PER_BATCH] = daemon.resident_mb()
    return resident_mb


async def measured(daemon: Process, waiting: int, submissions: int) -> QueuedFigures:
    async with aiohttp.ClientSession(base_url=daemon.base_url) as session:
        clients = Clients(session)
        one, many = await uploaded(session, lines(1)), await uploaded(session, lines(LINES_PER_BATCH))
        await phase("warm up", daemon, clients, one, _WARM_UP_CALLS)
        phases = [await phase("nothing", daemon, clients, one, submissions)]
        began_s = asyncio.get_running_loop().time()
        resident_mb = await queue(daemon, clients, many, waiting)
        checked_s = asyncio.get_running_loop().time() - began_s
        phases.append(await phase(f"{waiting:,} lines wait", daemon, clients, one, submissions))
        for _ in range(2):
            await clients.submit_batch(many, "1h")
        await clients.until_checked()
        phases.append(await phase(f"{waiting:,} wait, others run", daemon, clients, one, submissions))
        return QueuedFigures(phases=phases, resident_by_lines_mb=resident_mb, checked_s=checked_s)


def run(waiting: int, submissions: int) -> QueuedFigures:
    with stand() as daemon:
        return asyncio.run(measured(daemon, waiting, submissions))


if __name__ == "__main__":
    import sys

    figures = run(int(sys.argv[1]), int(sys.argv[2]))
    for one in figures.phases:
        print(one.row())
    print(figures.resident_by_lines_mb, figures.mb_per_100k_lines, figures.checked_s, figures.worst_p99_s)
