"""What a pool's past says of its present: arrivals a second, service time by length and company, watts while busy.

Each estimate forgets old news and says None as long as it knows nothing. Decides nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

# The last gaps between arrivals that count: enough for a rate within 25%, few enough to follow a burst.
GAPS = 16
STEADY_GAPS = 128  # for a rate within 10%
# After a silence this many times the mean gap the stream has ended or thinned: an exponential gap is as long in 5%.
LONG_SILENCE_GAPS = 3.0
# The weight of an observation falls to half after 70 more.
_KEEP_RATIO = 0.99


class ArrivalRate:
    """Arrivals per second from the last gaps, and less once the present silence outlasts them."""

    __slots__ = ("_arrivals_at_s",)

    def __init__(self, gaps: int = GAPS) -> None:
        self._arrivals_at_s: deque[float] = deque(maxlen=gaps + 1)

    def arrived(self, now_s: float) -> None:
        self._arrivals_at_s.append(now_s)

    def per_s(self, now_s: float) -> float | None:
        """None before the second arrival."""
        seen = self._arrivals_at_s
        if len(seen) < 2 or now_s <= seen[0]:
            return None
        mean_per_s = (len(seen) - 1) / (now_s - seen[0])
        silence_s = now_s - seen[-1]
        return min(mean_per_s, LONG_SILENCE_GAPS / silence_s) if silence_s > 0 else mean_per_s


class LoadForecast:
    """Requests a second and seconds that one takes, steadier than a hold rule needs them: how many run as a rule."""

    __slots__ = ("_rate", "service_s")

    def __init__(self) -> None:
        self._rate = ArrivalRate(STEADY_GAPS)
        self.service_s: float | None = None

    def arrived(self, now_s: float) -> None:
        self._rate.arrived(now_s)

    def answered(self, took_s: float) -> None:
        self.service_s = took_s if self.service_s is None else self.service_s + (took_s - self.service_s) / GAPS

    def rate_per_s(self, now_s: float) -> float | None:
        return self._rate.per_s(now_s)


class ServiceTime:
    """Seconds from release to answer for each output token, by how many others run beside.

    Kept apart for 0, 1, 2 to 3, 4 to 7, ... others, since a pool that is shaped well sees a lone request rarely and
    must still know what one costs; between and beyond these a straight line is drawn.
    """

    __slots__ = ("_by_octave", "_known")

    def __init__(self) -> None:
        self._by_octave: dict[int, list[float]] = {}  # decayed sums of beside, seconds, tokens, and their count
        self._known: list[tuple[float, float]] | None = None  # beside and seconds per token, by beside

    def observe(self, took_s: float, output_tokens: int, beside_requests: float) -> None:
        """One answer; `beside_requests` is the mean number of others at the workers meanwhile."""
        sums = self._by_octave.setdefault(int(beside_requests).bit_length(), [0.0] * 4)
        for place, value in enumerate((beside_requests, took_s, float(max(1, output_tokens)), 1.0)):
            sums[place] = sums[place] * _KEEP_RATIO + value
        self._known = None

    def s_per_token(self, beside_requests: float) -> float | None:
        """None before the first answer. Never less beside more, as far as it was not observed."""
        if not self._by_octave:
            return None
        if self._known is None:
            by_beside = sorted(self._by_octave.items())
            self._known = [(sums[0] / sums[3], sums[1] / sums[2]) for _, sums in by_beside]
        return _interpolated(self._known, beside_requests)


def _interpolated(points: Sequence[tuple[float, float]], value: float) -> float:
    """Straight between points, constant before the first, along the last piece beyond the last if that rises."""
    place = bisect_left(points, (value,))
    if place == 0 or len(points) == 1:
        return points[0][1]
    last = min(place, len(points) - 1)
    (low, at_low), (high, at_high) = points[last - 1], points[last]
    slope = (at_high - at_low) / (high - low)
    return at_low + slope * (value - low) if value <= high else at_high + max(0.0, slope) * (value - high)


class Occupancy:
    """How many requests ran over time, and joules of the requests over the time in which workers had any."""

    __slots__ = ("_busy_s", "_energy_j", "request_s", "since_s")

    def __init__(self) -> None:
        self.request_s = 0.0  # the integral of the number of running requests
        self.since_s = 0.0  # up to which instant
        self._energy_j = self._busy_s = 0.0

    def passed(self, now_s: float, running: int, busy_workers: int) -> None:
        """So many requests have run on so many workers since the last call."""
        passed_s = max(0.0, now_s - self.since_s)
        self.request_s += running * passed_s
        self._busy_s += busy_workers * passed_s
        self.since_s = now_s

    def used(self, energy_j: float) -> None:
        self._energy_j = self._energy_j * _KEEP_RATIO + energy_j
        self._busy_s *= _KEEP_RATIO

    @property
    def busy_w(self) -> float | None:
        """Mean power of one busy worker; None before anything was metered."""
        return self._energy_j / self._busy_s if self._busy_s > 0.0 and self._energy_j > 0.0 else None
