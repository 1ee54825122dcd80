"""Fields of an answer, read or refused by name."""

from __future__ import annotations

import pytest

from intensity_feeds.answers import Reading, clipped, from_running_step, refuse_implausible
from intensity_feeds.feed import FeedAnswerError, NoDataError
from tests.unit.intensity_feeds.builders import HOUR_S, MIDNIGHT_S, a_series

READING = Reading("test", "DE")


@pytest.mark.parametrize("value", [-1, -0.001, 3000.1, float("nan"), float("inf"), "100", True, [1], 10**40])
def test_what_no_grid_emits_is_refused(value: object) -> None:
    with pytest.raises(FeedAnswerError, match="test, zone DE: value is"):
        READING.intensity(value, "value")


@pytest.mark.parametrize("value", [0, 0.0, 3000, 12.5])
def test_zero_and_the_dirtiest_grid_are_data(value: float) -> None:
    assert READING.intensity(value, "value") == value


def test_null_is_a_gap() -> None:
    assert READING.intensity(None, "value") is None


@pytest.mark.parametrize("value", [None, 5, "yesterday", "2025-01-01T00:00:00", "2025-13-01T00:00:00Z"])
def test_an_instant_without_a_zone_or_sense_is_refused(value: object) -> None:
    with pytest.raises(FeedAnswerError, match="datetime"):
        READING.instant_s(value, "datetime")


@pytest.mark.parametrize(
    "text", ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00.000Z", "2025-01-01 01:00:00+01:00", "2025-01-01T00:00Z"]
)
def test_every_spelling_of_an_instant_is_read(text: str) -> None:
    assert READING.instant_s(text, "datetime") == 1735689600.0


def test_gaps_at_the_ends_are_cut_off_and_a_gap_inside_stays() -> None:
    points = [(MIDNIGHT_S + n * HOUR_S, value) for n, value in enumerate([None, 1.0, None, 3.0, None])]
    series = READING.series(points, HOUR_S)
    assert (series.start_at_s, series.end_at_s) == (MIDNIGHT_S + HOUR_S, MIDNIGHT_S + 4 * HOUR_S)
    assert series.has_gap


def test_an_answer_of_gaps_only_is_no_data() -> None:
    with pytest.raises(NoDataError):
        READING.series([(MIDNIGHT_S, None)], HOUR_S)


def test_a_series_is_clipped_to_what_was_asked() -> None:
    part = clipped(a_series(), "test", MIDNIGHT_S - HOUR_S, MIDNIGHT_S + 1.5 * HOUR_S)
    assert (part.start_at_s, part.end_at_s) == (MIDNIGHT_S, MIDNIGHT_S + 1.5 * HOUR_S)
    with pytest.raises(NoDataError):
        clipped(a_series(), "test", MIDNIGHT_S - HOUR_S, MIDNIGHT_S)


def test_a_forecast_begins_with_the_running_step() -> None:
    assert from_running_step(a_series(), MIDNIGHT_S + 1.7 * HOUR_S).start_at_s == MIDNIGHT_S + HOUR_S
    assert from_running_step(a_series(), MIDNIGHT_S - 5).start_at_s == MIDNIGHT_S


def test_an_implausible_series_is_refused_and_gaps_are_not() -> None:
    refuse_implausible(a_series((1.0, float("nan"), 3.0)), "test")
    for value in (-1.0, 3001.0):
        with pytest.raises(FeedAnswerError, match="outside 0 to 3000"):
            refuse_implausible(a_series((1.0, value)), "test")
