"""The daemon's Prometheus metrics, in a registry of their own. Counts what it is told and decides nothing.

Label values are bounded: models, regions, zones and states come from the settings, codes from our own tables; nothing
a caller sends becomes a label. Children are kept, since looking one up costs more than counting.
"""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Bounds = tuple[float, ...]

_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_HOLD_BUCKETS_S = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)
_GROUP_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class RequestMetrics:
    """The children of one (endpoint, model, latency class), looked up once."""

    __slots__ = ("_by_status", "_labels", "_requests", "held_s", "latency_s")

    def __init__(self, metrics: Metrics, labels: tuple[str, str, str]) -> None:
        self._labels = labels
        self._requests = metrics.requests
        self._by_status: dict[int, Counter] = {}
        self.latency_s = metrics.latency_s.labels(*labels)
        self.held_s = metrics.held_s.labels(*labels[1:])

    def answered(self, status: int, *, took_s: float, held_s: float) -> None:
        """Count one request: `took_s` in real seconds, `held_s` on the policy clock."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(*self._labels, str(status))
        counter.inc()
        self.latency_s.observe(took_s)
        self.held_s.observe(held_s)


class Metrics:
    """Every metric of one daemon."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._declare_requests()
        self._declare_workers()
        self._declare_feeds_and_jobs()
        self._declare_account()
        self._request_children: dict[tuple[str, str, str], RequestMetrics] = {}

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"slacktide_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"slacktide_{name}", what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, bounds: Bounds, *labels: str) -> Histogram:
        return Histogram(f"slacktide_{name}", what, labels, buckets=bounds, registry=self.registry)

    def _declare_requests(self) -> None:
        per_class = ("endpoint", "model", "latency_class")
        self.requests = self._counter("requests", "Requests answered; 499 is a client that left.", *per_class, "status")
        self.latency_s = self._histogram(
            "request_seconds", "Real time from arrival to the end of the answer.", _LATENCY_BUCKETS_S, *per_class
        )
        self.held_s = self._histogram(
            "held_seconds", "Policy time a request was held before its worker.", _HOLD_BUCKETS_S, *per_class[1:]
        )
        self.refusals = self._counter("refusals", "Requests refused before a worker was asked.", "status", "code")
        self.held = self._gauge("held_requests", "Requests held now.", "model")
        self.running = self._gauge("running_requests", "Requests at the workers now.", "model")
        self.group_size = self._histogram(
            "group_requests", "Requests released together.", _GROUP_BUCKETS, "model", "reason"
        )

    def _declare_workers(self) -> None:
        self.worker_up = self._gauge("worker_up", "1 while the worker takes requests.", "worker")
        self.worker_failures = self._counter("worker_failures", "Failed calls of a worker, by kind.", "worker", "kind")

    def _declare_feeds_and_jobs(self) -> None:
        self.feed_outcomes = self._counter("feed_outcomes", "Calls of a feed, by outcome.", "feed", "outcome")
        self.forecast_age_s = self._gauge("forecast_age_seconds", "Age of the forecast in use.", "zone", "rung")
        self.jobs_by_state = self._gauge("jobs", "Jobs by state.", "state")
        self._rung_of_zone: dict[str, str] = {}

    def _declare_account(self) -> None:
        self.energy_kwh = self._counter("energy_kwh", "IT energy of served requests and jobs.", "subject", "basis")
        self.emissions_gco2e = self._counter("emissions_gco2e", "Emissions booked, by side.", "side")
        self.uncounted = self._counter("uncounted_requests", "Requests whose energy nobody knows.", "model")

    def for_requests(self, endpoint: str, model: str, latency_class: str) -> RequestMetrics:
        """The children for one kind of request."""
        labels = (endpoint, model, latency_class)
        children = self._request_children.get(labels)
        if children is None:
            children = self._request_children[labels] = RequestMetrics(self, labels)
        return children

    def refused(self, status: int, code: str) -> None:
        """A request that was refused before any worker saw it."""
        self.refusals.labels(str(status), code).inc()

    def feed_outcome(self, feed: str, outcome: str) -> None:
        """One call of a feed: `ok`, or the name of what went wrong."""
        self.feed_outcomes.labels(feed, outcome).inc()

    def forecast_age(self, zone: str, rung: str, age_s: float) -> None:
        """The forecast a zone is planned with; the rung it had before is dropped, not left to grow old."""
        before = self._rung_of_zone.get(zone)
        if before is not None and before != rung:
            self.forecast_age_s.remove(zone, before)
        self._rung_of_zone[zone] = rung
        self.forecast_age_s.labels(zone, rung).set(age_s)

    def jobs(self, state: str, count: int) -> None:
        self.jobs_by_state.labels(state).set(count)

    def energy(self, subject: str, basis: str, energy_kwh: float) -> None:
        """IT energy used by requests or jobs."""
        self.energy_kwh.labels(subject, basis).inc(energy_kwh)

    def emissions(self, emitted_gco2e: float, at_once_gco2e: float) -> None:
        """Priced emissions beside what running at once would have emitted."""
        self.emissions_gco2e.labels("actual").inc(emitted_gco2e)
        self.emissions_gco2e.labels("at_once").inc(at_once_gco2e)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self.registry)

    async def handle(self, _: web.Request) -> web.Response:
        """GET /metrics."""
        return web.Response(body=self.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
