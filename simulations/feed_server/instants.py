"""How the emulated services write and read instants.

Knows the spellings that real clients send; refuses to guess a time zone where the service demands one.
"""

from __future__ import annotations

from datetime import UTC, datetime


class UnreadableInstantError(ValueError):
    """Text that names no instant. `text` is what came."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(f"not an ISO 8601 instant: {text!r}")


def instant_s(text: str, *, zone_required: bool = False) -> float:
    """UTC epoch seconds of an ISO 8601 text, with a space or a T, with up to seven fractional digits.

    Raises UnreadableInstantError, also for a missing time zone where `zone_required`.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UnreadableInstantError(text) from None
    if moment.tzinfo is None:
        if zone_required:
            raise UnreadableInstantError(text)
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def millisecond_stamp(at_s: float) -> str:
    """Electricity Maps: `2026-08-22T17:00:00.000Z`."""
    return _moment(at_s).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(at_s * 1000) % 1000:03d}Z"


def offset_stamp(at_s: float) -> str:
    """WattTime: `2022-07-15T00:00:00+00:00`."""
    return _moment(at_s).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def minute_stamp(at_s: float) -> str:
    """GB Carbon Intensity: `2018-01-20T12:00Z`."""
    return _moment(at_s).strftime("%Y-%m-%dT%H:%MZ")


def day_stamp(at_s: float) -> str:
    return _moment(at_s).strftime("%Y-%m-%d")


def floor_s(at_s: float, step_s: float) -> float:
    """The start of the step that contains the instant."""
    return at_s // step_s * step_s


def _moment(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s // 1, tz=UTC)
