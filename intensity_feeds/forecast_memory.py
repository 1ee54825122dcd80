"""Keeps beside the cache what feeds forecast and what came, and says of an answer how wrong it may be.

A shell around forecast_errors.py and forecast_correction.py: one file for each (feed, signal, basis, zone), replaced
whole. Decides nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from intensity_feeds.cache import keep, kept, place
from intensity_feeds.feed import Answer
from intensity_feeds.forecast_correction import band, corrected, remaining_error_ratio
from intensity_feeds.forecast_error_records import as_text, from_text
from intensity_feeds.forecast_errors import ForecastErrors, HorizonError, by_horizon, recorded, scored
from intensity_feeds.series import Floats, IntensitySeries

_PART = "errors"

# Feed, zone, and its errors by horizon.
OnScored = Callable[[str, str, tuple[HorizonError, ...]], None]


class ForecastMemory:
    """Reads and writes below `folder`. Safe to use from several threads.

    `corrects` says whether answers are corrected by their newest error; they get their band either way. `on_scored` is
    called when the errors of a zone have changed or were read from disk, on the thread that asked.
    """

    def __init__(self, folder: Path | str, *, corrects: bool = True, on_scored: OnScored | None = None) -> None:
        self._folder, self._corrects, self._on_scored = Path(folder), corrects, on_scored
        self._lock = threading.RLock()
        self._errors: dict[Path, ForecastErrors] = {}
        # Learned from the errors, and as good as long as they are the same object.
        self._left: dict[Path, tuple[ForecastErrors, Floats | None]] = {}

    def record(self, feed: str, forecast: IntensitySeries, now_s: float) -> None:
        """A forecast has come."""
        with self._lock:
            path, errors = self._known(feed, forecast)
            self._put(path, errors, recorded(errors, forecast, now_s))

    def score(self, feed: str, actual: IntensitySeries, until_s: float) -> None:
        """The past is known, and will not change much, up to `until_s`."""
        with self._lock:
            path, before = self._known(feed, actual)
            after = scored(before, actual, until_s)
            self._put(path, before, after)
        if after is not before:
            self._tell(feed, after)

    def judged(self, answer: Answer) -> Answer:
        """The answer with its band, and corrected where that is wanted and something is known to correct it by."""
        with self._lock:
            path, errors = self._known(answer.feed, answer.series)
            left_ratio = self._left_ratio(path, errors) if self._corrects else None
        series = corrected(errors, answer.series, left_ratio)
        return replace(answer, series=series, band=band(errors, answer.series))

    def errors(self, feed: str, series: IntensitySeries) -> ForecastErrors:
        """What is remembered of the zone of `series`, for numbers of its kind."""
        with self._lock:
            return self._known(feed, series)[1]

    def _known(self, feed: str, series: IntensitySeries) -> tuple[Path, ForecastErrors]:
        path = place(self._folder, feed, series.zone, (series.signal, series.basis), _PART)
        if path not in self._errors:
            read = kept(path, from_text)
            self._errors[path] = ForecastErrors(zone=series.zone) if read is None else read
            if read is not None:
                self._tell(feed, read)
        return path, self._errors[path]

    def _put(self, path: Path, before: ForecastErrors, after: ForecastErrors) -> None:
        if after is not before:
            self._errors[path] = after
            keep(path, as_text(after))

    def _left_ratio(self, path: Path, errors: ForecastErrors) -> Floats | None:
        known = self._left.get(path)
        if known is None or known[0] is not errors:
            known = self._left[path] = (errors, remaining_error_ratio(errors))
        return known[1]

    def _tell(self, feed: str, errors: ForecastErrors) -> None:
        if self._on_scored is not None:
            self._on_scored(feed, errors.zone, by_horizon(errors))
