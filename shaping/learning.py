"""What a pool's past says of its present: arrivals a second, service time by length and company, watts while busy.

Each estimate forgets old news and says None as long as it knows nothing. Decides nothing.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

from shaping.request import LatencyClass
from shaping.usual_load import UsualRate

# The last gaps between arrivals that count: enough for a rate within 25%, few enough to follow a burst.
GAPS = 16
STEADY_GAPS = 128  # for a rate within 10%
# After a silence this many times the mean gap the stream has ended or thinned: an exponential gap is as long in 5%.
LONG_SILENCE_GAPS = 3.0
# The weight of an observation falls to half after 70 more.
KEEP_RATIO = 0.99


# -- the arithmetic, in plain numbers, for the simulator compiles it: NaN is what nobody knows -------------------------


def arrivals_per_s(seen: int, first_at_s: float, last_at_s: float, now_s: float) -> float:
    """From the last `seen` arrivals, and less once the present silence outlasts their gaps; NaN before the second."""
    if seen < 2 or now_s <= first_at_s:
        return math.nan
    mean_per_s = (seen - 1) / (now_s - first_at_s)
    silence_s = now_s - last_at_s
    return min(mean_per_s, LONG_SILENCE_GAPS / silence_s) if silence_s > 0 else mean_per_s


def octave_of(beside_requests: float) -> int:
    """0, 1, 2, 3, ... for 0, 1, 2 to 3, 4 to 7, ... others: the bits of the whole number."""
    whole, bits = int(beside_requests), 0
    while whole > 0:
        whole, bits = whole // 2, bits + 1
    return bits


class Numbers(Protocol):
    """A list or an array."""

    def __getitem__(self, place: int, /) -> float: ...


def s_per_token_beside(beside_requests: Numbers, s_per_token: Numbers, known: int, at_requests: float) -> float:
    """Straight between the first `known` points, constant before them, along the last piece beyond if that rises.

    NaN without points.
    """
    if known == 0:
        return math.nan
    place = 0
    while place < known and beside_requests[place] < at_requests:
        place += 1
    if place == 0 or known == 1:
        return s_per_token[0]
    last = min(place, known - 1)
    low, high = beside_requests[last - 1], beside_requests[last]
    at_low, at_high = s_per_token[last - 1], s_per_token[last]
    if high <= low:
        return at_high  # two octaves meet in one point
    slope = (at_high - at_low) / (high - low)
    if at_requests <= high:
        return at_low + slope * (at_requests - low)
    return at_high + max(0.0, slope) * (at_requests - high)


# -- what remembers ----------------------------------------------------------------------------------------------------


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
        if not seen:
            return None
        rate_per_s = arrivals_per_s(len(seen), seen[0], seen[-1], now_s)
        return None if math.isnan(rate_per_s) else rate_per_s


class LoadForecast:
    """Requests a second and seconds that one takes, steadier than a hold rule needs them: how many run as a rule."""

    __slots__ = ("_rate", "_usual", "longest_s", "service_s")

    def __init__(self) -> None:
        self._rate, self._usual = ArrivalRate(STEADY_GAPS), UsualRate()
        self.service_s: float | None = None
        self.longest_s = 0.0  # of late: it fades

    def arrived(self, now_s: float, by: LatencyClass) -> None:
        """What can wait comes when the plan has it come: only people have habits."""
        self._rate.arrived(now_s)
        if by is LatencyClass.INTERACTIVE:
            self._usual.arrived(now_s)

    def answered(self, took_s: float) -> None:
        self.service_s = took_s if self.service_s is None else self.service_s + (took_s - self.service_s) / GAPS
        self.longest_s = max(took_s, self.longest_s * KEEP_RATIO)

    def rate_per_s(self, now_s: float) -> float | None:
        return self._rate.per_s(now_s)

    def recall(self, usual: UsualRate, service_s: float | None) -> None:
        """Go on from what an earlier life of the daemon saw; a service time seen since is newer."""
        self._usual = usual
        self.service_s = service_s if self.service_s is None else self.service_s

    def usual(self, now_s: float) -> UsualRate:
        """What the times of day to come have brought before."""
        self._usual.passed(now_s)
        return self._usual


class ServiceTime:
    """Seconds from release to answer for each output token, by how many others run beside.

    Kept apart for 0, 1, 2 to 3, 4 to 7, ... others, since a pool that is shaped well sees a lone request rarely and
    must still know what one costs; between and beyond these a straight line is drawn.
    """

    __slots__ = ("_beside", "_by_octave", "_s_per_token")

    def __init__(self) -> None:
        self._by_octave: dict[int, list[float]] = {}  # decayed sums of beside, seconds, tokens, and their count
        self._beside: list[float] = []  # by octave
        self._s_per_token: list[float] = []

    def observe(self, took_s: float, output_tokens: int, beside_requests: float) -> None:
        """One answer; `beside_requests` is the mean number of others at the workers meanwhile."""
        sums = self._by_octave.setdefault(octave_of(beside_requests), [0.0] * 4)
        for place, value in enumerate((beside_requests, took_s, float(max(1, output_tokens)), 1.0)):
            sums[place] = sums[place] * KEEP_RATIO + value
        by_octave = [sums for _, sums in sorted(self._by_octave.items())]
        self._beside = [sums[0] / sums[3] for sums in by_octave]
        self._s_per_token = [sums[1] / sums[2] for sums in by_octave]

    def s_per_token(self, beside_requests: float) -> float | None:
        """None before the first answer. Never less beside more, as far as it was not observed."""
        if not self._beside:
            return None
        return s_per_token_beside(self._beside, self._s_per_token, len(self._beside), beside_requests)


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
        self._energy_j = self._energy_j * KEEP_RATIO + energy_j
        self._busy_s *= KEEP_RATIO

    @property
    def busy_w(self) -> float | None:
        """Mean power of one busy worker; None before anything was metered."""
        return self._energy_j / self._busy_s if self._busy_s > 0.0 and self._energy_j > 0.0 else None
