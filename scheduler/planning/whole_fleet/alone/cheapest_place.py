"""The cheapest place of one job at given prices, in what is free: to the instant, off the slots.

One in one piece gets a window, one with phases a run of them, one that may pause gets pieces, one that has several
levels gets a filling. Knows one
job at a time and no order of jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from intensity_feeds.series import Floats
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, Curve, Intervals, overlap
from scheduler.planning.one_job.preemptible import Pieces, Work, cheapest_pieces
from scheduler.planning.one_job.window import Window, cheapest_window
from scheduler.planning.open_jobs.choices import FreeTime
from scheduler.planning.plan import Segment
from scheduler.planning.whole_fleet.alone.runs_in_phases import cheapest_run
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.levels import Filling, Levels, cheapest_filling, levels_of, piece_at
from scheduler.planning.whole_fleet.rates import Rates

Place = tuple[Segment, ...]

# So few regions are looked at without asking first which of them can be cheapest.
_ASKED_AT_ONCE = 3
_ROUNDING_RATIO = 1e-9


def cheapest_place(job: Job, rates: Rates, room: FreeTime | None = None) -> Place | None:
    """Where the job pays least beside what is taken, or, without a room, if nobody else were there."""
    if job.id in rates.case.phases:
        return cheapest_run(job, rates, room)
    levels = levels_of(rates.case, job)
    if levels is not None and (job.interruption is None or job.interruption.min_run_s <= 0):
        return _filled(job, levels, rates, room)
    return _window(job, rates, room) if job.interruption is None else _pieces(job, rates, room)


def _window(job: Job, rates: Rates, room: FreeTime | None) -> Place | None:
    best: Window | None = None
    for duration_s, curves in _by_duration(job, rates):
        found = _window_of(job, duration_s, curves, room)
        if found is not None and (best is None or found.integral_g_s_per_kwh < best.integral_g_s_per_kwh):
            best = found
    if best is None:
        return None
    return (Segment(start_at_s=best.start_at_s, end_at_s=best.end_at_s, region=best.region),)


def _window_of(job: Job, duration_s: float, curves: Sequence[Curve], room: FreeTime | None) -> Window | None:
    """Of many regions the one with the cheapest instant goes first, and none is asked that cannot be as cheap."""
    if len(curves) > _ASKED_AT_ONCE:
        least = [float(one.gco2e_per_kwh.min()) * duration_s for one in curves]
        first = curves[least.index(min(least))]
        if (found := _cheapest_window(job, duration_s, (first,), room)) is not None:
            most = found.integral_g_s_per_kwh + _ROUNDING_RATIO * abs(found.integral_g_s_per_kwh)
            curves = [one for one, its_least in zip(curves, least, strict=True) if its_least <= most or one is first]
            if len(curves) == 1:
                return found
    return _cheapest_window(job, duration_s, curves, room)


def _cheapest_window(job: Job, duration_s: float, curves: Sequence[Curve], room: FreeTime | None) -> Window | None:
    free = _free(job, curves, room, duration_s)
    return cheapest_window(curves, duration_s, job.earliest_start_at_s, job.deadline_at_s, free)


def _pieces(job: Job, rates: Rates, room: FreeTime | None) -> Place | None:
    """Of a job that may pause; where speeds differ, one with a least run stays where they are equal."""
    assert job.interruption is not None
    best: Pieces | None = None
    for duration_s, curves in _by_duration(job, rates):
        work = Work(
            work_s=duration_s,
            earliest_s=job.earliest_start_at_s,
            deadline_s=job.deadline_at_s,
            interruption=job.interruption,
        )
        found = _pieces_of(job, work, curves, room)
        if found is not None and (best is None or found.integral_g_s_per_kwh < best.integral_g_s_per_kwh):
            best = found
    return best.segments if best is not None else None


def _pieces_of(job: Job, work: Work, curves: Sequence[Curve], room: FreeTime | None) -> Pieces | None:
    """As `_window_of`, where pauses cost nothing and pieces may be short: then nobody pays for an instant more than for
    the dearest one that one region alone asks for."""
    if len(curves) > _ASKED_AT_ONCE and work.is_free_to_pause:
        least = [float(one.gco2e_per_kwh.min()) for one in curves]
        first = curves[least.index(min(least))]
        if (found := cheapest_pieces((first,), work, _free(job, (first,), room, 0.0))) is not None:
            most = max(_dearest(first, one) for one in found.segments)
            most += _ROUNDING_RATIO * abs(most)
            curves = [one for one, its_least in zip(curves, least, strict=True) if its_least <= most or one is first]
            if len(curves) == 1:
                return found
    return cheapest_pieces(curves, work, _free(job, curves, room, 0.0))


def _dearest(one: Curve, piece: Segment) -> float:
    first = int(one.edges_at_s.searchsorted(piece.start_at_s, side="right")) - 1
    return float(one.gco2e_per_kwh[first : int(one.edges_at_s.searchsorted(piece.end_at_s))].max())


def _by_duration(job: Job, rates: Rates) -> Iterator[tuple[float, Sequence[Curve]]]:
    """The curves of the regions in which the job runs equally long."""
    curves = rates.curves(job)
    if rates.case.has_equal_speeds:
        yield job.duration_s, curves
        return
    groups: dict[float, list[Curve]] = {}
    for one in curves:
        groups.setdefault(rates.case.lasts_s(job, rates.case.region(one.region)), []).append(one)
    yield from groups.items()


def _free(
    job: Job, curves: Sequence[Curve], room: FreeTime | None, at_least_s: float
) -> Mapping[str, Intervals] | None:
    return None if room is None else {one.region: room.free(job, one.region, at_least_s) for one in curves}


# -- several levels --------------------------------------------------------------------------------------------------


def _filled(job: Job, levels: Levels, rates: Rates, room: FreeTime | None) -> Place | None:
    opens = [_open(job, levels, level, rates, room) for level in range(len(levels.row))]
    edges = _edges_at_s(job, opens, rates)
    if len(edges) < 2:
        return None
    middles = (edges[:-1] + edges[1:]) / 2
    cell = rates.edges_at_s.searchsorted(middles, side="right") - 1
    costs = rates.level_costs(levels.row, levels.gpus, levels.power_w, cell)
    for level, stretches in enumerate(opens):
        costs[level, ~_inside(middles, stretches)] = np.inf
    found = cheapest_filling(levels, costs, np.diff(edges))
    return None if found is None else tuple(_segments(found, levels, edges, rates.case))


def _open(job: Job, levels: Levels, level: int, rates: Rates, room: FreeTime | None) -> Intervals:
    index = int(levels.row[level])
    known = overlap(((job.earliest_start_at_s, job.deadline_at_s),), rates.known[index])
    if room is None:
        return known
    asked = replace(job, gpus=int(levels.gpus[level]), power_w=float(levels.power_w[level]))
    return overlap(known, room.free(asked, rates.case.regions[index].name))


def _edges_at_s(job: Job, opens: Sequence[Intervals], rates: Rates) -> Floats:
    """Wherever a cost or what is open changes within the job's time."""
    ends = [end for stretches in opens for stretch in stretches for end in stretch]
    inner = rates.edges_at_s[(rates.edges_at_s > job.earliest_start_at_s) & (rates.edges_at_s < job.deadline_at_s)]
    return np.unique(np.concatenate((inner, ends)))


def _inside(instants_s: Floats, stretches: Intervals) -> NDArray[np.bool_]:
    if not stretches:
        return np.zeros(len(instants_s), dtype=np.bool_)
    borders = np.array(stretches).ravel()
    found: NDArray[np.bool_] = borders.searchsorted(instants_s) % 2 == 1
    return found


def _segments(found: Filling, levels: Levels, edges_at_s: Floats, case: FleetCase) -> list[Segment]:
    """The parts in order of time; those that go on alike are one piece, and rounding makes none."""
    pieces: list[Segment] = []
    for stretch, slower_first in _by_stretch(found):
        from_s, to_s = float(edges_at_s[stretch]), float(edges_at_s[stretch + 1])
        goes_on = bool(pieces) and _goes_on(pieces[-1], from_s, levels, slower_first[0][0], case)
        parts = slower_first if goes_on else slower_first[::-1]
        for number, (level, duration_s) in enumerate(parts):
            is_whole = number == len(parts) - 1 and (len(parts) > 1 or duration_s >= to_s - from_s - ROUNDING_S)
            end_at_s = to_s if is_whole else from_s + duration_s
            if pieces and _goes_on(pieces[-1], from_s, levels, level, case):
                pieces[-1] = replace(pieces[-1], end_at_s=end_at_s)
            elif end_at_s - from_s > ROUNDING_S:
                pieces.append(piece_at(levels, level, from_s, end_at_s, case))
            from_s = end_at_s
    return pieces


def _by_stretch(found: Filling) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    rows = list(zip(found.stretch.tolist(), found.level.tolist(), found.duration_s.tolist(), strict=True))
    for stretch in dict.fromkeys(one[0] for one in rows):
        yield stretch, [(level, duration_s) for at, level, duration_s in rows if at == stretch]


def _goes_on(before: Segment, from_s: float, levels: Levels, level: int, case: FleetCase) -> bool:
    after = piece_at(levels, level, from_s, from_s, case)
    return before.end_at_s == from_s and (before.region, before.gpus) == (after.region, after.gpus)
