"""The place of one job beside what is placed already: cheapest or earliest.

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
from scheduler.planning.one_job.preemptible import Pieces, cheapest_pieces
from scheduler.planning.one_job.window import Window, cheapest_window
from scheduler.planning.open_jobs import job_room
from scheduler.planning.open_jobs.board_kernels import NOBODY, Held
from scheduler.planning.open_jobs.board_loops import BoardLoops
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.glance import least_beside
from scheduler.planning.open_jobs.grid_rows import GridRows, Least, is_surely_above
from scheduler.planning.open_jobs.needs import Need, Place, allowed_regions, job_curve
from scheduler.planning.open_jobs.run_choices import (
    as_pieces,
    cause_of,
    cleaner_first,
    cleanest_as_far_as_known,
    first_window,
    in_words_of,
    known_at_once,
    may_cost_less,
    own_count_first,
    profiled,
    run_in,
    run_integral_g_s_per_kwh,
    sooner_if_as_cheap,
)
from scheduler.planning.open_jobs.window_kernels import Scratch
from scheduler.planning.plan import Cause, Forecasts, Placement, Region, Segment
from scheduler.planning.run_phases import in_phases

# A table of a job among many: some milliseconds, at a quarter of an hour for two days of time.
FLEET_MAX_CELLS = 20_000

_W_S_PER_KWH = 3.6e6


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
            return self._beside_own_count(need, self._over_counts(need, self.cheapest, cleaner_first))
        if (best := self._cheapest_by_bound(need)) is not None:
            integral = best.integral_g_s_per_kwh
            return Place(
                need=need,
                segments=best.segments,
                cause=cause_of(need, best),
                at_once=self.at_once(need),
                integral_g_s_per_kwh=integral,
            )
        regions = allowed_regions(need.job, self.regions)
        starts_at_s = self._first_starts(need, regions)
        at_once = first_window(need, starts_at_s)
        curves = self._curves(need, regions)
        known = self._cheapest_known(need, regions, curves, starts_at_s) if curves else None
        if known is not None:
            cause = cause_of(need, known)
            integral = known.integral_g_s_per_kwh
            return Place(
                need=need, segments=known.segments, cause=cause, at_once=at_once, integral_g_s_per_kwh=integral
            )
        place = self._earliest(need, regions, at_once, Cause.NO_FORECAST)
        if place is None or not place.is_in_time:
            return None
        return cleanest_as_far_as_known(place, curves, starts_at_s)

    def cheaper(self, need: Need, than_g_s_per_kwh: float, where: frozenset[str] | None = None) -> Place | None:
        """The cheapest place this instant, or later with head-room, that costs less; for a job that has one already.

        It spares what only a first place needs: the earliest start in every region. Outside of `where` there must be
        none.
        """
        if need.job.elastic:
            enough = than_g_s_per_kwh * need.job.gpus  # power grows with the number of GPUs
            return self._over_counts(need, lambda one: self.cheaper(one, enough / one.job.gpus), cleaner_first)
        regions = allowed_regions(need.job, self.regions)
        if where is not None and self._is_plain(need):
            regions = [one for one in regions if one.name in where]
        elif (least := self.least(need)) is not None:
            bounds = least.ever_g_s_per_kwh.tolist()
            regions = [
                one for one, bound in zip(regions, bounds, strict=True) if not is_surely_above(bound, than_g_s_per_kwh)
            ]
        curves = [one for one in self._curves(need, regions) if where is None or one.region in where]
        curves = [one for one in curves if may_cost_less(one, need, than_g_s_per_kwh)]
        regions = [one for one in regions if where is None or one.name in where]
        later = self._search(need, regions, curves, self.reserve_ratio) if curves else None
        choices = [*self._this_instant(need, curves, than_g_s_per_kwh), *([later] if later is not None else [])]
        found = min(choices, key=lambda choice: choice.integral_g_s_per_kwh, default=None)
        if found is None or not found.integral_g_s_per_kwh < than_g_s_per_kwh:
            return None
        cause, integral = cause_of(need, found), found.integral_g_s_per_kwh
        return Place(need=need, segments=found.segments, cause=cause, at_once=None, integral_g_s_per_kwh=integral)

    def earliest(self, need: Need, cause: Cause) -> Place | None:
        """The place that ends first, in time or not; None when no allowed region has so many GPUs."""
        if need.job.elastic:
            found = self._over_counts(need, lambda one: self.earliest(one, cause), own_count_first)
            return self._beside_own_count(need, found)
        regions = allowed_regions(need.job, self.regions)
        at_once = self.at_once(need)
        return self._earliest(need, regions, at_once, cause)

    def at_once(self, need: Need) -> Segment | None:
        """The window in one piece that ends first, whatever the deadline; None when no region has so many GPUs."""
        if need.job.elastic:
            window = self._over_counts(need, self._window_at_once, own_count_first)
            return None if window is None else window.segments[0]
        if (this_instant := self._this_instant_anywhere(need)) is not None:
            return this_instant
        starts_at_s: dict[str, float] = {}
        for region in allowed_regions(need.job, self.regions):
            starts_at_s |= self._first_starts(need, (region,))
            if starts_at_s[region.name] <= need.earliest_s:
                break  # no other is earlier
        return first_window(need, starts_at_s)

    def placement(self, place: Place, baseline_gco2e: float | None = None) -> Placement:
        """The place with what it emits; `baseline_gco2e` of an earlier plan of the same job stays its baseline."""
        emissions_gco2e = self.place_gco2e(place)
        if baseline_gco2e is None and place.at_once is not None:
            runs_at_once = place.integral_g_s_per_kwh is None and place.segments == (place.at_once,)
            baseline_gco2e = emissions_gco2e if runs_at_once else self.job_gco2e(place.need.job, (place.at_once,))
        return Placement(
            job_id=place.need.job.id,
            segments=place.segments,
            cause=place.cause,
            emissions_gco2e=emissions_gco2e,
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
        found = [in_words_of(need, one, place) for one in need.at_counts() if (place := place_of(one)) is not None]
        return min(found, key=preference, default=None)

    def _beside_own_count(self, need: Need, place: Place | None) -> Place | None:
        """Run at once an elastic job has its own number of GPUs, whatever number its place has."""
        return None if place is None else replace(place, at_once=self.at_once(need))

    def _window_at_once(self, need: Need) -> Place | None:
        only = self.at_once(need)
        return None if only is None else Place(need=need, segments=(only,), cause=Cause.RUN_NOW, at_once=only)

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

        Both in their order; None where it is not told at a glance. The cleanest regions are looked at first, and those
        not at all that cannot be as cheap whoever holds them.
        """
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
        if self.looks_everywhere(need):
            return self._cheapest_by_loops(need)
        if (where := self._where_cheapest(need)) is None:
            return None
        soon, late = where
        first = known_at_once(need, self._curves(need, soon), self._first_starts(need, soon)) if soon else None
        window = self._window(need, late, self._curves(need, late), self.reserve_ratio) if late else None
        return sooner_if_as_cheap(first, None if window is None else as_pieces(window))

    def _cheapest_by_loops(self, need: Need) -> Pieces | None:
        """The same by compiled loops."""
        assert self.loops is not None and self.rows is not None, "it looks everywhere"
        taken, deadline_s = self.occupancy.table_of(self.regions), need.job.deadline_at_s
        run = self.rows.run(need.job.gpus, need.whole_s, need.earliest_s, deadline_s)
        if taken is None or run is None:
            return None
        scratch, grid, curves = Scratch.of(taken), self.rows.by_region, self.rows.curves
        self.loops.cheapest_places(taken, grid, curves, run, deadline_s, self.reserve_ratio, scratch)
        return sooner_if_as_cheap(self._found(scratch, 0), self._found(scratch, 1))

    def _found(self, scratch: Scratch, index: int) -> Pieces | None:
        """What a loop tells of one run."""
        if (place := int(scratch.places[index])) < 0:
            return None
        start_at_s, end_at_s = float(scratch.start_at_s[index]), float(scratch.end_at_s[index])
        only = Segment(start_at_s=start_at_s, end_at_s=end_at_s, region=self.regions[place].name)
        return Pieces(segments=(only,), integral_g_s_per_kwh=float(scratch.integrals_g_s_per_kwh[index]))

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
                return None if place < 0 else run_in(self.regions[place].name, need)
        regions = allowed_regions(need.job, self.regions) if need.job.regions else self.regions
        from_s, whole_s, gpus = need.earliest_s, need.whole_s, need.job.gpus
        has_room_from = self.occupancy.has_room_from
        name = next((one.name for one in regions if has_room_from(one.name, from_s, whole_s, gpus)), None)
        return None if name is None else run_in(name, need)

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

    def _cheapest_known(
        self, need: Need, regions: Sequence[Region], curves: Sequence[Curve], starts_at_s: Mapping[str, float]
    ) -> Pieces | None:
        """At once anywhere, or later with head-room; later without it only when there is no other way in time."""
        at_once = known_at_once(need, curves, starts_at_s)
        later = self._search(need, regions, curves, self.reserve_ratio)
        if at_once is None and later is None and self.reserve_ratio > 0:
            return self._search(need, regions, curves, 0.0)
        return sooner_if_as_cheap(at_once, later)

    def _search(
        self, need: Need, regions: Sequence[Region], curves: Sequence[Curve], reserve_ratio: float
    ) -> Pieces | None:
        if need.job.interruption is not None:
            return cheapest_pieces(curves, need.work, self._free(need, regions, reserve_ratio), FLEET_MAX_CELLS)
        if need.job.power_profile:
            return profiled(need, curves, self._free(need, regions, reserve_ratio, at_least_s=need.whole_s))
        window = self._window(need, regions, curves, reserve_ratio)
        return None if window is None else as_pieces(window)

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
            integral = None if series is None else series.known_integral_g_s_per_kwh(one.start_at_s, one.end_at_s)
            if region is None or integral is None:
                return None
            total += region.pue * integral * (factor if one.power_w is None else one.power_w)
        return total
