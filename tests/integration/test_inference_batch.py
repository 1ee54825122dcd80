from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scheduler.daemon.app import Daemon
from simulations import worker_server
from tests.daemons import SPEED, a_daemon, got, posted, until_state

pytestmark = pytest.mark.slow

MODEL = "llama-3.1-8b"


def a_line(custom_id: str, **fields: Any) -> dict[str, Any]:
    """A line as OpenAI's batch files have it."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Name a tide."}], "max_tokens": 20}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return {**line, **fields}


@asynccontextmanager
async def with_worker(folder: Path) -> AsyncIterator[tuple[Daemon, aiohttp.ClientSession]]:
    options = worker_server.WorkerOptions(model=MODEL, gpu="h100-sxm", speed=SPEED, seed=1)
    worker, port = await worker_server.start(worker_server.build_app(options))
    tables = {"worker": [{"url": f"http://127.0.0.1:{port}", "models": [MODEL], "region": "here"}]}
    try:
        async with a_daemon(folder, tables) as pair:
            yield pair
    finally:
        await worker.cleanup()


async def test_a_batch_runs_in_the_clean_hours_and_every_line_has_its_answer(tmp_path: Path) -> None:
    async with with_worker(tmp_path) as (_, client):
        lines = [a_line(f"line-{number}") for number in range(40)]
        status, job = await posted(
            client, "/api/v1/jobs", {"kind": "inference_batch", "requests": lines, "within": "16h"}
        )
        assert status == 201
        assert job["plan"]["savings_ratio"] > 0.1
        assert job["power_error_class"] == "default"
        # 80% of a log-normal of 20%: exp(1.28 * 0.2).
        assert job["power_band_w"]["high"] == pytest.approx(job["power_w"] * 1.2918, rel=1e-3)
        _, explained = await got(client, f"/api/v1/jobs/{job['id']}/explain")
        expected_gco2e = explained["plan"]["emissions_gco2e"]
        assert explained["plan"]["emissions_band_gco2e"]["low"] == pytest.approx(expected_gco2e * 0.7741, rel=1e-3)

        await until_state(client, job["id"], "succeeded")

        async with client.get(f"/api/v1/jobs/{job['id']}/output") as response:
            answers = [json.loads(line) for line in (await response.text()).splitlines()]
        assert {answer["custom_id"] for answer in answers} == {line["custom_id"] for line in lines}
        assert all(answer["response"]["status_code"] == 200 for answer in answers)
        _, account = await got(client, "/api/v1/savings")
        assert account["by_category"]["batch"]["uses"] == len(lines)
        assert account["by_category"]["batch"]["savings_ratio"] > 0.1


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        ([], "requests"),
        ([a_line("")], "requests[0].custom_id"),
        ([a_line("a"), a_line("a")], "requests[1].custom_id"),
        ([a_line("a", url="/v1/images")], "requests[0].url"),
        (
            [a_line("a", body={"model": "nobody", "messages": [{"role": "user", "content": "x"}]})],
            "requests[0].body.model",
        ),
        ([a_line("a", body={"messages": []})], "requests[0].body.model"),
    ],
)
async def test_a_wrong_line_is_named(tmp_path: Path, lines: list[dict[str, Any]], field: str) -> None:
    async with with_worker(tmp_path) as (_, client):
        body = {"kind": "inference_batch", "requests": lines, "within": "16h"}

        status, answer = await posted(client, "/api/v1/jobs", body)

        assert (status, answer["error"]["param"]) == (400, field)
