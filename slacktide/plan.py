"""`slacktide plan`: when and where one job should run on a recorded grid. Reads, asks the planner, prints.

With --jobs it plans a file of jobs instead: plan_file.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from slacktide.terminal import JSON_OPTION, UsageProblem, print_json, say

if TYPE_CHECKING:
    from intensity_feeds.series import IntensitySeries
    from scheduler.planning.one_job.preemptible import Work
    from scheduler.planning.one_job.single import Comparison, Run, TooShortError
    from scheduler.planning.plan import Region, Segment

T = TypeVar("T")

_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 48  # of the sparkline, so that a line with its zone and range fits 80


def plan(
    trace: Annotated[
        Path | None, typer.Option(help="Grid: CSV, CSV.gz or Parquet with timestamp, zone, gco2e_per_kwh.")
    ] = None,
    zone: Annotated[
        list[str] | None, typer.Option(help="Zone the job may run in; repeat for several, first is the default.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="Earliest start, ISO 8601 with a zone: 2022-03-01T12:00Z.")] = None,
    duration: Annotated[str | None, typer.Option(help="How long it runs: 90m, 4h, 1d12h.")] = None,
    within: Annotated[str | None, typer.Option(help="Latest finish, counted from --at.")] = None,
    power: Annotated[
        str | None, typer.Option(help="IT power while it runs, of all GPUs and their hosts: 700W, 10kW.")
    ] = None,
    interruptible: Annotated[bool, typer.Option("--interruptible", help="May be paused, and go on elsewhere.")] = False,
    step_cost: Annotated[
        float, typer.Option(min=0.0, max=1e12, help="Extra gCO2e charged for each interruption.")
    ] = 0.0,
    checkpoint: Annotated[str, typer.Option(help="Time at full power to write a checkpoint at each pause.")] = "0s",
    restore: Annotated[str, typer.Option(help="Time at full power to load it again.")] = "0s",
    min_run: Annotated[str, typer.Option(help="Shortest piece worth running, without its overheads.")] = "0s",
    pue: Annotated[
        list[float] | None,
        typer.Option(min=1.0, max=100.0, help="Facility over IT energy: one for all zones, or one per --zone."),
    ] = None,
    speed: Annotated[
        list[float] | None,
        typer.Option(
            min=0.01, max=100.0, help="Work per time beside the GPU of --duration and --power: one, or one per --zone."
        ),
    ] = None,
    power_ratio: Annotated[
        list[float] | None,
        typer.Option(min=0.01, max=100.0, help="IT power beside that GPU: one for all zones, or one per --zone."),
    ] = None,
    power_profile: Annotated[
        str | None,
        typer.Option(help="Instead of --duration and --power, for each phase in turn: 10m:3kW,2h:10kW,20m:5kW."),
    ] = None,
    elastic: Annotated[
        str | None,
        typer.Option(
            help="May run on more or fewer GPUs: GPUs:speed pairs as 1:1,2:1.8,4:3, or a CSV file with gpus,speed. "
            "--duration is at speed 1, --power of one GPU."
        ),
    ] = None,
    jobs: Annotated[
        Path | None, typer.Option(help="Plan a whole CSV file of jobs instead of one job; needs --fleet.")
    ] = None,
    fleet: Annotated[
        Path | None, typer.Option(help="With --jobs: TOML file with [carbon] trace and one [[region]] each.")
    ] = None,
    explain: Annotated[
        list[str] | None, typer.Option(metavar="JOB", help="With --jobs: say why this job is where it is; repeat it.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="With --jobs: draw the plan as a page of its own.")] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Find the cleanest time and zone for one job, and say what it saves against starting at once.

    Example: slacktide plan --trace grid.csv --zone DE --at 2022-03-01T12:00Z --duration 4h --within 24h --power 10kW

    Exact: the start may lie between two data points. Windows that the trace does not cover whole are not compared.

    A job whose power changes: --power-profile. A job that can use more GPUs: --elastic, which may rest at no cost.

    Many jobs at once, with a bound on how far that is from the best: slacktide plan --jobs FILE.csv --fleet FLEET.toml
    """
    if jobs is not None or fleet is not None:
        _plan_file(jobs, fleet, explain or (), html, as_json)
        return
    if explain or html:
        raise UsageProblem("--explain and --html belong to a file of jobs", "give --jobs and --fleet")
    if power_profile is not None or elastic is not None:
        from slacktide.plan_varying import Asked, plan_varying

        if speed or power_ratio:
            raise UsageProblem(
                "--speed and --power-ratio hold for a job of constant power on a fixed number of GPUs",
                "plan it as a file of one job: --jobs and --fleet",
            )
        pauses = (checkpoint, restore, min_run)
        one_job = Asked(trace, tuple(zone or ()), at, duration, within, power, tuple(pue or ()), interruptible)
        plan_varying(one_job, power_profile, elastic, pauses, step_cost, as_json=as_json)
        return
    if not (trace and zone and at and duration and within and power):
        raise missing(trace=trace, zone=zone, at=at, duration=duration, within=within, power=power)
    from scheduler.planning.reasons.explanation_text import as_json as as_json_of
    from slacktide.plan_reasons import explained, show_reasons

    work, power_w = _asked(at, duration, within, power, (checkpoint, restore, min_run), step_cost)
    regions = regions_of(zone, pue, speed, power_ratio)
    series = series_of(trace, zone)
    found = _compared(regions, series, work, power_w, step_cost, interruptible=interruptible)
    _warn(found)
    explanation = None
    if all(region.speed == region.power_ratio == 1 for region in regions):  # explanations know one kind of GPU
        explanation = explained(found, work, (power_w, step_cost), regions, series, interruptible=interruptible)
    if as_json:
        told = None if explanation is None else as_json_of(explanation)
        print_json({**_as_json(found, work, zone[0]), "explanation": told})
    else:
        _show(found, work, series, zone[0])
        if explanation is not None:
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


def _plan_file(
    jobs: Path | None, fleet: Path | None, explained: Sequence[str], html: Path | None, as_json: bool
) -> None:
    from slacktide.plan_file import plan_file

    if jobs is None or fleet is None:
        there, absent = ("--fleet", "--jobs") if jobs is None else ("--jobs", "--fleet")
        raise UsageProblem(f"{there} needs {absent}", "slacktide plan --jobs jobs.csv --fleet fleet.toml")
    plan_file(jobs, fleet, explained=explained, html=html, as_json=as_json)


def missing(**options: object) -> UsageProblem:
    """What is absent of the options that one job needs."""
    absent = ", ".join(f"--{name}" for name, value in options.items() if not value)
    return UsageProblem(f"one job needs {absent}", "or give --jobs and --fleet to plan a file of jobs")


# -- reading what was asked ------------------------------------------------------------------------------------------


def _asked(
    at: str, duration: str, within: str, power: str, pauses: tuple[str, str, str], step_cost_gco2e: float
) -> tuple[Work, float]:
    from scheduler.jobs import Interruption
    from scheduler.planning.one_job.preemptible import Work
    from slacktide.bounded import SHORTEST_S, bounded_duration_s, bounded_instant_s, bounded_power_w

    power_w = read_option("--power", bounded_power_w, power)
    work_s = read_option("--duration", bounded_duration_s, duration)
    if not work_s >= SHORTEST_S:
        raise UsageProblem("--duration: a job runs longer than nothing", "write, for instance, 4h")
    if step_cost_gco2e > 0 and not power_w > 0:
        raise UsageProblem("--step-cost needs a --power above 0", "without power there are no emissions to save")
    earliest_s = read_option("--at", bounded_instant_s, at)
    pause = Interruption(
        checkpoint_s=read_option("--checkpoint", bounded_duration_s, pauses[0]),
        restore_s=read_option("--restore", bounded_duration_s, pauses[1]),
        min_run_s=read_option("--min-run", bounded_duration_s, pauses[2]),
    )
    work = Work(
        work_s=work_s,
        earliest_s=earliest_s,
        deadline_s=earliest_s + read_option("--within", bounded_duration_s, within),
        interruption=pause,
        interruption_g_s_per_kwh=step_cost_gco2e * 3600.0 * 1000.0 / power_w if power_w > 0 else 0.0,
    )
    return work, power_w


def read_option(option: str, parse: Callable[[str], T], text: str) -> T:
    from scheduler.quantities import QuantityError

    try:
        return parse(text)
    except QuantityError as problem:
        what, _, remedy = str(problem).partition(": ")
        raise UsageProblem(f"{option}: {what}", remedy) from None


def regions_of(
    zones: Sequence[str],
    pue: Sequence[float] | None,
    speed: Sequence[float] | None = None,
    power_ratio: Sequence[float] | None = None,
) -> list[Region]:
    from scheduler.planning.plan import Region

    given = {"--pue": pue, "--speed": speed, "--power-ratio": power_ratio}
    columns = [_for_each(option, factors, len(zones)) for option, factors in given.items()]
    return [
        Region(name=zone, zone=zone, pue=own_pue, speed=own_speed, power_ratio=ratio)
        for zone, own_pue, own_speed, ratio in zip(zones, *columns, strict=True)
    ]


def _for_each(option: str, values: Sequence[float] | None, count: int) -> list[float]:
    """One factor for each zone; 1 where none is given."""
    every = list(values or [1.0])
    if len(every) == 1:
        every *= count
    if len(every) != count:
        raise UsageProblem(f"{len(every)} times {option} for {count} zones", "give one for all, or one per --zone")
    return every


def series_of(trace: Path, zones: Sequence[str]) -> Mapping[str, IntensitySeries]:
    from intensity_feeds.trace import TraceError, read_trace

    try:
        return read_trace(trace, zones)
    except TraceError as problem:
        if problem.column != "zone" or problem.line is not None:
            raise UsageProblem(str(problem)) from None
    return _known_of(read_trace(trace), trace, zones)


def _known_of(
    series: Mapping[str, IntensitySeries], trace: Path, zones: Sequence[str]
) -> Mapping[str, IntensitySeries]:
    """Raises UsageProblem that names the zones near to the one that the trace does not have."""
    from difflib import get_close_matches

    lowered = {name.lower(): name for name in series}
    for zone in zones:
        if zone not in series:
            near = [lowered[name] for name in get_close_matches(zone.lower(), lowered, cutoff=0.4)]
            hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(sorted(series)[:12])}"
            raise UsageProblem(f"{trace.name} has no zone {zone}", hint)
    return series


# -- saying what was found -------------------------------------------------------------------------------------------


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


def _show(found: Comparison, work: Work, series: Mapping[str, IntensitySeries], first_zone: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "zone", "start", "end"):
        table.add_column(heading)
    for heading in ("gCO2e/kWh", "gCO2e"):
        table.add_column(heading, justify="right")
    table.add_row(*_row("planned", found.best))
    if found.at_once is not None:
        table.add_row(*_row("at once", found.at_once))
    Console(highlight=False).print(table)
    if len(found.best.segments) > 1:
        _show_segments(found.best)
    print()
    for zone, one in series.items():
        _show_sparkline(zone, one, work, found.best)
    print(f"\n{verdict(found.savings_ratio, first_zone)}")


def verdict(saves_ratio: float | None, first_zone: str) -> str:
    if saves_ratio is None:
        return f"What starting at once in {first_zone} emits is not known, so no saving is claimed."
    if abs(saves_ratio) < 0.0005:
        return f"Nothing is cleaner than starting at once in {first_zone}."
    verb = "saves" if saves_ratio > 0 else "emits more:"
    return f"The plan {verb} {abs(saves_ratio):.1%} against starting at once in {first_zone}."


def _row(what: str, run: Run) -> tuple[str, ...]:
    zones = list(dict.fromkeys(one.region for one in run.segments))
    emissions = f"{run.emissions_gco2e:,.0f}" if run.emissions_gco2e >= 100 else f"{run.emissions_gco2e:,.2f}"
    return (
        what,
        ", ".join(zones),
        short_instant(run.start_at_s),
        short_instant(run.end_at_s),
        f"{run.mean_gco2e_per_kwh:.1f}",
        emissions,
    )


def short_instant(instant_s: float) -> str:
    """To the minute where nothing is lost by it."""
    from scheduler.quantities import format_instant

    return format_instant(instant_s).replace(":00Z", "Z")


def _show_segments(run: Run) -> None:
    from scheduler.quantities import format_duration

    shown = run.segments if len(run.segments) <= 12 else run.segments[:12]
    print(f"\nin {len(run.segments)} pieces:")
    for one in shown:
        print(f"  {short_instant(one.start_at_s)}  {format_duration(one.duration_s):>12}  {one.region}")
    if len(shown) < len(run.segments):
        print(f"  and {len(run.segments) - len(shown)} more; --json lists them all")


def _show_sparkline(zone: str, one: IntensitySeries, work: Work, run: Run) -> None:
    """Intensity from the earliest start to the deadline, and below it a line where the job runs in this zone."""
    import numpy as np

    edges = np.linspace(work.earliest_s, work.deadline_s, _COLUMNS + 1).tolist()
    columns = list(pairwise(edges))
    means = [one.mean_gco2e_per_kwh(*column) if one.covers(*column) else None for column in columns]
    values = [mean for mean in means if mean is not None]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    bars = "".join(_bar(mean, low, high) for mean in means)
    pieces = [piece for piece in run.segments if piece.region == zone]
    runs = "".join("━" if any(_touch(piece, *column) for piece in pieces) else " " for column in columns)
    print(f"{zone:<12} {bars} {low:.0f} to {high:.0f} g/kWh" if values else f"{zone:<12} not known here")
    if runs.strip():
        print(f"{'':<12} {runs} runs here")


def _bar(mean_gco2e_per_kwh: float | None, low: float, high: float) -> str:
    if mean_gco2e_per_kwh is None:
        return "·"
    return _BARS[round((mean_gco2e_per_kwh - low) / (high - low) * (len(_BARS) - 1))] if high > low else _BARS[0]


def _touch(piece: Segment, start_at_s: float, end_at_s: float) -> bool:
    return min(piece.end_at_s, end_at_s) > max(piece.start_at_s, start_at_s)
