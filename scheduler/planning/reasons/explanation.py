"""Why a job is where it is: what that saves, what keeps it from a better place, and what the next best place is.

A limit binds when the job, placed anew beside everybody else with that limit alone lifted, would emit less. So the
answer is measured in grams, and "nothing binds" means that no other place is cleaner. Computed from a place that is
given, when somebody asks; no plan waits for it. Knows no words: explanation_text.py has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from intensity_feeds.feed import Answer, Rung
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, Intervals
from scheduler.planning.gpu_counts import at_count
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.choices import Choice, FreeTime, Grid
from scheduler.planning.open_jobs.needs import allowed_regions
from scheduler.planning.open_jobs.placing import Board
from scheduler.planning.plan import Cause, Forecasts, Region, Segment

# A limit that costs less than this share of the emissions is noise beside any forecast.
LEAST_GAIN_RATIO = 1e-3
# How far the deadline and the earliest start are lifted: the grid's rhythm is a day.
LIFTED_S = 86_400.0
# What amounts are in, unless an objective is asked.
GRAMS_UNIT = "gCO2e"
# A start nearer than this to the chosen one is the same choice, moved a little.
APART_S = 3600.0


class LimitKind(StrEnum):
    """What can keep a job from a cleaner place."""

    DEADLINE = "deadline"
    EARLIEST_START = "earliest_start"
    CAPACITY = "capacity"
    POWER_CAP = "power_cap"
    POOL = "pool"
    REGIONS = "regions"
    GPU_TYPES = "gpu_types"
    GPUS = "gpus"
    HEAD_ROOM = "head_room"
    HELD = "held"
    AFTER = "after"
    DATA = "data"
    BUDGET = "budget"
    OBJECTIVE_LIMIT = "objective_limit"
    PLAN = "plan"  # no limit: a cleaner place is free, and the plan has not taken it
    FORECAST_END = "forecast_end"


# What keeps a job from room that others have: then it is said when.
_ROOM_KINDS = (LimitKind.CAPACITY, LimitKind.POWER_CAP, LimitKind.POOL, LimitKind.HELD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit that binds, or the plan itself. `instead` is where the job would run without it.

    `taken` are the hours in which others hold the room there; `by` says who they are, or who else stands in the way,
    where that has names. A forecast that ends before the deadline has no `instead`: nobody knows what lies beyond
    `known_until_s`.
    """

    kind: LimitKind
    instead: Choice | None = None
    saves_gco2e: float | None = None
    taken: Intervals = ()
    by: tuple[str, ...] = ()
    known_until_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A forecast that the choice rests on. `rung` is None for a recorded trace, which is no live answer."""

    zone: str
    feed: str
    rung: Rung | None
    issued_at_s: float | None
    quality: Quality
    known_until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One decision, explained. `limits` begins with the one that costs most; none of them binds where it is empty.

    `at_once` is the start without waiting; its emissions are `at_once_gco2e`, None where they are not known.
    `next_best` starts at least an hour apart, or runs in another region. Without `has_choice` neither was sought.
    Amounts are grams, or whatever `unit` says where plans are made by an objective. Of an elastic job `gpus` are the
    fewest and the most that it runs on, and `on_more` is its cheapest run, in one piece, on the most that it could.
    """

    job_id: str
    cause: Cause
    segments: tuple[Segment, ...]
    emissions_gco2e: float | None
    at_once: Segment | None
    at_once_gco2e: float | None
    limits: tuple[Limit, ...]
    next_best: Choice | None
    grounds: tuple[Ground, ...]
    has_choice: bool = True
    unit: str = GRAMS_UNIT
    gpus: tuple[int, int] | None = None
    on_more: Choice | None = None

    @property
    def start_at_s(self) -> float:
        return self.segments[0].start_at_s

    @property
    def end_at_s(self) -> float:
        return self.segments[-1].end_at_s

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.region for one in self.segments))

    @property
    def saves_gco2e(self) -> float | None:
        """Grams less than at once; negative when the place is dirtier."""
        if self.emissions_gco2e is None or self.at_once_gco2e is None:
            return None
        return self.at_once_gco2e - self.emissions_gco2e

    @property
    def saves_ratio(self) -> float | None:
        saves_gco2e = self.saves_gco2e
        return None if saves_gco2e is None or not self.at_once_gco2e else saves_gco2e / self.at_once_gco2e

    @property
    def binds(self) -> LimitKind | None:
        """The limit that costs most; None when nothing stands in the way of a cleaner place."""
        return self.limits[0].kind if self.limits else None


class Places(Protocol):
    """What is known of the regions, and where one job would be cheapest in it."""

    @property
    def regions(self) -> Sequence[Region]: ...

    @property
    def forecasts(self) -> Forecasts: ...

    def kind_in(self, region: str) -> tuple[Signal, Basis] | None:
        """Which question the numbers of a region answer; None where any may be compared."""
        ...

    def cheapest(
        self,
        job: Job,
        room: FreeTime,
        *,
        kind: tuple[Signal, Basis] | None = None,
        restores_first: bool = False,
        besides: frozenset[str] = frozenset(),
    ) -> Choice | None:
        """The cheapest place in known and free time, within the job's own limits; not in the regions `besides`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """A job without one of its limits, the room it then has, and, where these are others, the places it then has."""

    kind: LimitKind
    job: Job
    room: FreeTime
    places: Places | None = None
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """The job held to other times or another form, and, where these are others, the places it then has."""

    job: Job
    places: Places | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A job in its place. `job` is what is left of it: `duration_s` to run between its two limits of time.

    `room` is free beside the others with the head-room kept, `room_without_reserve` beside the others alone (None: none
    is kept), `empty` is the fleet without them, `unheld` is free beside them where regions hold nothing (None: they
    hold nothing), `uncapped` where no power is capped (None: none is). Nothing starts before `not_before_s`. Who knows
    better what can be lifted, and what else there was, says so in `lifts` and `others`.
    """

    job: Job
    segments: tuple[Segment, ...]
    cause: Cause
    emissions_gco2e: float | None
    room: FreeTime
    empty: FreeTime
    not_before_s: float
    room_without_reserve: FreeTime | None = None
    unheld: FreeTime | None = None
    uncapped: FreeTime | None = None
    at_once: Segment | None = None
    at_once_gco2e: float | None = None
    restores_first: bool = False
    is_running: bool = False
    lifts: tuple[Lift, ...] | None = None
    others: tuple[Other, ...] | None = None


def explain(placed: Placed, grid: Places, grounds: Mapping[str, Ground]) -> Explanation:
    """Explain one place; `grounds` by zone. A job that runs already, or is late, has no other choice any more."""
    emissions_gco2e = placed.emissions_gco2e
    limits: tuple[Limit, ...] = ()
    next_best = None
    has_choice = not placed.is_running and placed.cause is not Cause.LATE
    if emissions_gco2e is not None and has_choice:
        limits, next_best = tuple(_limits(placed, grid, emissions_gco2e)), _next_best(placed, grid)
    return Explanation(
        job_id=placed.job.id,
        cause=placed.cause,
        segments=placed.segments,
        emissions_gco2e=emissions_gco2e,
        at_once=placed.at_once,
        at_once_gco2e=placed.at_once_gco2e,
        limits=limits,
        next_best=next_best,
        has_choice=has_choice,
        grounds=tuple(dict.fromkeys(grounds[zone] for zone in _zones(placed, grid) if zone in grounds)),
    )


def emissions_of(grid: Grid, power_w: float, segments: Sequence[Segment]) -> float | None:
    """What the segments emit, PUE included; None where the forecast does not reach."""
    return Board(grid.regions, grid.forecasts, Occupancy(())).emissions_gco2e(power_w, segments)


def ground_of_answer(answer: Answer, now_s: float) -> Ground:
    """What stands behind a live answer; its issue is counted back from its age where the series does not say."""
    issued_at_s = answer.series.issued_at_s
    if issued_at_s is None:
        issued_at_s = now_s - answer.age_s
    return _ground(answer.series, feed=answer.feed, rung=answer.rung, issued_at_s=issued_at_s)


def ground_of_trace(series: IntensitySeries) -> Ground:
    """What stands behind a recorded series."""
    return _ground(series, feed=series.source or "trace", rung=None, issued_at_s=series.issued_at_s)


# -- what binds ------------------------------------------------------------------------------------------------------


def _limits(placed: Placed, grid: Places, emissions_gco2e: float) -> Iterator[Limit]:
    """The limits that bind, the dearest first; a forecast that ends too early last, as its cost is unknown."""
    kind = grid.kind_in(placed.segments[0].region)
    as_it_is = grid.cheapest(placed.job, placed.room, kind=kind, restores_first=placed.restores_first)
    # What could be had without lifting anything is no limit's fault: others have moved since it was planned.
    least_gco2e, found = emissions_gco2e, []
    if as_it_is is not None and _is_less(as_it_is.emissions_gco2e, emissions_gco2e):
        least_gco2e = as_it_is.emissions_gco2e
        found.append(Limit(kind=LimitKind.PLAN, instead=as_it_is, saves_gco2e=emissions_gco2e - least_gco2e))
    for lift in _lifted(placed) if placed.lifts is None else placed.lifts:
        instead = (lift.places or grid).cheapest(lift.job, lift.room, kind=kind, restores_first=placed.restores_first)
        if instead is None or not _is_less(instead.emissions_gco2e, least_gco2e):
            continue
        taken = _taken(placed, instead) if lift.kind in _ROOM_KINDS else ()
        saves_gco2e = emissions_gco2e - instead.emissions_gco2e
        found.append(Limit(kind=lift.kind, instead=instead, saves_gco2e=saves_gco2e, taken=taken, by=lift.by))
    yield from sorted(found, key=lambda limit: -(limit.saves_gco2e or 0.0))
    known_until_s = _known_until_s(placed.job, grid)
    if known_until_s is not None:
        yield Limit(kind=LimitKind.FORECAST_END, known_until_s=known_until_s)


def _is_less(emissions_gco2e: float, other_gco2e: float) -> bool:
    return other_gco2e - emissions_gco2e > LEAST_GAIN_RATIO * abs(other_gco2e)


def _lifted(placed: Placed) -> Iterator[Lift]:
    """The job with one limit lifted at a time."""
    job, room = placed.job, placed.room
    if placed.uncapped is not None:  # first: of two limits that cost as much the narrower one is told
        yield Lift(kind=LimitKind.POWER_CAP, job=job, room=placed.uncapped)
    yield Lift(kind=LimitKind.CAPACITY, job=job, room=placed.empty)
    if placed.room_without_reserve is not None:
        yield Lift(kind=LimitKind.HEAD_ROOM, job=job, room=placed.room_without_reserve)
    if placed.unheld is not None:
        yield Lift(kind=LimitKind.HELD, job=job, room=placed.unheld)
    later = replace(job, deadline_at_s=job.deadline_at_s + LIFTED_S)
    yield Lift(kind=LimitKind.DEADLINE, job=later, room=room)
    asked_s = job.asked_earliest_start_at_s
    kind = LimitKind.EARLIEST_START if asked_s is None else LimitKind.BUDGET
    earlier_s = max(placed.not_before_s, job.earliest_start_at_s - LIFTED_S if asked_s is None else asked_s)
    if earlier_s < job.earliest_start_at_s - ROUNDING_S:
        yield Lift(kind=kind, job=replace(job, earliest_start_at_s=earlier_s), room=room)
    if job.regions:
        yield Lift(kind=LimitKind.REGIONS, job=replace(job, regions=()), room=room)


def _taken(placed: Placed, instead: Choice) -> Intervals:
    """When the room in a better place is taken, or held, joined where it is one stretch."""
    room = placed.room_without_reserve or placed.room
    held: list[tuple[float, float]] = []
    for one in instead.segments:
        gpus = placed.job.gpus if one.gpus is None else one.gpus
        power_w = placed.job.power_w if one.power_w is None else one.power_w
        held += _outside(one, room.free(replace(placed.job, gpus=gpus, power_w=power_w), one.region))
    return _joined(held)


def _outside(one: Segment, free: Intervals) -> Iterator[tuple[float, float]]:
    """The parts of a segment that are not free."""
    from_s = one.start_at_s
    for free_from_s, free_to_s in (*free, (one.end_at_s, one.end_at_s)):
        if free_to_s < from_s:
            continue
        until_s = min(free_from_s, one.end_at_s)
        if until_s > from_s + ROUNDING_S:
            yield from_s, until_s
        from_s = max(from_s, free_to_s)


def _joined(stretches: Sequence[tuple[float, float]]) -> Intervals:
    joined: list[tuple[float, float]] = []
    for from_s, to_s in stretches:
        if joined and from_s <= joined[-1][1] + ROUNDING_S:
            joined[-1] = joined[-1][0], max(to_s, joined[-1][1])
        else:
            joined.append((from_s, to_s))
    return tuple(joined)


def _known_until_s(job: Job, grid: Places) -> float | None:
    ends = [
        grid.forecasts[one.zone].end_at_s for one in allowed_regions(job, grid.regions) if one.zone in grid.forecasts
    ]
    return min((end_s for end_s in ends if end_s < job.deadline_at_s), default=None)


# -- what else there was ---------------------------------------------------------------------------------------------


def _next_best(placed: Placed, grid: Places) -> Choice | None:
    """The cheapest of the other regions' places and of the other times in the same regions."""
    kind = grid.kind_in(placed.segments[0].region)
    here = frozenset(one.region for one in placed.segments)
    choices = [grid.cheapest(placed.job, placed.room, kind=kind, restores_first=placed.restores_first, besides=here)]
    others = [Other(job=job) for job in _moved_apart(placed)] if placed.others is None else placed.others
    choices += [(one.places or grid).cheapest(one.job, placed.room, kind=kind) for one in others]
    choices += [
        grid.cheapest(job, placed.room, kind=kind, restores_first=placed.restores_first) for job in _besides(placed)
    ]
    return min((one for one in choices if one is not None), key=lambda one: one.emissions_gco2e, default=None)


def _moved_apart(placed: Placed) -> Iterator[Job]:
    """The job in one piece where it already runs, once well before the chosen start and once well after it."""
    job, start_at_s = _only_on(placed.job, placed.segments[0].gpus), placed.segments[0].start_at_s
    duration_s = at_count(job, job.gpus).duration_s
    here = replace(job, regions=tuple(dict.fromkeys(one.region for one in placed.segments)), interruption=None)
    if len(placed.segments) > 1:  # any single piece is another choice than many
        yield here
        return
    before_s = min(job.deadline_at_s, start_at_s - APART_S + duration_s)
    if before_s - duration_s >= job.earliest_start_at_s:
        yield replace(here, deadline_at_s=before_s)
    after_s = start_at_s + APART_S
    if after_s + duration_s <= job.deadline_at_s + ROUNDING_S:
        yield replace(here, earliest_start_at_s=after_s)


def _besides(placed: Placed) -> Iterator[Job]:
    """An elastic job on each of its other numbers of GPUs."""
    chosen = placed.segments[-1].gpus
    yield from (_only_on(placed.job, gpus) for gpus, _ in placed.job.elastic if gpus != chosen)


def _only_on(job: Job, gpus: int | None) -> Job:
    """An elastic job that may run on so many GPUs only; any other as it is."""
    plain = at_count(job, gpus)
    return replace(plain, elastic=((plain.gpus, 1.0),)) if job.elastic else job


def _zones(placed: Placed, grid: Places) -> list[str]:
    """The zones that were compared, those that are used first."""
    by_name = {region.name: region.zone for region in grid.regions}
    used = [by_name[one.region] for one in placed.segments if one.region in by_name]
    return list(dict.fromkeys([*used, *(one.zone for one in allowed_regions(placed.job, grid.regions))]))


def _ground(series: IntensitySeries, *, feed: str, rung: Rung | None, issued_at_s: float | None) -> Ground:
    return Ground(
        zone=series.zone,
        feed=feed,
        rung=rung,
        issued_at_s=issued_at_s,
        quality=series.quality,
        known_until_s=series.end_at_s,
    )
