"""Traces and a served emulator for the contract tests of feed clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from aiohttp.test_utils import TestServer

from intensity_feeds.series import IntensitySeries, Signal
from intensity_feeds.trace import read_trace
from simulations.feed_server import (
    ANY_CREDENTIALS,
    FEED_SERVER,
    NO_FAULTS,
    Credentials,
    Faults,
    FeedServer,
    build_app,
)
from tests.real_data import real_data

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
MONDAY_S = datetime.fromisoformat("2022-03-07T00:00:00+00:00").timestamp()
# Ten days into the built traces: history behind, forecasts ahead.
NOON_S = MONDAY_S + 10 * DAY_S + 12 * HOUR_S + 40 * 60


def at_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass(slots=True)
class Clock:
    """Emulated time, moved by the test."""

    now_s: float = NOON_S

    def __call__(self) -> float:
        return self.now_s


def a_series(
    zone: str = "DE", *, level_gco2e_per_kwh: float = 300.0, days: int = 20, **labels: object
) -> IntensitySeries:
    """Hourly from MONDAY_S; the value is the level plus the hour of the day, so that hours can be told apart."""
    values = level_gco2e_per_kwh + np.arange(days * 24) % 24
    return IntensitySeries.regular(zone, MONDAY_S, HOUR_S, values, **labels)


def a_trace() -> dict[str, IntensitySeries]:
    return {
        "DE": a_series("DE", level_gco2e_per_kwh=300.0),
        "GB": a_series("GB", level_gco2e_per_kwh=200.0),
        "US-CAL-CISO": a_series("US-CAL-CISO", level_gco2e_per_kwh=400.0, signal=Signal.MARGINAL),
    }


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator: its address, and the hand on its faults."""

    root: str
    feeds: FeedServer


@asynccontextmanager
async def a_served_trace(
    trace: Mapping[str, IntensitySeries] | None = None,
    *,
    clock: Clock | None = None,
    faults: Faults = NO_FAULTS,
    credentials: Credentials = ANY_CREDENTIALS,
) -> AsyncIterator[Emulator]:
    """An emulator on a free port of loopback."""
    shown = a_trace() if trace is None else trace
    app = build_app(shown, now_s=clock or Clock(), faults=faults, credentials=credentials)
    async with TestServer(app) as server:
        yield Emulator(str(server.make_url("/")).rstrip("/"), app[FEED_SERVER])


def a_real_series(name: str, zone: str, signal: Signal | None = None) -> IntensitySeries:
    """One zone of a real trace, as if it answered for `signal` where given; skips the test without the file."""
    series = read_trace(real_data(name), [zone])[zone]
    return series if signal is None else replace(series, signal=signal)
