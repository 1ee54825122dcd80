"""The daemon's Prometheus metrics, in a registry of their own. Counts what it is told and decides nothing.

Label values are bounded: models, regions, zones and states come from the settings, codes from our own tables; nothing
a caller sends becomes a label.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from intensity_feeds.forecast_errors import HorizonError
from scheduler.daemon.request_metrics import GroupSizes, RequestCollector, RequestMetrics


class Metrics:
    """Every metric of one daemon."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._declare_requests()
        self._declare_workers()
        self._declare_feeds_and_jobs()
        self._declare_account()

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"slacktide_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(f"slacktide_{name}", what, labels, registry=self.registry)

    def _declare_requests(self) -> None:
        self._requests = RequestCollector()
        self.registry.register(self._requests)
        self.refusals = self._counter("refusals", "Requests refused or failed, by error code.", "status", "code")
        self.routed = self._counter("routed_requests", "Requests whose model was chosen.", "pool", "model", "reason")
        self.joined = self._counter("joined_requests", "Retries that waited for the call under way.", "endpoint")
        self.held = self._gauge("held_requests", "Requests held now.", "model")
        self.running = self._gauge("running_requests", "Requests at the workers now.", "model")

    def _declare_workers(self) -> None:
        self.worker_up = self._gauge("worker_up", "1 while the worker takes requests.", "worker")
        self.worker_awake = self._gauge("worker_awake", "1 while the worker is given requests, 0 asleep.", "worker")
        self.worker_reported = self._gauge(
            "worker_reported_requests",
            "Requests that the engine says it has, those of others included.",
            "worker",
            "state",
        )
        self.worker_kv_cache = self._gauge(
            "worker_kv_cache_ratio", "Share of its KV cache that the engine says is in use.", "worker"
        )
        self.worker_sleep_orders = self._counter(
            "worker_sleep_orders", "Orders to sleep and to wake, by outcome.", "worker", "order", "outcome"
        )
        self.hand_overs = self._counter(
            "hand_overs", "Prompts that a prefill worker was asked to read, by outcome.", "worker", "outcome"
        )
        self.agent_up = self._gauge("agent_up", "1 while the agent's readings are fresh.", "agent")
        self.worker_metered = self._gauge("worker_metered", "1 while what its GPUs draw is known and booked.", "worker")
        self.worker_gpu_power_w = self._gauge("worker_gpu_power_watts", "Power of its GPUs together.", "worker")
        self.worker_gpu_utilisation = self._gauge(
            "worker_gpu_utilisation_ratio", "Share of time that its GPUs had work, their mean.", "worker"
        )
        self.worker_rests = self._counter("worker_rests", "Rests of workers, by why.", "worker", "fault")
        self.shed = self._counter("shed_requests", "Held requests sent away for others of a higher class.", "class")
        self.worker_failures = self._counter("worker_failures", "Failed calls of a worker, by kind.", "worker", "kind")

    def _declare_feeds_and_jobs(self) -> None:
        self.feed_outcomes = self._counter("feed_outcomes", "Calls of a feed, by outcome.", "feed", "outcome")
        self.forecast_age_s = self._gauge("forecast_age_seconds", "Age of the forecast in use.", "zone", "rung")
        self._declare_forecast_errors()
        self.jobs_by_state = self._gauge("jobs", "Jobs by state.", "state")
        self._rung_of_zone: dict[str, str] = {}

    def _declare_forecast_errors(self) -> None:
        labels = ("feed", "zone", "horizon")
        self.error_mae = self._gauge("forecast_error_mae_gco2e_per_kwh", "Mean absolute error of forecasts.", *labels)
        self.error_bias = self._gauge("forecast_error_bias_gco2e_per_kwh", "Mean of actual minus forecast.", *labels)
        self.error_mape = self._gauge("forecast_error_mape_ratio", "Mean error as a share of the actual.", *labels)
        self.error_hours = self._gauge("forecast_error_hours", "Scored hours behind these means.", *labels)

    def _declare_account(self) -> None:
        self._energy_of: dict[tuple[str, str], Counter] = {}
        self.energy_kwh = self._counter("energy_kwh", "IT energy of served requests and jobs.", "subject", "basis")
        self.emissions_gco2e = self._counter("emissions_gco2e", "Emissions booked, by side.", "side")
        self.budget = self._gauge(
            "budget_left", "What a tenant's budget has left, beside what is planned.", "tenant", "unit", "per"
        )
        self.listeners = self._gauge("event_listeners", "Listeners to the stream of the status page now.")
        self.events_told = self._counter("events", "Events sent to listeners, by kind.", "kind")
        self.uncounted = self._counter("uncounted_requests", "Requests whose energy nobody knows.", "model")

    def for_requests(self, endpoint: str, model: str, latency_class: str) -> RequestMetrics:
        """The numbers of one kind of request."""
        return self._requests.of(endpoint, model, latency_class)

    def groups(self, model: str, reason: str) -> GroupSizes:
        """The sizes of one model's groups that were released for one reason."""
        return self._requests.groups(model, reason)

    def worker_gone(self, worker: str) -> None:
        """It has left the settings: what is said of its state now would stay for good.

        So would its counts: where names of workers stand for several addresses, each address is another worker.
        """
        meter = (self.worker_metered, self.worker_gpu_power_w, self.worker_gpu_utilisation)
        state = (self.worker_up, self.worker_awake, self.worker_kv_cache, self.worker_reported, *meter)
        counts = (self.worker_sleep_orders, self.hand_overs, self.worker_rests, self.worker_failures)
        for one in (*state, *counts):
            one.remove_by_labels({"worker": worker})

    def metered(self, worker: str, *, is_metered: bool, power_w: float | None, utilisation_ratio: float | None) -> None:
        """What its meter says; a figure that is not known is none, and not the last one."""
        self.worker_metered.labels(worker).set(is_metered)
        for gauge, known in ((self.worker_gpu_power_w, power_w), (self.worker_gpu_utilisation, utilisation_ratio)):
            if known is None:
                gauge.remove(worker)
            else:
                gauge.labels(worker).set(known)

    def refused(self, status: int, code: str) -> None:
        """A request that was answered with an error of ours."""
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

    def forecast_errors(self, feed: str, zone: str, errors: Iterable[HorizonError]) -> None:
        """How wrong the forecasts of a zone have been, by horizon."""
        for one in errors:
            labels = (feed, zone, one.name)
            self.error_mae.labels(*labels).set(one.mae_gco2e_per_kwh)
            self.error_bias.labels(*labels).set(one.bias_gco2e_per_kwh)
            self.error_hours.labels(*labels).set(one.hours)
            if one.mape_ratio is not None:
                self.error_mape.labels(*labels).set(one.mape_ratio)

    def jobs(self, state: str, count: int) -> None:
        self.jobs_by_state.labels(state).set(count)

    def energy(self, subject: str, basis: str, energy_kwh: float) -> None:
        """IT energy used by requests or jobs."""
        known = self._energy_of.get((subject, basis))
        if known is None:  # looking the labels up takes longer than counting
            known = self._energy_of[subject, basis] = self.energy_kwh.labels(subject, basis)
        known.inc(energy_kwh)

    def budget_left(self, tenant: str, unit: str, per: str, left_cost: float) -> None:
        """A budget in its period under way; -inf where what was spent is not known."""
        self.budget.labels(tenant, unit, per).set(left_cost)

    def budget_gone(self, tenant: str, unit: str, per: str) -> None:
        """It has left the settings: what it had left would stay for good."""
        self.budget.remove(tenant, unit, per)

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
