"""`slacktide intensity`: what a grid emits, from a service or from a trace, with its provenance."""

from __future__ import annotations

import os
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slacktide.columns import BARS, aligned, bars
from slacktide.terminal import JSON_OPTION, OwnFailure, UsageProblem, print_json

if TYPE_CHECKING:
    from intensity_feeds.feed import Answer, Feed
    from intensity_feeds.series import IntensitySeries

ELECTRICITY_MAPS_TOKEN = "ELECTRICITYMAPS_TOKEN"
WATTTIME_USER = "WATTTIME_USER"
WATTTIME_PASSWORD = "WATTTIME_PASSWORD"
_HOUR_S = 3600.0
# Finer series are shown by the hour: a screen has some fifty lines.
_MOST_ROWS = 60


class FeedName(StrEnum):
    """Services that the command can ask."""

    UK_CARBON = "uk_carbon"
    ELECTRICITY_MAPS = "electricity_maps"
    WATTTIME = "watttime"


def intensity(
    zone: Annotated[str, typer.Option(help="Grid zone, as the feed or the trace spells it: GB, DE, CAISO_NORTH.")],
    trace: Annotated[Path | None, typer.Option(help="Show this CSV, CSV.gz or Parquet file, ask no service.")] = None,
    feed: Annotated[FeedName | None, typer.Option(help="Service to ask; GB needs no key.")] = None,
    at: Annotated[str, typer.Option(help="With --trace: show from this instant on, such as 2022-03-01T12:00Z.")] = "",
    hours: Annotated[float, typer.Option(min=0.0, help="How far ahead to show.")] = 24.0,
    base_url: Annotated[str, typer.Option(help="Address of the service, for an emulator or a proxy.")] = "",
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Show the intensity of a grid: forecast of a service from now on, or a stretch of a recorded trace.

    Example: slacktide intensity --zone GB --hours 48

    Keys come from the environment: ELECTRICITYMAPS_TOKEN, or WATTTIME_USER and WATTTIME_PASSWORD.
    """
    if trace is not None and (feed is not None or base_url):
        raise UsageProblem("--trace asks no service", "leave out --feed and --base-url, or leave out --trace")
    if at and trace is None:
        raise UsageProblem("--at needs a --trace", "a service forecasts from now on")
    if not hours > 0:
        raise UsageProblem("--hours must be above 0", "write, for instance, 24")
    answer = _asked(_feed(feed, zone, base_url), zone, hours) if trace is None else _recorded(trace, zone, at, hours)
    if as_json:
        print_json(_as_json(answer))
    else:
        _show(answer)


# -- asking ---------------------------------------------------------------------------------------------------------


def _recorded(trace: Path, zone: str, at: str, hours: float) -> Answer:
    from intensity_feeds.feed import Answer, Rung
    from intensity_feeds.instants import format_utc, parse_utc_s
    from intensity_feeds.trace import NAME, TraceError, read_trace

    try:
        series = read_trace(trace, [zone])[zone]
    except TraceError as problem:
        raise UsageProblem(str(problem)) from None
    try:
        start_s = parse_utc_s(at) if at else series.start_at_s
    except ValueError as problem:
        raise UsageProblem(f"--at {at}: {problem}", "write, for instance, 2022-03-01T12:00Z") from None
    if not series.start_at_s <= start_s < series.end_at_s:
        known = f"it covers {format_utc(series.start_at_s)} to {format_utc(series.end_at_s)}"
        raise UsageProblem(f"the trace does not reach {format_utc(start_s)}", known)
    part = series.between(start_s, min(series.end_at_s, start_s + hours * _HOUR_S))
    return Answer(series=part, rung=Rung.LIVE, feed=NAME, age_s=0.0)


def _asked(feed: Feed, zone: str, hours: float) -> Answer:
    from intensity_feeds.feed import Answer, FeedAccessError, FeedError, Rung

    now_s = time.time()  # noqa: TID251  the command line is where the present comes from
    try:
        series = feed.forecast(zone, now_s)
    except FeedAccessError as problem:
        raise OwnFailure(str(problem), "check the key and what its plan includes") from None
    except FeedError as problem:
        raise OwnFailure(str(problem), _instead(zone)) from None
    end_s = max(now_s, series.start_at_s) + hours * _HOUR_S
    part = series.between(series.start_at_s, min(series.end_at_s, end_s))
    issued_at_s = now_s if series.issued_at_s is None else series.issued_at_s
    return Answer(series=part, rung=Rung.LIVE, feed=feed.name, age_s=max(0.0, now_s - issued_at_s))


def _instead(zone: str) -> str:
    """What the person can do while the service does not answer."""
    from intensity_feeds.static import YEARLY_AVERAGE_SOURCE, yearly_average_gco2e_per_kwh

    average = yearly_average_gco2e_per_kwh(zone)
    hint = "try again later, or read a recorded grid with --trace"
    if average is None:
        return hint
    return f"{hint}; the {YEARLY_AVERAGE_SOURCE} of {zone} is {average:.0f} gCO2e/kWh, life-cycle"


def _feed(name: FeedName | None, zone: str, base_url: str) -> Feed:
    from intensity_feeds.electricity_maps import HOST, ElectricityMaps
    from intensity_feeds.uk_carbon import HOST as UK_HOST
    from intensity_feeds.uk_carbon import UKCarbon
    from intensity_feeds.watttime import HOST as WATTTIME_HOST
    from intensity_feeds.watttime import WattTime

    match name or _default_feed(zone):
        case FeedName.UK_CARBON:
            if not zone.startswith("GB"):
                raise UsageProblem(f"uk_carbon knows nothing of {zone}", "it knows GB, GB-1 to GB-17 and GB-SW1")
            return UKCarbon(base_url=base_url or UK_HOST)
        case FeedName.ELECTRICITY_MAPS:
            return ElectricityMaps(_secret(ELECTRICITY_MAPS_TOKEN), base_url=base_url or HOST)
        case FeedName.WATTTIME:
            return WattTime(_secret(WATTTIME_USER), _secret(WATTTIME_PASSWORD), base_url=base_url or WATTTIME_HOST)


def _default_feed(zone: str) -> FeedName:
    if zone == "GB" or zone.startswith("GB-"):
        return FeedName.UK_CARBON
    if os.environ.get(ELECTRICITY_MAPS_TOKEN):
        return FeedName.ELECTRICITY_MAPS
    raise UsageProblem(
        f"no source is known for {zone}",
        f"set {ELECTRICITY_MAPS_TOKEN}, choose a --feed, or read a recorded grid with --trace FILE",
    )


def _secret(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise UsageProblem(f"the feed needs the environment variable {variable}", f"export {variable}=...")
    return value


# -- saying ---------------------------------------------------------------------------------------------------------


def _as_json(answer: Answer) -> dict[str, Any]:
    from intensity_feeds.instants import format_utc

    series = answer.series
    return {
        "zone": series.zone,
        "rung": answer.rung,
        "feed": answer.feed,
        "age_s": answer.age_s,
        "signal": series.signal,
        "basis": series.basis,
        "quality": series.quality,
        "source": series.source,
        "issued_at": None if series.issued_at_s is None else format_utc(series.issued_at_s),
        "start": format_utc(series.start_at_s),
        "end": format_utc(series.end_at_s),
        "mean_gco2e_per_kwh": None if series.has_gap else series.mean_gco2e_per_kwh(series.start_at_s, series.end_at_s),
        "steps": [
            {"start": format_utc(start_s), "end": format_utc(end_s), "gco2e_per_kwh": value}
            for start_s, end_s, value in _steps(series)
        ],
    }


def _show(answer: Answer) -> None:
    from intensity_feeds.instants import format_utc

    series = answer.series
    issued = "" if series.issued_at_s is None else f", issued {format_utc(series.issued_at_s)}"
    print(f"{series.zone}: {series.signal}, {series.basis} factors, {series.quality}, {series.source}")
    print(f"rung {answer.rung}, feed {answer.feed}{issued}")
    shown = _by_the_hour(series) if len(series.gco2e_per_kwh) > _MOST_ROWS else series
    if shown is not series:
        print(f"hourly means of {len(series.gco2e_per_kwh)} steps")
    steps = _steps(shown)
    marks = bars([value for _, _, value in steps])
    rows = [
        (format_utc(start_s), "no data" if value is None else f"{value:.1f}", mark)
        for (start_s, _, value), mark in zip(steps, marks, strict=True)
    ]
    print(aligned([("TIME", "gCO2e/kWh", ""), *rows], right=(1,)))
    print(f"{marks}  {_summary(steps)}")


def _summary(steps: list[tuple[float, float, float | None]]) -> str:
    known = [(value, start_s) for start_s, _, value in steps if value is not None]
    if not known:
        return "no data"
    from intensity_feeds.instants import format_utc

    (low, low_at_s), (high, high_at_s) = min(known), max(known)
    return f"{BARS[0]} {low:.1f} at {format_utc(low_at_s)}  {BARS[-1]} {high:.1f} at {format_utc(high_at_s)}"


def _steps(series: IntensitySeries) -> list[tuple[float, float, float | None]]:
    """Start, end, gCO2e/kWh; None is a gap."""
    edges, values = series.edges_at_s.tolist(), series.gco2e_per_kwh.tolist()
    return [
        (start_s, end_s, None if value != value else value)
        for start_s, end_s, value in zip(edges[:-1], edges[1:], values, strict=True)
    ]


def _by_the_hour(series: IntensitySeries) -> IntensitySeries:
    import numpy as np

    from intensity_feeds.instants import ceil_to

    inner = np.arange(ceil_to(series.start_at_s + 1, _HOUR_S), series.end_at_s, _HOUR_S)
    return series.resampled(np.concatenate(([series.start_at_s], inner, [series.end_at_s])))
