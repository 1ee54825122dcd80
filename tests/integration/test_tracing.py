"""A caller's trace goes through to the worker, and spans say where a request's time went."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from scheduler.config import TracingSettings
from scheduler.daemon.app import Daemon
from scheduler.daemon.env import Env
from scheduler.daemon.tracing import NoTracingLibraryError, Tracing
from slacktide.log_lines import LogLines
from tests.builders import YEAR_2022_AT_S
from tests.daemons import PATIENCE_S, a_submission, got, posted, settings_of, until_state
from tests.integration.gateway_stand import CHAT, MODEL, FakeWorker, Gate, answers, resets
from tests.integration.test_batches_and_workers import a_batch

pytestmark = pytest.mark.slow

TRACE_ID, CALLER_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE_ID}-{CALLER_SPAN}-01"
ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


@asynccontextmanager
async def a_daemon_of(
    folder: Path, worker: FakeWorker, tracing: Tracing | None = None, *, endpoint: str = "", places: int = 8
) -> AsyncIterator[ClientSession]:
    """In real time, with one worker; `tracing` instead of what the settings say."""
    told: dict[str, Any] = {
        "worker": [{"url": worker.url, "models": [MODEL], "region": "here", "max_sequences": places}],
        "tracing": {"endpoint": endpoint},
        "planning": {"policy": "run_now"},
        "template": [
            {"name": "sleep", "command": ["sleep", "{seconds}"]},
            {"name": "wait", "command": ["sh", "-c", f"while [ ! -e {folder}/go ]; do sleep 0.02; done"]},
        ],
    }
    daemon = Daemon(settings_of(folder, told), Env(epoch_s=YEAR_2022_AT_S, seed=1), {})
    daemon.tracing = tracing or daemon.tracing
    await daemon.start()
    try:
        async with ClientSession(base_url=daemon.listener.base_url) as client:
            yield client
    finally:
        await daemon.stop()


def told_to(worker: FakeWorker) -> dict[str, str]:
    """The trace context that the worker was last sent."""
    _, _, headers = worker.requests[-1]
    return {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}


def in_memory(sample_ratio: float = 1.0) -> tuple[Tracing, InMemorySpanExporter]:
    kept = InMemorySpanExporter()
    return Tracing(TracingSettings(sample_ratio=sample_ratio), SimpleSpanProcessor(kept)), kept


def by_name(kept: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in kept.get_finished_spans()}


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


async def test_without_a_tracer_the_callers_trace_reaches_the_worker_as_it_came(tmp_path: Path) -> None:
    async with FakeWorker().listening() as worker, a_daemon_of(tmp_path, worker) as client:
        await posted(client, CHAT, ASKED, traceparent=TRACEPARENT, tracestate="vendor=1")
        assert told_to(worker) == {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}
        await posted(client, CHAT, ASKED)
        assert told_to(worker) == {}
        await posted(client, CHAT, ASKED, traceparent="0" * 1000)
        assert told_to(worker) == {}


async def test_a_request_and_its_worker_are_spans_of_the_callers_trace(tmp_path: Path) -> None:
    tracing, kept = in_memory()
    async with FakeWorker().listening() as worker, a_daemon_of(tmp_path, worker, tracing) as client:
        status, _ = await posted(client, CHAT, ASKED, traceparent=TRACEPARENT)
        sent = told_to(worker)["traceparent"]
    assert status == 200
    spans = by_name(kept)
    whole, called = spans[f"POST {CHAT}"], spans["worker"]
    assert whole.parent is not None and f"{whole.parent.span_id:016x}" == CALLER_SPAN
    assert called.context is not None and f"{called.context.trace_id:032x}" == TRACE_ID
    assert called.parent is not None and called.parent.span_id == span_id(whole)
    assert sent == f"00-{TRACE_ID}-{span_id(called):016x}-01"
    assert (called.attributes or {})["slacktide.region"] == "here"
    assert (whole.attributes or {})["http.response.status_code"] == 200


async def test_the_time_that_a_request_was_held_is_a_span(tmp_path: Path) -> None:
    tracing, kept = in_memory()
    gate = Gate()
    async with FakeWorker(gate).listening() as worker, a_daemon_of(tmp_path, worker, tracing, places=1) as client:
        first = asyncio.create_task(posted(client, CHAT, ASKED))
        await gate.entered.wait()
        second = asyncio.create_task(posted(client, CHAT, ASKED, traceparent=TRACEPARENT))
        await _until_held(client)
        gate.opened.set()
        await asyncio.gather(first, second)
    held = next(
        span
        for span in kept.get_finished_spans()
        if span.name == "held" and span.context is not None and f"{span.context.trace_id:032x}" == TRACE_ID
    )
    assert (held.attributes or {})["slacktide.latency_class"] == "interactive"


async def _until_held(client: ClientSession) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await got(client, "/api/v1/status"))[1]["requests"]["held"] == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(NoTracingLibraryError, match=r"slacktide\[tracing\]"):
        Tracing(TracingSettings(endpoint="http://127.0.0.1:4318"))


async def test_a_failed_call_says_so_in_its_spans(tmp_path: Path) -> None:
    tracing, kept = in_memory()
    async with FakeWorker(resets).listening() as worker, a_daemon_of(tmp_path, worker, tracing) as client:
        status, _ = await posted(client, CHAT, ASKED)
    assert status == 502
    spans = by_name(kept)
    assert (spans["worker"].attributes or {})["error.type"] == "worker_broke_off"
    assert not spans[f"POST {CHAT}"].status.is_ok


async def test_what_the_caller_does_not_sample_has_no_spans(tmp_path: Path) -> None:
    tracing, kept = in_memory()
    async with FakeWorker().listening() as worker, a_daemon_of(tmp_path, worker, tracing) as client:
        await posted(client, CHAT, ASKED, traceparent=TRACEPARENT.removesuffix("01") + "00")
        await client.get("/healthz")
        assert told_to(worker)["traceparent"].startswith(f"00-{TRACE_ID}-")
    assert not kept.get_finished_spans()


async def test_spans_reach_a_collector_before_the_daemon_has_stopped(tmp_path: Path) -> None:
    received: list[ExportTraceServiceRequest] = []

    async def take(request: web.Request) -> web.Response:
        received.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with FakeWorker().listening() as worker, a_daemon_of(tmp_path, worker, endpoint=endpoint) as client:
        await posted(client, CHAT, ASKED)
    await runner.cleanup()
    scopes = [scope for one in received for part in one.resource_spans for scope in part.scope_spans]
    names = {span.name for scope in scopes for span in scope.spans}
    assert {f"POST {CHAT}", "worker"} <= names


class Lines(logging.Handler):
    """What our code logs, as `--log-json` writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []
        self.has_failed = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(LogLines(as_json=True).format(record)))
        if self.lines[-1]["action"] == "worker_failed":
            self.has_failed.set()

    def of(self, *actions: str) -> list[str]:
        """The requests that lines of these actions name."""
        return [line.get("request_id", "") for line in self.lines if line["action"] in actions]


@contextmanager
def logged() -> Iterator[Lines]:
    kept, ours = Lines(), logging.getLogger("scheduler")
    before = ours.level
    ours.addHandler(kept)
    ours.setLevel(logging.INFO)
    try:
        yield kept
    finally:
        ours.removeHandler(kept)
        ours.setLevel(before)


async def test_every_line_that_is_logged_for_a_request_names_it(tmp_path: Path) -> None:
    with logged() as log:
        async with FakeWorker(answers(500)).listening() as worker, a_daemon_of(tmp_path, worker) as client:
            answered = await asyncio.gather(*(client.post(CHAT, json=ASKED) for _ in range(3)))
            ids = {answer.headers["x-request-id"] for answer in answered}
    assert log.of("worker_failed") and set(log.of("worker_failed")) <= ids
    assert log.of("daemon_ready", "daemon_drain", "daemon_stopped") == ["", "", ""]


async def test_what_is_logged_for_a_line_of_a_batch_names_the_line(tmp_path: Path) -> None:
    with logged() as log:
        async with FakeWorker(answers(500)).listening() as worker, a_daemon_of(tmp_path, worker) as client:
            batch_id = await a_batch(client, 1)
            await asyncio.wait_for(log.has_failed.wait(), PATIENCE_S)
            await posted(client, f"/v1/batches/{batch_id}/cancel", {})
    (line,) = set(log.of("worker_failed"))
    assert line.startswith("req-")


async def test_what_is_decided_about_a_job_is_one_trace_in_every_life_of_the_daemon(tmp_path: Path) -> None:
    lives = []
    async with FakeWorker().listening() as worker:
        tracing, kept = in_memory()
        lives.append(kept)
        async with a_daemon_of(tmp_path, worker, tracing) as client:
            asked = a_submission(template="wait", arguments={}, label="nightly")
            _, job = await posted(client, "/api/v1/jobs", asked)
            await until_state(client, job["id"], "running")
        tracing, kept = in_memory()
        lives.append(kept)
        async with a_daemon_of(tmp_path, worker, tracing) as client:
            (tmp_path / "go").touch()
            await until_state(client, job["id"], "succeeded")
    first, second = ([one for one in life.get_finished_spans() if one.name.startswith("job ")] for life in lives)
    assert [one.name for one in first] == ["job submitted", "job planned", "job run"]
    assert [one.name for one in second][-2:] == ["job run", "job ended"]
    trace_id = int.from_bytes(hashlib.sha256(job["id"].encode()).digest()[:16])
    assert {one.context.trace_id for one in (*first, *second) if one.context is not None} == {trace_id}
    planned, cut_short, whole = (dict(one.attributes or {}) for one in (first[1], first[2], second[-2]))
    assert (planned["slacktide.cause"], planned["slacktide.region"]) == ("run_now", "here")
    assert (cut_short["slacktide.ending"], cut_short["slacktide.attempt"]) == ("goes on", 1)
    assert (whole["slacktide.ending"], whole["slacktide.label"]) == ("succeeded", "nightly")


async def test_a_job_that_is_not_sampled_has_no_spans(tmp_path: Path) -> None:
    tracing, kept = in_memory(sample_ratio=0.0)
    async with FakeWorker().listening() as worker, a_daemon_of(tmp_path, worker, tracing) as client:
        _, job = await posted(client, "/api/v1/jobs", a_submission())
        await until_state(client, job["id"], "succeeded")
    assert kept.get_finished_spans() == ()
