"""Instants as the providers write them: UTC and ISO 8601. A time without a zone is refused, for it would be a guess."""

from __future__ import annotations

from datetime import UTC, datetime


def parse_utc_s(text: str) -> float:
    """UTC epoch seconds of an ISO 8601 instant with `Z` or an offset, up to seven fractional digits.

    Raises ValueError for anything else.
    """
    instant = datetime.fromisoformat(text.strip())
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone: append Z for UTC, or an offset such as +01:00")
    return instant.timestamp()


def format_utc(instant_s: float) -> str:
    """`2025-01-01T00:00:00Z`, the one spelling that every provider reads."""
    return datetime.fromtimestamp(instant_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_utc_minute(instant_s: float) -> str:
    """`2018-01-20T12:00Z`: without seconds, as the paths of the GB service want it."""
    return datetime.fromtimestamp(instant_s, UTC).strftime("%Y-%m-%dT%H:%MZ")


def floor_to(instant_s: float, step_s: float) -> float:
    """The last multiple of `step_s` at or before the instant."""
    return instant_s // step_s * step_s


def ceil_to(instant_s: float, step_s: float) -> float:
    """The first multiple of `step_s` at or after the instant."""
    return -(-instant_s // step_s) * step_s


def new_year_at_s(year: int) -> float:
    """The first instant of a year."""
    return datetime(year, 1, 1, tzinfo=UTC).timestamp()


def year_of(instant_s: float) -> int:
    return datetime.fromtimestamp(instant_s, UTC).year
