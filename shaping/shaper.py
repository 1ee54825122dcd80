"""When a request reaches its worker, and with which others: one state machine per (model, worker pool).

Decides by latency class, capacity and the instants written on the request. Knows no clock, no socket, no carbon: the
planner's word arrives as `not_before_s`, the client's patience as `release_by_s`.

The rules, in the order in which `release` applies them:

1. Latest start. Whatever has reached its `release_by_s` goes ahead of all others, earliest `release_by_s` first. As
   every request has one, nothing starves, whatever arrives after it.
2. Interactive. Requests are held until one of them has waited its hold (or reached its `release_by_s`), or until those
   held and those running together make `min_group`; then all of them go. Beside a batch that is already dense holding
   gains nothing, so nothing is held there; a hold of 0 s passes everything through. Lower priority number first, then
   first in first out.
3. Deferred. Flex and batch requests whose `not_before_s` has come fill the sequences that are left over, beyond those
   reserved for interactive ones: flex before batch, lower priority number first, then first in first out.

Capacity is never exceeded. The first request that does not fit stops the release: smaller ones do not overtake it, for
a stream of small ones would starve it. A request that became larger than a shrunken pool is set aside until it grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType

from shaping.lazy_heap import LazyHeap
from shaping.policy import (
    DuplicateRequest,
    Group,
    OfferError,
    ReleaseReason,
    ShaperStats,
    ShapingPolicy,
    TooLarge,
    WrongModel,
)
from shaping.request import LatencyClass, PoolCapacity, Request

__all__ = [
    "DuplicateRequest",
    "Group",
    "OfferError",
    "ReleaseReason",
    "Shaper",
    "ShaperStats",
    "ShapingPolicy",
    "TooLarge",
    "WrongModel",
]


class _Rule(StrEnum):
    """Which of the rules met a request that does not fit."""

    LATEST_START = "latest_start"
    INTERACTIVE = "interactive"
    DEFERRED = "deferred"


_DEFERRED_RANK = {LatencyClass.FLEX: 0, LatencyClass.BATCH: 1}


class Shaper:
    """Holds requests and releases groups. The caller asks `release` after every change and at `next_wakeup_at_s`."""

    def __init__(self, model: str, capacity: PoolCapacity, policy: ShapingPolicy) -> None:
        self.model = model
        self.policy = policy
        self._capacity = capacity
        self._now_s = 0.0
        self._held: dict[str, Request] = {}
        self._running: dict[str, Request] = {}
        self._sequence_of: dict[str, int] = {}  # of held ones: the order of their offers
        self._set_aside: dict[str, None] = {}  # held, but larger than the pool is now
        self._latest_starts = LazyHeap()  # every held request, by release_by_s
        self._interactive = LazyHeap()  # by priority
        self._hold_ends = LazyHeap()  # the same, by end of their hold
        self._waiting = LazyHeap()  # deferred, by not_before_s
        self._ready = LazyHeap()  # deferred whose not_before_s has come, by class and priority
        self._running_kv_tokens = 0
        self._blocked_by: _Rule | None = None  # what the last release could not fit
        self._is_asked = True  # nothing changed since the last release
        self._offered = self._released = self._finished = self._groups = 0
        self._given_up_held = self._given_up_running = 0

    @property
    def capacity(self) -> PoolCapacity:
        return self._capacity

    @property
    def held(self) -> Mapping[str, Request]:
        """Requests that wait here, in the order of their offers."""
        return MappingProxyType(self._held)

    @property
    def running(self) -> Mapping[str, Request]:
        """Requests released and not yet finished, in the order of their release."""
        return MappingProxyType(self._running)

    @property
    def stats(self) -> ShaperStats:
        return ShaperStats(
            offered=self._offered,
            released=self._released,
            held=len(self._held),
            running=len(self._running),
            finished=self._finished,
            given_up_held=self._given_up_held,
            given_up_running=self._given_up_running,
            groups=self._groups,
        )

    def offer(self, request: Request, now_s: float) -> None:
        """Take a request in. Raises OfferError: DuplicateRequest, WrongModel or TooLarge."""
        if request.id in self._held or request.id in self._running:
            raise DuplicateRequest(request.id)
        if request.model != self.model:
            raise WrongModel(request, self.model)
        if self._capacity.kv_tokens is not None and request.kv_tokens > self._capacity.kv_tokens:
            raise TooLarge(request, self._capacity.kv_tokens)
        self._offered += 1
        self._held[request.id] = request
        self._sequence_of[request.id] = self._offered
        self._enqueue(request)
        self._changed(now_s)

    def release(self, now_s: float) -> list[Group]:
        """The groups that go now; they count as running from here on."""
        self._now_s, self._is_asked, self._blocked_by = now_s, True, None
        self._promote(now_s)
        chosen: dict[ReleaseReason, list[Request]] = {}
        window = self._window(now_s)
        while (due := self._next_due(now_s, window)) is not None:
            request, reason, rule = due
            if self._is_larger_than_pool(request):
                self._withdraw(request.id)
                self._set_aside[request.id] = None
            elif not self._has_room_for(request):
                self._blocked_by = rule
                break
            else:
                self._start(request)
                chosen.setdefault(reason, []).append(request)
            window = window or self._window(now_s)
        return self._grouped(chosen, now_s)

    def next_wakeup_at_s(self) -> float | None:
        """When to ask `release` next if nothing else happens; None while only capacity or an arrival can help.

        After a change it is the instant of that change, until `release` has been asked.
        """
        if not self._held or self._free_sequences <= 0 or self._blocked_by is _Rule.LATEST_START:
            return None
        if not self._is_asked:
            return self._now_s
        heaps = [self._latest_starts]
        if self._blocked_by is not _Rule.INTERACTIVE:
            heaps += [self._hold_ends, self._waiting]
        return min((first[0][0] for heap in heaps if (first := heap.first()) is not None), default=None)

    def finish(self, request_id: str, now_s: float) -> bool:
        """A running request was answered; its capacity is free. False when it does not run (any more)."""
        if not self._stop(request_id, now_s):
            return False
        self._finished += 1
        return True

    def give_up(self, request_id: str, now_s: float) -> bool:
        """The client went away, or the worker failed. False when the request is neither held nor running."""
        if request_id in self._held:
            self._forget(request_id)
            self._given_up_held += 1
            self._changed(now_s)
            return True
        if not self._stop(request_id, now_s):
            return False
        self._given_up_running += 1
        return True

    def retime(self, request_id: str, not_before_s: float) -> bool:
        """The planner's new word for a deferred request. False when it is not held or not deferred."""
        request = self._held.get(request_id)
        if request is None or request.latency_class is LatencyClass.INTERACTIVE:
            return False
        self._held[request_id] = replace(request, not_before_s=not_before_s)
        if request_id not in self._set_aside:
            self._ready.discard(request_id)
            self._waiting.put(request_id, (not_before_s, self._sequence_of[request_id]))
            self._is_asked, self._blocked_by = False, None
        return True

    def resize(self, capacity: PoolCapacity) -> None:
        """Workers came or went. What runs goes on, even beyond a smaller capacity."""
        self._capacity = capacity
        for request_id in self._set_aside:
            self._enqueue(self._held[request_id])
        self._set_aside.clear()
        self._is_asked, self._blocked_by = False, None

    @property
    def _free_sequences(self) -> int:
        return self._capacity.sequences - len(self._running)

    def _changed(self, now_s: float) -> None:
        self._now_s, self._is_asked, self._blocked_by = now_s, False, None

    def _enqueue(self, request: Request) -> None:
        sequence = self._sequence_of[request.id]
        self._latest_starts.put(request.id, (request.release_by_s, sequence))
        if request.latency_class is LatencyClass.INTERACTIVE:
            hold_until_s = min(request.arrived_at_s + self.policy.hold_s(request), request.release_by_s)
            self._interactive.put(request.id, (request.priority, sequence))
            self._hold_ends.put(request.id, (hold_until_s, sequence))
        else:
            self._waiting.put(request.id, (request.not_before_s, sequence))

    def _withdraw(self, request_id: str) -> None:
        for heap in (self._latest_starts, self._interactive, self._hold_ends, self._waiting, self._ready):
            heap.discard(request_id)

    def _forget(self, request_id: str) -> Request:
        self._withdraw(request_id)
        self._set_aside.pop(request_id, None)
        del self._sequence_of[request_id]
        return self._held.pop(request_id)

    def _promote(self, now_s: float) -> None:
        """Deferred requests whose instant has come line up by class and priority."""
        while (first := self._waiting.first()) is not None and first[0][0] <= now_s:
            request = self._held[first[1]]
            self._waiting.discard(request.id)
            rank = _DEFERRED_RANK[request.latency_class]
            self._ready.put(request.id, (rank, request.priority, self._sequence_of[request.id]))

    def _window(self, now_s: float) -> ReleaseReason | None:
        """Why the held interactive requests go now, or None while they are held: rule 2 of this file."""
        first = self._hold_ends.first()
        if first is None:
            return None
        if self.policy.interactive_hold_s == 0.0:
            return ReleaseReason.PASS_THROUGH
        if len(self._running) + len(self._interactive) >= self.policy.min_group:
            return ReleaseReason.DENSE
        return ReleaseReason.HOLD_OVER if first[0][0] <= now_s else None

    def _next_due(self, now_s: float, window: ReleaseReason | None) -> tuple[Request, ReleaseReason, _Rule] | None:
        """The request that goes next, whether or not it fits."""
        first = self._latest_starts.first()
        if first is not None and first[0][0] <= now_s:
            request = self._held[first[1]]
            is_interactive = request.latency_class is LatencyClass.INTERACTIVE
            reason = (window or ReleaseReason.HOLD_OVER) if is_interactive else ReleaseReason.LATEST_START
            return request, reason, _Rule.LATEST_START
        if window is not None and (first := self._interactive.first()) is not None:
            return self._held[first[1]], window, _Rule.INTERACTIVE
        if self._free_for_deferred > 0 and (first := self._ready.first()) is not None:
            return self._held[first[1]], ReleaseReason.PLANNED, _Rule.DEFERRED
        return None

    @property
    def _free_for_deferred(self) -> int:
        """Interactive requests still held keep their place, and the reserve stays free."""
        return self._free_sequences - max(len(self._interactive), self.policy.reserved_sequences)

    def _is_larger_than_pool(self, request: Request) -> bool:
        return self._capacity.kv_tokens is not None and request.kv_tokens > self._capacity.kv_tokens

    def _has_room_for(self, request: Request) -> bool:
        if self._free_sequences <= 0:
            return False
        kv_tokens = self._capacity.kv_tokens
        return kv_tokens is None or self._running_kv_tokens + request.kv_tokens <= kv_tokens

    def _start(self, request: Request) -> None:
        self._forget(request.id)
        self._running[request.id] = request
        self._running_kv_tokens += request.kv_tokens
        self._released += 1

    def _stop(self, request_id: str, now_s: float) -> bool:
        request = self._running.pop(request_id, None)
        if request is None:
            return False
        self._running_kv_tokens -= request.kv_tokens
        self._changed(now_s)
        return True

    def _grouped(self, chosen: Mapping[ReleaseReason, list[Request]], now_s: float) -> list[Group]:
        groups = [
            Group(requests=tuple(part), released_at_s=now_s, reason=reason)
            for reason, requests in chosen.items()
            for part in _parts(requests, self.policy.max_group)
        ]
        self._groups += len(groups)
        return groups


def _parts(requests: list[Request], max_size: int | None) -> list[list[Request]]:
    size = max_size or len(requests)
    return [requests[start : start + size] for start in range(0, len(requests), size)]
