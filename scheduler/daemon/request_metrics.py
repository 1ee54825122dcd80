"""Counts and times of requests as plain numbers, turned into Prometheus' families only when somebody scrapes.

The library's own counters take a lock and search their buckets one by one, which at a thousand requests a second is
more than reading the requests costs. Everything here runs on the event loop, so a number is enough.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

Bounds = tuple[float, ...]
LABELS = ("endpoint", "model", "latency_class")
_LATENCY_BOUNDS: Bounds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_GROUP_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_HOLD_BOUNDS: Bounds = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)


class Durations:
    """How many durations fell under each bound, and their sum."""

    __slots__ = ("_bounds", "_counts", "sum_s")

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, lasted_s: float) -> None:
        self._counts[bisect_left(self._bounds, lasted_s)] += 1
        self.sum_s += lasted_s

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and how many lie at or under it, the last one without bound."""
        found, below = [], 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            below += count
            found.append(("+Inf" if bound == float("inf") else str(float(bound)), float(below)))
        return found


class RequestMetrics:
    """The numbers of one (endpoint, model, latency class)."""

    __slots__ = ("by_status", "held", "took")

    def __init__(self) -> None:
        self.by_status: dict[int, int] = {}
        self.took = Durations(_LATENCY_BOUNDS)
        self.held = Durations(_HOLD_BOUNDS)

    def answered(self, status: int, *, took_s: float, held_s: float) -> None:
        """Count one request: `took_s` in real seconds, `held_s` on the policy clock."""
        self.by_status[status] = self.by_status.get(status, 0) + 1
        self.took.observe(took_s)
        self.held.observe(held_s)


class GroupSizes:
    """How many groups of each size were released for one reason."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[int, int] = {}  # by size

    def observe(self, requests: int) -> None:
        self._groups[requests] = self._groups.get(requests, 0) + 1

    @property
    def requests(self) -> int:
        return sum(size * groups for size, groups in self._groups.items())

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and how many lie at or under it, the last one without bound."""
        bounds = ((str(float(bound)), bound) for bound in _GROUP_BOUNDS)
        found = [(name, sum(n for size, n in self._groups.items() if size <= bound)) for name, bound in bounds]
        return [*((name, float(count)) for name, count in found), ("+Inf", float(sum(self._groups.values())))]


class RequestCollector(Collector):
    """All of them, as a scrape sees them."""

    def __init__(self) -> None:
        self._by_labels: dict[tuple[str, str, str], RequestMetrics] = {}
        self._groups: dict[tuple[str, str], GroupSizes] = {}

    def groups(self, model: str, reason: str) -> GroupSizes:
        """The sizes of one model's groups that were released for one reason."""
        return self._groups.setdefault((model, reason), GroupSizes())

    def of(self, endpoint: str, model: str, latency_class: str) -> RequestMetrics:
        """The numbers of one kind of request."""
        labels = (endpoint, model, latency_class)
        found = self._by_labels.get(labels)
        if found is None:
            found = self._by_labels[labels] = RequestMetrics()
        return found

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        requests = CounterMetricFamily(
            "slacktide_requests", "Requests answered; 499 is a client that left.", labels=(*LABELS, "status")
        )
        took = _family("slacktide_request_seconds", "Real time from arrival to the end of the answer.")
        held = _family("slacktide_held_seconds", "Policy time a request was held before its worker.")
        for labels, metrics in self._by_labels.items():
            for status, count in metrics.by_status.items():
                requests.add_metric((*labels, str(status)), count)
            _add(took, labels, metrics.took)
            _add(held, labels, metrics.held)
        groups = HistogramMetricFamily(
            "slacktide_group_requests", "Requests released together.", labels=("model", "reason")
        )
        for of_group, sizes in self._groups.items():
            groups.add_metric(of_group, buckets=sizes.buckets(), sum_value=sizes.requests)
        yield from (requests, took, held, groups)


def _family(name: str, what: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, what, labels=LABELS)


def _add(family: HistogramMetricFamily, labels: Sequence[str], durations: Durations) -> None:
    family.add_metric(labels, buckets=durations.buckets(), sum_value=durations.sum_s)
