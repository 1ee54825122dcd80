"""How long work took on one side: waits of jobs, latencies of requests, and how they spread. Prices nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulations.accounts import Floats
from simulations.callers import by_callers, named_by_callers
from simulations.runs import PoolRun, Side
from simulations.side_items import FLEX, INTERACTIVE, finished_at_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Of a set of times; all None where the set is empty."""

    count: int
    mean_s: float | None
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None

    @classmethod
    def of(cls, times_s: Floats) -> Spread:
        if len(times_s) == 0:
            return cls(count=0, mean_s=None, p50_s=None, p90_s=None, p99_s=None)
        p50_s, p90_s, p99_s = (float(value) for value in np.percentile(times_s, (50, 90, 99)))
        return cls(count=len(times_s), mean_s=float(times_s.mean()), p50_s=p50_s, p90_s=p90_s, p99_s=p99_s)

    def plain(self) -> dict[str, float | None]:
        return {"mean": self.mean_s, "p50": self.p50_s, "p90": self.p90_s, "p99": self.p99_s}


def waits_s(side: Side) -> Floats:
    """Of each finished job: what passed between its submission and its end beyond its run time."""
    ends = finished_at_s(side)
    submits = np.array([work.job.submitted_at_s for work in side.works])
    durations = np.array([work.true_duration_s for work in side.works])
    waits = (ends - submits - durations)[~np.isnan(ends)]
    return np.asarray(np.maximum(waits, 0.0), dtype=np.float64)


def latencies_s(side: Side) -> Floats:
    """From arrival to last token, of every served request."""
    return _joined([_served(_latencies_s(run)) for run in side.pools])


def first_tokens_s(side: Side) -> Floats:
    """From arrival to first token, of every served request."""
    return _joined([_first_tokens_s(run) for run in side.pools])


def latencies_by_class_s(side: Side) -> dict[str, Floats]:
    """From arrival to last token, of the served requests of each class that callers tell apart."""
    names = named_by_callers(side)
    is_flex = by_callers(side, [run.traffic.is_flex for run in side.pools])
    every_s = by_callers(side, [_latencies_s(run) for run in side.pools])
    return {
        f"{name}, {kind}": _served(times_s[which])
        for name, flex, times_s in zip(names, is_flex, every_s, strict=True)
        for kind, which in ((INTERACTIVE, ~flex), (FLEX, flex))
        if which.any()
    }


def _latencies_s(run: PoolRun) -> Floats:
    """Of each request; NaN for one that was dropped."""
    arrivals = run.traffic.start_at_s + run.traffic.trace.arrival_s
    return np.where(run.record.is_dropped, np.nan, run.record.finished_at_s - arrivals)


def _served(times_s: Floats) -> Floats:
    return times_s[~np.isnan(times_s)]


def _first_tokens_s(run: PoolRun) -> Floats:
    arrivals = run.traffic.start_at_s + run.traffic.trace.arrival_s
    return np.asarray((run.record.first_token_at_s - arrivals)[~run.record.is_dropped], dtype=np.float64)


def _joined(parts_s: Sequence[Floats]) -> Floats:
    return np.concatenate(parts_s) if parts_s else np.empty(0)
