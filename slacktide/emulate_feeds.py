"""`slacktide emulate-feeds`: the three carbon-intensity services on a port of this machine, replaying a trace."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slacktide.terminal import JSON_OPTION, OwnFailure, UsageProblem, print_json, reason_of, say

if TYPE_CHECKING:
    from aiohttp import web

    from intensity_feeds.series import IntensitySeries
    from simulations.feed_server import Credentials, Faults
    from simulations.feed_server.replay_clock import ReplayClock

# A slow answer in progress does not hold up the end.
SHUTDOWN_TIMEOUT_S = 1.0
_FAULT_HELP = (
    "Something that goes wrong, repeatable: a name, an amount after =, a span after @: server-error@5, slow=2.5, "
    "gaps@2022-03-01T00:00Z/2022-03-02T00:00Z. All of them: docs/emulators.md."
)
_MAP_HELP = "Put a zone of the trace behind a WattTime region, or behind GB or GB-13: CAISO_NORTH=US-CAL-CISO."


def emulate_feeds(
    trace: Annotated[Path, typer.Option(help="Grid: CSV, CSV.gz or Parquet with timestamp, zone, gco2e_per_kwh.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 lets the system choose.")] = 8400,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    at: Annotated[str, typer.Option(help="Emulated present at the start, ISO 8601; default: the trace's start.")] = "",
    speed: Annotated[float, typer.Option(help="Emulated seconds per real second.")] = 1.0,
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now", help="Move the trace by whole hours so that --at is the real present.")
    ] = False,
    marginal_trace: Annotated[
        Path | None, typer.Option(help="Marginal rates for WattTime, beside the average ones of --trace.")
    ] = None,
    mapping: Annotated[list[str] | None, typer.Option("--map", help=_MAP_HELP)] = None,
    fault: Annotated[list[str] | None, typer.Option(help=_FAULT_HELP)] = None,
    token: Annotated[str, typer.Option(help="The only Electricity Maps token accepted; default: any.")] = "",
    login: Annotated[str, typer.Option(help="The only WattTime user accepted, USER:PASSWORD; default: any.")] = "",
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Electricity Maps answers without a token, too.")
    ] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Serve Electricity Maps, WattTime and the GB Carbon Intensity API from a trace, with faults on demand.

    Example: slacktide emulate-feeds --trace grid.csv --port 8400 --at 2022-03-01T12:00Z --speed 60
    """
    import asyncio

    from simulations.feed_server import build_app

    faults = _faults(fault or [])
    grid = _grid(trace, marginal_trace, at, speed, shift_to_now=shift_to_now)
    regions, gb_zones = _mappings(mapping or [], grid)
    app = build_app(
        grid.average,
        now_s=grid.clock,
        faults=faults,
        marginal=grid.marginal,
        regions=regions,
        gb_zones=gb_zones,
        credentials=_credentials(token, login, allow_anonymous=allow_anonymous),
    )
    asyncio.run(_serve(app, host, port, grid, fault or [], as_json=as_json))


# -- reading what was asked ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grid:
    """What is replayed. `average` is the trace itself, of whatever signal; `marginal` stands beside it."""

    average: Mapping[str, IntensitySeries]
    marginal: Mapping[str, IntensitySeries]
    clock: ReplayClock

    @property
    def zones(self) -> list[str]:
        return sorted({*self.average, *self.marginal})


def _grid(trace: Path, marginal_trace: Path | None, at: str, speed: float, *, shift_to_now: bool) -> _Grid:
    from simulations.feed_server.replay_clock import ReplayClock, shifted

    if not speed > 0:
        raise UsageProblem(f"--speed: {speed:g} would stop the clock", "write a number above 0, for instance 60")
    average = _read_trace(trace)
    marginal = {} if marginal_trace is None else _read_trace(marginal_trace, column="marginal_gco2e_per_kwh")
    start_at_s = _start_at_s(at, average)
    if shift_to_now:
        present_s = time.time()  # noqa: TID251  the command line is where the replay meets the real clock
        average, marginal = shifted(average, start_at_s, present_s), shifted(marginal, start_at_s, present_s)
        start_at_s = present_s
    clock = ReplayClock.starting(start_at_s, speed, time.monotonic)
    return _Grid(average=average, marginal=marginal, clock=clock)


def _read_trace(path: Path, column: str | None = None) -> dict[str, IntensitySeries]:
    from intensity_feeds.series import SeriesError
    from intensity_feeds.trace import TraceError, read_trace

    try:
        return read_trace(path, column=column)
    except (TraceError, SeriesError) as problem:
        raise UsageProblem(
            str(problem), f"a trace has the columns timestamp, zone, {column or 'gco2e_per_kwh'}"
        ) from None
    except OSError as problem:
        raise UsageProblem(f"cannot read {path}: {problem.strerror}") from None


def _start_at_s(at: str, trace: Mapping[str, IntensitySeries]) -> float:
    from scheduler.quantities import QuantityError, parse_instant_s
    from simulations.feed_server.instants import minute_stamp
    from simulations.feed_server.replay_clock import span_s

    first_s, last_s = span_s(trace)
    if not at:
        return first_s
    try:
        start_at_s = parse_instant_s(at)
    except QuantityError as problem:
        what, _, remedy = str(problem).partition(": ")
        raise UsageProblem(f"--at: {what}", remedy) from None
    if not first_s <= start_at_s < last_s:
        hint = f"it reaches from {minute_stamp(first_s)} to {minute_stamp(last_s)}"
        raise UsageProblem(f"--at: {at} is not in the trace", hint)
    return start_at_s


def _faults(texts: list[str]) -> Faults:
    from simulations.feed_server.faults import UnknownFaultError, faults_from

    try:
        return faults_from(texts)
    except UnknownFaultError as problem:
        raise UsageProblem(f"--fault: cannot read {problem.text!r}", problem.hint) from None


def _mappings(texts: list[str], grid: _Grid) -> tuple[dict[str, str], dict[int, str]]:
    """WattTime regions, and GB regions with 0 for the nation."""
    regions: dict[str, str] = {}
    gb_zones: dict[int, str] = {}
    for text in texts:
        region, _, zone = text.partition("=")
        if not region or zone not in grid.zones:
            raise UsageProblem(f"--map: {text!r} names no zone of the trace", f"zones are {', '.join(grid.zones)}")
        if region == "GB":
            gb_zones[0] = zone
        elif region.startswith("GB-"):
            gb_zones[_gb_region(text, region)] = zone
        else:
            regions[region] = zone
    return regions, gb_zones


def _gb_region(text: str, region: str) -> int:
    number = region.removeprefix("GB-")
    if not number.isdigit() or not 1 <= int(number) <= 17:
        raise UsageProblem(f"--map: {text!r} names no GB region", "GB regions are GB-1 to GB-17; GB is the nation")
    return int(number)


def _credentials(token: str, login: str, *, allow_anonymous: bool) -> Credentials:
    from simulations.feed_server import Credentials

    user, _, password = login.partition(":")
    if login and not (user and password):
        raise UsageProblem("--login: a user and a password are needed", "write USER:PASSWORD")
    return Credentials(
        electricity_maps_token=token or None,
        watttime_user=user or None,
        watttime_password=password or None,
        allow_anonymous=allow_anonymous,
    )


# -- serving ---------------------------------------------------------------------------------------------------------


async def _serve(app: web.Application, host: str, port: int, grid: _Grid, faults: list[str], *, as_json: bool) -> None:
    """Until SIGINT or SIGTERM."""
    import asyncio

    from aiohttp import web

    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=SHUTDOWN_TIMEOUT_S)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await site.start()
    except OSError as problem:
        await runner.cleanup()
        hint = "choose another --port, or 0 to let the system choose"
        raise OwnFailure(f"cannot listen on {host}:{port}: {reason_of(problem)}", hint) from None
    _announce(f"http://{host}:{runner.addresses[0][1]}", grid, faults, as_json=as_json)
    await stopped.wait()
    await runner.cleanup()


def _announce(address: str, grid: _Grid, faults: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(address, grid, faults))
    else:
        _show(address, grid, faults)
    sys.stdout.flush()


def _as_json(address: str, grid: _Grid, faults: list[str]) -> dict[str, object]:
    from simulations.feed_server.instants import minute_stamp
    from simulations.feed_server.replay_clock import span_s

    first_s, last_s = span_s(grid.average)
    return {
        "address": address,
        "services": _services(address),
        "now": minute_stamp(grid.clock()),
        "speed": grid.clock.speed,
        "start": minute_stamp(first_s),
        "end": minute_stamp(last_s),
        "zones": grid.zones,
        "faults": faults,
    }


def _services(address: str) -> dict[str, str]:
    return {"electricity_maps": f"{address}/v3", "watttime": address, "uk_carbon": address}


def _show(address: str, grid: _Grid, faults: list[str]) -> None:
    said = _as_json(address, grid, faults)
    services = _services(address)
    zones = f"{len(grid.zones)} zones" if len(grid.zones) > 6 else ", ".join(grid.zones)
    print(f"Replaying {zones}, {said['start']} to {said['end']}")
    print(f"Emulated present {said['now']}, {grid.clock.speed:g} emulated seconds per real second")
    print(f"  Electricity Maps     {services['electricity_maps']}  (or /v4)")
    print(f"  WattTime             {services['watttime']}  (WATTTIME_API_URL)")
    print(f"  GB Carbon Intensity  {services['uk_carbon']}")
    for one in faults:
        print(f"  fault: {one}")
    say("Stop with Ctrl-C.")
