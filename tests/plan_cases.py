"""Builders of planning cases, and oracles that look at every choice. The oracles share no code with the planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, product

import numpy as np

from intensity_feeds.series import IntensitySeries
from scheduler.jobs import Interruption, Job, JobKind
from scheduler.planning.curve import Curve, Intervals, curve
from scheduler.planning.plan import Plan, Region, Segment
from scheduler.planning.planner import OpenJob

HOUR_S = 3600.0
MIDNIGHT_S = 1_646_092_800.0  # 2022-03-01T00:00Z


def a_series(
    *values: float | None, zone: str = "DE", step_s: float = HOUR_S, start_at_s: float = MIDNIGHT_S
) -> IntensitySeries:
    return IntensitySeries.regular(
        zone, start_at_s, step_s, [float("nan") if value is None else value for value in values]
    )


def a_curve(series: IntensitySeries, *, pue: float = 1.0, region: str | None = None) -> Curve:
    made = curve(region or series.zone, series, pue, series.start_at_s, series.end_at_s)
    assert made is not None
    return made


def a_region(name: str = "DE", *, gpus: int = 1, pue: float = 1.0, zone: str | None = None) -> Region:
    return Region(name=name, zone=zone or name, gpus=gpus, pue=pue)


def a_job(
    job_id: str = "job",
    *,
    duration_s: float = HOUR_S,
    earliest_s: float = MIDNIGHT_S,
    within_s: float = 24 * HOUR_S,
    gpus: int = 1,
    power_w: float = 1000.0,
    interruption: Interruption | None = None,
    regions: tuple[str, ...] = (),
    priority: int = 0,
    submitted_at_s: float | None = None,
) -> Job:
    return Job(
        id=job_id,
        kind=JobKind.FINE_TUNING,
        submitted_at_s=earliest_s if submitted_at_s is None else submitted_at_s,
        earliest_start_at_s=earliest_s,
        deadline_at_s=earliest_s + within_s,
        duration_s=duration_s,
        power_w=power_w,
        gpus=gpus,
        interruption=interruption,
        regions=regions,
        priority=priority,
    )


def integral_by_hand(series: IntensitySeries, start_at_s: float, end_at_s: float) -> float:
    """Gram-seconds per kWh, step by step; NaN where a gap or the outside is touched."""
    if start_at_s < series.edges_at_s[0] or end_at_s > series.edges_at_s[-1]:
        return float("nan")
    total = 0.0
    for (left, right), value in zip(pairwise(series.edges_at_s.tolist()), series.gco2e_per_kwh.tolist(), strict=True):
        inside_s = min(right, end_at_s) - max(left, start_at_s)
        if inside_s > 0:
            total += value * inside_s
    return total


def best_on_the_minute(series: IntensitySeries, duration_s: float, earliest_s: float, deadline_s: float) -> float:
    """The least integral over all starts on whole minutes from the earliest on; infinite when none is known."""
    minutes = int((deadline_s - duration_s - earliest_s) // 60)
    integrals = [
        integral_by_hand(series, earliest_s + 60.0 * minute, earliest_s + 60.0 * minute + duration_s)
        for minute in range(minutes + 1)
    ]
    return min((one for one in integrals if one == one), default=float("inf"))


def best_on_the_minute_fast(series: IntensitySeries, duration_s: float, earliest_s: float, deadline_s: float) -> float:
    """As `best_on_the_minute` for edges and durations on whole minutes: sums of a value for each minute."""
    minutes = np.arange(earliest_s, deadline_s, 60.0)
    step = np.searchsorted(series.edges_at_s, minutes, side="right") - 1
    outside = (step < 0) | (step >= len(series.gco2e_per_kwh))
    values = np.where(outside, np.nan, series.gco2e_per_kwh[np.clip(step, 0, len(series.gco2e_per_kwh) - 1)])
    windows = np.lib.stride_tricks.sliding_window_view(values, round(duration_s / 60.0))
    sums = np.array([np.sum(window) for window in windows]) * 60.0
    return float(np.nanmin(sums))


def best_by_exhaustion(
    slot_costs: Sequence[Sequence[float]],
    *,
    work: int,
    shortest: int = 0,
    checkpoint: int = 0,
    restore: int = 0,
    restores_first: bool = False,
    interruption_cost: float = 0.0,
) -> float:
    """The least cost of all ways to give each slot to one region or to nobody; infinite when none does the work."""
    best = float("inf")
    for owners in product(range(-1, len(slot_costs)), repeat=len(slot_costs[0])):
        pieces = _pieces(owners)
        restores = [restore if number or restores_first else 0 for number in range(len(pieces))]
        checkpoints = [checkpoint] * (len(pieces) - 1) + [0]
        works = [
            end - start - before - after
            for (_, start, end), before, after in zip(pieces, restores, checkpoints[: len(pieces)], strict=True)
        ]
        if sum(works) != work or not works or (len(works) > 1 and min(works) < max(shortest, 0)) or min(works) < 0:
            continue
        cost = sum(slot_costs[region][slot] for region, start, end in pieces for slot in range(start, end))
        best = min(best, cost + interruption_cost * (len(pieces) - 1))
    return best


def _pieces(owners: Sequence[int]) -> list[tuple[int, int, int]]:
    pieces: list[tuple[int, int, int]] = []
    for slot, owner in enumerate(owners):
        if owner < 0:
            continue
        if pieces and pieces[-1][0] == owner and pieces[-1][2] == slot:
            pieces[-1] = (owner, pieces[-1][1], slot + 1)
        else:
            pieces.append((owner, slot, slot + 1))
    return pieces


def most_taken(held: Iterable[tuple[Segment, int]], region: str) -> int:
    """The most GPUs in use at once, counted by sweeping starts and ends; touching by rounding is not together."""
    turns: list[tuple[float, int]] = []
    for one, gpus in held:
        if one.region == region:
            turns += [(one.start_at_s + 1e-5, gpus), (one.end_at_s - 1e-5, -gpus)]
    taken = most = 0
    for _, change in sorted(turns):
        taken += change
        most = max(most, taken)
    return most


def held_by(plan: Plan, open_jobs: Iterable[OpenJob]) -> list[tuple[Segment, int]]:
    gpus = {one.job.id: one.job.gpus for one in open_jobs}
    return [(piece, gpus[name]) for name, place in plan.placements.items() for piece in place.segments]


def everywhere(free: Intervals, regions: Iterable[str]) -> Mapping[str, Intervals]:
    return dict.fromkeys(regions, free)
