"""One job on grids that are given: where it should run, beside starting it at once. No fleet, so room is everywhere.

Refuses to answer where nothing is known (NothingKnownError) and where the time is too short (TooShortError).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from intensity_feeds.series import SeriesError, refuse_mixture
from scheduler.planning.curve import ROUNDING_S, Curve, curve
from scheduler.planning.one_job.elastic import ElasticJob, NotEnoughTimeError, Scaling, cleanest_scaling
from scheduler.planning.one_job.preemptible import Pieces, Work, cheapest_pieces, gap_ratio
from scheduler.planning.one_job.window import TIE_RATIO, cheapest_window
from scheduler.planning.plan import Forecasts, Region, Segment


class TooShortError(ValueError):
    """Between the earliest start and the deadline there is less time than the job runs."""

    def __init__(self, work: Work) -> None:
        self.earliest_finish_at_s = work.earliest_s + work.held_s(1)
        self.short_s = self.earliest_finish_at_s - work.deadline_s
        super().__init__(f"{self.short_s:.0f} s too short: the earliest finish is {self.earliest_finish_at_s:.0f}")


class CostlyMovesError(ValueError):
    """Pauses that cost something, between GPUs of unlike speed: which of them is best is not known."""


class NothingKnownError(ValueError):
    """No window between the earliest start and the deadline is fully known, in any region."""

    def __init__(self, regions: Sequence[Region]) -> None:
        self.zones = tuple(region.zone for region in regions)
        super().__init__(f"no whole window is known of {', '.join(self.zones)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Segments and what they emit. `mean_gco2e_per_kwh` is the grid's, before PUE; emissions include PUE.

    `interruption_gco2e` is the part of the emissions that is charged for pauses by name, not by energy. `gap_ratio` is
    how much cleaner another choice could be at most, None where nothing is known of that.
    """

    segments: tuple[Segment, ...]
    mean_gco2e_per_kwh: float
    emissions_gco2e: float
    interruption_gco2e: float = 0.0
    is_exact: bool = True
    gap_ratio: float | None = 0.0

    @property
    def start_at_s(self) -> float:
        return self.segments[0].start_at_s

    @property
    def end_at_s(self) -> float:
        return self.segments[-1].end_at_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The best run beside the one at once in the first region; `at_once` is None where that is not known.

    `known_until_s` is the first end of a forecast that lies before the deadline, or None.
    """

    best: Run
    at_once: Run | None
    known_until_s: float | None

    @property
    def savings_ratio(self) -> float | None:
        if self.at_once is None or self.at_once.emissions_gco2e == 0:
            return None
        return 1.0 - self.best.emissions_gco2e / self.at_once.emissions_gco2e


def compare(
    regions: Sequence[Region],
    forecasts: Forecasts,
    work: Work,
    power_w: float,
    *,
    interruptible: bool,
    interruption_gco2e: float = 0.0,
) -> Comparison:
    """The best run of one job. Raises TooShortError, NothingKnownError, CostlyMovesError, MixedSignalsError."""
    fastest = replace(work, work_s=work.work_s / max(region.speed for region in regions))
    if fastest.earliest_s + fastest.held_s(1) > fastest.deadline_s + ROUNDING_S:
        raise TooShortError(fastest)
    known = [region for region in regions if region.zone in forecasts]
    refuse_mixture(forecasts[region.zone] for region in known)
    curves = [
        part
        for region in known
        if (part := curve(region.name, forecasts[region.zone], region.facility_ratio, work.earliest_s, work.deadline_s))
    ]
    speed = {region.name: region.speed for region in known}
    bound_ratio: float | None = 0.0
    if interruptible and len(set(speed.values())) > 1:
        pieces = _at_speeds(curves, work, speed)
    else:
        pieces, bound_ratio = _at_one_speed(curves, work, speed, interruptible=interruptible)
    if pieces is None:
        raise NothingKnownError(regions)
    best = _run(pieces.segments, regions, forecasts, power_w, interruption_gco2e, pieces.is_exact)
    best = replace(best, gap_ratio=bound_ratio)
    ends_at_s = [forecasts[region.zone].end_at_s for region in known]
    return Comparison(
        best=best,
        at_once=_at_once(regions, forecasts, work, power_w),
        known_until_s=min((end for end in ends_at_s if end < work.deadline_s), default=None),
    )


def _at_one_speed(
    curves: Sequence[Curve], work: Work, speed: Mapping[str, float], *, interruptible: bool
) -> tuple[Pieces | None, float | None]:
    """The best of the runs that stay where the speed is equal, and how much cleaner another could be at most."""
    best: Pieces | None = None
    bound_ratio: float | None = None
    for factor in dict.fromkeys(speed.values()):
        here = [one for one in curves if speed[one.region] == factor]
        lasting = replace(work, work_s=work.work_s / factor)
        found = cheapest_pieces(here, lasting) if interruptible else _in_one_piece(here, lasting)
        if found is not None and (best is None or _is_less(found, best)):
            best, bound_ratio = found, gap_ratio(found, here, lasting)
    return best, bound_ratio


def _is_less(found: Pieces, best: Pieces) -> bool:
    return found.integral_g_s_per_kwh < best.integral_g_s_per_kwh - TIE_RATIO * abs(best.integral_g_s_per_kwh)


def _at_speeds(curves: Sequence[Curve], work: Work, speed: Mapping[str, float]) -> Pieces | None:
    """The cheapest instants for a second of work, wherever it is done. Raises CostlyMovesError."""
    if not work.is_free_to_pause:
        raise CostlyMovesError
    job = ElasticJob(
        work_s=work.work_s,
        power_w=1000.0,
        earliest_s=work.earliest_s,
        deadline_s=work.deadline_s,
        scaling=Scaling(speeds=((1, 1.0),)),
        region_speed=speed,
    )
    try:
        found = cleanest_scaling(curves, job)
    except NotEnoughTimeError:
        return None
    segments = tuple(
        Segment(start_at_s=one.start_at_s, end_at_s=one.end_at_s, region=one.region) for one in found.segments
    )
    return Pieces(segments=segments, integral_g_s_per_kwh=3600.0 * found.emissions_gco2e)


def _in_one_piece(curves: Sequence[Curve], work: Work) -> Pieces | None:
    window = cheapest_window(curves, work.held_s(1), work.earliest_s, work.deadline_s)
    if window is None:
        return None
    only = Segment(start_at_s=window.start_at_s, end_at_s=window.end_at_s, region=window.region)
    return Pieces(segments=(only,), integral_g_s_per_kwh=window.integral_g_s_per_kwh)


def _at_once(regions: Sequence[Region], forecasts: Forecasts, work: Work, power_w: float) -> Run | None:
    end_at_s = work.earliest_s + replace(work, work_s=work.work_s / regions[0].speed).held_s(1)
    first = Segment(start_at_s=work.earliest_s, end_at_s=end_at_s, region=regions[0].name)
    try:
        return _run((first,), regions, forecasts, power_w, 0.0, True)
    except (SeriesError, KeyError):
        return None


def _run(
    segments: tuple[Segment, ...],
    regions: Sequence[Region],
    forecasts: Forecasts,
    power_w: float,
    interruption_gco2e: float,
    is_exact: bool,
) -> Run:
    """Priced on the series themselves, so that a fault of a search cannot hide in its own sums."""
    by_name = {region.name: region for region in regions}
    integral = emissions_gco2e = 0.0
    for one in segments:
        region = by_name[one.region]
        series = forecasts[region.zone]
        integral += series.integral_g_s_per_kwh(one.start_at_s, one.end_at_s)
        emissions_gco2e += region.facility_ratio * series.emissions_gco2e(power_w, one.start_at_s, one.end_at_s)
    pauses_gco2e = interruption_gco2e * (len(segments) - 1)
    return Run(
        segments=segments,
        mean_gco2e_per_kwh=integral / sum(one.duration_s for one in segments),
        emissions_gco2e=emissions_gco2e + pauses_gco2e,
        interruption_gco2e=pauses_gco2e,
        is_exact=is_exact,
    )
