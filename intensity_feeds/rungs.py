"""What each rung of the fallback ladder may answer: live, cached, own forecast, yearly average.

Decides whether a series is good enough for its rung, how old it may be, and how long a feed that failed is left alone.
Knows no feed's address, no file and no clock; fallback.py climbs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from intensity_feeds.answers import from_running_step, refuse_implausible
from intensity_feeds.feed import Answer, FeedAccessError, FeedAnswerError, FeedError, FeedThrottledError, Rung
from intensity_feeds.forecast_correction import band
from intensity_feeds.forecasting import LOOK_BACK_DAYS, NotEnoughHistoryError, backtested_errors, seasonal_forecast
from intensity_feeds.instants import new_year_at_s
from intensity_feeds.records import Record, oldest_version_at_s
from intensity_feeds.series import Basis, IntensitySeries, Quality, Signal
from intensity_feeds.static import yearly_average_series

Kind = tuple[Signal, Basis]

YEARLY_KIND: Kind = (Signal.AVERAGE, Basis.LIFECYCLE)
_YEARLY_ISSUED_AT_S = new_year_at_s(2024)


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderRules:
    """How patient the ladder is; all in seconds."""

    # No provider publishes more often than every five minutes, and some count calls; a little less, so that a poller
    # that asks every five minutes and is a second early still gets a new answer.
    fresh_s: float = 290.0
    # The longest horizon any provider has: past it a forecast covers nothing anyway.
    forecast_kept_s: float = 72 * 3600.0
    # How long a feed is left alone when it says "too often" without saying for how long.
    throttled_s: float = 300.0
    # Refused credentials need a person; asking more often only brings a ban nearer.
    refused_s: float = 900.0
    history_span_s: float = LOOK_BACK_DAYS * 86400.0
    history_every_s: float = 6 * 3600.0
    # Estimates are replaced by measurements up to a day later; the last two days are asked for again.
    history_revised_s: float = 2 * 86400.0
    # Until then an interval of the past is asked for again, but not more often than this.
    history_fresh_s: float = 3600.0


def usable_series(
    series: IntensitySeries, previous: Record | None, feed: str, kind: Kind, now_s: float
) -> IntensitySeries:
    """What a feed answered, once it has proved plausible and of the expected kind. Raises FeedAnswerError.

    Where it begins a step late, the part until then comes from the `previous` answer.
    """
    refuse_implausible(series, feed)
    if (series.signal, series.basis) != kind:
        what = f"answered {series.signal}/{series.basis}, expected {kind[0]}/{kind[1]}"
        raise FeedAnswerError(feed, series.zone, what)
    if previous is not None and series.start_at_s > now_s and previous.series.covers(now_s, series.start_at_s):
        return from_running_step(previous.series, now_s).followed_by(series)
    return series


def live_answer(record: Record, feed: str, now_s: float) -> Answer:
    """The answer just given. Raises FeedAnswerError when it says nothing of the present."""
    if not _covers_now(record.series, now_s):
        raise FeedAnswerError(feed, record.series.zone, "the answer does not cover the present")
    return _answer(record, Rung.LIVE, feed, now_s)


def fresh_answer(record: Record | None, feed: str, now_s: float, rules: LadderRules) -> Answer | None:
    """The last live answer while it is too young to be asked for again."""
    if record is None or not 0 <= now_s - record.fetched_at_s < rules.fresh_s or not _covers_now(record.series, now_s):
        return None
    return _answer(record, Rung.LIVE, feed, now_s)


def cached_answer(record: Record | None, feed: str, now_s: float, rules: LadderRules) -> Answer | None:
    """The last live answer while it still covers the present and is not too old."""
    if record is None or now_s - record.fetched_at_s > rules.forecast_kept_s or not _covers_now(record.series, now_s):
        return None
    return _answer(record, Rung.CACHED, feed, now_s)


def own_answer(history: Record | None, feed: str, now_s: float, horizon_s: float) -> Answer | None:
    """Our own forecast from what is known of the past; None while that is too little. It has no band: see `banded`."""
    if history is None:
        return None
    try:
        series = seasonal_forecast(history.series, now_s, horizon_s)
    except NotEnoughHistoryError:
        return None
    return Answer(series=series, rung=Rung.OWN_FORECAST, feed=feed, age_s=max(0.0, now_s - history.fetched_at_s))


def banded(own: Answer, history: Record, now_s: float) -> Answer:
    """Our own forecast with the band of its backtest: some fifty forecasts, so only where it is the answer."""
    return replace(own, band=band(backtested_errors(history.series, now_s), own.series))


def yearly_answer(zone: str, kind: Kind, now_s: float, horizon_s: float) -> Answer | None:
    """The yearly average, where one is published and answers the same question as the zone's feeds."""
    series = yearly_average_series(zone, now_s, now_s + horizon_s) if kind == YEARLY_KIND and horizon_s > 0 else None
    if series is None:
        return None
    return Answer(series=series, rung=Rung.YEARLY_AVERAGE, feed="static", age_s=max(0.0, now_s - _YEARLY_ISSUED_AT_S))


def prolonged(answer: Answer, own: Answer | None) -> Answer:
    """The answer, continued by our own forecast where it ends earlier. Rung, age and labels stay the answer's."""
    head = answer.series
    if own is None or own.series.end_at_s <= head.end_at_s or own.series.start_at_s > head.end_at_s:
        return answer
    tail = own.series.between(head.end_at_s, own.series.end_at_s)
    joined = replace(
        head.followed_by(tail),
        quality=head.quality,
        issued_at_s=head.issued_at_s,
        source=f"{head.source}, then {tail.source}",
    )
    return replace(answer, series=joined)


def unknown_since_s(history: Record | None, now_s: float, rules: LadderRules) -> float:
    """From when on the past is worth asking for."""
    oldest_s = now_s - rules.history_span_s
    return oldest_s if history is None else max(oldest_s, history.series.end_at_s - rules.history_revised_s)


def is_settled(history: Record | None, start_at_s: float, end_at_s: float, now_s: float, rules: LadderRules) -> bool:
    """Whether a past interval need not be asked for again: it was fetched after all revisions, or just now."""
    fetched_at_s = None if history is None else oldest_version_at_s(history, start_at_s, end_at_s)
    if fetched_at_s is None:
        return False
    return fetched_at_s >= min(end_at_s + rules.history_revised_s, now_s - rules.history_fresh_s)


def settled_until_s(actual: IntensitySeries, now_s: float, rules: LadderRules) -> float:
    """Up to when a forecast may be held against the past: an estimate is one itself until it has been revised."""
    return now_s if actual.quality is Quality.MEASURED else now_s - rules.history_revised_s


def left_alone_until_s(error: FeedError, is_about_forecast: bool, now_s: float, rules: LadderRules) -> float:
    """When a feed that failed may be asked again. A plan without history says nothing about its forecasts."""
    match error:
        case FeedThrottledError(retry_after_s=retry_after_s):
            return now_s + (rules.throttled_s if retry_after_s is None else retry_after_s)
        case FeedAccessError() if is_about_forecast:
            return now_s + rules.refused_s
        case _:
            return now_s


def _covers_now(series: IntensitySeries, now_s: float) -> bool:
    return series.start_at_s <= now_s < series.end_at_s and series.covers(now_s, _next_edge_s(series, now_s))


def _next_edge_s(series: IntensitySeries, now_s: float) -> float:
    edges = series.edges_at_s
    return float(edges[edges > now_s][0])


def _answer(record: Record, rung: Rung, feed: str, now_s: float) -> Answer:
    series = from_running_step(record.series, now_s)
    issued_at_s = record.fetched_at_s if series.issued_at_s is None else series.issued_at_s
    return Answer(series=series, rung=rung, feed=feed, age_s=max(0.0, now_s - issued_at_s))
