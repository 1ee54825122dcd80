"""Requests that could go now, in lanes: those of one latency class and, if asked for, of about the same output length.

Keeps their order, the end of their holds, and the last word of the hold rule on them. Decides one thing: deferred
requests whose prompts begin alike go one after another, while what they share is in the worker's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from shaping.adapters import AdapterHeap
from shaping.holds import HOLD, Verdict
from shaping.lazy_heap import LazyHeap
from shaping.prefixes import Runs
from shaping.request import LatencyClass, Request

LaneKey = tuple[int, int]

_RANKS = {LatencyClass.INTERACTIVE: 0, LatencyClass.FLEX: 1, LatencyClass.BATCH: 2}
# Outputs within a factor of four share a lane: their batch ends within two doublings of its shortest member.
_LANES_PER_FACTOR = 2


def lane_key(request: Request, *, has_length_lanes: bool) -> LaneKey:
    """Interactive before flex before batch; then, if wanted, by length of the output."""
    bucket = request.output_tokens.bit_length() // _LANES_PER_FACTOR if has_length_lanes else 0
    return _RANKS[request.latency_class], bucket


class Lane:
    """Some requests in the order in which they go: lower priority number first, then as offered.

    A deferred one goes with the first of those that begin alike.
    """

    __slots__ = ("_ends", "_lengths", "_order", "_runs", "granted", "is_interactive", "latency_class", "verdict")

    def __init__(self, latency_class: LatencyClass) -> None:
        self.latency_class = latency_class
        self.is_interactive = latency_class is LatencyClass.INTERACTIVE
        self.verdict: Verdict = HOLD
        self.granted = 0  # how many of them may still go in the release under way
        self._order = AdapterHeap()
        self._ends = LazyHeap()
        self._lengths = LazyHeap()
        self._runs = None if self.is_interactive else Runs()  # who waits at a screen is not overtaken

    def __len__(self) -> int:
        return len(self._order)

    def put(self, request: Request, sequence: int, hold_until_s: float) -> None:
        place = sequence if self._runs is None else self._runs.place(request.prefix, sequence)
        self._order.put(request.id, (request.priority, place, sequence), request.adapter)
        self._ends.put(request.id, (hold_until_s, sequence))
        self._lengths.put(request.id, (-request.output_tokens, sequence))

    def discard(self, request_id: str) -> bool:
        """Take it out; whether it was in."""
        self._ends.discard(request_id)
        self._lengths.discard(request_id)
        return self._order.discard(request_id)

    def first(self, takes: Callable[[str], bool]) -> str | None:
        """Who goes next, of those whose adapter is taken."""
        first = self._order.first(takes)
        return None if first is None else first[1]

    @property
    def ends_at_s(self) -> float:
        """When the first hold among them ends; infinite when the lane is empty."""
        first = self._ends.first()
        return math.inf if first is None else first[0][0]

    @property
    def longest_tokens(self) -> int:
        """The longest output that one of them is expected to have."""
        first = self._lengths.first()
        return 0 if first is None else -int(first[0][0])

    def decided(self, verdict: Verdict) -> None:
        self.verdict, self.granted = verdict, verdict.goes
