"""Bookings that wait for a meter, and a meter that speaks before anybody books."""

from __future__ import annotations

import pytest

from scheduler.daemon.metering import KeptShare


@pytest.mark.parametrize("metered_j", [12.5, None])
def test_what_the_meter_says_is_kept_until_it_is_booked(metered_j: float | None) -> None:
    kept, booked = KeptShare(), list[float | None]()
    kept.metered(metered_j)
    kept.book(booked.append)
    assert booked == [metered_j]


def test_a_booking_waits_for_the_meter_and_is_made_once() -> None:
    kept, booked = KeptShare(), list[float | None]()
    kept.book(booked.append)
    assert booked == []
    kept.metered(3.0)
    assert booked == [3.0]
