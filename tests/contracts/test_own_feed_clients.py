"""Slacktide's own feeds against the emulators: on a good day, and under every fault the emulators know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

from intensity_feeds.electricity_maps import ElectricityMaps
from intensity_feeds.feed import (
    Feed,
    FeedAccessError,
    FeedAnswerError,
    FeedError,
    FeedThrottledError,
    FeedUnreachableError,
    NoDataError,
)
from intensity_feeds.series import IntensitySeries, Signal
from intensity_feeds.uk_carbon import UKCarbon
from intensity_feeds.watttime import WattTime
from simulations.feed_server import ALWAYS, Credentials, Faults, Span
from simulations.feed_server.faults import FAULT_TEXTS
from tests.contracts.emulated_feeds import (
    DAY_S,
    HOUR_S,
    NOON_S,
    Clock,
    Emulator,
    a_real_series,
    a_served_trace,
    a_trace,
    at_s,
)

TIMEOUT_S = 0.5
YEARS = "carbon/avg_2021_2023_hourly_18zones.csv.gz"


class Own(StrEnum):
    ELECTRICITY_MAPS = "electricity_maps"
    WATTTIME = "watttime"
    UK_CARBON = "uk_carbon"


ZONES = {Own.ELECTRICITY_MAPS: "DE", Own.WATTTIME: "CAISO_NORTH", Own.UK_CARBON: "GB-SW1"}
STEPS_S = {Own.ELECTRICITY_MAPS: HOUR_S, Own.WATTTIME: 300.0, Own.UK_CARBON: 1800.0}
# Half a unit in which the service rounds: a gram, or a tenth of a pound.
ROUNDING_GCO2E_PER_KWH = {Own.ELECTRICITY_MAPS: 0.5, Own.WATTTIME: 0.05 * 0.4536, Own.UK_CARBON: 0.5}


def a_feed(own: Own, server: Emulator, *, timeout_s: float = 30.0) -> Feed:
    match own:
        case Own.ELECTRICITY_MAPS:
            return ElectricityMaps("any", base_url=server.root, timeout_s=timeout_s)
        case Own.WATTTIME:
            return WattTime("ada", "secret", base_url=server.root, horizon_hours=24, timeout_s=timeout_s)
        case Own.UK_CARBON:
            return UKCarbon(base_url=server.root, timeout_s=timeout_s)


async def a_forecast(own: Own, faults: Faults, *, zone: str = "", timeout_s: float = 30.0) -> IntensitySeries:
    async with a_served_trace(faults=faults) as server:
        feed = a_feed(own, server, timeout_s=timeout_s)
        return await asyncio.to_thread(feed.forecast, zone or ZONES[own], NOON_S)


def what_is_true(own: Own) -> IntensitySeries:
    trace = a_trace()
    behind = {Own.ELECTRICITY_MAPS: "DE", Own.WATTTIME: "US-CAL-CISO", Own.UK_CARBON: "GB"}
    return trace[behind[own]]


def error_gco2e_per_kwh(own: Own, series: IntensitySeries) -> float:
    """The largest difference from the trace, at any step."""
    truth = what_is_true(own).resampled(series.edges_at_s)
    return float(np.nanmax(np.abs(series.gco2e_per_kwh - truth.gco2e_per_kwh)))


# -- a good day --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", Own)
async def test_a_forecast_is_the_trace_from_the_running_step_on(own: Own) -> None:
    series = await a_forecast(own, Faults())
    assert series.start_at_s == NOON_S // STEPS_S[own] * STEPS_S[own]
    assert series.end_at_s >= NOON_S + 24 * HOUR_S - STEPS_S[own]
    assert error_gco2e_per_kwh(own, series) <= ROUNDING_GCO2E_PER_KWH[own] + 1e-9


@pytest.mark.parametrize("own", [Own.ELECTRICITY_MAPS, Own.WATTTIME])
async def test_wrong_credentials_are_told_from_a_broken_service(own: Own) -> None:
    wanted = Credentials(electricity_maps_token="right", watttime_user="grace", watttime_password="right")
    async with a_served_trace(credentials=wanted) as server:
        with pytest.raises(FeedAccessError):
            await asyncio.to_thread(a_feed(own, server).forecast, ZONES[own], NOON_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A real stretch longer than one call may ask for."""

    own: Own
    zone: str
    asked: str
    signal: Signal
    start: str
    days: int


STRETCHES = [
    Stretch(own=Own.ELECTRICITY_MAPS, zone="DE", asked="DE", signal=Signal.AVERAGE, start="2022-03-20", days=25),
    Stretch(
        own=Own.WATTTIME, zone="US-CAL-CISO", asked="CAISO_NORTH", signal=Signal.MARGINAL, start="2022-10-20", days=40
    ),
    Stretch(own=Own.UK_CARBON, zone="GB", asked="GB", signal=Signal.AVERAGE, start="2021-12-20", days=30),
    Stretch(own=Own.UK_CARBON, zone="GB", asked="GB-13", signal=Signal.AVERAGE, start="2021-12-20", days=30),
]


@pytest.mark.slow
@pytest.mark.parametrize("stretch", STRETCHES, ids=lambda stretch: f"{stretch.own} {stretch.asked}")
async def test_a_long_history_is_joined_from_pieces_without_loss(stretch: Stretch) -> None:
    truth = a_real_series(YEARS, stretch.zone, stretch.signal)
    start_at_s = at_s(f"{stretch.start}T00:00:00+00:00")
    end_at_s = start_at_s + stretch.days * DAY_S
    async with a_served_trace({stretch.zone: truth}, clock=Clock(end_at_s + DAY_S)) as server:
        feed = a_feed(stretch.own, server)
        series = await asyncio.to_thread(feed.history, stretch.asked, start_at_s, end_at_s)
    assert (series.start_at_s, series.end_at_s) == (start_at_s, end_at_s)
    assert not series.has_gap
    differences = np.abs(series.gco2e_per_kwh - truth.resampled(series.edges_at_s).gco2e_per_kwh)
    assert differences.max() <= ROUNDING_GCO2E_PER_KWH[stretch.own] + 1e-9


# -- faults that end in an error ---------------------------------------------------------------------------------------

LATER = Faults(rate_limited=ALWAYS, retry_after_s=60)
REFUSED: list[tuple[str, Faults, type[FeedError], tuple[Own, ...]]] = [
    ("unauthorized", Faults(unauthorized=ALWAYS), FeedAccessError, (Own.ELECTRICITY_MAPS, Own.WATTTIME)),
    ("unauthorized", Faults(unauthorized=ALWAYS), FeedAnswerError, (Own.UK_CARBON,)),
    ("out_of_scope", Faults(out_of_scope=ALWAYS), FeedAccessError, (Own.ELECTRICITY_MAPS, Own.WATTTIME)),
    ("rate_limited", LATER, FeedThrottledError, tuple(Own)),
    ("rate_limited_silently", Faults(rate_limited_silently=ALWAYS), FeedThrottledError, tuple(Own)),
    ("server_error", Faults(server_error=ALWAYS), FeedAnswerError, tuple(Own)),
    ("html", Faults(html=ALWAYS), FeedAnswerError, tuple(Own)),
    ("cut_json", Faults(cut_json=ALWAYS), FeedAnswerError, tuple(Own)),
    ("empty_body", Faults(empty_body=ALWAYS), FeedAnswerError, tuple(Own)),
    ("no_points", Faults(no_points=ALWAYS), NoDataError, tuple(Own)),
    ("not_a_number", Faults(not_a_number=ALWAYS), FeedAnswerError, tuple(Own)),
    ("negative", Faults(negative=ALWAYS), FeedAnswerError, tuple(Own)),
    ("absurd", Faults(absurd=ALWAYS), FeedAnswerError, tuple(Own)),
    ("text_values", Faults(text_values=ALWAYS), FeedAnswerError, tuple(Own)),
    ("sandbox", Faults(sandbox=ALWAYS), FeedAccessError, (Own.ELECTRICITY_MAPS,)),
    ("wrong_zone", Faults(wrong_zone=ALWAYS), FeedAnswerError, tuple(Own)),
]


@pytest.mark.parametrize(
    ("own", "faults", "error"),
    [pytest.param(own, faults, error, id=f"{name} {own}") for name, faults, error, owns in REFUSED for own in owns],
)
async def test_a_fault_ends_in_the_error_that_says_who_can_act(
    own: Own, faults: Faults, error: type[FeedError]
) -> None:
    with pytest.raises(error) as caught:
        await a_forecast(own, faults)
    assert type(caught.value) is error
    assert (caught.value.feed, caught.value.zone) == (own, ZONES[own])


@pytest.mark.slow
@pytest.mark.parametrize("own", Own)
@pytest.mark.parametrize(
    "faults", [Faults(reset=ALWAYS), Faults(truncated=ALWAYS), Faults(slow=ALWAYS, delay_s=2 * TIMEOUT_S)]
)
async def test_a_broken_or_silent_connection_is_an_unreachable_feed(own: Own, faults: Faults) -> None:
    with pytest.raises(FeedUnreachableError):
        await a_forecast(own, faults, timeout_s=TIMEOUT_S)


async def test_the_time_to_come_back_is_handed_on() -> None:
    with pytest.raises(FeedThrottledError) as caught:
        await a_forecast(Own.ELECTRICITY_MAPS, LATER)
    assert caught.value.retry_after_s == 60


async def test_an_unknown_zone_is_no_data_since_the_lookup_by_address_is_off() -> None:
    with pytest.raises(NoDataError):
        await a_forecast(Own.ELECTRICITY_MAPS, Faults(caller_lookup=ALWAYS), zone="XX")


# -- faults that a feed gets over --------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", Own)
@pytest.mark.parametrize(
    "faults",
    [
        Faults(rate_limited=Span(requests=1), retry_after_s=0),
        Faults(frozen_latest=ALWAYS),
        Faults(last_complete_slot=ALWAYS),
        Faults(expired_token=ALWAYS, token_calls=1),
        Faults(expired_token_403=ALWAYS, token_calls=1),
    ],
)
async def test_a_small_fault_changes_no_number(own: Own, faults: Faults) -> None:
    async with a_served_trace(faults=faults) as server:
        feed = a_feed(own, server)
        series = [await asyncio.to_thread(feed.forecast, ZONES[own], NOON_S) for _ in range(3)]
    assert max(error_gco2e_per_kwh(own, one) for one in series) <= ROUNDING_GCO2E_PER_KWH[own] + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("own", Own)
@pytest.mark.parametrize(
    "faults", [Faults(reset=Span(requests=1)), Faults(server_error=Span(requests=2), server_status=503)]
)
async def test_a_short_outage_is_bridged_by_trying_again(own: Own, faults: Faults) -> None:
    series = await a_forecast(own, faults)
    assert error_gco2e_per_kwh(own, series) <= ROUNDING_GCO2E_PER_KWH[own] + 1e-9


@pytest.mark.parametrize("own", Own)
@pytest.mark.parametrize("faults", [Faults(nulls=ALWAYS), Faults(hole=ALWAYS)])
async def test_what_is_missing_stays_a_gap(own: Own, faults: Faults) -> None:
    series = await a_forecast(own, faults)
    assert series.has_gap
    assert error_gco2e_per_kwh(own, series) <= 1.0 + ROUNDING_GCO2E_PER_KWH[own], "an hour carried is a gram off"


@pytest.mark.parametrize("own", Own)
async def test_single_missing_points_carry_the_value_before(own: Own) -> None:
    series = await a_forecast(own, Faults(gaps=ALWAYS))
    assert not series.has_gap
    assert error_gco2e_per_kwh(own, series.between(series.start_at_s, NOON_S + 6 * HOUR_S)) <= 1.5


@pytest.mark.parametrize("own", Own)
async def test_a_forecast_that_starts_late_is_not_stretched_back(own: Own) -> None:
    series = await a_forecast(own, Faults(late_forecast=ALWAYS))
    assert series.start_at_s == (NOON_S // STEPS_S[own] + 1) * STEPS_S[own]


@pytest.mark.parametrize("own", Own)
async def test_a_service_whose_clock_runs_ahead_is_believed(own: Own) -> None:
    series = await a_forecast(own, Faults(clock_skew=ALWAYS, skew_s=1200))
    assert NOON_S - HOUR_S < series.start_at_s <= NOON_S + 1200
    assert error_gco2e_per_kwh(own, series) <= ROUNDING_GCO2E_PER_KWH[own] + 1e-9


async def test_a_revised_value_replaces_the_estimate() -> None:
    clock = Clock()
    async with a_served_trace(clock=clock, faults=Faults(revised=ALWAYS, revised_h=3)) as server:
        feed = a_feed(Own.ELECTRICITY_MAPS, server)
        early = await asyncio.to_thread(feed.history, "DE", NOON_S - 2 * HOUR_S, NOON_S)
        clock.now_s += 6 * HOUR_S
        later = await asyncio.to_thread(feed.history, "DE", NOON_S - 2 * HOUR_S, NOON_S)
    assert early.at(NOON_S - HOUR_S) == 389
    assert early.followed_by(later).at(NOON_S - HOUR_S) == 311


async def test_an_hour_of_errors_passes() -> None:
    outage = Faults(server_error=Span(from_at_s=NOON_S, until_at_s=NOON_S + HOUR_S))
    clock = Clock(NOON_S - 1)
    outcomes = []
    async with a_served_trace(clock=clock, faults=outage) as server:
        feed = a_feed(Own.ELECTRICITY_MAPS, server)
        for clock.now_s in (NOON_S - 1, NOON_S, NOON_S + HOUR_S - 1, NOON_S + HOUR_S):
            outcomes.append(await asyncio.to_thread(_answers, feed.forecast, "DE", clock.now_s))
    assert outcomes == [True, False, False, True]


def _answers(forecast: Callable[[str, float], IntensitySeries], zone: str, now_s: float) -> bool:
    try:
        forecast(zone, now_s)
    except FeedAnswerError:
        return False
    return True


def test_no_fault_is_left_out() -> None:
    """Every fault that the emulators know stands in some test of this file."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in FAULT_TEXTS if f"Faults({name}=" not in text] == []
