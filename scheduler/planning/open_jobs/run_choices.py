"""The places of one job that come into question, each priced, and which of two is the better.

Knows what is known of the grids and when each region has room first; asks no board and takes no room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, Curve, Intervals
from scheduler.planning.gpu_counts import on_count
from scheduler.planning.one_job.power_profile import cheapest_profiled_window
from scheduler.planning.one_job.preemptible import Pieces
from scheduler.planning.one_job.window import TIE_RATIO, Window
from scheduler.planning.open_jobs.needs import Need, Place
from scheduler.planning.plan import Cause, Segment
from scheduler.planning.run_phases import in_phases, phases_of


def in_words_of(need: Need, plain: Need, place: Place) -> Place:
    """The place of a plain job as one of the elastic job; an integral is for each kW of the job's own power."""
    integral, at_once = place.integral_g_s_per_kwh, place.at_once
    if integral is not None:
        integral *= plain.job.gpus / need.job.gpus
    return replace(
        place,
        need=need,
        segments=on_count(place.segments, plain.job),
        at_once=None if at_once is None else on_count((at_once,), plain.job)[0],
        integral_g_s_per_kwh=integral,
    )


def cleaner_first(place: Place) -> tuple[float, ...]:
    """What is known before what is not, then the least emissions; among equals, and in the dark, as if run at once."""
    integral = place.integral_g_s_per_kwh
    return (integral is None, integral or 0.0, *own_count_first(place))


def own_count_first(place: Place) -> tuple[float, ...]:
    """The job's own number of GPUs where that is in time, else whichever ends first."""
    has_own = place.is_in_time and place.segments[0].gpus == place.need.job.gpus
    return not has_own, place.end_at_s, place.segments[0].gpus or 0


def run_in(region: str, need: Need) -> Segment:
    """The run that begins as early as it may."""
    return Segment(start_at_s=need.earliest_s, end_at_s=need.earliest_s + need.whole_s, region=region)


def run_integral_g_s_per_kwh(one: Curve, job: Job, run: Segment) -> float:
    """What a whole run emits for each kW of the job's own power, times 3600; it must lie in what is known."""
    return sum(
        one.integral_g_s_per_kwh(part.start_at_s, part.end_at_s) * _share_ratio(job, part)
        for part in in_phases(job, (run,))
    )


def _share_ratio(job: Job, part: Segment) -> float:
    """Its power as a multiple of the job's own."""
    return 1.0 if part.power_w is None or job.power_w == 0 else part.power_w / job.power_w


def profiled(need: Need, curves: Sequence[Curve], free: Mapping[str, Intervals]) -> Pieces | None:
    job = need.job
    found = cheapest_profiled_window(curves, phases_of(job), need.earliest_s, job.deadline_at_s, free)
    if found is None:
        return None
    by_region = {one.region: one for one in curves}
    integral = run_integral_g_s_per_kwh(by_region[found.segment.region], job, found.segment)
    return Pieces(segments=(found.segment,), integral_g_s_per_kwh=integral)


def may_cost_less(one: Curve, need: Need, than_g_s_per_kwh: float) -> bool:
    """No is certain: all of the work in the cleanest step of the region would cost as much. A gap says nothing."""
    least = need.whole_s * one.pue * float(one.gco2e_per_kwh.min())
    is_bound = least >= 0 or need.job.interruption is None  # where power is paid for, pauses that take time pay too
    return not (is_bound and least >= than_g_s_per_kwh)


def cleanest_as_far_as_known(place: Place, curves: Sequence[Curve], starts_at_s: Mapping[str, float]) -> Place:
    """The same run in the region that is cleanest in the part of it that is known, of those where it starts as early.

    A run that outlasts the forecast has no known sum; but a region that is dirtier for as far as one sees is no better
    a guess for being named first. A region of which nothing is known at the start is not compared with any.
    """
    if len(place.segments) > 1:
        return place
    (run,) = place.segments
    as_early = [one for one in curves if starts_at_s[one.region] <= run.start_at_s + ROUNDING_S]
    known_until_s = {one.region: _known_until_s(one, run) for one in as_early}
    seen_until_s = min(known_until_s.values(), default=run.start_at_s)
    if known_until_s.get(run.region) is None or seen_until_s <= run.start_at_s + ROUNDING_S:
        return place

    def cost(one: Curve) -> tuple[float, bool]:
        return one.integral_g_s_per_kwh(run.start_at_s, seen_until_s), one.region != run.region

    return replace(place, segments=(replace(run, region=min(as_early, key=cost).region),))


def _known_until_s(one: Curve, run: Segment) -> float:
    """How far the run is known without a gap; its start where that is not known."""
    ends = (to_s for from_s, to_s in one.known if from_s <= run.start_at_s < to_s)
    return min(next(ends, run.start_at_s), run.end_at_s)


def first_window(need: Need, starts_at_s: Mapping[str, float]) -> Segment | None:
    """The first of the starts by region, in the region named first among equals."""
    region = min(starts_at_s, key=lambda name: starts_at_s[name], default=None)
    if region is None or math.isinf(starts_at_s[region]):
        return None
    return Segment(start_at_s=starts_at_s[region], end_at_s=starts_at_s[region] + need.whole_s, region=region)


def known_at_once(need: Need, curves: Sequence[Curve], starts_at_s: Mapping[str, float]) -> Pieces | None:
    """The cheapest of the regions' earliest starts, where known and in time."""
    choices = []
    for one in curves:
        start_at_s = starts_at_s[one.region]
        end_at_s = min(start_at_s + need.whole_s, max(need.job.deadline_at_s, start_at_s))
        if end_at_s - start_at_s >= need.whole_s - ROUNDING_S and one.knows(start_at_s, end_at_s):
            only = Segment(start_at_s=start_at_s, end_at_s=end_at_s, region=one.region)
            integral = run_integral_g_s_per_kwh(one, need.job, only)
            choices.append(Pieces(segments=(only,), integral_g_s_per_kwh=integral))
    return min(choices, key=lambda choice: choice.integral_g_s_per_kwh, default=None)


def as_pieces(window: Window) -> Pieces:
    only = Segment(start_at_s=window.start_at_s, end_at_s=window.end_at_s, region=window.region)
    return Pieces(segments=(only,), integral_g_s_per_kwh=window.integral_g_s_per_kwh)


def sooner_if_as_cheap(at_once: Pieces | None, later: Pieces | None) -> Pieces | None:
    if at_once is None or later is None:
        return at_once or later
    gain = at_once.integral_g_s_per_kwh - later.integral_g_s_per_kwh
    return later if gain > TIE_RATIO * abs(at_once.integral_g_s_per_kwh) else at_once


def cause_of(need: Need, found: Pieces) -> Cause:
    has_choice = need.latest_start_at_s - need.earliest_s > 1.0
    return Cause.CLEANEST if has_choice or len(found.segments) > 1 else Cause.NO_SLACK
