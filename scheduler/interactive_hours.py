"""How many GPUs interactive traffic will need in each hour of the week, learned from the requests of past weeks. Pure.

An hour needed as many workers as its largest number of requests in service at once fills, and the GPUs of those. The
figure of an hour of the week (UTC) is an order statistic over its past, so that the next one stays within it with the
probability asked for, whatever the distribution, if weeks are alike: of n of them the k-th smallest, k/(n + 1) being at
least that. For 0.9 that takes nine weeks. With fewer, the same hour of all working days, or of all days of weekends,
counts instead; with too few of those as well nothing is known, and the fixed figure of the settings holds. An hour
between the first request and now in which nothing was served needed none: the ledger cannot tell it from an outage.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.plan import Hold

HOUR_S = 3600.0
HOURS_OF_WEEK = 168
# Older traffic is of other users.
MOST_WEEKS = 26
# The first instant of 1970 was a Thursday.
_FIRST_HOUR_OF_WEEK = 72
_WORKING_DAYS = 5

# By hour of the week, 0 is Monday from 00:00 UTC: GPUs; None where too little is known.
Week = tuple[int | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One interactive request, from its release to a worker to the end of its answer."""

    region: str
    model: str
    started_at_s: float
    ended_at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPool:
    """Workers of one region that are alike: how many there are, and what each of them takes and holds."""

    region: str
    models: tuple[str, ...]
    workers: int
    sequences_per_worker: int
    gpus_per_worker: int

    def gpus_for(self, sequences: int) -> int:
        """GPUs of the workers that so many requests at once fill; never more than there are."""
        return min(self.workers, math.ceil(sequences / self.sequences_per_worker)) * self.gpus_per_worker


def gpus_by_hour(
    spans: Iterable[Span], pools: Sequence[ServingPool], from_s: float, hours: int
) -> dict[str, list[int]]:
    """GPUs needed in each of the hours from `from_s`, by region of a pool.

    A model that two pools of a region serve is counted to the first; one that none serves any more is not counted.
    """
    pool_of = {(pool.region, model): place for place, pool in reversed(list(enumerate(pools))) for model in pool.models}
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in pools]
    for span in spans:
        if (place := pool_of.get((span.region, span.model))) is not None:
            times[place][0].append(span.started_at_s)
            times[place][1].append(span.ended_at_s)
    needed = {pool.region: [0] * hours for pool in pools}
    for pool, (starts_s, ends_s) in zip(pools, times, strict=True):
        peaks = most_at_once(np.array(starts_s), np.array(ends_s), from_s, hours)
        row = needed[pool.region]
        needed[pool.region] = [before + pool.gpus_for(peak) for before, peak in zip(row, peaks, strict=True)]
    return needed


def most_at_once(starts_s: Floats, ends_s: Floats, from_s: float, hours: int) -> list[int]:
    """The most intervals that overlap at any instant of each hour from `from_s`; both of shape (n,)."""
    instants_s = np.concatenate((starts_s, ends_s))
    change = np.repeat((1, -1), (len(starts_s), len(ends_s)))
    # At one instant, who leaves makes room for who comes.
    level = np.concatenate(([0], change[np.lexsort((change, instants_s))].cumsum()))
    edges_s = from_s + HOUR_S * np.arange(hours + 1)
    first = np.sort(starts_s).searchsorted(edges_s) + np.sort(ends_s).searchsorted(edges_s, side="right")
    return [int(level[begin : end + 1].max()) for begin, end in pairwise(first.tolist())]


def hour_of_week(instant_s: float) -> int:
    """0 is Monday from 00:00 UTC."""
    return (math.floor(instant_s / HOUR_S) + _FIRST_HOUR_OF_WEEK) % HOURS_OF_WEEK


def learned_week(observed: Mapping[float, int], quantile_ratio: float) -> Week:
    """What each hour of the week needs at that quantile; `observed` by the instant at which an hour begins."""
    own: list[list[int]] = [[] for _ in range(HOURS_OF_WEEK)]
    for start_at_s, gpus in observed.items():
        own[hour_of_week(start_at_s)].append(gpus)
    week: list[int | None] = []
    for hour in range(HOURS_OF_WEEK):
        alike = [gpus for other in _same_kind(hour) for gpus in own[other]]
        known = _at_quantile(own[hour], quantile_ratio)
        week.append(_at_quantile(alike, quantile_ratio) if known is None else known)
    return tuple(week)


def interactive_holds(week: Week, fixed_gpus: int, from_s: float, to_s: float) -> list[Hold]:
    """What is kept in the interval, hour by hour; `fixed_gpus` where nothing is known."""
    found: list[Hold] = []
    start_at_s = from_s - from_s % HOUR_S
    while start_at_s < to_s:
        known = week[hour_of_week(start_at_s)]
        gpus = fixed_gpus if known is None else known
        end_at_s = start_at_s + HOUR_S
        if found and found[-1].end_at_s == start_at_s and found[-1].gpus == gpus:
            found[-1] = Hold(start_at_s=found[-1].start_at_s, end_at_s=end_at_s, gpus=gpus)
        elif gpus > 0:
            found.append(Hold(start_at_s=start_at_s, end_at_s=end_at_s, gpus=gpus))
        start_at_s = end_at_s
    return found


NOTHING_LEARNED: Week = (None,) * HOURS_OF_WEEK


def _same_kind(hour: int) -> list[int]:
    """The same hour of all working days, or of both days of the weekend."""
    day, hour_of_day = divmod(hour, 24)
    days = range(_WORKING_DAYS) if day < _WORKING_DAYS else range(_WORKING_DAYS, 7)
    return [24 * other + hour_of_day for other in days]


def _at_quantile(gpus: Sequence[int], quantile_ratio: float) -> int | None:
    rank = math.ceil(quantile_ratio * (len(gpus) + 1) - 1e-9)
    return sorted(gpus)[rank - 1] if 0 < rank <= len(gpus) else None
