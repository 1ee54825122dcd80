"""What every source of intensity offers, and how it may fail.

FeedError                     something a caller of a feed may catch
├── FeedUnreachableError      no answer: refused, reset, timed out                      wait, try the next rung
├── FeedAnswerError           an answer that is no data: 5xx, garbage, wrong zone       wait, try the next rung
├── FeedThrottledError        429, or what stands in for it; says when to come back     wait
├── FeedAccessError           credentials refused, or the plan does not include this    the operator must act
└── NoDataError               the source is well and has no value for this zone and time
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from intensity_feeds.forecast_correction import QuantileForecast
from intensity_feeds.series import Basis, IntensitySeries, Signal


class FeedError(Exception):
    """A source could not say what the grid emits. `feed` and `zone` name which and where."""

    def __init__(self, feed: str, zone: str, what: str) -> None:
        self.feed, self.zone, self.what = feed, zone, what
        super().__init__(f"{feed}, zone {zone}: {what}")


class FeedUnreachableError(FeedError):
    """No answer within the timeout."""


class FeedAnswerError(FeedError):
    """An answer that holds no usable data."""


class FeedThrottledError(FeedError):
    """Too many requests; `retry_after_s` is None where the source does not say."""

    def __init__(self, feed: str, zone: str, what: str, retry_after_s: float | None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(feed, zone, what)


class FeedAccessError(FeedError):
    """Credentials refused, or a plan that does not include what was asked."""


class NoDataError(FeedError):
    """The source knows nothing of this zone at this time."""


class Rung(StrEnum):
    """Which step of the fallback ladder an answer stands on, from best to worst."""

    LIVE = "live"
    CACHED = "cached"
    OWN_FORECAST = "own_forecast"
    YEARLY_AVERAGE = "yearly_average"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A series with its provenance. `age_s` counts from when its source issued it to when it was asked for.

    `band` says where the truth will lie, as far ahead as past errors of the feed tell; None where they tell nothing.
    """

    series: IntensitySeries
    rung: Rung
    feed: str
    age_s: float
    band: QuantileForecast | None = None


class Feed(Protocol):
    """A source of intensity. Synchronous; every call has a timeout inside. Raises FeedError and nothing else."""

    @property
    def name(self) -> str: ...

    def forecast(self, zone: str, now_s: float) -> IntensitySeries:
        """From the running interval at `now_s` into the future, as far as the source sees."""
        ...

    def history(self, zone: str, start_at_s: float, end_at_s: float) -> IntensitySeries:
        """What is known of the past interval; may be shorter than asked, never longer."""
        ...


@runtime_checkable
class KnowsKind(Protocol):
    """A feed that says beforehand which question its numbers answer; one that does not answers average, life-cycle."""

    @property
    def signal(self) -> Signal: ...

    @property
    def basis(self) -> Basis: ...


def kind_of(feed: Feed) -> tuple[Signal, Basis]:
    """Signal and basis of everything that `feed` answers."""
    return (feed.signal, feed.basis) if isinstance(feed, KnowsKind) else (Signal.AVERAGE, Basis.LIFECYCLE)
