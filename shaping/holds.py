"""The rules by which requests that could go are held for company: none, a group, a fixed window, a regular pace.

A rule is asked for one lane and says how many may go now, why, and when to ask again if nothing else happens. It never
holds past the end that it named itself, and the shaper none past its budget. The rule that learns is in adaptive.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

from shaping.policy import ReleaseReason, ShapingPolicy
from shaping.request import LatencyClass, Request


class Line(NamedTuple):
    """Requests of one lane that could go, as a rule sees them."""

    latency_class: LatencyClass
    held: int
    ends_at_s: float  # when the first hold among them ends
    running: int  # of all lanes
    sequences: int  # places that the pool has
    workers: int
    longest_tokens: int  # the longest output that one of them is expected to have


class Verdict(NamedTuple):
    """How many of a lane may go now; when none, `again_at_s` is when to ask again."""

    goes: int
    reason: ReleaseReason
    again_at_s: float = math.inf


HOLD = Verdict(0, ReleaseReason.HOLD_OVER)


class HoldRule(Protocol):
    """One rule with whatever it remembers, for one shaper."""

    def hold_until_s(self, request: Request, since_s: float) -> float:
        """The longest hold of a request that could go since then."""
        ...

    def verdict(self, line: Line, now_s: float) -> Verdict:
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

    def verdict(self, line: Line, now_s: float) -> Verdict:
        is_interactive = line.latency_class is LatencyClass.INTERACTIVE
        return Verdict(line.held, ReleaseReason.PASS_THROUGH if is_interactive else ReleaseReason.PLANNED)


class DenseGroup(_Unlearned):
    """Interactive requests wait for `min_group` together with those that run, at most their hold; no others wait."""

    def hold_until_s(self, request: Request, since_s: float) -> float:
        is_interactive = request.latency_class is LatencyClass.INTERACTIVE
        return self._policy.budget_ends_at_s(request) if is_interactive else since_s

    def verdict(self, line: Line, now_s: float) -> Verdict:
        if line.latency_class is not LatencyClass.INTERACTIVE:
            return Verdict(line.held, ReleaseReason.PLANNED)
        if self._policy.interactive_hold_s == 0.0:
            return Verdict(line.held, ReleaseReason.PASS_THROUGH)
        if line.running + line.held >= self._policy.min_group:
            return Verdict(line.held, ReleaseReason.DENSE)
        if line.ends_at_s <= now_s:
            return Verdict(line.held, ReleaseReason.HOLD_OVER)
        return Verdict(0, ReleaseReason.HOLD_OVER, line.ends_at_s)


class FixedWindow(_Unlearned):
    """A batch goes once `max_group` are there or the first has waited `max_delay_s`: Triton's and mosec's batching."""

    def hold_until_s(self, request: Request, since_s: float) -> float:
        return min(since_s + self._policy.max_delay_s, self._policy.budget_ends_at_s(request))

    def verdict(self, line: Line, now_s: float) -> Verdict:
        size = self._policy.max_group
        if line.ends_at_s <= now_s:
            return Verdict(line.held if size is None else min(line.held, size), ReleaseReason.HOLD_OVER)
        if size is not None and line.held >= size:
            return Verdict(size, ReleaseReason.FULL)
        return Verdict(0, ReleaseReason.HOLD_OVER, line.ends_at_s)


class Paced(_Unlearned):
    """One request every `pace_gap_s`; what reaches the end of its budget does not wait for its turn."""

    def __init__(self, policy: ShapingPolicy) -> None:
        super().__init__(policy)
        self._next_at_s = -math.inf

    def hold_until_s(self, request: Request, since_s: float) -> float:
        return math.inf  # the end of its budget frees one request, not its lane

    def started(self, request: Request, now_s: float) -> None:
        self._next_at_s = now_s + self._policy.pace_gap_s

    def verdict(self, line: Line, now_s: float) -> Verdict:
        if self._next_at_s <= now_s:
            return Verdict(1, ReleaseReason.PACED)
        return Verdict(0, ReleaseReason.HOLD_OVER, self._next_at_s)
