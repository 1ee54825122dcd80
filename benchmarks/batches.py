"""A million lines of batches waiting: what they cost in memory, and what a submission beside them takes.

    python -m benchmarks.batches

Uploads one file of 50,000 lines, makes batches of it until as many lines wait for a clean hour as asked for, and then
submits small batches, each from its intended instant on. Daemon and client share one process.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from scheduler.config import validate
from scheduler.daemon.app import Daemon
from scheduler.daemon.env import Env

LINES_PER_BATCH = 50_000
SUBMISSIONS = 300
EVERY_S = 0.05
ENDPOINT = "/v1/chat/completions"
MODEL = "llama-3.1-8b"
# Midnight of a synthetic solar grid: a window of a day waits for the sun.
MIDNIGHT_AT_S = 1_640_995_200.0


def lines(count: int) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Name a tide."}], "max_tokens": 20}
    line = {"method": "POST", "url": ENDPOINT, "body": body}
    return b"".join(json.dumps({"custom_id": f"line-{number}", **line}).encode() + b"\n" for number in range(count))


def settings(folder: Path) -> Any:
    return validate(
        {
            "server": {"port": 0, "state_dir": str(folder), "drain_s": 0},
            "region": [{"name": "here", "zone": "SUN"}],
            "feed": [{"kind": "synthetic", "zones": ["SUN"], "archetype": "solar"}],
            "worker": [{"url": "http://127.0.0.1:9", "models": [MODEL], "region": "here"}],
        }
    )


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def uploaded(client: aiohttp.ClientSession, data: bytes) -> str:
    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    form.add_field("file", data, filename="lines.jsonl")
    async with client.post("/v1/files", data=form) as response:
        return str((await response.json())["id"])


async def submit(client: aiohttp.ClientSession, file_id: str) -> None:
    body = {"input_file_id": file_id, "endpoint": ENDPOINT, "completion_window": "24h"}
    async with client.post("/v1/batches", json=body) as response:
        response.raise_for_status()


async def until_checked(client: aiohttp.ClientSession) -> None:
    while True:
        async with client.get("/v1/batches?limit=100") as response:
            page = await response.json()
        if all(batch["status"] != "validating" for batch in page["data"]):
            return
        await asyncio.sleep(0.2)  # noqa: TID251  a command line


async def timed(client: aiohttp.ClientSession, file_id: str, intended_s: float) -> float:
    await asyncio.sleep(max(0.0, intended_s - time.perf_counter()))  # noqa: TID251  a command line
    await submit(client, file_id)
    return time.perf_counter() - intended_s


async def submissions_s(client: aiohttp.ClientSession, file_id: str) -> list[float]:
    first_s = time.perf_counter() + 0.1
    calls = (timed(client, file_id, first_s + number * EVERY_S) for number in range(SUBMISSIONS))
    return sorted(await asyncio.gather(*calls))


def row(name: str, took_s: list[float]) -> str:
    p99_ms = took_s[int(0.99 * len(took_s))] * 1e3
    return f"| {name} | {statistics.median(took_s) * 1e3:.1f} ms | {p99_ms:.1f} ms | {resident_mb():.0f} MB |"


async def measure(folder: Path, waiting: int) -> None:
    daemon = Daemon(settings(folder), Env(epoch_s=MIDNIGHT_AT_S), {})
    await daemon.start()
    gc.freeze()  # as `slacktide serve` does
    try:
        async with aiohttp.ClientSession(base_url=daemon.listener.base_url) as client:
            one = await uploaded(client, lines(1))
            many = await uploaded(client, lines(LINES_PER_BATCH))
            print("| lines waiting | submission, median | p99 | resident |\n|---|---|---|---|")
            print(row("none", await submissions_s(client, one)))
            began_s = time.perf_counter()
            for _ in range(waiting // LINES_PER_BATCH):
                await submit(client, many)
            await until_checked(client)
            checked_s = time.perf_counter() - began_s
            print(row(f"{waiting:,}", await submissions_s(client, one)))
            print(f"\n{waiting:,} lines were checked in {checked_s:.1f} s.")
    finally:
        await daemon.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="how many lines wait")
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(measure(Path(place), parser.parse_args().lines))
