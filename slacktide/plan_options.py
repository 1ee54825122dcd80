"""What one job's options mean: read, bounded, and told where they are wrong. Shared by all kinds of one job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from slacktide.terminal import UsageProblem

if TYPE_CHECKING:
    from intensity_feeds.series import IntensitySeries
    from scheduler.planning.one_job.preemptible import Work
    from scheduler.planning.plan import Region

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of one job as they were typed; `pauses` are --checkpoint, --restore and --min-run."""

    trace: Path | None
    zones: tuple[str, ...]
    at: str | None
    duration: str | None
    within: str | None
    power: str | None
    pue: tuple[float, ...]
    speed: tuple[float, ...]
    power_ratio: tuple[float, ...]
    interruptible: bool
    pauses: tuple[str, str, str]
    step_cost_gco2e: float


def missing(**options: object) -> UsageProblem:
    """What is absent of the options that one job needs."""
    absent = ", ".join(f"--{name}" for name, value in options.items() if not value)
    return UsageProblem(f"one job needs {absent}", "or give --jobs and --fleet to plan a file of jobs")


def work_of(
    at: str, duration: str, within: str, power: str, pauses: tuple[str, str, str], step_cost_gco2e: float
) -> tuple[Work, float]:
    """The work and its power."""
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
