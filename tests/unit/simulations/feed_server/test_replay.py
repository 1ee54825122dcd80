"""The small parts: the clock, the made-up mix, the positions, the spellings of instants."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.feed_server.fuel_mix import LIFECYCLE_GCO2E_PER_KWH, shares_ratio
from simulations.feed_server.instants import UnreadableInstantError, instant_s, millisecond_stamp
from simulations.feed_server.places import nearest_zone, regions_of
from simulations.feed_server.replay_clock import ReplayClock, shifted
from tests.unit.simulations.feed_server.views import DAY_S, START_S, a_series, a_view


def test_the_clock_runs_as_fast_as_asked() -> None:
    instants = iter([5.0, 5.0, 15.0])
    clock = ReplayClock.starting(1000.0, 60.0, lambda: next(instants))
    assert [clock(), clock()] == [1000.0, 1600.0]


def test_a_shifted_trace_moves_by_whole_hours_and_covers_the_present() -> None:
    present_s = START_S + 500 * DAY_S + 1234.0
    moved = shifted({"DE": a_series()}, START_S + DAY_S, present_s)["DE"]
    assert (moved.start_at_s - START_S) % 3600 == 0
    assert 0 <= present_s - (moved.start_at_s + DAY_S) < 3600


@given(st.floats(min_value=11.0, max_value=820.0))
def test_the_mix_gives_the_intensity(gco2e_per_kwh: float) -> None:
    shares = shares_ratio(gco2e_per_kwh, LIFECYCLE_GCO2E_PER_KWH)
    assert math.isclose(sum(shares.values()), 1.0)
    assert math.isclose(sum(shares[fuel] * LIFECYCLE_GCO2E_PER_KWH[fuel] for fuel in shares), gco2e_per_kwh)


@pytest.mark.parametrize(("gco2e_per_kwh", "fuel"), [(0.0, "wind"), (11.0, "wind"), (2000.0, "coal")])
def test_beyond_the_ladder_one_fuel_burns_alone(gco2e_per_kwh: float, fuel: str) -> None:
    assert shares_ratio(gco2e_per_kwh, LIFECYCLE_GCO2E_PER_KWH)[fuel] == 1.0


def test_the_nearest_zone_is_one_of_the_trace() -> None:
    assert nearest_zone({"FR", "DE"}, 52.5, 13.4) == "DE"
    assert nearest_zone({"US-CAL-CISO"}, 52.5, 13.4) is None


def test_a_zone_without_a_name_at_watttime_is_a_region_of_its_own() -> None:
    regions = regions_of({"DE", "NO-NO1", "GB"}, {"HERE": "DE", "THERE": "XX"})
    assert regions == {"UK": "GB", "DE": "DE", "NO_NO1": "NO-NO1", "HERE": "DE"}


@pytest.mark.parametrize(
    "text", ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00.000Z", "2025-01-01 00:00:00+00:00", "2025-01-01T00:00Z",
             "2025-01-01T00:00:00.0000000+00:00", "2025-01-01T01:00:00+01:00"]
)  # fmt: skip
def test_every_spelling_that_clients_send_is_read(text: str) -> None:
    assert instant_s(text) == 1735689600.0


def test_an_instant_without_a_zone_is_refused_where_one_is_required() -> None:
    assert instant_s("2025-01-01T00:00:00") == 1735689600.0
    with pytest.raises(UnreadableInstantError):
        instant_s("2025-01-01T00:00:00", zone_required=True)


def test_milliseconds_are_written() -> None:
    assert millisecond_stamp(1735689600.25) == "2025-01-01T00:00:00.250Z"


@pytest.mark.parametrize("fault", ["nulls", "not_a_number", "negative", "absurd", "text_values", "gaps", "hole"])
def test_struck_points_are_the_same_in_every_answer(fault: str) -> None:
    view = a_view(holding={fault})
    series = view.trace["DE"]
    long = view.known(series, START_S, START_S + 2 * DAY_S, 3600.0)
    short = view.known(series, START_S + DAY_S, START_S + 2 * DAY_S, 3600.0)
    assert repr(short) == repr([point for point in long if point.start_at_s >= START_S + DAY_S])
    assert repr(long) != repr(a_view().known(series, START_S, START_S + 2 * DAY_S, 3600.0))
