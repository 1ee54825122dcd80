"""The cleanest use of more or fewer GPUs over time, for a job whose speed at each count was measured.

In each stretch of constant intensity the job rests or runs at one of its counts, or spends shares of the stretch on
several of them: changing the count and resting cost nothing here. What a stretch can do is then the convex hull of what
it can do at each count, so the least emissions are a convex function of the work done in it, and taking the cheapest
further work first, over all stretches, is the optimum. For a concave speed curve these are the gains of each further
GPU, the greedy rule of the literature; a curve that is not concave is replaced by its envelope, which shares of time
attain. So every curve is handled exactly. Refused, with the reason, is only what no plan can do (NotEnoughTimeError).
A count that was not measured is never used, and nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from intensity_feeds.series import Floats
from scheduler.planning.curve import ROUNDING_S, Curve, Intervals, overlap

_W_S_PER_KWH = 3.6e6
_ROUNDING_RATIO = 1e-12  # of sums over some thousand stretches

# Stretches of time (from, to, GPUs that are free), growing and apart.
FreeGpus = tuple[tuple[float, float, int], ...]


class InvalidScalingError(ValueError):
    """A speed curve that contradicts itself; `what` says how."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(what)


class NotEnoughTimeError(ValueError):
    """Even all GPUs in all known time do less than the asked work; both in seconds at speed 1."""

    def __init__(self, work_s: float, most_work_s: float) -> None:
        self.work_s, self.most_work_s = work_s, most_work_s
        super().__init__(f"all known time to the deadline holds {most_work_s:.0f} s of the {work_s:.0f} s of work")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """Measured throughput: `speeds` has (GPUs, speed) with growing counts; speed 1 is the one that work is counted in.

    Raises InvalidScalingError.
    """

    speeds: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        if not self.speeds:
            raise InvalidScalingError("has no count of GPUs")
        if any(gpus < 1 or not 0 < speed < float("inf") for gpus, speed in self.speeds):
            raise InvalidScalingError("needs counts from 1 and speeds above 0")
        if any(gpus >= more for (gpus, _), (more, _) in pairwise(self.speeds)):
            raise InvalidScalingError("needs counts that grow, each named once")

    @property
    def is_concave(self) -> bool:
        """Whether no further GPU gains more than the one before it."""
        gains = [(speed - less) / (gpus - fewer) for (fewer, less), (gpus, speed) in pairwise(((0, 0.0), *self.speeds))]
        return all(gain >= further - 1e-12 for gain, further in pairwise(gains))


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticJob:
    """`work_s` is how long it runs at speed 1, `power_w` the IT power of each GPU with its share of the host.

    `region_speed` multiplies its speed in a region, by its name; 1 where it is not named.
    """

    work_s: float
    power_w: float
    earliest_s: float
    deadline_s: float
    scaling: Scaling
    region_speed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticSegment:
    start_at_s: float
    end_at_s: float
    region: str
    gpus: int

    @property
    def duration_s(self) -> float:
        return self.end_at_s - self.start_at_s


@dataclass(frozen=True, slots=True, kw_only=True)
class ElasticPlan:
    """When, where and on how many GPUs, in order of time, and what it emits, PUE included."""

    segments: tuple[ElasticSegment, ...]
    emissions_gco2e: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """One thing to do in a cell: nothing (no GPUs), or run at a count in a region."""

    region: str = ""
    gpus: int = 0
    speed: float = 0.0
    rate_gco2e_per_s: float = 0.0


_REST = _Level()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """A stretch in which nothing changes, and the levels on its lower hull from rest to the fastest."""

    start_at_s: float
    end_at_s: float
    hull: tuple[_Level, ...]

    @property
    def duration_s(self) -> float:
        return self.end_at_s - self.start_at_s


def cleanest_scaling(
    curves: Sequence[Curve], job: ElasticJob, free: Mapping[str, FreeGpus] | None = None, *, may_move: bool = True
) -> ElasticPlan:
    """The plan with the least emissions that does the work in time, within the free GPUs of each region.

    One that may not move stays in the one region that suits it best. Raises NotEnoughTimeError.
    """
    if may_move or len(curves) < 2:
        return _cleanest(curves, job, free)
    plans: list[ElasticPlan] = []
    failures: list[NotEnoughTimeError] = []
    for one in curves:
        try:
            plans.append(_cleanest((one,), job, free))
        except NotEnoughTimeError as failure:
            failures.append(failure)
    if not plans:
        raise max(failures, key=lambda failure: failure.most_work_s)
    return min(plans, key=lambda plan: plan.emissions_gco2e)


def at_once(one: Curve, job: ElasticJob) -> ElasticPlan | None:
    """The run from the earliest instant on the fewest GPUs that are in time; None where that is not known."""
    for gpus, speed in job.scaling.speeds:
        end_at_s = job.earliest_s + job.work_s / speed
        if end_at_s <= job.deadline_s + ROUNDING_S:
            if not one.knows(job.earliest_s, end_at_s):
                return None
            integral_g_s_per_kwh = one.integral_g_s_per_kwh(job.earliest_s, end_at_s)
            segment = ElasticSegment(start_at_s=job.earliest_s, end_at_s=end_at_s, region=one.region, gpus=gpus)
            return ElasticPlan(
                segments=(segment,), emissions_gco2e=gpus * job.power_w / _W_S_PER_KWH * integral_g_s_per_kwh
            )
    return None


def _cleanest(curves: Sequence[Curve], job: ElasticJob, free: Mapping[str, FreeGpus] | None) -> ElasticPlan:
    cells = _cells(curves, job, free)
    most_work_s = sum(cell.duration_s * cell.hull[-1].speed for cell in cells)
    if most_work_s < job.work_s * (1.0 - _ROUNDING_RATIO):
        raise NotEnoughTimeError(job.work_s, most_work_s)
    segments: list[ElasticSegment] = []
    emissions_gco2e = 0.0
    for cell, work_s in zip(cells, _shares_s(cells, job.work_s), strict=True):
        parts = _levels_of(cell, work_s, segments[-1] if segments else None)
        emissions_gco2e += sum(level.rate_gco2e_per_s * duration_s for level, duration_s in parts)
        _append(segments, cell, parts)
    return ElasticPlan(segments=tuple(segments), emissions_gco2e=emissions_gco2e)


# -- how much work each cell does ------------------------------------------------------------------------------------


def _shares_s(cells: Sequence[_Cell], work_s: float) -> list[float]:
    """The work of each cell when the cheapest further work is taken first, the earliest among equals."""
    steps = sorted(
        (_slope_gco2e_per_s(low, high), number, cell.duration_s * (high.speed - low.speed))
        for number, cell in enumerate(cells)
        for low, high in pairwise(cell.hull)
    )
    shares_s = [0.0] * len(cells)
    for _, number, most_s in steps:
        taken_s = min(most_s, work_s)
        shares_s[number] += taken_s
        work_s -= taken_s
        if work_s <= 0.0:
            break
    return shares_s


def _slope_gco2e_per_s(low: _Level, high: _Level) -> float:
    """What a further second of work emits between two levels of a hull."""
    return (high.rate_gco2e_per_s - low.rate_gco2e_per_s) / (high.speed - low.speed)


def _levels_of(cell: _Cell, work_s: float, before: ElasticSegment | None) -> list[tuple[_Level, float]]:
    """The two neighbours on the hull whose shares of the cell do the work; what runs already goes on first."""
    mean_speed = min(work_s / cell.duration_s, cell.hull[-1].speed)
    if mean_speed <= 0.0:
        return [(_REST, cell.duration_s)]
    low, high = next((low, high) for low, high in pairwise(cell.hull) if mean_speed <= high.speed)
    share_ratio = min(1.0, (mean_speed - low.speed) / (high.speed - low.speed))
    levels = [(high, share_ratio * cell.duration_s), (low, (1.0 - share_ratio) * cell.duration_s)]
    if before and (before.end_at_s, before.region, before.gpus) == (cell.start_at_s, low.region, low.gpus):
        return levels[::-1]
    return levels


def _append(segments: list[ElasticSegment], cell: _Cell, parts: Sequence[tuple[_Level, float]]) -> None:
    """Add the parts of a cell one after the other; the last one ends with the cell."""
    start_at_s = cell.start_at_s
    for number, (level, duration_s) in enumerate(parts):
        end_at_s = cell.end_at_s if number == len(parts) - 1 else start_at_s + duration_s
        if level.gpus and duration_s > ROUNDING_S:
            last = segments[-1] if segments else None
            if last and (last.end_at_s, last.region, last.gpus) == (start_at_s, level.region, level.gpus):
                start_at_s = segments.pop().start_at_s
            segments.append(
                ElasticSegment(start_at_s=start_at_s, end_at_s=end_at_s, region=level.region, gpus=level.gpus)
            )
        start_at_s = end_at_s


# -- what a cell can do ----------------------------------------------------------------------------------------------


def _cells(curves: Sequence[Curve], job: ElasticJob, free: Mapping[str, FreeGpus] | None) -> list[_Cell]:
    """The known time of the job, cut wherever a rate or the number of free GPUs changes in any region."""
    rooms = [_rooms(one, job, free) for one in curves]
    borders = {border for room in rooms for from_s, to_s, _ in room for border in (from_s, to_s)}
    if not borders:
        return []
    first_s, last_s = min(borders), max(borders)
    inside = [one.edges_at_s[(one.edges_at_s > first_s) & (one.edges_at_s < last_s)] for one in curves]
    edges = np.unique(np.concatenate((np.array(sorted(borders)), *inside)))
    levels = [_levels(one, room, job, edges) for one, room in zip(curves, rooms, strict=True)]
    return [
        _Cell(start_at_s=start_at_s, end_at_s=end_at_s, hull=_hull([_REST, *(level for row in rows for level in row)]))
        for (start_at_s, end_at_s), *rows in zip(pairwise(edges.tolist()), *levels, strict=True)
        if any(rows)
    ]


def _rooms(one: Curve, job: ElasticJob, free: Mapping[str, FreeGpus] | None) -> FreeGpus:
    """Known time and how many GPUs are free in it."""
    known: Intervals = overlap(((job.earliest_s, job.deadline_s),), one.known)
    most = job.scaling.speeds[-1][0]
    if free is None:
        return tuple((from_s, to_s, most) for from_s, to_s in known)
    return tuple(
        (max(from_s, since_s), min(to_s, until_s), gpus)
        for from_s, to_s in known
        for since_s, until_s, gpus in free.get(one.region, ())
        if max(from_s, since_s) < min(to_s, until_s) and gpus > 0
    )


def _levels(one: Curve, rooms: FreeGpus, job: ElasticJob, edges_at_s: Floats) -> list[list[_Level]]:
    """For each cell what the job may do there in one region."""
    middle = (edges_at_s[:-1] + edges_at_s[1:]) / 2
    step = np.clip(np.searchsorted(one.edges_at_s, middle, side="right") - 1, 0, len(one.gco2e_per_kwh) - 1)
    gpus_free = np.zeros(len(middle), dtype=np.intp)
    for from_s, to_s, gpus in rooms:
        gpus_free[(middle > from_s) & (middle < to_s)] = gpus
    factor = job.region_speed.get(one.region, 1.0)
    rates = one.rate_gco2e_per_kwh(step) * (job.power_w / _W_S_PER_KWH)  # of one GPU
    return [
        [
            _Level(region=one.region, gpus=gpus, speed=factor * speed, rate_gco2e_per_s=gpus * rate_gco2e_per_s)
            for gpus, speed in job.scaling.speeds
            if gpus <= room
        ]
        for rate_gco2e_per_s, room in zip(rates.tolist(), gpus_free.tolist(), strict=True)
    ]


def _hull(levels: Sequence[_Level]) -> tuple[_Level, ...]:
    """The lower convex hull of emissions over speed, from rest to the fastest; the region named first among equals."""
    chain: list[_Level] = []
    for level in sorted(levels, key=lambda level: (level.speed, level.rate_gco2e_per_s)):
        if chain and level.speed == chain[-1].speed:
            continue
        while len(chain) > 1 and _slope_gco2e_per_s(chain[-2], chain[-1]) >= _slope_gco2e_per_s(chain[-1], level):
            chain.pop()
        chain.append(level)
    return tuple(chain)
