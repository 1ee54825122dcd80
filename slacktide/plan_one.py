"""`slacktide plan` for one job at constant power: asks the planner, says what it found. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from slacktide.plan_options import Asked, missing, regions_of, series_of, work_of
from slacktide.plan_shown import show
from slacktide.terminal import UsageProblem, print_json, say

if TYPE_CHECKING:
    from intensity_feeds.series import IntensitySeries
    from scheduler.planning.one_job.preemptible import Work
    from scheduler.planning.one_job.single import Comparison, TooShortError
    from scheduler.planning.plan import Region


def plan_one(asked: Asked, *, as_json: bool) -> None:
    """Plan the job and print it. Raises UsageProblem."""
    from scheduler.planning.reasons.explanation_text import as_json as as_json_of
    from slacktide.plan_reasons import explained, show_reasons

    if not (asked.trace and asked.zones and asked.at and asked.duration and asked.within and asked.power):
        options = {"duration": asked.duration, "within": asked.within, "power": asked.power}
        raise missing(trace=asked.trace, zone=asked.zones, at=asked.at, **options)
    times = (asked.at, asked.duration, asked.within, asked.power)
    work, power_w = work_of(*times, asked.pauses, asked.step_cost_gco2e)
    regions = regions_of(asked.zones, asked.pue, asked.speed, asked.power_ratio)
    series = series_of(asked.trace, asked.zones)
    found = _compared(regions, series, work, power_w, asked.step_cost_gco2e, interruptible=asked.interruptible)
    _warn(found)
    costs = (power_w, asked.step_cost_gco2e)
    explanation = explained(found, work, costs, regions, series, interruptible=asked.interruptible)
    if as_json:
        print_json({**_as_json(found, work, asked.zones[0]), "explanation": as_json_of(explanation)})
    else:
        show(found, work, series, asked.zones[0])
        show_reasons(explanation)


def _compared(
    regions: Sequence[Region],
    series: Mapping[str, IntensitySeries],
    work: Work,
    power_w: float,
    step_cost: float,
    *,
    interruptible: bool,
) -> Comparison:
    from intensity_feeds.series import MixedSignalsError
    from scheduler.planning.one_job.single import CostlyMovesError, NothingKnownError, TooShortError, compare

    try:
        return compare(regions, series, work, power_w, interruptible=interruptible, interruption_gco2e=step_cost)
    except TooShortError as problem:
        raise _too_short(problem, work) from None
    except NothingKnownError:
        raise _nothing_known(series, work) from None
    except MixedSignalsError as problem:
        raise UsageProblem(str(problem), "plan over zones whose numbers answer the same question") from None
    except CostlyMovesError:
        what = "a job whose pauses cost something stays on GPUs of one --speed"
        raise UsageProblem(what, "leave out the costs of a pause and --min-run, or --interruptible") from None


def _too_short(problem: TooShortError, work: Work) -> UsageProblem:
    from scheduler.quantities import format_duration, format_instant

    needs_s = problem.earliest_finish_at_s - work.earliest_s
    return UsageProblem(
        f"the job runs {format_duration(needs_s)} and cannot finish within "
        f"{format_duration(work.deadline_s - work.earliest_s)}",
        f"the earliest feasible finish is {format_instant(work.earliest_s + needs_s)}: "
        f"--within {format_duration(needs_s).replace(' ', '')} or more",
    )


def _nothing_known(series: Mapping[str, IntensitySeries], work: Work) -> UsageProblem:
    from scheduler.quantities import format_instant

    spans = "; ".join(
        f"{name} from {format_instant(one.start_at_s)} to {format_instant(one.end_at_s)}"
        for name, one in series.items()
    )
    asked = f"between {format_instant(work.earliest_s)} and {format_instant(work.deadline_s)}"
    return UsageProblem(f"the trace has no whole window {asked}", f"it covers {spans}, perhaps with gaps")


def _warn(found: Comparison) -> None:
    from scheduler.quantities import format_instant

    if found.known_until_s is not None:
        ends = format_instant(found.known_until_s)
        say(f"note: the trace ends at {ends}, before the latest finish; nothing is assumed of the time after it")
    if not found.best.is_exact:
        gap_ratio = found.best.gap_ratio
        bound = "" if gap_ratio is None else f", and no other choice is more than {gap_ratio:.2%} cleaner"
        say(f"note: these times have no common unit of a practical size: pieces are optimal on a rounded grid{bound}")


def _as_json(found: Comparison, work: Work, first_zone: str) -> dict[str, object]:
    from scheduler.quantities import format_instant

    best, at_once = found.best, found.at_once
    return {
        "start": format_instant(best.start_at_s),
        "end": format_instant(best.end_at_s),
        "zone": best.segments[0].region,
        "segments": [
            {"start": format_instant(one.start_at_s), "end": format_instant(one.end_at_s), "zone": one.region}
            for one in best.segments
        ],
        "mean_gco2e_per_kwh": best.mean_gco2e_per_kwh,
        "emissions_gco2e": best.emissions_gco2e,
        "interruption_gco2e": best.interruption_gco2e,
        "is_exact": best.is_exact,
        "gap_ratio": best.gap_ratio,
        "baseline": {
            "start": format_instant(work.earliest_s),
            "zone": first_zone,
            "mean_gco2e_per_kwh": at_once.mean_gco2e_per_kwh if at_once else None,
            "emissions_gco2e": at_once.emissions_gco2e if at_once else None,
        },
        "savings_ratio": found.savings_ratio,
        "known_until": format_instant(found.known_until_s) if found.known_until_s is not None else None,
    }
