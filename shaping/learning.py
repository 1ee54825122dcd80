"""What a pool's past says of its present: arrivals a second, service time by length and company, watts while busy.

Each estimate forgets old news and says None as long as it knows nothing. Decides nothing.
"""

from __future__ import annotations

import math
from collections import deque

# The last gaps between arrivals that count: enough for a rate within 25%, few enough to follow a burst.
GAPS = 16
# After a silence this many times the mean gap the stream has ended or thinned: an exponential gap is as long in 5%.
LONG_SILENCE_GAPS = 3.0
# The weight of an observation falls to half after 70 more.
_KEEP_RATIO = 0.99
# Below this the spread of company is chance, and the slope on it would be noise.
_LEAST_SPREAD_RATIO = 0.05


class ArrivalRate:
    """Arrivals per second from the last gaps, and less once the present silence outlasts them."""

    __slots__ = ("_arrivals_at_s",)

    def __init__(self) -> None:
        self._arrivals_at_s: deque[float] = deque(maxlen=GAPS + 1)

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


class ServiceTime:
    """Seconds from release to answer: so many for each output token, and so many more for each request beside it.

    Decayed least squares on two features; neither coefficient is negative.
    """

    __slots__ = ("_company_s", "_company_squared", "_cross", "_observed", "_tokens_s", "_tokens_squared")

    def __init__(self) -> None:
        self._tokens_squared = self._company_squared = self._cross = 0.0
        self._tokens_s = self._company_s = 0.0
        self._observed = 0

    def observe(self, took_s: float, output_tokens: int, beside: float) -> None:
        """One answer; `beside` is the mean number of others at the workers meanwhile."""
        tokens = float(max(1, output_tokens))
        self._tokens_squared = self._tokens_squared * _KEEP_RATIO + tokens * tokens
        self._company_squared = self._company_squared * _KEEP_RATIO + beside * beside
        self._cross = self._cross * _KEEP_RATIO + tokens * beside
        self._tokens_s = self._tokens_s * _KEEP_RATIO + tokens * took_s
        self._company_s = self._company_s * _KEEP_RATIO + beside * took_s
        self._observed += 1

    @property
    def is_known(self) -> bool:
        return self._observed > 0

    def coefficients(self) -> tuple[float, float]:
        """Seconds for each token, seconds for each request beside."""
        tokens_alone = self._tokens_s / self._tokens_squared
        spread = self._tokens_squared * self._company_squared - self._cross * self._cross
        if spread <= _LEAST_SPREAD_RATIO * self._tokens_squared * self._company_squared:
            return tokens_alone, 0.0
        per_token_s = (self._tokens_s * self._company_squared - self._company_s * self._cross) / spread
        per_company_s = (self._company_s * self._tokens_squared - self._tokens_s * self._cross) / spread
        if per_company_s < 0.0:
            return tokens_alone, 0.0
        return (per_token_s, per_company_s) if per_token_s > 0.0 else (0.0, self._company_s / self._company_squared)


class BusyPower:
    """Watts of one busy worker: joules of the requests over the time in which workers had any."""

    __slots__ = ("_busy_s", "_energy_j", "_since_s")

    def __init__(self) -> None:
        self._energy_j = self._busy_s = 0.0
        self._since_s = 0.0

    def passed(self, now_s: float, busy_workers: int) -> None:
        """So many workers have been busy since the last call."""
        self._busy_s += busy_workers * max(0.0, now_s - self._since_s)
        self._since_s = now_s

    def used(self, energy_j: float) -> None:
        self._energy_j = self._energy_j * _KEEP_RATIO + energy_j
        self._busy_s *= _KEEP_RATIO

    @property
    def busy_w(self) -> float | None:
        return self._energy_j / self._busy_s if self._busy_s > 0.0 and self._energy_j > 0.0 else None


class LengthMean:
    """Mean output length of what is released, in tokens."""

    __slots__ = ("_mean_tokens",)

    def __init__(self) -> None:
        self._mean_tokens = math.nan

    def observe(self, output_tokens: int) -> None:
        tokens = float(max(1, output_tokens))
        is_first = math.isnan(self._mean_tokens)
        self._mean_tokens = tokens if is_first else _KEEP_RATIO * self._mean_tokens + (1 - _KEEP_RATIO) * tokens

    @property
    def mean_tokens(self) -> float | None:
        return None if math.isnan(self._mean_tokens) else self._mean_tokens
