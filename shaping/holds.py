"""The rules by which requests that could go are held for company: none, a group, a fixed window, a regular pace.

A rule is asked for one lane and says how many may go now, why, and when to ask again if nothing else happens. It never
holds past the end that it named itself, and the shaper none past its budget. What each weighs is hold_arithmetic.py's;
the rule that learns is in adaptive.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from shaping.hold_arithmetic import (
    REASONS,
    UNLIMITED,
    Answer,
    Line,
    dense,
    dense_hold_end_s,
    paced,
    passed,
    window_hold_end_s,
    windowed,
)
from shaping.policy import ReleaseReason, ShapingPolicy
from shaping.request import LatencyClass, Request


class Verdict(NamedTuple):
    """How many of a lane may go now; when none, `again_at_s` is when to ask again."""

    goes: int
    reason: ReleaseReason
    again_at_s: float = math.inf


HOLD = Verdict(0, ReleaseReason.HOLD_OVER)


def verdict_of(answer: Answer) -> Verdict:
    """An answer of the arithmetic in words."""
    goes, reason, again_at_s = answer
    return Verdict(goes, REASONS[reason], again_at_s)


class HoldRule(Protocol):
    """One rule with whatever it remembers, for one shaper."""

    def hold_until_s(self, request: Request, since_s: float) -> float:
        """The longest hold of a request that could go since then."""
        ...

    def verdict(self, latency_class: LatencyClass, line: Line, now_s: float) -> Verdict:
        """Whether the lane goes. When it holds, `again_at_s` is later than now."""
        ...

    def offered(self, request: Request, now_s: float) -> None: ...

    def started(self, request: Request, now_s: float) -> None: ...

    def ended(self, request: Request, now_s: float, *, is_answered: bool) -> None: ...

    def used(self, energy_j: float) -> None:
        """Energy that workers spent on released requests since the last call."""
        ...

    def see_grid(self, intensity_gco2e_per_kwh: float | None) -> None:
        """The grid's intensity from now on; None where nobody knows it."""
        ...


class _Unlearned:
    """What a rule without memory makes of the news: nothing."""

    def __init__(self, policy: ShapingPolicy) -> None:
        self._policy = policy

    def hold_until_s(self, request: Request, since_s: float) -> float:
        return since_s

    def offered(self, request: Request, now_s: float) -> None:
        pass

    def started(self, request: Request, now_s: float) -> None:
        pass

    def ended(self, request: Request, now_s: float, *, is_answered: bool) -> None:
        pass

    def used(self, energy_j: float) -> None:
        pass

    def see_grid(self, intensity_gco2e_per_kwh: float | None) -> None:
        pass


class PassThrough(_Unlearned):
    """Whatever could go goes."""

    def verdict(self, latency_class: LatencyClass, line: Line, now_s: float) -> Verdict:
        return verdict_of(passed(line, latency_class is LatencyClass.INTERACTIVE))


class DenseGroup(_Unlearned):
    """Interactive requests wait for `min_group` together with those that run, at most their hold; no others wait."""

    def hold_until_s(self, request: Request, since_s: float) -> float:
        is_interactive = request.latency_class is LatencyClass.INTERACTIVE
        return dense_hold_end_s(is_interactive, since_s, self._policy.budget_ends_at_s(request))

    def verdict(self, latency_class: LatencyClass, line: Line, now_s: float) -> Verdict:
        is_interactive = latency_class is LatencyClass.INTERACTIVE
        hold_s, min_group = self._policy.interactive_hold_s, self._policy.min_group
        return verdict_of(dense(line, is_interactive, now_s, hold_s, min_group))


class FixedWindow(_Unlearned):
    """A batch goes once `max_group` are there or the first has waited `max_delay_s`: Triton's and mosec's batching."""

    def hold_until_s(self, request: Request, since_s: float) -> float:
        return window_hold_end_s(since_s, self._policy.max_delay_s, self._policy.budget_ends_at_s(request))

    def verdict(self, latency_class: LatencyClass, line: Line, now_s: float) -> Verdict:
        return verdict_of(windowed(line, now_s, self._policy.max_group or UNLIMITED))


class Paced(_Unlearned):
    """One request every `pace_gap_s`; what reaches the end of its budget does not wait for its turn."""

    def __init__(self, policy: ShapingPolicy) -> None:
        super().__init__(policy)
        self._next_at_s = -math.inf

    def hold_until_s(self, request: Request, since_s: float) -> float:
        return math.inf  # the end of its budget frees one request, not its lane

    def started(self, request: Request, now_s: float) -> None:
        self._next_at_s = now_s + self._policy.pace_gap_s

    def verdict(self, latency_class: LatencyClass, line: Line, now_s: float) -> Verdict:
        return verdict_of(paced(self._next_at_s, now_s))
