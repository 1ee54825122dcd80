"""Where one job could run beside the others, were it a little different: the cheapest place, and what it emits.

What explanations and suggestions ask again and again. Compares only grids whose numbers answer the same question, and
only time that is known and free. Decides no plan and remembers nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from intensity_feeds.series import Basis, Signal
from scheduler.jobs import Job
from scheduler.planning.curve import ROUNDING_S, Curve, Intervals
from scheduler.planning.gpu_counts import at_count, on_count
from scheduler.planning.one_job.power_profile import cheapest_profiled_window
from scheduler.planning.one_job.preemptible import Work, cheapest_pieces
from scheduler.planning.one_job.window import cheapest_window
from scheduler.planning.open_jobs import job_room
from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.needs import allowed_regions, job_curve
from scheduler.planning.open_jobs.placing import FLEET_MAX_CELLS
from scheduler.planning.plan import Forecasts, Region, Segment
from scheduler.planning.run_phases import phases_of

_W_S_PER_KWH = 3.6e6


class FreeTime(Protocol):
    """When a job fits where, beside whatever is placed."""

    def free(self, job: Job, region: str, at_least_s: float = 0.0) -> Intervals:
        """Stretches between the job's earliest start and its deadline, none shorter than `at_least_s`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A place that a job could have, and what it emits there, PUE included."""

    segments: tuple[Segment, ...]
    emissions_gco2e: float

    @property
    def start_at_s(self) -> float:
        return self.segments[0].start_at_s

    @property
    def end_at_s(self) -> float:
        return self.segments[-1].end_at_s

    @property
    def region(self) -> str:
        return self.segments[0].region


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Free time in an occupancy; `reserve_ratio` of each region's GPUs stays free beside work that waits."""

    occupancy: Occupancy
    regions: Sequence[Region]
    reserve_ratio: float = 0.0

    def free(self, job: Job, region: str, at_least_s: float = 0.0) -> Intervals:
        where = next(one for one in self.regions if one.name == region)
        from_s, to_s = job.earliest_start_at_s, job.deadline_at_s
        return job_room.free(self.occupancy, where, job, from_s, to_s, self.reserve_ratio, at_least_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The fleet's regions and what is known of them.

    `pause_gco2e` is charged for each pause by name. Pauses that take time are searched in tables of `max_cells`.
    """

    regions: Sequence[Region]
    forecasts: Forecasts
    pause_gco2e: float = 0.0
    max_cells: int = FLEET_MAX_CELLS

    def kind_in(self, region: str) -> tuple[Signal, Basis] | None:
        """Which question the numbers of a region answer; None where there are none."""
        zone = next((one.zone for one in self.regions if one.name == region), None)
        series = None if zone is None else self.forecasts.get(zone)
        return None if series is None else (series.signal, series.basis)

    def cheapest(
        self,
        job: Job,
        room: FreeTime,
        *,
        kind: tuple[Signal, Basis] | None = None,
        restores_first: bool = False,
        besides: frozenset[str] = frozenset(),
    ) -> Choice | None:
        """The cheapest place in known and free time, within the job's own limits; not in the regions `besides`.

        Only regions of one kind of numbers are compared: `kind`, else that of the first region that is known.
        """
        if job.elastic:
            return self._over_counts(job, room, kind, restores_first, besides)
        curves = [one for one in self._curves(job, kind) if one.region not in besides]
        if not curves:
            return None
        if job.interruption is None:
            free = _free(job, curves, room, at_least_s=job.duration_s)
            if job.power_profile:
                return _profiled(job, curves, free)
            window = cheapest_window(curves, job.duration_s, job.earliest_start_at_s, job.deadline_at_s, free)
            if window is None:
                return None
            only = Segment(start_at_s=window.start_at_s, end_at_s=window.end_at_s, region=window.region)
            return self._choice(job, (only,), window.integral_g_s_per_kwh)
        work = _work(job, restores_first, self.pause_gco2e)
        pieces = cheapest_pieces(curves, work, _free(job, curves, room), self.max_cells)
        return None if pieces is None else self._choice(job, pieces.segments, pieces.integral_g_s_per_kwh)

    def _over_counts(
        self,
        job: Job,
        room: FreeTime,
        kind: tuple[Signal, Basis] | None,
        restores_first: bool,
        besides: frozenset[str],
    ) -> Choice | None:
        """The cheapest on any number of GPUs."""
        found = []
        for gpus, _ in job.elastic:
            plain = at_count(job, gpus)
            if plain.duration_s > plain.deadline_at_s - plain.earliest_start_at_s + ROUNDING_S:
                continue
            choice = self.cheapest(plain, room, kind=kind, restores_first=restores_first, besides=besides)
            if choice is not None:
                found.append(replace(choice, segments=on_count(choice.segments, plain)))
        return min(found, key=lambda one: one.emissions_gco2e, default=None)

    def _choice(self, job: Job, segments: tuple[Segment, ...], integral_g_s_per_kwh: float) -> Choice:
        emissions_gco2e = job.power_w / _W_S_PER_KWH * integral_g_s_per_kwh
        return Choice(segments=segments, emissions_gco2e=emissions_gco2e + self.pause_gco2e * (len(segments) - 1))

    def _curves(self, job: Job, kind: tuple[Signal, Basis] | None) -> list[Curve]:
        found = []
        for region in allowed_regions(job, self.regions):
            series = self.forecasts.get(region.zone)
            if series is None or kind not in (None, (series.signal, series.basis)):
                continue
            part = job_curve(job, region, series, job.earliest_start_at_s, job.deadline_at_s)
            if part is not None:
                kind = (series.signal, series.basis)
                found.append(part)
        return found


def _profiled(job: Job, curves: Sequence[Curve], free: Mapping[str, Intervals]) -> Choice | None:
    found = cheapest_profiled_window(curves, phases_of(job), job.earliest_start_at_s, job.deadline_at_s, free)
    return None if found is None else Choice(segments=(found.segment,), emissions_gco2e=found.emissions_gco2e)


def _free(job: Job, curves: Sequence[Curve], room: FreeTime, at_least_s: float = 0.0) -> Mapping[str, Intervals]:
    return {one.region: room.free(job, one.region, at_least_s) for one in curves}


def _work(job: Job, restores_first: bool, pause_gco2e: float) -> Work:
    assert job.interruption is not None
    return Work(
        work_s=job.duration_s,
        earliest_s=job.earliest_start_at_s,
        deadline_s=job.deadline_at_s,
        interruption=job.interruption,
        interruption_g_s_per_kwh=pause_gco2e * _W_S_PER_KWH / job.power_w if job.power_w > 0 else 0.0,
        restores_first=restores_first,
    )
