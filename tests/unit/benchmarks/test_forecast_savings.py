"""What planning on recorded forecasts saves, and that nothing is seen before it is there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.forecast_savings import CORRECTED, DAY_AHEAD, FOUR_DAYS, NEWER, PLAIN, Policy, halves, outcome
from benchmarks.forecast_savings_views import DAY_S, HOUR_S, VARIANTS, Recorded, read_recorded, seen
from tests.real_data import real_data
from tests.unit.intensity_feeds.builders import MIDNIGHT_S, a_series
from tests.unit.intensity_feeds.test_forecast_errors import a_forecast


def outcome_of(recorded: Recorded, policy: Policy, slack_h: int) -> tuple[float, float]:
    releases = [*halves(recorded)[0], *halves(recorded)[1]]
    told = outcome(recorded, seen(recorded, VARIANTS[policy.view]), policy, slack_h, releases)
    return round(told.savings_percent, 1), round(told.oracle_percent, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "zone", "slack_h", "saved_percent", "oracle_percent"),
    [
        (DAY_AHEAD, "US-CAL-CISO", 20, 41.3, 42.0),
        (DAY_AHEAD, "DE", 20, 21.2, 22.5),
        (FOUR_DAYS, "DE", 20, 17.5, 20.0),
        (FOUR_DAYS, "DE", 92, 26.6, 37.6),
    ],
)
def test_planning_once_on_recorded_forecasts_saves_what_it_should(
    file: str, zone: str, slack_h: int, saved_percent: float, oracle_percent: float
) -> None:
    real_data(file)
    recorded = read_recorded(file, [zone])[zone]
    assert outcome_of(recorded, PLAIN, slack_h) == (saved_percent, oracle_percent)


def a_record(days: int = 4) -> Recorded:
    """Flat forecasts; the second day's says that its fifth hour is the cleanest, and it is."""
    actual = np.full(days * 24, 200.0)
    actual[28:32] = 100.0
    issues = [a_forecast([200.0] * 48, MIDNIGHT_S + day * DAY_S) for day in range(days - 1)]
    issues[1] = a_forecast(actual[24:72].tolist(), MIDNIGHT_S + DAY_S)
    return Recorded(issues=tuple(issues), quantiles={}, actual=a_series(actual.tolist()))


def test_a_newer_forecast_moves_a_job_that_has_not_started() -> None:
    late = a_record()
    hopeful = a_forecast([200.0] * 40 + [150.0] * 8, MIDNIGHT_S)  # it promises something for the end of the second day
    record = replace(late, issues=(hopeful, *late.issues[1:]))
    view = seen(record, VARIANTS["as issued"])
    once = outcome(record, view, PLAIN, 44, [MIDNIGHT_S])
    again = outcome(record, view, NEWER, 44, [MIDNIGHT_S])
    assert (once.savings_percent, again.savings_percent, again.oracle_percent) == (0.0, 50.0, 50.0)


def test_a_release_whose_slack_is_not_on_record_is_left_out() -> None:
    record = a_record()
    view = seen(record, VARIANTS["as issued"])
    assert outcome(record, view, PLAIN, 20, [MIDNIGHT_S, MIDNIGHT_S + 3.5 * DAY_S]).releases == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [PLAIN.view, CORRECTED.view, "usual error of the hour", "learned p90", "hopeful"])
def test_what_is_seen_at_an_hour_does_not_depend_on_what_comes_later(name: str) -> None:
    random = np.random.default_rng(7)
    days = 20
    actual = 200.0 + random.normal(0.0, 30.0, days * 24)
    issues = tuple(
        a_forecast((200.0 + random.normal(0.0, 30.0, 48)).tolist(), MIDNIGHT_S + day * DAY_S) for day in range(days)
    )
    now_s = MIDNIGHT_S + 17 * DAY_S + 7 * HOUR_S
    other = np.where(np.arange(days * 24) < 17 * 24 + 7, actual, 900.0)
    views = [
        seen(Recorded(issues=issues, quantiles={}, actual=a_series(one.tolist())), VARIANTS[name])(now_s)
        for one in (actual, other)
    ]
    assert views[0].gco2e_per_kwh.tolist() == views[1].gco2e_per_kwh.tolist()
    if name == CORRECTED.view:
        assert views[0].gco2e_per_kwh.tolist() != issues[17].gco2e_per_kwh.tolist()
