"""The place of one job beside what is placed already: cheapest, earliest, or why there is none.

What the planners share. A job waits only for a window that is known to be cleaner and that leaves head-room for jobs
that are not submitted yet; the earliest start in each region is always a choice and needs none. When no window is fully
known, the job runs early (Cause.NO_FORECAST). When the forecast ends before the deadline, the windows inside it are
compared with each other and nothing is assumed of the rest. Regions whose forecast answers another question than the
first known one (marginal beside average, direct beside life-cycle) count as not known. Knows no order of jobs.

A joint plan tries many places for each job and keeps one. So a place is priced, and a refusal is put into words, only
when the plan that is returned holds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from intensity_feeds.series import Basis, Floats, Signal
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, Curve, Intervals, flat
from scheduler.planning.gpu_counts import on_count
from scheduler.planning.one_job.power_profile import cheapest_profiled_window
from scheduler.planning.one_job.preemptible import Pieces, cheapest_pieces
from scheduler.planning.one_job.window import TIE_RATIO, Window, cheapest_window
from scheduler.planning.open_jobs import job_room
from scheduler.planning.open_jobs.board_kernels import Held
from scheduler.planning.open_jobs.board_loops import NOBODY, BoardLoops
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.glance import least_beside
from scheduler.planning.open_jobs.grid_rows import GridRows, Least, as_cheap, is_surely_above
from scheduler.planning.open_jobs.needs import Need, Place, allowed_regions, job_curve
from scheduler.planning.plan import Cause, Forecasts, Obstacle, Placement, Refusal, Region, Segment
from scheduler.planning.run_phases import in_phases, most_w, phases_of
from scheduler.quantities import format_instant

# A table of a job among many: some milliseconds, at a quarter of an hour for two days of time.
FLEET_MAX_CELLS = 20_000

_W_S_PER_KWH = 3.6e6
_ROUNDING_W = 1e-6


@dataclass(slots=True)
class Board:
    """Regions, what is known of their grids, and what is taken; `reserve_ratio` of the GPUs is the head-room.

    `rows` are the forecasts as one table, where they are alike. Compiled `loops` look at all regions at once.
    """

    regions: Sequence[Region]
    forecasts: Forecasts
    occupancy: Occupancy
    reserve_ratio: float = 0.0
    rows: GridRows | None = None
    loops: BoardLoops | None = None

    # -- asking -----------------------------------------------------------------------------------------------------

    def cheapest(self, need: Need) -> Place | None:
        """The cheapest place in time; None when there is no room in time."""
        if need.job.elastic:
            return self._beside_own_count(need, self._over_counts(need, self.cheapest, _cleaner_first))
        if (best := self._cheapest_by_bound(need)) is not None:
            integral = best.integral_g_s_per_kwh
            return Place(
                need=need,
                segments=best.segments,
                cause=_cause(need, best),
                at_once=self.at_once(need),
                integral_g_s_per_kwh=integral,
            )
        regions = allowed_regions(need.job, self.regions)
        starts_at_s = self._first_starts(need, regions)
        at_once = _first_window(need, starts_at_s)
        curves = self._curves(need, regions)
        known = self._cheapest_known(need, regions, curves, starts_at_s) if curves else None
        if known is not None:
            cause = _cause(need, known)
            integral = known.integral_g_s_per_kwh
            return Place(
                need=need, segments=known.segments, cause=cause, at_once=at_once, integral_g_s_per_kwh=integral
            )
        place = self._earliest(need, regions, at_once, Cause.NO_FORECAST)
        if place is None or not place.is_in_time:
            return None
        return _cleanest_as_far_as_known(place, curves, starts_at_s)

    def cheaper(self, need: Need, than_g_s_per_kwh: float, where: frozenset[str] | None = None) -> Place | None:
        """The cheapest place this instant, or later with head-room, that costs less; for a job that has one already.

        It spares what only a first place needs: the earliest start in every region. Outside of `where` there must be
        none.
        """
        if need.job.elastic:
            enough = than_g_s_per_kwh * need.job.gpus  # power grows with the number of GPUs
            return self._over_counts(need, lambda one: self.cheaper(one, enough / one.job.gpus), _cleaner_first)
        regions = allowed_regions(need.job, self.regions)
        if where is not None and self._is_plain(need):
            regions = [one for one in regions if one.name in where]
        elif (least := self.least(need)) is not None:
            bounds = least.ever_g_s_per_kwh.tolist()
            regions = [
                one for one, bound in zip(regions, bounds, strict=True) if not is_surely_above(bound, than_g_s_per_kwh)
            ]
        curves = [one for one in self._curves(need, regions) if where is None or one.region in where]
        curves = [one for one in curves if _may_cost_less(one, need, than_g_s_per_kwh)]
        regions = [one for one in regions if where is None or one.name in where]
        later = self._search(need, regions, curves, self.reserve_ratio) if curves else None
        choices = [*self._this_instant(need, curves, than_g_s_per_kwh), *([later] if later is not None else [])]
        found = min(choices, key=lambda choice: choice.integral_g_s_per_kwh, default=None)
        if found is None or not found.integral_g_s_per_kwh < than_g_s_per_kwh:
            return None
        cause, integral = _cause(need, found), found.integral_g_s_per_kwh
        return Place(need=need, segments=found.segments, cause=cause, at_once=None, integral_g_s_per_kwh=integral)

    def earliest(self, need: Need, cause: Cause) -> Place | None:
        """The place that ends first, in time or not; None when no allowed region has so many GPUs."""
        if need.job.elastic:
            found = self._over_counts(need, lambda one: self.earliest(one, cause), _own_count_first)
            return self._beside_own_count(need, found)
        regions = allowed_regions(need.job, self.regions)
        at_once = self.at_once(need)
        return self._earliest(need, regions, at_once, cause)

    def at_once(self, need: Need) -> Segment | None:
        """The window in one piece that ends first, whatever the deadline; None when no region has so many GPUs."""
        if need.job.elastic:
            window = self._over_counts(need, self._window_at_once, _own_count_first)
            return None if window is None else window.segments[0]
        if (this_instant := self._this_instant_anywhere(need)) is not None:
            return this_instant
        starts_at_s: dict[str, float] = {}
        for region in allowed_regions(need.job, self.regions):
            starts_at_s |= self._first_starts(need, (region,))
            if starts_at_s[region.name] <= need.earliest_s:
                break  # no other is earlier
        return _first_window(need, starts_at_s)

    def obstacle(self, need: Need, at_once: Segment | None) -> Obstacle:
        """What keeps a job that could run `at_once` from being in time."""
        need = self._at_widest(need)
        if at_once is None:
            return self._size_obstacle(need.job)
        if need.earliest_s > need.latest_start_at_s + ROUNDING_S:
            return Obstacle.DEADLINE
        is_held = self.alone_start_at_s(need) > need.latest_start_at_s + ROUNDING_S
        if is_held:
            return Obstacle.HELD
        return Obstacle.POWER_CAP if self._is_short_of_power(need) else Obstacle.CAPACITY

    def alone_start_at_s(self, need: Need) -> float:
        """When the job could start were nobody else there: later than it may only where regions hold GPUs."""
        need = self._at_widest(need)
        regions = allowed_regions(need.job, self.regions)
        if not any(region.held for region in regions):
            return need.earliest_s
        empty = Occupancy(regions)
        firsts = (job_room.first_start_at_s(empty, one, need.job, need.earliest_s, need.whole_s) for one in regions)
        return min(firsts)

    def refusal(self, need: Need, at_once: Segment | None) -> Refusal:
        """Why the job has no place in time, and the first finish that has."""
        obstacle = self.obstacle(need, at_once)
        return Refusal(
            job_id=need.job.id,
            obstacle=obstacle,
            what=self._refusal_text(self._at_widest(need).job, obstacle),
            earliest_finish_at_s=None if at_once is None else at_once.end_at_s,
        )

    def placement(self, place: Place, baseline_gco2e: float | None = None) -> Placement:
        """The place with what it emits; `baseline_gco2e` of an earlier plan of the same job stays its baseline."""
        if baseline_gco2e is None and place.at_once is not None:
            baseline_gco2e = self.job_gco2e(place.need.job, (place.at_once,))
        return Placement(
            job_id=place.need.job.id,
            segments=place.segments,
            cause=place.cause,
            emissions_gco2e=self.place_gco2e(place),
            baseline_emissions_gco2e=baseline_gco2e,
            at_once=place.at_once,
        )

    def place_gco2e(self, place: Place) -> float | None:
        if place.integral_g_s_per_kwh is None:
            return self.job_gco2e(place.need.job, place.segments)
        return place.need.job.power_w / 1000.0 * place.integral_g_s_per_kwh / 3600.0

    def has_room(self, piece: Segment, job: Job) -> bool:
        """Whether the job is allowed there and its GPUs are free."""
        return self._has_room(piece, job, 0.0)

    def has_head_room(self, piece: Segment, job: Job) -> bool:
        """Whether the job is allowed there, its GPUs are free, and the head-room is left beside it."""
        return self._has_room(piece, job, self.reserve_ratio)

    def take(self, place: Place) -> None:
        job_room.take(self.occupancy, place.need.job, place.segments)

    def give_back(self, place: Place) -> None:
        job_room.give_back(self.occupancy, place.need.job, place.segments)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _has_room(self, piece: Segment, job: Job, reserve_ratio: float) -> bool:
        if job.regions and piece.region not in job.regions:
            return False
        region = next((one for one in self.regions if one.name == piece.region), None)
        return region is not None and job_room.fits(self.occupancy, region, job, piece, reserve_ratio)

    def _over_counts(
        self, need: Need, place_of: Callable[[Need], Place | None], preference: Callable[[Place], tuple[float, ...]]
    ) -> Place | None:
        """The best of the places of an elastic job on each number of GPUs, in the words of the job itself."""
        found = [_on_count(need, one, place) for one in need.at_counts() if (place := place_of(one)) is not None]
        return min(found, key=preference, default=None)

    def _beside_own_count(self, need: Need, place: Place | None) -> Place | None:
        """Run at once an elastic job has its own number of GPUs, whatever number its place has."""
        return None if place is None else replace(place, at_once=self.at_once(need))

    def _window_at_once(self, need: Need) -> Place | None:
        only = self.at_once(need)
        return None if only is None else Place(need=need, segments=(only,), cause=Cause.RUN_NOW, at_once=only)

    def _at_widest(self, need: Need) -> Need:
        """An elastic job on the most GPUs that some region it may run in has, with their power; else on the fewest."""
        if not need.job.elastic:
            return need
        empty, regions = Occupancy(self.regions), allowed_regions(need.job, self.regions)
        every = sorted(need.at_counts(), key=lambda one: one.job.gpus)
        fitting = [
            one
            for one in every
            if any(not math.isinf(job_room.first_start_at_s(empty, where, one.job, 0.0, 1.0)) for where in regions)
        ]
        return max(fitting or every[:1], key=lambda one: (-one.whole_s, one.job.gpus))

    def least(self, need: Need) -> Least | None:
        """What the job emits at the least in each region; None where that is not told at a glance."""
        if self.rows is None or not self._is_plain(need):
            return None
        return self.rows.least(need.whole_s, need.earliest_s, need.job.deadline_at_s)

    def least_beside(self, need: Need, held: Held = NOBODY, enough_g_s_per_kwh: float = math.inf) -> Floats | None:
        """What the job emits at the least at the first instant with room, and later with head-room: (2, regions).

        Infinite where it is not in time, or surely above what is enough or what another region has; None where
        compiled loops do not tell it. What is `held` counts as free.
        """
        if self.loops is None or self.rows is None or not self._is_plain(need):
            return None
        taken = self.occupancy.table_of(self.regions)
        run = self.rows.run(need.job.gpus, need.whole_s, need.earliest_s, need.job.deadline_at_s)
        if taken is None or run is None:
            return None
        told = np.empty((2, len(self.regions)))
        grid, reserve_ratio = self.rows.by_region, self.reserve_ratio
        self.loops.least_everywhere(taken, grid, run, reserve_ratio, held, enough_g_s_per_kwh, told)
        return told

    def looks_everywhere(self, need: Need) -> bool:
        """Whether compiled loops tell of the job, in so far as its time is known."""
        return self.loops is not None and self._is_plain(need) and self.occupancy.table_of(self.regions) is not None

    def _is_plain(self, need: Need) -> bool:
        """Whether it is one run of one power in any region, and all regions are in one table."""
        job = need.job
        is_one_run = job.interruption is None and not job.power_profile and not job.elastic
        return self.rows is not None and is_one_run and not job.regions

    def _where_cheapest(self, need: Need) -> tuple[list[Region], list[Region]] | None:
        """The regions whose first instant with room may be as cheap as anything, and those where that is later.

        Both in their order; None where it is not told at a glance. Without compiled loops the cleanest regions are
        looked at first, and those not at all that cannot be as cheap whoever holds them.
        """
        if (beside := self.least_beside(need)) is not None:
            best_g_s_per_kwh = float(beside.min())
            if math.isinf(best_g_s_per_kwh):
                return None
            by_index = [[self.regions[place] for place in as_cheap(one, best_g_s_per_kwh)] for one in beside]
            return by_index[0], by_index[1]
        if (least := self.least(need)) is None:
            return None
        bounds = least.ever_g_s_per_kwh
        found: dict[int, tuple[float, float]] = {}
        best_g_s_per_kwh = math.inf
        for place in bounds.argsort(kind="stable").tolist():
            bound = float(bounds[place])
            if is_surely_above(bound, best_g_s_per_kwh):
                break
            region = self.regions[place]
            if region.held or region.power_cap_w is not None:
                found[place] = (bound, bound)  # more than GPUs is to be looked at
                continue
            found[place] = least_beside(self.occupancy, region, need.job.gpus, self.reserve_ratio, least, place)
            best_g_s_per_kwh = min(best_g_s_per_kwh, *found[place])
        if math.isinf(best_g_s_per_kwh):
            return None
        places = sorted(found)
        soon = [self.regions[one] for one in places if not is_surely_above(found[one][0], best_g_s_per_kwh)]
        late = [self.regions[one] for one in places if not is_surely_above(found[one][1], best_g_s_per_kwh)]
        return soon, late

    def _cheapest_by_bound(self, need: Need) -> Pieces | None:
        """As `_cheapest_known`, looking only where something as cheap as what is found may be; None: look everywhere.

        What is as cheap as the cheapest is compared in the order of the regions.
        """
        if (where := self._where_cheapest(need)) is None:
            return None
        soon, late = where
        first = _at_once(need, self._curves(need, soon), self._first_starts(need, soon)) if soon else None
        window = self._window(need, late, self._curves(need, late), self.reserve_ratio) if late else None
        return _sooner_if_as_cheap(first, None if window is None else _as_pieces(window))

    def _curves(self, need: Need, regions: Sequence[Region]) -> list[Curve]:
        """What is known between earliest start and deadline, all of one kind."""
        question: tuple[Signal, Basis] | None = None
        curves = []
        for region in regions:
            series = self.forecasts.get(region.zone)
            if series is None or question not in (None, (series.signal, series.basis)):
                continue
            part = job_curve(need.job, region, series, need.earliest_s, need.job.deadline_at_s)
            if part is not None:
                question = (series.signal, series.basis)
                curves.append(part)
        return curves

    def _first_starts(self, need: Need, regions: Sequence[Region]) -> dict[str, float]:
        """The first instant in each region with room for all of it in one piece, whatever the deadline."""
        first, job, from_s, whole_s = job_room.first_start_at_s, need.job, need.earliest_s, need.whole_s
        return {region.name: first(self.occupancy, region, job, from_s, whole_s) for region in regions}

    def _this_instant_anywhere(self, need: Need) -> Segment | None:
        """The start at the earliest instant in the first region with room; where power counts it is not told."""
        if self.occupancy.counts_power:
            return None
        if self.loops is not None and not need.job.regions:
            taken = self.occupancy.table_of(self.regions)
            if taken is not None:
                place = self.loops.first_with_room(taken, need.job.gpus, need.earliest_s, need.whole_s)
                return None if place < 0 else _run_in(self.regions[place].name, need)
        regions = allowed_regions(need.job, self.regions) if need.job.regions else self.regions
        from_s, whole_s, gpus = need.earliest_s, need.whole_s, need.job.gpus
        has_room_from = self.occupancy.has_room_from
        name = next((one.name for one in regions if has_room_from(one.name, from_s, whole_s, gpus)), None)
        return None if name is None else _run_in(name, need)

    def _this_instant(self, need: Need, curves: Sequence[Curve], below_g_s_per_kwh: float) -> Iterator[Pieces]:
        """The start at the earliest instant in each region with room, where it costs less."""
        start_at_s, end_at_s = need.earliest_s, need.earliest_s + need.whole_s
        if end_at_s > need.job.deadline_at_s + ROUNDING_S:
            return
        for one in curves:
            only = Segment(start_at_s=start_at_s, end_at_s=end_at_s, region=one.region)
            if not self.has_room(only, need.job) or not one.knows(start_at_s, end_at_s):
                continue
            integral = run_integral_g_s_per_kwh(one, need.job, only)
            if integral < below_g_s_per_kwh:
                yield Pieces(segments=(only,), integral_g_s_per_kwh=integral)

    def _earliest(self, need: Need, regions: Sequence[Region], at_once: Segment | None, cause: Cause) -> Place | None:
        if at_once is None:
            return None
        place = Place(need=need, segments=(at_once,), cause=cause, at_once=at_once)
        if not place.is_in_time and (packed := self._pieces_in_the_dark(need, regions)):
            return Place(need=need, segments=packed, cause=cause, at_once=at_once)
        return place

    def _size_obstacle(self, job: Job) -> Obstacle:
        """Why not even an empty fleet could hold it."""
        regions = allowed_regions(job, self.regions)
        if not regions:
            return Obstacle.REGION
        return Obstacle.POWER_CAP if any(region.gpus >= job.gpus for region in regions) else Obstacle.GPUS

    def _is_short_of_power(self, need: Need) -> bool:
        """Whether the job could start in time were it not for what others draw."""
        if all(region.power_cap_w is None for region in self.regions):
            return False
        first, whole_s, gpus = self.occupancy.earliest_start_at_s, need.whole_s, need.job.gpus
        firsts = (first(one.name, need.earliest_s, whole_s, gpus) for one in allowed_regions(need.job, self.regions))
        return min(firsts, default=math.inf) <= need.latest_start_at_s + ROUNDING_S

    def _refusal_text(self, job: Job, obstacle: Obstacle) -> str:
        match obstacle:
            case Obstacle.REGION:
                return f"no region of {', '.join(job.regions) or 'any'} exists"
            case Obstacle.GPUS:
                most = max(region.gpus for region in allowed_regions(job, self.regions))
                return f"needs {job.gpus} GPUs at once, the largest allowed region has {most}"
            case Obstacle.POWER_CAP:
                return self._power_text(job)
            case Obstacle.DEADLINE:
                because = "there is not so much time"
            case Obstacle.HELD:
                because = "GPUs are reserved or in maintenance"
            case Obstacle.CAPACITY:
                because = f"the room for {job.gpus} GPUs is taken"
        return f"cannot finish by {format_instant(job.deadline_at_s)}: {because}"

    def _cheapest_known(
        self, need: Need, regions: Sequence[Region], curves: Sequence[Curve], starts_at_s: Mapping[str, float]
    ) -> Pieces | None:
        """At once anywhere, or later with head-room; later without it only when there is no other way in time."""
        at_once = _at_once(need, curves, starts_at_s)
        later = self._search(need, regions, curves, self.reserve_ratio)
        if at_once is None and later is None and self.reserve_ratio > 0:
            return self._search(need, regions, curves, 0.0)
        return _sooner_if_as_cheap(at_once, later)

    def _search(
        self, need: Need, regions: Sequence[Region], curves: Sequence[Curve], reserve_ratio: float
    ) -> Pieces | None:
        if need.job.interruption is not None:
            return cheapest_pieces(curves, need.work, self._free(need, regions, reserve_ratio), FLEET_MAX_CELLS)
        if need.job.power_profile:
            return _profiled(need, curves, self._free(need, regions, reserve_ratio, at_least_s=need.whole_s))
        window = self._window(need, regions, curves, reserve_ratio)
        return None if window is None else _as_pieces(window)

    def _window(
        self, need: Need, regions: Sequence[Region], curves: Sequence[Curve], reserve_ratio: float
    ) -> Window | None:
        free = self._free(need, regions, reserve_ratio, at_least_s=need.whole_s)
        return cheapest_window(curves, need.whole_s, need.earliest_s, need.job.deadline_at_s, free)

    def _pieces_in_the_dark(self, need: Need, regions: Sequence[Region]) -> tuple[Segment, ...]:
        """Pieces that meet the deadline on a grid of which nothing is known; empty when there are none."""
        if need.job.interruption is None or not need.earliest_s + need.whole_s <= need.job.deadline_at_s:
            return ()
        curves = [flat(region.name, need.earliest_s, need.job.deadline_at_s) for region in regions]
        packed = cheapest_pieces(curves, need.work, self._free(need, regions, 0.0), FLEET_MAX_CELLS)
        return packed.segments if packed else ()

    def _power_text(self, job: Job) -> str:
        regions = [one for one in allowed_regions(job, self.regions) if one.gpus >= job.gpus]
        needs_w = {one.name: most_w(job) * one.facility_ratio for one in regions}
        caps_w = {one.name: math.inf if one.power_cap_w is None else one.power_cap_w for one in regions}
        widest = max(regions, key=lambda one: caps_w[one.name] - needs_w[one.name])
        needs = f"{needs_w[widest.name] / 1000.0:.4g} kW"
        cap = f"the power cap of {widest.name} is {caps_w[widest.name] / 1000.0:.4g} kW"
        if needs_w[widest.name] > caps_w[widest.name] + _ROUNDING_W:
            return f"draws {needs}, its share of cooling included, and {cap}"
        by = format_instant(job.deadline_at_s)
        return f"cannot finish by {by}: {cap}, and others draw too much of it beside the {needs} of the job"

    def _free(
        self, need: Need, regions: Sequence[Region], reserve_ratio: float, at_least_s: float = 0.0
    ) -> dict[str, Intervals]:
        job = need.job
        return {
            region.name: job_room.free(
                self.occupancy, region, job, need.earliest_s, job.deadline_at_s, reserve_ratio, at_least_s
            )
            for region in regions
        }

    def emissions_gco2e(self, power_w: float, segments: Sequence[Segment]) -> float | None:
        """What the segments emit at this power, or at their own, PUE included; None where the forecast ends before."""
        total = self._weighed(segments, power_w)
        return None if total is None else total / _W_S_PER_KWH

    def job_gco2e(self, job: Job, segments: Sequence[Segment]) -> float | None:
        """What the job emits in the segments, in each of its phases."""
        return self.emissions_gco2e(job.power_w, in_phases(job, segments))

    def integral_g_s_per_kwh(self, job: Job, segments: Sequence[Segment]) -> float | None:
        """What the job emits for each kW of its own power, times 3600; None where the forecast does not reach."""
        if not job.power_profile and not job.elastic:
            return self._weighed(segments, 1.0)
        total = self._weighed(in_phases(job, segments), job.power_w)
        return None if total is None or job.power_w == 0 else total / job.power_w

    def _weighed(self, segments: Sequence[Segment], factor: float) -> float | None:
        """The sum over segments of their integral, PUE included, times their own power, or the factor."""
        total = 0.0
        for one in segments:
            region = next((region for region in self.regions if region.name == one.region), None)
            series = None if region is None else self.forecasts.get(region.zone)
            if region is None or series is None or not series.covers(one.start_at_s, one.end_at_s):
                return None
            integral = region.pue * series.integral_g_s_per_kwh(one.start_at_s, one.end_at_s)
            total += integral * (factor if one.power_w is None else one.power_w)
        return total


def _on_count(need: Need, plain: Need, place: Place) -> Place:
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


def _cleaner_first(place: Place) -> tuple[float, ...]:
    """What is known before what is not, then the least emissions; among equals, and in the dark, as if run at once."""
    integral = place.integral_g_s_per_kwh
    return (integral is None, integral or 0.0, *_own_count_first(place))


def _own_count_first(place: Place) -> tuple[float, ...]:
    """The job's own number of GPUs where that is in time, else whichever ends first."""
    has_own = place.is_in_time and place.segments[0].gpus == place.need.job.gpus
    return not has_own, place.end_at_s, place.segments[0].gpus or 0


def _run_in(region: str, need: Need) -> Segment:
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


def _profiled(need: Need, curves: Sequence[Curve], free: Mapping[str, Intervals]) -> Pieces | None:
    job = need.job
    found = cheapest_profiled_window(curves, phases_of(job), need.earliest_s, job.deadline_at_s, free)
    if found is None:
        return None
    by_region = {one.region: one for one in curves}
    integral = run_integral_g_s_per_kwh(by_region[found.segment.region], job, found.segment)
    return Pieces(segments=(found.segment,), integral_g_s_per_kwh=integral)


def _may_cost_less(one: Curve, need: Need, than_g_s_per_kwh: float) -> bool:
    """No is certain: all of the work in the cleanest step of the region would cost as much. A gap says nothing."""
    least = need.whole_s * one.pue * float(one.gco2e_per_kwh.min())
    is_bound = least >= 0 or need.job.interruption is None  # where power is paid for, pauses that take time pay too
    return not (is_bound and least >= than_g_s_per_kwh)


def _cleanest_as_far_as_known(place: Place, curves: Sequence[Curve], starts_at_s: Mapping[str, float]) -> Place:
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


def _first_window(need: Need, starts_at_s: Mapping[str, float]) -> Segment | None:
    """The first of the starts by region, in the region named first among equals."""
    region = min(starts_at_s, key=lambda name: starts_at_s[name], default=None)
    if region is None or math.isinf(starts_at_s[region]):
        return None
    return Segment(start_at_s=starts_at_s[region], end_at_s=starts_at_s[region] + need.whole_s, region=region)


def _at_once(need: Need, curves: Sequence[Curve], starts_at_s: Mapping[str, float]) -> Pieces | None:
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


def _as_pieces(window: Window) -> Pieces:
    only = Segment(start_at_s=window.start_at_s, end_at_s=window.end_at_s, region=window.region)
    return Pieces(segments=(only,), integral_g_s_per_kwh=window.integral_g_s_per_kwh)


def _sooner_if_as_cheap(at_once: Pieces | None, later: Pieces | None) -> Pieces | None:
    if at_once is None or later is None:
        return at_once or later
    gain = at_once.integral_g_s_per_kwh - later.integral_g_s_per_kwh
    return later if gain > TIE_RATIO * abs(at_once.integral_g_s_per_kwh) else at_once


def _cause(need: Need, found: Pieces) -> Cause:
    has_choice = need.latest_start_at_s - need.earliest_s > 1.0
    return Cause.CLEANEST if has_choice or len(found.segments) > 1 else Cause.NO_SLACK
