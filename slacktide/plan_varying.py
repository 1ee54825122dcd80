"""`slacktide plan` for one job that does not run at constant power: --power-profile and --elastic. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slacktide.columns import aligned
from slacktide.job_shapes import phases_of, scaling_of
from slacktide.plan_options import Asked, missing, read_option, regions_of, series_of
from slacktide.plan_shown import short_instant, verdict
from slacktide.terminal import UsageProblem, print_json, say

if TYPE_CHECKING:
    from intensity_feeds.series import IntensitySeries
    from scheduler.planning.curve import Curve
    from scheduler.planning.one_job.elastic import ElasticJob, ElasticPlan, ElasticSegment, Scaling
    from scheduler.planning.one_job.power_profile import Phase, ProfiledWindow
    from scheduler.planning.plan import Region, Segment
    from scheduler.planning.reasons.explanation import Explanation

_SHOWN = 24  # lines of a plan in many parts; --json has them all


def plan_varying(asked: Asked, profile: str | None, elastic: str | None, *, as_json: bool) -> None:
    """Plan the job and print it. Raises UsageProblem."""
    if asked.speed or asked.power_ratio:
        raise UsageProblem(
            "--speed and --power-ratio hold for a job of constant power on a fixed number of GPUs",
            "plan it as a file of one job: --jobs and --fleet",
        )
    if profile is not None and elastic is not None:
        raise UsageProblem("--power-profile and --elastic are two kinds of job", "leave one of them out")
    if asked.step_cost_gco2e > 0 or any(any(sign in "123456789" for sign in text) for text in asked.pauses):
        raise UsageProblem(
            "--checkpoint, --restore, --min-run and --step-cost hold for a job of constant power",
            "an --elastic job rests and changes its GPUs at no cost, one with a --power-profile never pauses",
        )
    if profile is not None:
        _plan_profile(asked, profile, as_json=as_json)
    elif elastic is not None:
        _plan_elastic(asked, elastic, as_json=as_json)


# -- reading what was asked ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where and when the job may run."""

    series: Mapping[str, IntensitySeries]
    regions: Sequence[Region]
    curves: Sequence[Curve]
    first: str
    earliest_s: float
    deadline_s: float

    @classmethod
    def of(cls, asked: Asked) -> _Grid:
        from intensity_feeds.series import MixedSignalsError, refuse_mixture
        from scheduler.planning.curve import curve
        from slacktide.bounded import bounded_duration_s, bounded_instant_s

        assert asked.trace is not None
        regions = regions_of(asked.zones, asked.pue)
        series = series_of(asked.trace, asked.zones)
        try:
            refuse_mixture(series[zone] for zone in asked.zones)
        except MixedSignalsError as problem:
            raise UsageProblem(str(problem), "plan over zones whose numbers answer the same question") from None
        earliest_s = read_option("--at", bounded_instant_s, asked.at or "")
        deadline_s = earliest_s + read_option("--within", bounded_duration_s, asked.within or "")
        parts = [curve(one.name, series[one.zone], one.pue, earliest_s, deadline_s) for one in regions]
        return cls(series, regions, [part for part in parts if part], asked.zones[0], earliest_s, deadline_s)

    @property
    def home(self) -> Curve | None:
        """The first zone's curve, where starting at once is priced."""
        return next((one for one in self.curves if one.region == self.first), None)

    @property
    def known_until_s(self) -> float | None:
        return min((one.end_at_s for one in self.series.values() if one.end_at_s < self.deadline_s), default=None)


# -- a power profile -------------------------------------------------------------------------------------------------


def _plan_profile(asked: Asked, text: str, *, as_json: bool) -> None:
    import numpy as np

    from scheduler.planning.one_job.power_profile import cheapest_profiled_window, emissions_gco2e, energy_kwh, run_s
    from scheduler.planning.reasons.explanation_text import as_json as as_json_of
    from slacktide.plan_reasons import explained_profile

    if asked.duration or asked.power:
        raise UsageProblem("--power-profile says duration and power already", "leave out --duration and --power")
    if asked.interruptible:
        raise UsageProblem("--power-profile is for jobs in one piece", "leave out --interruptible, or give --power")
    if not (asked.trace and asked.zones and asked.at and asked.within):
        raise missing(trace=asked.trace, zone=asked.zones, at=asked.at, within=asked.within)
    phases, grid = phases_of(text), _Grid.of(asked)
    length_s = run_s(phases)
    _refuse_too_short(grid, length_s)
    found = cheapest_profiled_window(grid.curves, phases, grid.earliest_s, grid.deadline_s)
    if found is None:
        raise _nothing_known(grid)
    now_gco2e, home = None, grid.home
    if home is not None and home.knows(grid.earliest_s, grid.earliest_s + length_s):
        now_gco2e = float(emissions_gco2e(home, phases, np.array([grid.earliest_s]))[0])
    document = _document(grid, [_segment(found.segment)], found.emissions_gco2e, now_gco2e, {})
    document["energy_kwh"] = energy_kwh(phases)
    explanation = explained_profile(found, phases, grid.regions, grid, is_known_now=now_gco2e is not None)
    if as_json:
        print_json({**document, "explanation": as_json_of(explanation)})
    else:
        _show(grid, [_line(found.segment, _phase_text(phases))], found, now_gco2e, explanation)


def _phase_text(phases: Sequence[Phase]) -> str:
    from scheduler.quantities import format_duration

    return ", ".join(f"{format_duration(one.duration_s)} at {one.power_w / 1000:g} kW" for one in phases)


# -- more and fewer GPUs ---------------------------------------------------------------------------------------------


def _plan_elastic(asked: Asked, text: str, *, as_json: bool) -> None:
    from scheduler.planning.one_job.elastic import NotEnoughTimeError, at_once, cleanest_scaling
    from scheduler.planning.reasons.explanation_text import as_json as as_json_of
    from slacktide.plan_reasons import explained_scaling

    if not (asked.trace and asked.zones and asked.at and asked.duration and asked.within and asked.power):
        options = {"duration": asked.duration, "within": asked.within, "power": asked.power}
        raise missing(trace=asked.trace, zone=asked.zones, at=asked.at, **options)
    scaling, grid = scaling_of(text), _Grid.of(asked)
    job = _elastic_job(asked, scaling, grid)
    if not grid.curves:
        raise _nothing_known(grid)
    try:
        found = cleanest_scaling(grid.curves, job, may_move=asked.interruptible)
    except NotEnoughTimeError as problem:
        raise _too_much(problem.most_work_s, job) from None
    now = at_once(grid.home, job) if grid.home is not None else None
    explanation = explained_scaling(found, job, now, grid.regions, grid, may_move=asked.interruptible)
    if as_json:
        segments = [{**_segment(one), "gpus": one.gpus} for one in found.segments]
        baseline: dict[str, Any] = {"gpus": now.segments[0].gpus if now else None}
        now_gco2e = now.emissions_gco2e if now else None
        document = _document(grid, segments, found.emissions_gco2e, now_gco2e, baseline)
        print_json({**document, "explanation": as_json_of(explanation)})
    else:
        lines = [_line(one, f"{one.gpus} GPU{'s' if one.gpus > 1 else ''}") for one in found.segments]
        _show(grid, lines, found, now.emissions_gco2e if now else None, explanation)


def _elastic_job(asked: Asked, scaling: Scaling, grid: _Grid) -> ElasticJob:
    from scheduler.planning.one_job.elastic import ElasticJob
    from slacktide.bounded import bounded_duration_s, bounded_power_w

    work_s = read_option("--duration", bounded_duration_s, asked.duration or "")
    if not work_s > 0:
        raise UsageProblem("--duration: a job runs longer than nothing", "write, for instance, 4h")
    return ElasticJob(
        work_s=work_s,
        power_w=read_option("--power", bounded_power_w, asked.power or ""),
        earliest_s=grid.earliest_s,
        deadline_s=grid.deadline_s,
        scaling=scaling,
    )


# -- saying what was found -------------------------------------------------------------------------------------------


def _refuse_too_short(grid: _Grid, needs_s: float) -> None:
    from scheduler.quantities import format_duration, format_instant

    has_s = grid.deadline_s - grid.earliest_s
    if needs_s > has_s + 1e-6:
        raise UsageProblem(
            f"the job runs {format_duration(needs_s)} and cannot finish within {format_duration(has_s)}",
            f"the earliest feasible finish is {format_instant(grid.earliest_s + needs_s)}",
        )


def _too_much(most_work_s: float, job: ElasticJob) -> UsageProblem:
    from scheduler.quantities import format_duration

    fastest = job.scaling.speeds[-1][0]
    return UsageProblem(
        f"even {fastest} GPUs in all known time do {format_duration(most_work_s)} of the {format_duration(job.work_s)} "
        "of work",
        "give it more time with --within, or measure more GPUs",
    )


def _nothing_known(grid: _Grid) -> UsageProblem:
    from scheduler.quantities import format_instant

    asked = f"between {format_instant(grid.earliest_s)} and {format_instant(grid.deadline_s)}"
    spans = (
        f"{name} from {format_instant(one.start_at_s)} to {format_instant(one.end_at_s)}"
        for name, one in grid.series.items()
    )
    return UsageProblem(f"the trace has no whole window {asked}", f"it covers {'; '.join(spans)}, perhaps with gaps")


def _segment(one: Segment | ElasticSegment) -> dict[str, Any]:
    from scheduler.quantities import format_instant

    return {"start": format_instant(one.start_at_s), "end": format_instant(one.end_at_s), "zone": one.region}


def _document(
    grid: _Grid,
    segments: Sequence[dict[str, Any]],
    emissions_gco2e: float,
    now_gco2e: float | None,
    baseline: dict[str, Any],
) -> dict[str, Any]:
    from scheduler.quantities import format_instant

    until_s = grid.known_until_s
    return {
        "start": segments[0]["start"],
        "end": segments[-1]["end"],
        "zone": segments[0]["zone"],
        "segments": list(segments),
        "emissions_gco2e": emissions_gco2e,
        "is_exact": True,
        "baseline": {
            "start": format_instant(grid.earliest_s),
            "zone": grid.first,
            "emissions_gco2e": now_gco2e,
            **baseline,
        },
        "savings_ratio": _savings_ratio(emissions_gco2e, now_gco2e),
        "known_until": None if until_s is None else format_instant(until_s),
    }


def _savings_ratio(emissions_gco2e: float, now_gco2e: float | None) -> float | None:
    return None if not now_gco2e else 1.0 - emissions_gco2e / now_gco2e


def _line(one: Segment | ElasticSegment, what: str) -> tuple[str, ...]:
    return (short_instant(one.start_at_s), short_instant(one.end_at_s), one.region, what)


def _show(
    grid: _Grid,
    lines: Sequence[tuple[str, ...]],
    found: ElasticPlan | ProfiledWindow,
    now_gco2e: float | None,
    explanation: Explanation,
) -> None:
    from slacktide.plan_reasons import show_reasons

    print(aligned([("start", "end", "zone", "runs"), *lines[:_SHOWN]]))
    if len(lines) > _SHOWN:
        print(f"and {len(lines) - _SHOWN} more; --json lists them all")
    at_once = "not known" if now_gco2e is None else f"{now_gco2e:,.2f} gCO2e"
    print(f"\n{found.emissions_gco2e:,.2f} gCO2e; at once in {grid.first}: {at_once}")
    print(verdict(_savings_ratio(found.emissions_gco2e, now_gco2e), grid.first))
    show_reasons(explanation)
    if grid.known_until_s is not None:
        from scheduler.quantities import format_instant

        say(f"note: the trace ends at {format_instant(grid.known_until_s)}, before the latest finish")
