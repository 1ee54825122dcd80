"""The ladder: which rung answers when feeds fail, hang or talk nonsense. The clock is a number."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from intensity_feeds.cache import IntensityCache
from intensity_feeds.fallback import Ladder, Outcome
from intensity_feeds.feed import (
    Answer,
    FeedAccessError,
    FeedAnswerError,
    FeedError,
    FeedThrottledError,
    FeedUnreachableError,
    NoDataError,
    Rung,
)
from intensity_feeds.rungs import LadderRules
from intensity_feeds.series import Basis, IntensitySeries, MalformedSeriesError, MixedSignalsError, Quality, Signal
from tests.unit.intensity_feeds.builders import DAY_S, HOUR_S, MIDNIGHT_S, FakeFeed, a_failure, a_series

A_DAY = [200.0 + 10 * hour for hour in range(24)]
NOW_S = MIDNIGHT_S + 20 * DAY_S + 600
POLL_S = 300.0


def a_truth(zone: str = "DE", days: int = 40) -> IntensitySeries:
    return a_series(A_DAY * days, zone=zone)


def a_feed(**how: object) -> FakeFeed:
    return replace(FakeFeed(a_truth()), **how)  # type: ignore[arg-type]


def a_ladder(folder: Path, *feeds: FakeFeed, zone: str = "DE", rules: LadderRules | None = None) -> Ladder:
    return Ladder({zone: feeds}, IntensityCache(folder), rules=rules)


def answered(ladder: Ladder, now_s: float, zone: str = "DE", horizon_s: float = DAY_S) -> Answer:
    answer = ladder.answer(zone, now_s, horizon_s)
    assert answer is not None
    return answer


def test_a_feed_that_is_well_answers_live(tmp_path: Path) -> None:
    answer = answered(a_ladder(tmp_path, a_feed()), NOW_S)
    assert (answer.rung, answer.feed, answer.age_s) == (Rung.LIVE, "fake", 0.0)
    assert answer.series.covers(NOW_S, NOW_S + DAY_S - HOUR_S)


def test_within_five_minutes_a_feed_is_not_asked_again_even_after_a_restart(tmp_path: Path) -> None:
    feed = a_feed()
    answered(a_ladder(tmp_path, feed), NOW_S)
    again = answered(a_ladder(tmp_path, feed), NOW_S + 200)
    assert (again.rung, again.age_s, feed.asked_at_s) == (Rung.LIVE, 200.0, [NOW_S])
    answered(a_ladder(tmp_path, feed), NOW_S + POLL_S)
    assert feed.asked_at_s == [NOW_S, NOW_S + POLL_S]


@pytest.mark.parametrize("kind", [FeedUnreachableError, FeedAnswerError, FeedAccessError, NoDataError])
def test_a_feed_that_fails_is_answered_from_the_cache_with_its_age(tmp_path: Path, kind: type[FeedError]) -> None:
    feed = a_feed()
    ladder = a_ladder(tmp_path, feed)
    answered(ladder, NOW_S)
    feed.failure = a_failure(kind)
    answer = answered(ladder, NOW_S + HOUR_S)
    assert (answer.rung, answer.age_s) == (Rung.CACHED, HOUR_S)
    assert answer.series.start_at_s == MIDNIGHT_S + 20 * DAY_S + HOUR_S


def test_when_the_cached_forecast_runs_out_our_own_takes_over(tmp_path: Path) -> None:
    feed = a_feed()
    ladder = a_ladder(tmp_path, feed)
    answered(ladder, NOW_S)
    feed.failure = a_failure(FeedUnreachableError)
    later_s = NOW_S + 25 * HOUR_S
    answer = answered(ladder, later_s)
    assert (answer.rung, answer.age_s) == (Rung.OWN_FORECAST, 25 * HOUR_S)
    assert answer.series.quality is Quality.FORECAST
    assert answer.series.at(later_s) == a_truth().at(later_s)


def test_a_cached_forecast_that_ends_early_is_continued_by_our_own_and_says_so(tmp_path: Path) -> None:
    feed = a_feed(horizon_s=6 * HOUR_S)
    ladder = a_ladder(tmp_path, feed)
    answer = answered(ladder, NOW_S)
    assert (answer.rung, answer.age_s) == (Rung.LIVE, 0.0)
    assert answer.series.covers(NOW_S, NOW_S + DAY_S)
    assert "then own forecast" in answer.series.source
    assert answer.series.issued_at_s == NOW_S


def test_with_nothing_but_a_name_the_yearly_average_answers(tmp_path: Path) -> None:
    answer = answered(a_ladder(tmp_path, a_feed(failure=a_failure(FeedUnreachableError))), NOW_S)
    assert (answer.rung, answer.series.quality) == (Rung.YEARLY_AVERAGE, Quality.YEARLY_AVERAGE)
    assert set(answer.series.gco2e_per_kwh.tolist()) == {370.93}


def test_with_nothing_at_all_there_is_no_answer_and_no_invented_curve(tmp_path: Path) -> None:
    feed = FakeFeed(a_truth("XX"), failure=a_failure(FeedUnreachableError))
    assert a_ladder(tmp_path, feed, zone="XX").answer("XX", NOW_S, DAY_S) is None
    assert a_ladder(tmp_path).answer("YY", NOW_S, DAY_S) is None


@pytest.mark.parametrize("kind", [{"signal": Signal.MARGINAL}, {"basis": Basis.DIRECT}])
def test_a_yearly_lifecycle_average_never_stands_in_for_another_kind_of_number(
    tmp_path: Path, kind: dict[str, object]
) -> None:
    ladder = a_ladder(tmp_path, a_feed(failure=a_failure(FeedUnreachableError), **kind))
    assert ladder.answer("DE", NOW_S, DAY_S) is None


def test_feeds_that_answer_different_questions_are_refused_for_one_zone(tmp_path: Path) -> None:
    with pytest.raises(
        MixedSignalsError, match="zone DE answer different questions: one average/lifecycle, two marginal"
    ):
        a_ladder(tmp_path, a_feed(name="one"), a_feed(name="two", signal=Signal.MARGINAL))


def test_an_answer_of_another_kind_than_promised_is_refused(tmp_path: Path) -> None:
    feed = FakeFeed(a_series(A_DAY * 40, basis=Basis.DIRECT))
    ladder = a_ladder(tmp_path, feed)
    assert answered(ladder, NOW_S).rung is Rung.YEARLY_AVERAGE
    assert "expected average/lifecycle" in str(last_error(ladder))


def last_error(ladder: Ladder, feed: str = "fake") -> FeedError | None:
    last = ladder.health()[feed, "DE"].last
    assert last is not None
    return last.error


def test_the_second_feed_answers_live_when_the_first_is_down(tmp_path: Path) -> None:
    first, second = a_feed(name="first", failure=a_failure(FeedUnreachableError)), a_feed(name="second")
    answer = answered(a_ladder(tmp_path, first, second), NOW_S)
    assert (answer.rung, answer.feed) == (Rung.LIVE, "second")


@pytest.mark.parametrize("value", [-1.0, 3001.0])
def test_nonsense_is_not_an_answer(tmp_path: Path, value: float) -> None:
    ladder = a_ladder(tmp_path, FakeFeed(a_series([value] * 24 * 40)))
    assert answered(ladder, NOW_S).rung is Rung.YEARLY_AVERAGE
    assert isinstance(last_error(ladder), FeedAnswerError)


def test_an_answer_of_gaps_or_of_another_time_is_no_answer(tmp_path: Path) -> None:
    gaps = FakeFeed(a_series([float("nan")] * 24 * 40))
    assert answered(a_ladder(tmp_path / "gaps", gaps), NOW_S).rung is Rung.YEARLY_AVERAGE

    class Yesterday(FakeFeed):
        def forecast(self, zone: str, now_s: float) -> IntensitySeries:
            return self.truth.between(now_s - DAY_S, now_s)

    assert answered(a_ladder(tmp_path / "old", Yesterday(a_truth())), NOW_S).rung is Rung.YEARLY_AVERAGE


def test_a_series_error_inside_a_feed_is_a_bad_answer_and_no_crash(tmp_path: Path) -> None:
    ladder = a_ladder(tmp_path, a_feed(failure=MalformedSeriesError("edges must grow")))
    assert answered(ladder, NOW_S).rung is Rung.YEARLY_AVERAGE
    assert ladder.health()["fake", "DE"].outcomes == {"bad_answer": 1}


class LateFeed(FakeFeed):
    """Its forecast begins one step late."""

    def forecast(self, zone: str, now_s: float) -> IntensitySeries:
        series = super().forecast(zone, now_s)
        return series.between(series.start_at_s + HOUR_S, series.end_at_s)


def test_a_forecast_that_starts_a_step_late_is_completed_by_the_one_before(tmp_path: Path) -> None:
    ladder = a_ladder(tmp_path, LateFeed(a_truth()))
    assert answered(ladder, NOW_S).rung is not Rung.LIVE
    answer = answered(ladder, NOW_S + HOUR_S)
    assert answer.rung is Rung.LIVE
    assert answer.series.at(NOW_S + HOUR_S) == a_truth().at(NOW_S + HOUR_S)


def test_a_throttled_feed_is_left_alone_for_as_long_as_it_says(tmp_path: Path) -> None:
    feed = a_feed(failure=FeedThrottledError("fake", "DE", "slow down", 1000.0))
    ladder = a_ladder(tmp_path, feed)
    for waited_s in (0, 300, 600, 900, 1001):
        ladder.answer("DE", NOW_S + waited_s, DAY_S)
    assert feed.asked_at_s == [NOW_S, NOW_S + 1001]


def test_a_throttled_feed_is_left_alone_for_all_its_zones_and_a_refused_zone_alone(tmp_path: Path) -> None:
    for failure, asked in ((FeedThrottledError("fake", "DE", "slow down", None), 1), (a_failure(FeedAccessError), 2)):
        feed = a_feed(failure=failure)
        ladder = Ladder({"DE": [feed], "FR": [feed]}, IntensityCache(tmp_path))
        ladder.answer("DE", NOW_S, DAY_S)
        ladder.answer("FR", NOW_S + 1, DAY_S)
        assert len(feed.asked_at_s) == asked


def test_refused_credentials_are_not_tried_every_poll(tmp_path: Path) -> None:
    feed = a_feed(failure=a_failure(FeedAccessError))
    ladder = a_ladder(tmp_path, feed)
    for poll in range(12):
        ladder.answer("DE", NOW_S + poll * POLL_S, DAY_S)
    assert len(feed.asked_at_s) == 4


def test_a_plan_without_history_still_gives_its_forecasts(tmp_path: Path) -> None:
    feed = a_feed(history_failure=a_failure(FeedAccessError))
    ladder = a_ladder(tmp_path, feed)
    assert [answered(ladder, NOW_S + n * POLL_S).rung for n in range(3)] == [Rung.LIVE] * 3


def test_a_plan_without_forecasts_is_answered_from_its_history(tmp_path: Path) -> None:
    class PastOnly(FakeFeed):
        def forecast(self, zone: str, now_s: float) -> IntensitySeries:
            raise FeedAccessError(self.name, zone, "the plan does not include this")

    answer = answered(a_ladder(tmp_path, PastOnly(a_truth())), NOW_S)
    assert answer.rung is Rung.OWN_FORECAST
    assert answer.series.at(NOW_S) == a_truth().at(NOW_S)


def test_an_hour_of_every_kind_of_failure_changes_rungs_and_counters_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    feed, outcomes = a_feed(), list[Outcome]()
    ladder = Ladder({"DE": [feed]}, IntensityCache(tmp_path), on_outcome=outcomes.append)
    before = answered(ladder, NOW_S)
    outcomes.clear()
    nonsense = a_series([-5.0] * 24 * 40)
    good = feed.truth
    with caplog.at_level(logging.WARNING):
        for poll in range(1, 13):
            feed.truth = nonsense if poll % 3 == 0 else good
            feed.failure = (None, a_failure(FeedAnswerError), a_failure(FeedUnreachableError))[poll % 3]
            answer = answered(ladder, NOW_S + poll * POLL_S)
            assert (answer.rung, answer.age_s) == (Rung.CACHED, poll * POLL_S)
            known = answer.series.between(answer.series.start_at_s, before.series.end_at_s)
            expected = before.series.between(answer.series.start_at_s, before.series.end_at_s)
            assert known.gco2e_per_kwh.tolist() == expected.gco2e_per_kwh.tolist()
    assert [outcome.name for outcome in outcomes] == ["bad_answer", "unreachable", "bad_answer"] * 4
    assert {record.__dict__["action"] for record in caplog.records} == {"feed_failed"}
    feed.truth, feed.failure = good, None
    assert answered(ladder, NOW_S + 13 * POLL_S).rung is Rung.LIVE
    health = ladder.health()["fake", "DE"]
    assert health.outcomes["bad_answer"] == 8
    assert health.outcomes["unreachable"] == 4
    assert health.last_success_at_s == NOW_S + 13 * POLL_S


def test_the_past_is_asked_for_kept_and_still_known_when_the_feed_is_gone(tmp_path: Path) -> None:
    feed = a_feed()
    ladder = a_ladder(tmp_path, feed)
    start_s, end_s = NOW_S - 5 * HOUR_S, NOW_S - 2 * HOUR_S
    first = ladder.history("DE", start_s, end_s, NOW_S)
    assert first is not None
    assert (first.start_at_s, first.end_at_s) == (start_s, end_s)
    feed.failure = a_failure(FeedUnreachableError)
    again = a_ladder(tmp_path, feed).history("DE", start_s, end_s, NOW_S + HOUR_S)
    assert again is not None
    assert again.gco2e_per_kwh.tolist() == first.gco2e_per_kwh.tolist()
    assert ladder.history("DE", NOW_S - 90 * DAY_S, NOW_S - 89 * DAY_S, NOW_S) is None
    assert ladder.history("nowhere", start_s, end_s, NOW_S) is None


def test_a_revised_past_is_the_one_that_counts(tmp_path: Path) -> None:
    feed = a_feed()
    ladder = a_ladder(tmp_path, feed)
    start_s, end_s = NOW_S - 600 - 3 * HOUR_S, NOW_S - 600
    ladder.history("DE", start_s, end_s, NOW_S)
    feed.truth = feed.truth.scaled(1.1)
    revised = ladder.history("DE", start_s, end_s, NOW_S + 2 * HOUR_S)
    assert revised is not None
    assert revised.gco2e_per_kwh.tolist() == feed.truth.between(start_s, end_s).gco2e_per_kwh.tolist()


def test_a_past_interval_is_asked_for_hourly_until_it_is_settled_and_then_never_again(tmp_path: Path) -> None:
    outcomes = list[Outcome]()
    ladder = Ladder({"DE": [a_feed()]}, IntensityCache(tmp_path), on_outcome=outcomes.append)
    start_s, end_s = NOW_S - 5 * HOUR_S, NOW_S - 2 * HOUR_S
    for waited_h in (0, 0.5, 0.9, 1.1, 50, 51, 52, 400):
        assert ladder.history("DE", start_s, end_s, NOW_S + waited_h * HOUR_S) is not None
    assert [(outcome.at_s - NOW_S) / HOUR_S for outcome in outcomes] == [0, 1.1, 50]


def test_history_is_fetched_every_six_hours_and_not_at_every_poll(tmp_path: Path) -> None:
    outcomes = list[Outcome]()
    ladder = Ladder({"DE": [a_feed()]}, IntensityCache(tmp_path), on_outcome=outcomes.append)
    for poll in range(12 * 7):
        ladder.answer("DE", NOW_S + poll * POLL_S, DAY_S)
    assert sum(outcome.question == "history" for outcome in outcomes) == 2


def test_a_forecast_kept_too_long_is_not_used(tmp_path: Path) -> None:
    feed = a_feed(history_failure=a_failure(NoDataError))
    ladder = a_ladder(tmp_path, feed, rules=LadderRules(forecast_kept_s=2 * HOUR_S))
    answered(ladder, NOW_S)
    feed.failure = a_failure(FeedUnreachableError)
    assert answered(ladder, NOW_S + 1.9 * HOUR_S).rung is Rung.CACHED
    assert answered(ladder, NOW_S + 2.1 * HOUR_S).rung is Rung.YEARLY_AVERAGE


def test_the_past_of_a_zone_no_feed_ever_spoke_of_is_its_yearly_average(tmp_path: Path) -> None:
    feed = a_feed(failure=a_failure(FeedUnreachableError))
    past = a_ladder(tmp_path, feed).history("DE", NOW_S - DAY_S, NOW_S + HOUR_S, NOW_S)
    assert past is not None
    assert (past.quality, past.start_at_s, past.end_at_s) == (Quality.YEARLY_AVERAGE, NOW_S - DAY_S, NOW_S)


def test_the_past_of_a_zone_whose_feed_is_away_waits_for_the_feed(tmp_path: Path) -> None:
    feed = a_feed()
    ladder = a_ladder(tmp_path, feed)
    answered(ladder, NOW_S)
    feed.failure = a_failure(FeedUnreachableError)
    assert ladder.history("DE", NOW_S - 400 * DAY_S, NOW_S - 399 * DAY_S, NOW_S) is None
