"""What a job may do at an instant where it has several choices: so many GPUs in such a region, at such a speed.

That is an elastic job, and one that may pause in regions whose GPUs differ. Changing the level and resting cost nothing
here, so what a stretch of time can do is the convex hull of what it can do at each level. The least cost is then a
convex function of the work done in the stretch, and taking the cheapest further work first, over all stretches, is the
optimum, for a speed curve that is not concave too: shares of a stretch at two neighbouring levels attain what lies
between them. Knows no capacity; what is closed costs infinity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.fleet_case import FleetCase

Indexes = NDArray[np.intp]
REST = -1

# Slopes this close, as a share of the largest, are equal: the earlier work is taken, so that plans do not fray.
_EQUAL_DIGITS = 10
# Work that is short by this share is done; it is a sum over some thousand stretches.
_ROUNDING_RATIO = 1e-9


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Levels:
    """The levels of one job, each of shape (levels,): region, GPUs, work per time, IT power as it was measured.

    `work_s` is what it has to do, in seconds on its own number of GPUs, of the type it was measured on. Unless it may
    move, it stays in one region.
    """

    row: Indexes
    gpus: NDArray[np.int64]
    speed: Floats
    power_w: Floats
    work_s: float
    may_move: bool

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal for jobs that weigh every instant alike."""
        arrays = (self.row, self.gpus, self.speed, self.power_w)
        return *(tuple(one.tolist()) for one in arrays), self.may_move

    def by_region(self) -> Iterator[Indexes]:
        """Which levels go together in one plan: all, or those of one region."""
        if self.may_move:
            yield np.arange(len(self.row))
            return
        for _, group in groupby(range(len(self.row)), key=lambda level: int(self.row[level])):
            yield np.array(list(group), dtype=np.intp)


def levels_of(case: FleetCase, job: Job) -> Levels | None:
    """None for a job that has one level only, or runs in one piece."""
    is_elastic = job.id in case.scalings
    if not is_elastic and (job.interruption is None or case.has_equal_speeds):
        return None
    allowed = case.allowed(job)
    if not is_elastic and all(case.regions[index].speed == 1.0 for index in allowed):
        return None
    power_w_per_gpu = job.power_w / max(job.gpus, 1)
    every = [
        (index, gpus, speed * case.regions[index].speed, power_w_per_gpu * gpus)
        for index in allowed
        for gpus, speed in case.counts(job)
        if case.holds(case.regions[index], gpus, power_w_per_gpu * gpus)
    ]
    row, gpus, speeds, power_w = (
        (np.array(column) for column in zip(*every, strict=True)) if every else [np.zeros(0)] * 4
    )
    return Levels(
        row=row.astype(np.intp),
        gpus=gpus.astype(np.int64),
        speed=speeds.astype(np.float64),
        power_w=power_w.astype(np.float64),
        work_s=job.duration_s,
        may_move=job.interruption is not None,
    )


def piece_at(levels: Levels, level: int, start_at_s: float, end_at_s: float, case: FleetCase) -> Segment:
    """A piece of a job at one of its levels."""
    return Segment(
        start_at_s=start_at_s,
        end_at_s=end_at_s,
        region=case.regions[int(levels.row[level])].name,
        gpus=int(levels.gpus[level]),
        power_w=float(levels.power_w[level]),
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Hull:
    """Further work in each stretch, cheapest first; all of shape (steps, stretches).

    From level `low` to level `high` a stretch gains `gain` of speed at `slope_cost` for each second of work; infinite
    where it has no such step.
    """

    slope_cost: Floats
    gain_speed: Floats
    low: Indexes
    high: Indexes


def hull_of(speed: Floats, costs: Floats) -> Hull:
    """The lower hull from rest to the fastest level that is open; `costs` per second, (levels, stretches)."""
    count = costs.shape[1]
    at = np.full(count, REST, dtype=np.intp)
    here_speed, here_cost, least_cost = np.zeros(count), np.zeros(count), np.full(count, -np.inf)
    steps: list[tuple[Floats, Floats, Indexes, Indexes]] = []
    with np.errstate(divide="ignore", invalid="ignore"):
        while True:
            gains = speed[:, None] - here_speed
            slopes = np.where(gains > 0, (costs - here_cost) / gains, np.inf)
            slopes[np.isnan(slopes)] = np.inf
            best = slopes.min(axis=0)
            is_open = np.isfinite(best)
            if not is_open.any():
                break
            # Of equal slopes the farthest: a level on the line between two others is none of the hull's corners.
            high = np.where(slopes <= best, speed[:, None], -np.inf).argmax(axis=0)
            least_cost = np.where(is_open, np.maximum(best, least_cost), np.inf)
            gain = np.where(is_open, speed[high] - here_speed, 0.0)
            steps.append((least_cost, gain, at, np.where(is_open, high, at)))
            at = np.where(is_open, high, at)
            here_speed = np.where(is_open, speed[at], np.inf)
            here_cost = np.where(is_open, costs[at, np.arange(count)], 0.0)
    nothing = np.zeros((0, count))
    if not steps:
        return Hull(slope_cost=nothing, gain_speed=nothing, low=nothing.astype(np.intp), high=nothing.astype(np.intp))
    slope, gained, low, higher = (np.array(one) for one in zip(*steps, strict=True))
    return Hull(slope_cost=slope, gain_speed=gained, low=low, high=higher)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Filling:
    """At which level the job runs in which stretches, and for how long; all of shape (parts,), by stretch.

    A stretch that is shared by two levels has two parts, the slower first.
    """

    stretch: Indexes
    level: Indexes
    duration_s: Floats
    cost: float


def cheapest_filling(levels: Levels, costs: Floats, open_s: Floats) -> Filling | None:
    """The cheapest way to do the work in stretches of such lengths; None where they do not hold it."""
    found: Filling | None = None
    for part in levels.by_region():
        one = _filling(levels.speed[part], costs[part], open_s, levels.work_s)
        if one is not None and (found is None or one.cost < found.cost):
            found = Filling(stretch=one.stretch, level=part[one.level], duration_s=one.duration_s, cost=one.cost)
    return found


def _filling(speed: Floats, costs: Floats, open_s: Floats, work_s: float) -> Filling | None:
    hull = hull_of(speed, costs)
    slope_cost, most_s = hull.slope_cost.ravel(), (hull.gain_speed * open_s).ravel()
    order = _in_order(slope_cost)
    order = order[(most_s[order] > 0) & np.isfinite(slope_cost[order])]
    done_s = most_s[order].cumsum()
    if not len(order) or done_s[-1] < work_s * (1 - _ROUNDING_RATIO):
        return None
    last = min(int(done_s.searchsorted(work_s * (1 - _ROUNDING_RATIO))), len(order) - 1)
    taken = order[: last + 1]
    step, stretch = np.divmod(taken, costs.shape[1])
    level = np.full(costs.shape[1], REST, dtype=np.intp)
    for number in range(len(hull.high)):  # of several steps of a stretch the last one counts
        level[stretch[step == number]] = hull.high[number, stretch[step == number]]
    used = (level != REST).nonzero()[0]
    durations_s = open_s[used].copy()
    shared = int(stretch[-1])
    before_s = float(done_s[last - 1]) if last else 0.0
    share_ratio = min(1.0, (work_s - before_s) / float(most_s[taken[-1]]))
    durations_s[used == shared] *= share_ratio
    low = int(hull.low[step[-1], shared])
    parts = [(used, level[used], durations_s)]
    if low != REST and (1 - share_ratio) * open_s[shared] > ROUNDING_S:
        slower_s = (1 - share_ratio) * open_s[shared : shared + 1]
        parts.insert(0, (np.array([shared]), np.array([low], dtype=np.intp), slower_s))
    stretches, chosen, lengths_s = (np.concatenate(one) for one in zip(*parts, strict=True))
    by_time = stretches.argsort(kind="stable")
    stretches, chosen, lengths_s = stretches[by_time], chosen[by_time], lengths_s[by_time]
    cost = float((costs[chosen, stretches] * lengths_s).sum())
    return Filling(stretch=stretches, level=chosen, duration_s=lengths_s, cost=cost)


def _in_order(slope_cost: Floats) -> Indexes:
    """Cheapest first, the earlier among equals; a stretch's own steps keep their order."""
    known = np.isfinite(slope_cost)
    scale = float(np.abs(slope_cost[known]).max()) if known.any() else 1.0
    rounded = np.round(slope_cost / (scale or 1.0), _EQUAL_DIGITS)
    found: Indexes = rounded.argsort(kind="stable")
    return found
