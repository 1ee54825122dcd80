"""Reads the interactive requests of past weeks from the ledger, and keeps what each hour needed.

The rules are interactive_hours.py's. A busy ledger has millions of rows a week, so they are read day by day, each once
in a life of the daemon; while that goes on, the fixed figures of the settings hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scheduler.interactive_hours import (
    HOUR_S,
    MOST_WEEKS,
    NOTHING_LEARNED,
    ServingPool,
    Span,
    gpus_by_hour,
    interactive_holds,
    learned_week,
)
from scheduler.planning.plan import Hold
from scheduler.region_settings import RegionSettings
from scheduler.regions_ahead import HELD_AHEAD_S
from scheduler.store.contract import Reads
from scheduler.worker_settings import WorkerSettings
from shaping.request import LatencyClass

_READ_HOURS = 24
# A request that began so long before an hour is not seen in it.
_LONGEST_S = HOUR_S
_KEPT_S = MOST_WEEKS * 7 * 86_400.0


class InteractiveHours:
    """What is kept for interactive traffic in each region, by the settings or as learned."""

    def __init__(
        self, regions: Sequence[RegionSettings], workers: Sequence[WorkerSettings], quantile_ratio: float
    ) -> None:
        self.take_up(regions, workers, quantile_ratio)
        self._observed: dict[str, dict[float, int]] = {one.name: {} for one in regions if one.learn_interactive}
        self._read_to_s: float | None = None

    def take_up(
        self, regions: Sequence[RegionSettings], workers: Sequence[WorkerSettings], quantile_ratio: float
    ) -> None:
        """Other fixed figures, and other workers for what is learned from now on; the same regions learn."""
        self._quantile_ratio = quantile_ratio
        learning = {region.name for region in regions if region.learn_interactive}
        self._regions, self._pools = regions, pools_of(one for one in workers if one.region in learning)

    @property
    def is_learning(self) -> bool:
        return bool(self._pools)

    def catch_up(self, reads: Reads, now_s: float) -> None:
        """Take in the hours that are over since the last time. Blocks."""
        until_s = now_s - now_s % HOUR_S
        if self._read_to_s is None:
            first_s = reads.first_use_at_s()
            if first_s is None:
                return
            begin_s = max(first_s, now_s - _KEPT_S)
            self._read_to_s = begin_s - begin_s % HOUR_S
        while self._read_to_s < until_s:
            hours = min(_READ_HOURS, round((until_s - self._read_to_s) / HOUR_S))
            self._read(reads, self._read_to_s, hours)
            self._read_to_s += hours * HOUR_S
        self._forget_before(now_s - _KEPT_S)

    def holds(self, now_s: float) -> Mapping[str, list[Hold]]:
        """What each region keeps from now on."""
        kept = {}
        for region in self._regions:
            observed = self._observed.get(region.name)
            week = learned_week(observed, self._quantile_ratio) if observed else NOTHING_LEARNED
            kept[region.name] = interactive_holds(week, region.interactive_gpus, now_s, now_s + HELD_AHEAD_S)
        return kept

    def _read(self, reads: Reads, from_s: float, hours: int) -> None:
        rows = reads.spans(LatencyClass.INTERACTIVE, from_s - _LONGEST_S, from_s + hours * HOUR_S)
        spans = (Span(region=row[0], model=row[1], started_at_s=row[2], ended_at_s=row[3]) for row in rows)
        for name, needed in gpus_by_hour(spans, self._pools, from_s, hours).items():
            self._observed[name].update((from_s + HOUR_S * hour, gpus) for hour, gpus in enumerate(needed))

    def _forget_before(self, at_s: float) -> None:
        for observed in self._observed.values():
            for start_at_s in [one for one in observed if one < at_s]:
                del observed[start_at_s]


def pools_of(workers: Iterable[WorkerSettings]) -> list[ServingPool]:
    """Workers that are alike, together, in the order of the settings."""
    counts: dict[tuple[str, tuple[str, ...], int, int], int] = {}
    for one in workers:
        key = (one.region, one.models, one.max_sequences, one.gpus)
        counts[key] = counts.get(key, 0) + 1
    return [
        ServingPool(region=region, models=models, workers=count, sequences_per_worker=sequences, gpus_per_worker=gpus)
        for (region, models, sequences, gpus), count in counts.items()
    ]
