"""Instants at the ends of the calendar."""

from __future__ import annotations

import pytest

from scheduler.quantities import QuantityError, format_instant, parse_instant_s


@pytest.mark.parametrize("text", ["0224-09-26T21:22:52Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_an_instant_of_any_year_reads_as_it_was_written(text: str) -> None:
    assert format_instant(parse_instant_s(text)) == text


@pytest.mark.parametrize("text", ["0001-01-01T00:00+01:00", "9999-12-31T23:59:59.9Z", "9999-12-31T23:00-02:00"])
def test_an_instant_that_no_calendar_holds_in_utc_is_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="outside the years 1 to 9999"):
        parse_instant_s(text)
