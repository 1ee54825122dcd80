"""Spans of requests, and of what is decided about jobs, for OpenTelemetry.

    POST /v1/chat/completions    from the door to the end of the answer; a child of the caller's span
        route                    which model of a pool, where a name stands for several
        held                     until its hour, or until there is room
        worker                   the call of the worker, whose own spans become children of this one

Which spans a job has is told in job_spans.py. The library is an extra, loaded only where `[tracing] endpoint` is set.
Spans leave on a thread of its own: a collector that is away costs spans, never a request. Decides nothing about a
request or a job.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from scheduler.config import TracingSettings
from scheduler.daemon.api_errors import ApiError
from scheduler.daemon.traces import TRACE

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_EXPORT_S = 3.0  # the collector's time to answer, and what a stop waits at most
_PATH = "/v1/traces"


class NoTracingLibraryError(Exception):
    """[tracing] is set, and what makes spans is not installed."""


class Tracing:
    """Makes spans, and sends them where the settings say."""

    def __init__(self, settings: TracingSettings, processor: SpanProcessor | None = None) -> None:
        """`processor` is what spans are given to instead of a collector. Raises NoTracingLibraryError."""
        try:
            from opentelemetry import trace
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.sampling import Decision, ParentBasedTraceIdRatio, TraceIdRatioBased
            from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

            processor = processor or _to_collector(settings.endpoint)
        except ImportError:
            raise NoTracingLibraryError('[tracing] needs OpenTelemetry: pip install "slacktide[tracing]"') from None
        self._api: Any = trace
        self._sampler, self._sampled = TraceIdRatioBased(settings.sample_ratio), Decision.RECORD_AND_SAMPLE
        self._wire = TraceContextTextMapPropagator()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": settings.service_name}),
            sampler=ParentBasedTraceIdRatio(settings.sample_ratio),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("slacktide")

    @contextmanager
    def request(self, http: web.Request, name: str, request_id: str) -> Iterator[_Span]:
        """The whole of a request."""
        above = self._wire.extract(dict(http.headers.items()), getter=_LOWER)
        facts = {"http.request.method": http.method, "http.route": name, "slacktide.request_id": request_id}
        with self._span(f"{http.method} {name}", above, self._api.SpanKind.SERVER, facts) as span:
            http[TRACE] = span
            yield span

    def of_job(self, name: str, job_id: str) -> _Span:
        """A span in the trace that all of a job's spans are of, in whichever life of a daemon; to be ended."""
        digest = sha256(job_id.encode()).digest()
        trace_id = int.from_bytes(digest[:16]) or 1
        is_sampled = self._sampler.should_sample(None, trace_id, name).decision is self._sampled
        above = self._api.SpanContext(
            trace_id=trace_id,
            span_id=int.from_bytes(digest[16:24]) or 1,
            is_remote=True,
            trace_flags=self._api.TraceFlags(self._api.TraceFlags.SAMPLED if is_sampled else 0),
        )
        context = self._api.set_span_in_context(self._api.NonRecordingSpan(above))
        return _Span(self, self._tracer.start_span(name, context=context, kind=self._api.SpanKind.INTERNAL))

    def close(self) -> None:
        """Send what is left. Blocks for a few seconds at most."""
        self._provider.shutdown()

    @contextmanager
    def _span(self, name: str, above: Any, kind: Any, facts: dict[str, str]) -> Iterator[_Span]:
        span = self._tracer.start_span(name, context=above, kind=kind, attributes=facts)
        try:
            yield _Span(self, span)
        except ApiError as error:
            span.set_attribute("error.type", error.code or error.kind)
            raise
        except BaseException as error:  # a client that leaves cancels what it asked for
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            span.end()


class _Span:
    """One span, and the trace that its parts belong to."""

    __slots__ = ("_span", "_tracing")

    def __init__(self, tracing: Tracing, span: Any) -> None:
        self._tracing, self._span = tracing, span

    def note(self, **facts: str | float | None) -> None:
        for name, fact in facts.items():
            if fact is not None:
                self._span.set_attribute(_SPELLED.get(name, f"slacktide.{name}"), fact)
        if isinstance(status := facts.get("status"), int) and status >= 500:
            self._span.set_status(self._tracing._api.StatusCode.ERROR)

    def end(self) -> None:
        self._span.end()

    def headers(self, came_with: Mapping[str, str]) -> dict[str, str]:
        carrier: dict[str, str] = {}
        self._tracing._wire.inject(carrier, context=self._tracing._api.set_span_in_context(self._span))
        return carrier

    @contextmanager
    def part(self, name: str) -> Iterator[_Span]:
        tracing, kinds = self._tracing, self._tracing._api.SpanKind
        kind = kinds.CLIENT if name == "worker" else kinds.INTERNAL
        with tracing._span(name, tracing._api.set_span_in_context(self._span), kind, {}) as span:
            yield span


# As OpenTelemetry spells them.
_SPELLED = {"status": "http.response.status_code"}


class _LowerCase:
    """Reads headers whatever their case."""

    def get(self, carrier: dict[str, str], key: str) -> list[str] | None:
        found = [value for name, value in carrier.items() if name.lower() == key]
        return found or None

    def keys(self, carrier: dict[str, str]) -> list[str]:
        return list(carrier)


_LOWER: Any = _LowerCase()


def _to_collector(endpoint: str) -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    url = endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=_EXPORT_S))
