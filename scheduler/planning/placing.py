"""The place of one job beside what is placed already: cheapest, earliest, or why there is none.

What the planners share. A job waits only for a window that is known to be cleaner and that leaves head-room for jobs
that are not submitted yet; the earliest start in each region is always a choice and needs none. When no window is fully
known, the job runs early (Cause.NO_FORECAST). When the forecast ends before the deadline, the windows inside it are
compared with each other and nothing is assumed of the rest. Regions whose forecast answers another question than the
first known one (marginal beside average, direct beside life-cycle) count as not known. Knows no order of jobs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from intensity_feeds.series import Basis, Signal
from scheduler.jobs import Interruption, Job
from scheduler.planning.capacity import Occupancy
from scheduler.planning.curve import ROUNDING_S, Curve, Intervals, curve, flat
from scheduler.planning.plan import Cause, Forecasts, Obstacle, Placement, Refusal, Region, Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.preemptible import Pieces, Work, cheapest_pieces
from scheduler.planning.window import TIE_RATIO, cheapest_window
from scheduler.quantities import format_instant

# A table of a job among many: some milliseconds, at a quarter of an hour for two days of time.
FLEET_MAX_CELLS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What is left of one job and the time it has, at the instant of planning."""

    job: Job
    work_s: float
    earliest_s: float
    restores_first: bool = False

    @property
    def whole_s(self) -> float:
        """Time on the GPUs in one piece."""
        return self.work_s + (self._interruption.restore_s if self.restores_first else 0.0)

    @property
    def latest_start_at_s(self) -> float:
        return self.job.deadline_at_s - self.whole_s

    @property
    def _interruption(self) -> Interruption:
        return self.job.interruption or Interruption()

    @property
    def work(self) -> Work:
        return Work(
            work_s=self.work_s,
            earliest_s=self.earliest_s,
            deadline_s=self.job.deadline_at_s,
            interruption=self._interruption,
            restores_first=self.restores_first,
        )


def need(open_job: OpenJob, now_s: float) -> Need | None:
    """What is still to be placed; None when the running piece does all that is left."""
    job = open_job.job
    if open_job.running is None:
        restores = open_job.done_s > 0 and job.interruption is not None
        earliest_s = max(job.earliest_start_at_s, now_s)
        work_s = max(open_job.remaining_s, ROUNDING_S)
        return Need(job=job, work_s=work_s, earliest_s=earliest_s, restores_first=restores)
    pause = job.interruption
    if pause is None:
        return None
    restore_s = pause.restore_s if open_job.done_s > 0 else 0.0
    to_go_s = open_job.remaining_s + restore_s - open_job.running.duration_s
    if to_go_s <= ROUNDING_S:
        return None
    work_s = min(to_go_s + pause.checkpoint_s, open_job.remaining_s)
    return Need(job=job, work_s=work_s, earliest_s=max(open_job.running.end_at_s, now_s), restores_first=True)


def allowed_regions(job: Job, regions: Sequence[Region]) -> list[Region]:
    """Where the job may run, in its order of preference."""
    if not job.regions:
        return list(regions)
    by_name = {region.name: region for region in regions}
    return [by_name[name] for name in job.regions if name in by_name]


@dataclass(slots=True)
class Board:
    """Regions, what is known of their grids, and what is taken; `reserve_ratio` of the GPUs is the head-room."""

    regions: Sequence[Region]
    forecasts: Forecasts
    occupancy: Occupancy
    reserve_ratio: float = 0.0

    # -- asking -----------------------------------------------------------------------------------------------------

    def cheapest(self, need: Need) -> Placement | None:
        """The cheapest place in time; None when there is no room in time."""
        regions = allowed_regions(need.job, self.regions)
        early = self._earliest_window(need, regions)
        curves = self._curves(need, regions)
        found = self._cheapest_known(need, regions, curves) if curves else None
        if found is not None:
            return self._placement(need, found.segments, _cause(need, found), regions, found.integral_g_s_per_kwh)
        if early is not None and early.end_at_s <= need.job.deadline_at_s + ROUNDING_S:
            return self._placement(need, (early,), Cause.NO_FORECAST, regions)
        packed = self._pieces_in_the_dark(need, regions)
        return self._placement(need, packed, Cause.NO_FORECAST, regions) if packed else None

    def earliest(self, need: Need, cause: Cause) -> Placement | None:
        """The place that ends first, in time or not; None when no allowed region has so many GPUs."""
        regions = allowed_regions(need.job, self.regions)
        early = self._earliest_window(need, regions)
        if early is None:
            return None
        if early.end_at_s > need.job.deadline_at_s + ROUNDING_S and (packed := self._pieces_in_the_dark(need, regions)):
            return self._placement(need, packed, cause, regions)
        return self._placement(need, (early,), cause, regions)

    def refusal(self, need: Need) -> Refusal:
        """Why the job has no place in time, and the first finish that has."""
        job, regions = need.job, allowed_regions(need.job, self.regions)
        early = self._earliest_window(need, regions)
        if not regions:
            asked = ", ".join(job.regions) or "any"
            return Refusal(job_id=job.id, obstacle=Obstacle.REGION, what=f"no region of {asked} exists")
        if early is None:
            most = max(region.gpus for region in regions)
            what = f"needs {job.gpus} GPUs at once, the largest allowed region has {most}"
            return Refusal(job_id=job.id, obstacle=Obstacle.GPUS, what=what)
        too_short = need.earliest_s > need.latest_start_at_s + ROUNDING_S
        obstacle = Obstacle.DEADLINE if too_short else Obstacle.CAPACITY
        because = "there is not so much time" if too_short else f"the room for {job.gpus} GPUs is taken"
        what = f"cannot finish by {format_instant(job.deadline_at_s)}: {because}"
        return Refusal(job_id=job.id, obstacle=obstacle, what=what, earliest_finish_at_s=early.end_at_s)

    def has_room(self, piece: Segment, job: Job) -> bool:
        """Whether the job is allowed there and its GPUs are free."""
        if piece.region not in {region.name for region in allowed_regions(job, self.regions)}:
            return False
        return self.occupancy.fits(piece.region, piece.start_at_s, piece.end_at_s, job.gpus)

    def take(self, placement: Placement, job: Job) -> None:
        self.occupancy.take(placement.segments, job.gpus)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _curves(self, need: Need, regions: Sequence[Region]) -> list[Curve]:
        """What is known between earliest start and deadline, all of one kind."""
        question: tuple[Signal, Basis] | None = None
        curves = []
        for region in regions:
            series = self.forecasts.get(region.zone)
            if series is None or question not in (None, (series.signal, series.basis)):
                continue
            part = curve(region.name, series, region.pue, need.earliest_s, need.job.deadline_at_s)
            if part is not None:
                question = (series.signal, series.basis)
                curves.append(part)
        return curves

    def _earliest_window(self, need: Need, regions: Sequence[Region]) -> Segment | None:
        """The window in one piece that ends first, whatever the deadline."""
        best: Segment | None = None
        for region in regions:
            start_at_s = self.occupancy.earliest_start_at_s(region.name, need.earliest_s, need.whole_s, need.job.gpus)
            if start_at_s < (best.start_at_s if best else math.inf):
                best = Segment(start_at_s=start_at_s, end_at_s=start_at_s + need.whole_s, region=region.name)
        return best

    def _cheapest_known(self, need: Need, regions: Sequence[Region], curves: Sequence[Curve]) -> Pieces | None:
        """At once anywhere, or later with head-room; later without it only when there is no other way in time."""
        at_once = self._at_once(need, regions, curves)
        later = self._search(need, regions, curves, self.reserve_ratio)
        if at_once is None and later is None and self.reserve_ratio > 0:
            return self._search(need, regions, curves, 0.0)
        if at_once is None or later is None:
            return at_once or later
        gain = at_once.integral_g_s_per_kwh - later.integral_g_s_per_kwh
        return later if gain > TIE_RATIO * abs(at_once.integral_g_s_per_kwh) else at_once

    def _search(
        self, need: Need, regions: Sequence[Region], curves: Sequence[Curve], reserve_ratio: float
    ) -> Pieces | None:
        free = self._free(need, regions, reserve_ratio)
        if need.job.interruption is not None:
            return cheapest_pieces(curves, need.work, free, FLEET_MAX_CELLS)
        window = cheapest_window(curves, need.whole_s, need.earliest_s, need.job.deadline_at_s, free)
        if window is None:
            return None
        only = Segment(start_at_s=window.start_at_s, end_at_s=window.end_at_s, region=window.region)
        return Pieces(segments=(only,), integral_g_s_per_kwh=window.integral_g_s_per_kwh)

    def _at_once(self, need: Need, regions: Sequence[Region], curves: Sequence[Curve]) -> Pieces | None:
        """The cheapest of the regions' earliest starts, where known and in time."""
        choices = []
        for one in curves:
            start_at_s = self.occupancy.earliest_start_at_s(one.region, need.earliest_s, need.whole_s, need.job.gpus)
            end_at_s = min(start_at_s + need.whole_s, max(need.job.deadline_at_s, start_at_s))
            if end_at_s - start_at_s >= need.whole_s - ROUNDING_S and one.knows(start_at_s, end_at_s):
                only = Segment(start_at_s=start_at_s, end_at_s=end_at_s, region=one.region)
                integral = one.integral_g_s_per_kwh(start_at_s, end_at_s)
                choices.append(Pieces(segments=(only,), integral_g_s_per_kwh=integral))
        return min(choices, key=lambda choice: choice.integral_g_s_per_kwh, default=None)

    def _pieces_in_the_dark(self, need: Need, regions: Sequence[Region]) -> tuple[Segment, ...]:
        """Pieces that meet the deadline on a grid of which nothing is known; empty when there are none."""
        if need.job.interruption is None or not need.earliest_s + need.whole_s <= need.job.deadline_at_s:
            return ()
        curves = [flat(region.name, need.earliest_s, need.job.deadline_at_s) for region in regions]
        packed = cheapest_pieces(curves, need.work, self._free(need, regions, 0.0), FLEET_MAX_CELLS)
        return packed.segments if packed else ()

    def _free(self, need: Need, regions: Sequence[Region], reserve_ratio: float) -> dict[str, Intervals]:
        job = need.job
        return {
            region.name: self.occupancy.free(
                region.name, need.earliest_s, job.deadline_at_s, job.gpus, int(region.gpus * reserve_ratio)
            )
            for region in regions
        }

    def _placement(
        self,
        need: Need,
        segments: tuple[Segment, ...],
        cause: Cause,
        regions: Sequence[Region],
        integral_g_s_per_kwh: float | None = None,
    ) -> Placement:
        power_kw = need.job.power_w / 1000.0
        emissions = None if integral_g_s_per_kwh is None else power_kw * integral_g_s_per_kwh / 3600.0
        if emissions is None:
            emissions = self.emissions_gco2e(need.job.power_w, segments)
        return Placement(
            job_id=need.job.id,
            segments=segments,
            cause=cause,
            emissions_gco2e=emissions,
            baseline_emissions_gco2e=self._baseline_gco2e(need, regions),
        )

    def _baseline_gco2e(self, need: Need, regions: Sequence[Region]) -> float | None:
        """The start at the earliest instant, in the first allowed region that has room then."""
        starts = [
            (self.occupancy.earliest_start_at_s(region.name, need.earliest_s, need.whole_s, need.job.gpus), index)
            for index, region in enumerate(regions)
        ]
        start_at_s, index = min(starts, default=(math.inf, 0))
        if not math.isfinite(start_at_s):
            return None
        at_once = Segment(start_at_s=start_at_s, end_at_s=start_at_s + need.whole_s, region=regions[index].name)
        return self.emissions_gco2e(need.job.power_w, (at_once,))

    def emissions_gco2e(self, power_w: float, segments: Sequence[Segment]) -> float | None:
        """What the segments emit at this power, PUE included; None where the forecast does not reach."""
        by_name = {region.name: region for region in self.regions}
        total = 0.0
        for one in segments:
            region = by_name.get(one.region)
            series = None if region is None else self.forecasts.get(region.zone)
            if region is None or series is None or not series.covers(one.start_at_s, one.end_at_s):
                return None
            total += region.pue * series.emissions_gco2e(power_w, one.start_at_s, one.end_at_s)
        return total


def _cause(need: Need, found: Pieces) -> Cause:
    has_choice = need.latest_start_at_s - need.earliest_s > 1.0
    return Cause.CLEANEST if has_choice or len(found.segments) > 1 else Cause.NO_SLACK
