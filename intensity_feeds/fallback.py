"""Climbs down the ladder: asks the feeds, remembers what they said, and answers from the best rung that holds.

What a rung may answer is decided in rungs.py; this is the shell that calls feeds, keeps the cache and counts outcomes.
A feed that fails, hangs or talks nonsense costs the quality of an answer and shows in its health; nothing else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import TypeVar

from intensity_feeds.answers import clipped
from intensity_feeds.cache import IntensityCache
from intensity_feeds.feed import (
    Answer,
    Feed,
    FeedAccessError,
    FeedAnswerError,
    FeedError,
    FeedThrottledError,
    FeedUnreachableError,
    NoDataError,
    kind_of,
)
from intensity_feeds.forecast_memory import ForecastMemory
from intensity_feeds.instants import ceil_to, floor_to
from intensity_feeds.records import Record, fetched
from intensity_feeds.rungs import (
    YEARLY_KIND,
    Kind,
    LadderRules,
    banded,
    cached_answer,
    fresh_answer,
    is_settled,
    left_alone_until_s,
    live_answer,
    own_answer,
    prolonged,
    settled_until_s,
    unknown_since_s,
    usable_series,
    yearly_answer,
)
from intensity_feeds.series import IntensitySeries, MixedSignalsError, SeriesError

T = TypeVar("T")

logger = logging.getLogger(__name__)

_HOUR_S = 3600.0
_OUTCOMES: dict[type[FeedError], str] = {
    FeedUnreachableError: "unreachable",
    FeedAnswerError: "bad_answer",
    FeedThrottledError: "throttled",
    FeedAccessError: "refused",
    NoDataError: "no_data",
}


# After these the feed is there and may know the past, even where it has no forecast.
_WORTH_ASKING_AGAIN = frozenset({"ok", "refused", "no_data"})


class Question(StrEnum):
    """What a feed was asked for."""

    FORECAST = "forecast"
    HISTORY = "history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one question to one feed ended; `error` is None when it went well."""

    feed: str
    zone: str
    question: Question
    at_s: float
    error: FeedError | None

    @property
    def name(self) -> str:
        """`ok`, `unreachable`, `bad_answer`, `throttled`, `refused` or `no_data`: a label for a metric."""
        return "ok" if self.error is None else _OUTCOMES.get(type(self.error), "bad_answer")


@dataclass(slots=True)
class FeedHealth:
    """What became of the questions to one feed about one zone."""

    outcomes: dict[str, int] = field(default_factory=dict)
    last: Outcome | None = None
    last_success_at_s: float | None = None
    left_alone_until_s: float = float("-inf")
    history_due_at_s: float = float("-inf")


class Ladder:
    """Answers for the zones of `feeds_by_zone`, whose feeds are tried in order. Safe to use from several threads.

    `on_outcome` is called once per question put to a feed, on the thread that asked. With a `memory`, forecasts are
    held against what comes, and answers say how wrong they may be. Raises MixedSignalsError when the feeds of one zone
    answer different questions.
    """

    def __init__(
        self,
        feeds_by_zone: Mapping[str, Sequence[Feed]],
        cache: IntensityCache,
        *,
        rules: LadderRules | None = None,
        on_outcome: Callable[[Outcome], None] | None = None,
        memory: ForecastMemory | None = None,
    ) -> None:
        self._feeds_by_zone = {zone: tuple(feeds) for zone, feeds in feeds_by_zone.items()}
        self._kinds = {zone: _one_kind(zone, feeds) for zone, feeds in self._feeds_by_zone.items()}
        self._cache, self._rules, self._on_outcome = cache, rules or LadderRules(), on_outcome
        self._memory = memory
        self._lock = threading.Lock()
        self._health = {
            (feed.name, zone): FeedHealth() for zone, feeds in self._feeds_by_zone.items() for feed in feeds
        }

    def answer(self, zone: str, now_s: float, horizon_s: float) -> Answer | None:
        """From the running interval at `now_s` on, to `horizon_s` later where the rung knows that much.

        None when nothing at all is known: the caller then treats the grid as flat, and says so.
        """
        answer = self._live(zone, now_s) or self._cached(zone, now_s)
        if answer is not None and self._memory is not None:
            answer = self._memory.judged(answer)
        if answer is not None and answer.series.end_at_s >= now_s + horizon_s:
            return answer
        own = self._own(zone, now_s, horizon_s)
        if answer is not None:
            return prolonged(answer, own)
        if own is not None:
            return self._with_band(own, zone, now_s)
        return yearly_answer(zone, self._kinds.get(zone, YEARLY_KIND), now_s, horizon_s)

    def history(self, zone: str, start_at_s: float, end_at_s: float, now_s: float) -> IntensitySeries | None:
        """The best that is known by `now_s` of a past interval; with gaps, shorter, or None where less is known."""
        for feed in self._feeds_by_zone.get(zone, ()):
            known = self._cache.history(feed.name, zone, kind_of(feed))
            if not is_settled(known, start_at_s, end_at_s, now_s, self._rules):
                known = self._asked_again(feed, zone, start_at_s, end_at_s, now_s)
            if known is not None and known.series.start_at_s < end_at_s and known.series.end_at_s > start_at_s:
                return clipped(known.series, feed.name, start_at_s, end_at_s)
        return None if self._was_heard_of(zone) else self._yearly(zone, start_at_s, min(end_at_s, now_s))

    def health(self) -> Mapping[tuple[str, str], FeedHealth]:
        """By (feed, zone), as it is now; for metrics and for readiness."""
        return self._health

    def _was_heard_of(self, zone: str) -> bool:
        """Whether any feed ever said anything of the zone: then its past is worth waiting for."""
        feeds = self._feeds_by_zone.get(zone, ())
        kept = (self._cache.forecast, self._cache.history)
        return any(ask(feed.name, zone, kind_of(feed)) is not None for feed in feeds for ask in kept)

    def _yearly(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries | None:
        answer = yearly_answer(zone, self._kinds.get(zone, YEARLY_KIND), start_at_s, end_at_s - start_at_s)
        return None if answer is None else answer.series

    # -- rungs ----------------------------------------------------------------------------------------------------

    def _live(self, zone: str, now_s: float) -> Answer | None:
        for feed in self._feeds_by_zone.get(zone, ()):
            known = self._cache.forecast(feed.name, zone, kind_of(feed))
            answer = fresh_answer(known, feed.name, now_s, self._rules)
            if answer is None and now_s >= self._health[feed.name, zone].left_alone_until_s:
                answer = self._ask(feed, zone, now_s, Question.FORECAST, partial(self._asked, feed, zone, known, now_s))
                self._learn_when_due(feed, zone, now_s)
            if answer is not None:
                return answer
        return None

    def _cached(self, zone: str, now_s: float) -> Answer | None:
        for feed in self._feeds_by_zone.get(zone, ()):
            record = self._cache.forecast(feed.name, zone, kind_of(feed))
            answer = cached_answer(record, feed.name, now_s, self._rules)
            if answer is not None:
                return answer
        return None

    def _own(self, zone: str, now_s: float, horizon_s: float) -> Answer | None:
        for feed in self._feeds_by_zone.get(zone, ()):
            record = self._cache.history(feed.name, zone, kind_of(feed))
            answer = own_answer(record, feed.name, now_s, horizon_s)
            if answer is not None:
                return answer
        return None

    def _with_band(self, own: Answer, zone: str, now_s: float) -> Answer:
        history = self._cache.history(own.feed, zone, self._kinds[zone])
        return own if self._memory is None or history is None else banded(own, history, now_s)

    # -- asking ---------------------------------------------------------------------------------------------------

    def _asked(self, feed: Feed, zone: str, known: Record | None, now_s: float) -> Answer:
        series = usable_series(feed.forecast(zone, now_s), known, feed.name, kind_of(feed), now_s)
        if series.end_at_s > now_s:
            self._cache.put_forecast(feed.name, series, now_s)
            if self._memory is not None:
                self._memory.record(feed.name, series, now_s)
        return live_answer(fetched(series, now_s), feed.name, now_s)

    def _asked_again(self, feed: Feed, zone: str, start_at_s: float, end_at_s: float, now_s: float) -> Record | None:
        start_s, end_s = floor_to(start_at_s, _HOUR_S), min(ceil_to(end_at_s, _HOUR_S), now_s)
        if start_s < end_s and now_s >= self._health[feed.name, zone].left_alone_until_s:
            self._learn(feed, zone, start_s, end_s, now_s)
        return self._cache.history(feed.name, zone, kind_of(feed))

    def _learn_when_due(self, feed: Feed, zone: str, now_s: float) -> None:
        """Fill the history that the own forecast lives on, unless the feed has just shown that it is not there."""
        health = self._health[feed.name, zone]
        is_there = health.last is not None and health.last.name in _WORTH_ASKING_AGAIN
        if not is_there or now_s < health.history_due_at_s:
            return
        since_s = unknown_since_s(self._cache.history(feed.name, zone, kind_of(feed)), now_s, self._rules)
        start_s, end_s = floor_to(since_s, _HOUR_S), floor_to(now_s, _HOUR_S)
        is_learnt = start_s < end_s and self._learn(feed, zone, start_s, end_s, now_s)
        health.history_due_at_s = now_s + (self._rules.history_every_s if is_learnt else self._rules.refused_s)

    def _learn(self, feed: Feed, zone: str, start_at_s: float, end_at_s: float, now_s: float) -> bool:
        def learnt() -> bool:
            series = usable_series(feed.history(zone, start_at_s, end_at_s), None, feed.name, kind_of(feed), end_at_s)
            self._cache.put_history(feed.name, series, now_s)
            if self._memory is not None:
                self._memory.score(feed.name, series, settled_until_s(series, now_s, self._rules))
            return True

        return bool(self._ask(feed, zone, now_s, Question.HISTORY, learnt))

    def _ask(self, feed: Feed, zone: str, now_s: float, question: Question, answered: Callable[[], T]) -> T | None:
        """The answer, or None with the error counted. The one place that catches what a feed raises."""
        answer, error = None, None
        try:
            answer = answered()
        except FeedError as raised:
            error = raised
        except SeriesError as raised:
            error = FeedAnswerError(feed.name, zone, str(raised))
        self._count(Outcome(feed=feed.name, zone=zone, question=question, at_s=now_s, error=error))
        return answer

    def _count(self, outcome: Outcome) -> None:
        with self._lock:
            health = self._health[outcome.feed, outcome.zone]
            health.outcomes[outcome.name] = health.outcomes.get(outcome.name, 0) + 1
            health.last = outcome
            if outcome.error is None:
                health.last_success_at_s = outcome.at_s
            else:
                self._leave_alone(outcome, outcome.error)
        if outcome.error is not None:
            fields = {"action": "feed_failed", "outcome": outcome.name, "reason": str(outcome.error)}
            logger.warning("a feed failed", extra=fields)
        if self._on_outcome is not None:
            self._on_outcome(outcome)

    def _leave_alone(self, outcome: Outcome, error: FeedError) -> None:
        """Calls are counted per account: a feed that is asked too often for one zone is left alone for all of them."""
        is_about_forecast = outcome.question is Question.FORECAST
        until_s = left_alone_until_s(error, is_about_forecast, outcome.at_s, self._rules)
        for (feed, zone), health in self._health.items():
            if feed == outcome.feed and (zone == outcome.zone or isinstance(error, FeedThrottledError)):
                health.left_alone_until_s = max(health.left_alone_until_s, until_s)


def _one_kind(zone: str, feeds: Sequence[Feed]) -> Kind:
    kinds = {kind_of(feed) for feed in feeds}
    if len(kinds) > 1:
        named = ", ".join(sorted(f"{feed.name} {'/'.join(kind_of(feed))}" for feed in feeds))
        raise MixedSignalsError(f"the feeds of zone {zone} answer different questions: {named}; keep those of one kind")
    return next(iter(kinds), YEARLY_KIND)
