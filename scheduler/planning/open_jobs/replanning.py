"""When a new plan may move what the plan so far has placed: the one home of that rule.

Forecasts are revised all the time, mostly by little. A planner that follows each revision moves most of the queue for
savings that the next revision takes back, and every move is a record, a line in somebody's explanation and a promise
that was not kept. So a place that was chosen for its carbon is kept while it holds: it lies ahead, is whole and in
time, has room with head-room beside it, and the newest forecast knows what it emits. It is given up for another that
emits less by more than the margin, a share of what it emits itself. A place with another cause (late, at once for want
of room, nothing known) was never chosen for its carbon, and is found anew.

A contiguous job that runs is no question here, since it has nothing left to place. Several jobs that change
places together are held to the same margin. Knows no order of jobs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scheduler.planning.curve import ROUNDING_S, Intervals, curve, overlap
from scheduler.planning.one_job.window import TIE_RATIO, cheapest_window
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.draft import Draft
from scheduler.planning.open_jobs.needs import Need, Place, allowed_regions
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.open_jobs.pricing import integrals_g_s_per_kwh
from scheduler.planning.plan import Cause, Placement, Region, Segment

# Half as many moves as without a margin, for a tenth of a point of savings.
# Measured: docs/decisions/0010-a-place-is-kept.md.
DEFAULT_HYSTERESIS_RATIO = 0.02

_CHOSEN = (Cause.CLEANEST, Cause.NO_SLACK)


def priced_places(
    board: Board, before: Mapping[str, Placement | None], needs: Sequence[Need]
) -> Iterator[Place | None]:
    """The places so far at their newest price, whoever holds their room; None for one that is not to be kept."""
    ahead = [_to_keep(before[wanted.job.id], wanted) for wanted in needs]
    runs = [(wanted.job, segments) for wanted, segments in zip(needs, ahead, strict=True)]
    prices = integrals_g_s_per_kwh(board, runs)
    for wanted, segments, integral in zip(needs, ahead, prices, strict=True):
        placed = before[wanted.job.id]
        if placed is None or not segments or integral is None:
            yield None
        else:
            yield Place(need=wanted, segments=segments, cause=placed.cause, at_once=None, integral_g_s_per_kwh=integral)


def has_head_room(board: Board, place: Place) -> bool:
    """Whether its room is free on the board, with head-room beside it."""
    return all(board.has_head_room(one, place.need.job) for one in place.segments)


def better_place(
    board: Board, kept: Place, hysteresis_ratio: float, where: frozenset[str] | None = None
) -> Place | None:
    """A place that emits less than the kept one, which must not be taken on the board, by more than the margin.

    Outside the regions of `where` there must be none.
    """
    return board.cheaper(kept.need, enough_g_s_per_kwh(kept, hysteresis_ratio), where)


def enough_g_s_per_kwh(kept: Place, hysteresis_ratio: float) -> float:
    """A place that emits less is worth the move."""
    now_g_s_per_kwh = kept.integral_g_s_per_kwh
    assert now_g_s_per_kwh is not None, "a kept place has its price"
    return now_g_s_per_kwh - max(hysteresis_ratio, TIE_RATIO) * abs(now_g_s_per_kwh)


def is_worth_moving(anew: Draft, mended: Draft, hysteresis_ratio: float) -> bool:
    """Whether a plan made from nothing should replace the plan so far, mended: the same margin for all that moves."""
    if anew.rank[:-1] != mended.rank[:-1]:
        return anew.rank < mended.rank
    held = {one.job.id for one in mended.joint.open_jobs if one.planned is not None}
    moving = [
        place for name, place in mended.places.items() if name in held and place.segments != anew.places[name].segments
    ]
    now_gco2e = sum(mended.board.place_gco2e(place) or 0.0 for place in moving)
    least_gain = max(hysteresis_ratio, TIE_RATIO) * abs(now_gco2e)
    return anew.rank[-1] < mended.rank[-1] - least_gain


@dataclass(slots=True, kw_only=True)
class NewRoom:
    """Where the board has room that was taken before: all that a job which stood at its best can gain by."""

    board: Board
    before: Occupancy
    from_s: float
    _found: dict[tuple[str, int, int], Intervals] = field(default_factory=dict)

    def forget(self) -> None:
        """Something moved: what is free is not what it was."""
        self._found.clear()

    def may_serve(self, kept: Place) -> bool:
        """Whether a place that touches it could emit less than the kept one, were all the rest free.

        No is certain for a job in one piece, but for a start this instant whose room came free further on. One that
        may pause is asked only whether that room is cleaner than it has it on average. A whole plan looks closer.
        """
        regions = allowed_regions(kept.need.job, self.board.regions)
        price = kept.integral_g_s_per_kwh
        assert price is not None, "a kept place has its price"
        return any(self._least_g_s_per_kwh(kept, region, price) < price for region in regions)

    def _least_g_s_per_kwh(self, kept: Place, region: Region, enough_g_s_per_kwh: float) -> float:
        """The least the job could emit for each kW in a window that touches the room, looked at until it is enough."""
        wanted, series = kept.need, self.board.forecasts.get(region.zone)
        reach_s = wanted.whole_s if wanted.job.interruption is None else 0.0
        around = _widened(self._touched(kept, region), reach_s, wanted.earliest_s, wanted.job.deadline_at_s)
        if series is None or not around:
            return math.inf
        part = curve(region.name, series, region.pue, around[0][0], around[-1][1])
        if part is None:
            return math.inf
        least = part.pue * wanted.whole_s * float(np.nanmin(part.gco2e_per_kwh))
        if wanted.job.interruption is not None or least >= enough_g_s_per_kwh:
            return least
        window = cheapest_window([part], wanted.whole_s, around[0][0], around[-1][1], {region.name: around})
        return math.inf if window is None else window.integral_g_s_per_kwh

    def _touched(self, kept: Place, region: Region) -> Intervals:
        """New room with head-room, without it for a start this instant, and any at all where the job holds some."""
        wanted, gpus = kept.need, kept.need.job.gpus
        spare = int(region.gpus * self.board.reserve_ratio)
        own = tuple((one.start_at_s, one.end_at_s) for one in kept.segments if one.region == region.name)
        this_instant = ((wanted.earliest_s, wanted.earliest_s + ROUNDING_S),)
        return (
            *self._new(region, gpus, spare),
            *overlap(self._new(region, gpus, 0), this_instant),
            *(overlap(self._new(region, 0, spare), own) if own else ()),
        )

    def _new(self, region: Region, gpus: int, spare: int) -> Intervals:
        key = (region.name, gpus, spare)
        if key not in self._found:
            now, before = (
                one.free(region.name, self.from_s, math.inf, gpus, spare) for one in (self.board.occupancy, self.before)
            )
            self._found[key] = _without(now, before)
        return self._found[key]


def _without(ones: Intervals, others: Intervals) -> Intervals:
    """The stretches that are in the first and not in the second."""
    ends_s = [-math.inf, *(border for stretch in others for border in stretch), math.inf]
    return overlap(ones, zip(ends_s[::2], ends_s[1::2], strict=True))


def _widened(stretches: Intervals, reach_s: float, from_s: float, to_s: float) -> Intervals:
    """The stretches with so much on both sides, inside the limits, joined where they meet."""
    joined: list[tuple[float, float]] = []
    for stretch in sorted(stretches):
        begin_s, end_s = max(stretch[0] - reach_s, from_s), min(stretch[1] + reach_s, to_s)
        if joined and begin_s <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        elif begin_s < end_s:
            joined.append((begin_s, end_s))
    return tuple(joined)


def _to_keep(before: Placement | None, wanted: Need) -> tuple[Segment, ...]:
    """What of a place is still to come, when it was chosen for its carbon and is whole; else nothing."""
    if before is None or before.cause not in _CHOSEN:
        return ()
    segments = _ahead(before.segments, wanted)
    return segments if _is_whole(segments, wanted) else ()


def _ahead(segments: Sequence[Segment], wanted: Need) -> tuple[Segment, ...]:
    """The pieces that are still to come; of a job that runs, those after the running piece."""
    return tuple(one for one in segments if one.end_at_s > wanted.earliest_s + ROUNDING_S)


def _is_whole(segments: Sequence[Segment], wanted: Need) -> bool:
    """Whether the pieces begin in time, end in time and do all that is left, neither less nor more."""
    if not segments or segments[0].start_at_s < wanted.earliest_s - ROUNDING_S:
        return False
    if wanted.job.elastic:
        if len({one.gpus for one in segments}) > 1:
            return False
        wanted = wanted.at_count(segments[0].gpus)
    held_s = sum(one.duration_s for one in segments)
    whole_s = wanted.whole_s if len(segments) == 1 else wanted.work.held_s(len(segments))
    as_long = abs(held_s - whole_s) <= len(segments) * ROUNDING_S
    return as_long and segments[-1].end_at_s <= wanted.job.deadline_at_s + ROUNDING_S
