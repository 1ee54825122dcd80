"""What every feed promises, checked on those that need no service and on the fake that stands for them.

The clients of the services are held to the same in test_own_feed_clients.py, against the emulators.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from intensity_feeds.feed import Feed, NoDataError, kind_of
from intensity_feeds.series import Quality
from intensity_feeds.synthetic import SyntheticFeed
from intensity_feeds.trace import TraceFeed
from tests.unit.intensity_feeds.builders import DAY_S, HOUR_S, MIDNIGHT_S, FakeFeed, a_series

NOW_S = MIDNIGHT_S + 10 * DAY_S + 1234.5
TRUTH = a_series([200.0 + hour % 24 for hour in range(24 * 30)])
RECORDED = replace(
    TRUTH.between(MIDNIGHT_S + 10 * DAY_S, MIDNIGHT_S + 12 * DAY_S),
    quality=Quality.FORECAST,
    issued_at_s=MIDNIGHT_S + 10 * DAY_S,
)

FEEDS: dict[str, Feed] = {
    "trace": TraceFeed({"DE": TRUTH}),
    "trace with recorded forecasts": TraceFeed({"DE": TRUTH}, {"DE": [RECORDED]}),
    "synthetic": SyntheticFeed({"DE": "wind"}),
    "fake": FakeFeed(TRUTH),
}


@pytest.fixture(params=FEEDS)
def feed(request: pytest.FixtureRequest) -> Feed:
    return FEEDS[request.param]


def test_a_forecast_starts_with_the_running_step_and_covers_the_next_day(feed: Feed) -> None:
    series = feed.forecast("DE", NOW_S)
    assert NOW_S - HOUR_S < series.start_at_s <= NOW_S
    assert series.covers(NOW_S, NOW_S + 22 * HOUR_S)


def test_a_forecast_says_that_it_is_one_and_when_it_was_issued(feed: Feed) -> None:
    series = feed.forecast("DE", NOW_S)
    assert series.quality in (Quality.FORECAST, Quality.SYNTHETIC)
    assert series.quality is Quality.SYNTHETIC or (series.issued_at_s is not None and series.issued_at_s <= NOW_S)


def test_everything_is_of_the_kind_promised_and_for_the_zone_asked(feed: Feed) -> None:
    for series in (feed.forecast("DE", NOW_S), feed.history("DE", NOW_S - DAY_S, NOW_S)):
        assert (series.signal, series.basis) == kind_of(feed)
        assert series.zone == "DE"
        assert series.source


def test_a_history_is_never_longer_than_asked(feed: Feed) -> None:
    for start_s, end_s in ((NOW_S - 2 * DAY_S, NOW_S), (NOW_S - 100.0, NOW_S - 50.0)):
        series = feed.history("DE", start_s, end_s)
        assert start_s <= series.start_at_s < series.end_at_s <= end_s


def test_two_calls_agree(feed: Feed) -> None:
    one, other = feed.forecast("DE", NOW_S), feed.forecast("DE", NOW_S)
    assert one.gco2e_per_kwh.tolist() == other.gco2e_per_kwh.tolist()
    assert one.edges_at_s.tolist() == other.edges_at_s.tolist()


@pytest.mark.parametrize("name", ["trace", "trace with recorded forecasts", "synthetic"])
def test_a_zone_that_is_not_there_is_no_data(name: str) -> None:
    with pytest.raises(NoDataError):
        FEEDS[name].forecast("XX", NOW_S)
    with pytest.raises(NoDataError):
        FEEDS[name].history("XX", NOW_S - DAY_S, NOW_S)
