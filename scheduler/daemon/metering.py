"""Bookings of requests that wait for the meter of their worker, and are made with what it counted for each.

Decides nothing: the shares are metered_shares.py's. Whoever waits when the meter ends is booked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shaping.deployment import Deployment
from shaping.metered_shares import MeteredShares, Share

Booking = Callable[[float | None], None]  # called with the request's metered joules, None where they are not known


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterSight:
    """What is known of a worker's meter now. Where it is not read, `what` says why and `remedy` the way out, and
    `since_at_s` since when, by the policy clock.
    """

    source: str
    what: str = ""
    remedy: str = ""
    since_at_s: float | None = None
    power_w: float | None = None
    utilisation_ratio: float | None = None


class KeptShare:
    """What a meter says of a request that is booked later than it ended: with another part of the same call."""

    __slots__ = ("_booking", "_said")

    def __init__(self) -> None:
        self._booking: Booking | None = None
        self._said: tuple[float | None] | None = None

    def metered(self, metered_j: float | None) -> None:
        self._said = (metered_j,)
        if self._booking is not None:
            self._booking(metered_j)

    def book(self, booking: Booking) -> None:
        """Have it made now, or as soon as the meter has spoken."""
        self._booking = booking
        if self._said is not None:
            booking(self._said[0])


class Metering:
    """The requests of one worker whose meter is read."""

    def __init__(self, deployment: Deployment | None) -> None:
        self._shares = MeteredShares(deployment)
        self._bookings: dict[Share, Booking] = {}
        self._is_closed = False

    @property
    def nobodys_j(self) -> float:
        """What was read so far and is no request's."""
        return self._shares.nobodys_j

    def began(self, at_s: float, prompt_tokens: int, output_tokens: int) -> Share:
        return self._shares.began(at_s, prompt_tokens, output_tokens)

    def ended(self, share: Share, at_s: float) -> None:
        self._shares.ended(share, at_s)

    def book(self, share: Share, booking: Booking) -> None:
        """Have the booking made once the meter has been read after the end of its request."""
        if self._is_closed:
            booking(None)
        else:
            self._bookings[share] = booking

    def read(self, at_s: float, counter_j: float | None, power_w: float | None) -> None:
        """The meter was read at that instant of the clock that never jumps."""
        self._settle(self._shares.read(at_s, counter_j, power_w))

    def gap(self, at_s: float) -> None:
        """What was drawn from the last reading to the next is not known: whoever ran then is booked without it."""
        self._settle(self._shares.read(at_s, None, None))

    def close(self) -> None:
        """The meter is not read any more."""
        self._is_closed = True
        self._settle(self._shares.lost())

    def _settle(self, shares: Iterable[Share]) -> None:
        for share in shares:
            booking = self._bookings.pop(share, None)  # none for one that failed
            if booking is not None:
                booking(share.energy_j)
