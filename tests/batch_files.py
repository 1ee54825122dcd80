"""Builders for tests of files and batches."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from openai import AsyncOpenAI

from scheduler.daemon.app import Daemon
from simulations import worker_server
from tests.builders import YEAR_2022_AT_S
from tests.daemons import SPEED, a_daemon

MODEL = "llama-3.1-8b"
CHAT: Literal["/v1/chat/completions"] = "/v1/chat/completions"


def a_line(custom_id: str, **changes: Any) -> dict[str, Any]:
    """A line as OpenAI's batch files have it."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Name a tide."}], "max_tokens": 20}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **changes}


def as_file(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def some_lines(count: int) -> bytes:
    return as_file(*(a_line(f"line-{number}") for number in range(count)))


@asynccontextmanager
async def a_batch_daemon(folder: Path, *, hour: int = 0, **tables: Any) -> AsyncIterator[tuple[Daemon, AsyncOpenAI]]:
    """A daemon with one simulated worker, and the official client of it; an hour of the grid takes a second.

    The clock starts at this hour of a day whose sun is at its best around noon.
    """
    options = worker_server.WorkerOptions(model=MODEL, gpu="h100-sxm", speed=SPEED, seed=1)
    worker, port = await worker_server.start(worker_server.build_app(options))
    workers = [{"url": f"http://127.0.0.1:{port}", "models": [MODEL], "region": "here"}]
    try:
        async with (
            a_daemon(folder, {"worker": workers, **tables}, epoch_s=YEAR_2022_AT_S + hour * 3600) as (daemon, _),
            AsyncOpenAI(base_url=f"{daemon.listener.base_url}/v1", api_key="unused", max_retries=0) as client,
        ):
            yield daemon, client
    finally:
        await worker.cleanup()
