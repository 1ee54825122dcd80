"""When a request reaches its worker, and with which others: one state machine per (model, worker pool).

Decides by latency class, capacity and the instants written on the request. Knows no clock, no socket, no carbon: the
planner's word arrives as `not_before_s`, the client's patience as `release_by_s`.

The rules, in the order in which `release` applies them:

1. Latest start. Whatever has reached its `release_by_s` (an interactive request: the end of its hold, if that is
   sooner) goes ahead of all others, earliest first. As every request has one, nothing starves.
2. Interactive. The policy's hold rule says how many of those held go now: lower priority number first, then first in
   first out.
3. Deferred. Flex and batch requests whose `not_before_s` has come are asked the same, as far as sequences are left over
   beyond those reserved for interactive ones: flex before batch, lower priority number first, then first in first out
   (a prompt right behind the first that begins like it). The first whose prompt would keep an interactive request from
   its first token for longer than the budget for that waits until the workers have read enough, and all behind it do.

Where lanes are by length, an order holds within a lane. Each lane is asked until all of them hold, for what goes from
one may fill the batch for another.

Requests whose adapter finds no place beside those that run are passed over until it does (adapters.py).

Capacity is never exceeded (pool_room.py). The first other request that does not fit stops the release: smaller ones do
not overtake it, for a stream of small ones would starve it. A request that became larger than a shrunken pool is set
aside until it grows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from types import MappingProxyType

from shaping.adapters import AdapterHeap
from shaping.adaptive import Adaptive
from shaping.first_token import UnreadPrompts
from shaping.hold_arithmetic import Line
from shaping.holds import HOLD, DenseGroup, FixedWindow, HoldRule, Paced, PassThrough
from shaping.lanes import Lane, LaneKey, lane_key
from shaping.lazy_heap import LazyHeap
from shaping.policy import (
    DuplicateRequest,
    Group,
    Holding,
    ReleaseReason,
    ShaperStats,
    ShapingPolicy,
    TooLarge,
    WrongModel,
)
from shaping.pool_room import PoolRoom
from shaping.request import LatencyClass, PoolCapacity, Request


class _Rule(StrEnum):
    """Which of the rules met a request that does not fit."""

    LATEST_START = "latest_start"
    INTERACTIVE = "interactive"
    DEFERRED = "deferred"


def _rule_of(policy: ShapingPolicy, idle_power_w: float | None) -> HoldRule:
    match policy.holding:
        case Holding.PASS_THROUGH:
            return PassThrough(policy)
        case Holding.GROUP:
            return DenseGroup(policy)
        case Holding.WINDOW:
            return FixedWindow(policy)
        case Holding.PACED:
            return Paced(policy)
        case Holding.ADAPTIVE:
            return Adaptive(policy, idle_power_w)


class Shaper:
    """Holds requests and releases groups. The caller asks `release` after every change and at `next_wakeup_at_s`."""

    def __init__(
        self,
        model: str,
        capacity: PoolCapacity,
        policy: ShapingPolicy,
        *,
        idle_power_w: float | None = None,
        reading_tokens_per_s: float | None = None,
    ) -> None:
        """Both are of one worker: without its idle power the adaptive rule holds nothing, without the speed at which it
        reads prompts a budget for the first token limits nothing.
        """
        self.model = model
        self.policy = policy
        self._rule = _rule_of(policy, idle_power_w)
        self._room = PoolRoom(capacity, UnreadPrompts(policy.first_token_budget_s, reading_tokens_per_s))
        self._read_at_s = math.inf  # when workers have read enough for the deferred request that waits for it
        self._now_s = 0.0
        self._held: dict[str, Request] = {}
        self._sequence_of: dict[str, int] = {}  # of held ones: the order of their offers
        self._set_aside: dict[str, None] = {}  # held, but larger than the pool is now
        self._latest_starts = AdapterHeap()  # every held request, by release_by_s
        self._waiting = LazyHeap()  # deferred, by not_before_s
        self._lanes: dict[LaneKey, Lane] = {}  # interactive, and deferred whose not_before_s has come; in order
        self._held_interactive = 0
        self._blocked_by: _Rule | None = None  # what the last release could not fit
        self._is_asked = True  # nothing changed since the last release
        self._offered = self._released = self._finished = self._groups = 0
        self._given_up_held = self._given_up_running = 0

    @property
    def capacity(self) -> PoolCapacity:
        return self._room.capacity

    @property
    def held(self) -> Mapping[str, Request]:
        """Requests that wait here, in the order of their offers."""
        return MappingProxyType(self._held)

    @property
    def running(self) -> Mapping[str, Request]:
        """Requests released and not yet finished, in the order of their release."""
        return MappingProxyType(self._room.running)

    @property
    def stats(self) -> ShaperStats:
        return ShaperStats(
            offered=self._offered,
            released=self._released,
            held=len(self._held),
            running=len(self._room.running),
            finished=self._finished,
            given_up_held=self._given_up_held,
            given_up_running=self._given_up_running,
            groups=self._groups,
        )

    @property
    def first_start_at_s(self) -> float | None:
        """The first instant at which somebody held is to go, if workers are there; None when nobody is held."""
        heaps = (self._latest_starts, self._waiting)
        instants_at_s = [first[0][0] for heap in heaps if (first := heap.first()) is not None]
        return (
            min([*instants_at_s, *(lane.ends_at_s for lane in self._lanes.values())], default=None)
            if self._held
            else None
        )

    @property
    def is_blocked(self) -> bool:
        """Whether the last release found no room for somebody who should have gone."""
        return self._blocked_by is not None

    def offer(self, request: Request, now_s: float) -> None:
        """Take a request in. Raises OfferError: DuplicateRequest, WrongModel or TooLarge."""
        self._take_in(request, now_s)
        self._hold(request, now_s)

    def offer_at_once(self, request: Request, now_s: float) -> Group | None:
        """Take a request in, and let it go where nobody is held before it and nothing keeps it.

        What `offer` and a `release` after it come to, without the queues between them. None: it is held, and `release`
        decides. Raises OfferError.
        """
        self._take_in(request, now_s)
        reason = None if self._held else self._goes_at_once(request, now_s)
        if reason is None:
            self._hold(request, now_s)
            return None
        self._now_s, self._is_asked, self._blocked_by, self._read_at_s = now_s, True, None, math.inf
        self._count_as_running(request, now_s)
        self._groups += 1
        return Group(requests=(request,), released_at_s=now_s, reason=reason)

    def _take_in(self, request: Request, now_s: float) -> None:
        if request.id in self._held or request.id in self._room.running:
            raise DuplicateRequest(request.id)
        if request.model != self.model:
            raise WrongModel(request, self.model)
        if self._room.capacity.kv_tokens is not None and request.kv_tokens > self._room.capacity.kv_tokens:
            raise TooLarge(request, self._room.capacity.kv_tokens)
        self._offered += 1
        self._rule.offered(request, now_s)

    def _hold(self, request: Request, now_s: float) -> None:
        self._held[request.id] = request
        self._sequence_of[request.id] = self._offered
        self._enqueue(request)
        self._changed(now_s)

    def _goes_at_once(self, request: Request, now_s: float) -> ReleaseReason | None:
        """Why one that would be the only one held goes now; None where it does not, or by another rule than its own."""
        if request.latency_class is not LatencyClass.INTERACTIVE or not self._room.has_room_for(request):
            return None
        ends_at_s = self._rule.hold_until_s(request, request.arrived_at_s)
        if self._latest_at_s(request) <= now_s < ends_at_s or not self._room.adapters.takes(request.adapter):
            return None
        line = self._line(1, ends_at_s, request.output_tokens)
        verdict = self._rule.verdict(request.latency_class, line, now_s)
        return verdict.reason if verdict.goes > 0 else None

    def release(self, now_s: float, ahead_s: float = 0.0) -> list[Group]:
        """The groups that go now; they count as running from here on.

        What has its latest start within `ahead_s` goes as if it were due: the workers are about to be gone so long.
        """
        self._now_s, self._is_asked, self._blocked_by, self._read_at_s = now_s, True, None, math.inf
        self._promote(now_s)
        for lane in self._lanes.values():
            # Asked before its overdue ones go ahead: they take the others along. One that is not asked again, as
            # another blocks the way, has no instant of its own.
            is_over = lane.ends_at_s <= now_s and self._is_served(lane)
            lane.decided(self._rule.verdict(lane.latency_class, self._line_of(lane), now_s) if is_over else HOLD)
        chosen: dict[ReleaseReason, list[Request]] = {}
        while (due := self._next_due(now_s, now_s + ahead_s)) is not None:
            request, reason, rule = due
            if self._room.is_too_small_for(request):
                self._withdraw(request)
                self._set_aside[request.id] = None
            elif not self._room.has_room_for(request):
                self._blocked_by = rule
                break
            else:
                self._start(request, now_s)
                chosen.setdefault(reason, []).append(request)
        return self._grouped(chosen, now_s)

    def next_wakeup_at_s(self) -> float | None:
        """When to ask `release` next if nothing else happens; None while only capacity or an arrival can help.

        After a change it is the instant of that change, until `release` has been asked.
        """
        if not self._held or self._room.free_sequences <= 0 or self._blocked_by is _Rule.LATEST_START:
            return None
        if not self._is_asked:
            return self._now_s
        # Who waits for an adapter's place goes when another request ends, whatever its instants say.
        first = self._latest_starts.first(self._room.adapters.takes)
        instants_at_s = [] if first is None else [first[0][0]]
        if self._blocked_by is not _Rule.INTERACTIVE:
            if (first := self._waiting.first()) is not None:
                instants_at_s.append(first[0][0])
            instants_at_s.append(self._read_at_s)
            instants_at_s += [lane.verdict.again_at_s for lane in self._lanes.values() if self._is_served(lane)]
        return min((at_s for at_s in instants_at_s if at_s < math.inf), default=None)

    def finish(self, request_id: str, now_s: float) -> bool:
        """A running request was answered; its capacity is free. False when it does not run (any more)."""
        if not self._stop(request_id, now_s, is_answered=True):
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
        if not self._stop(request_id, now_s, is_answered=False):
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
            self._leave_lane(request)
            self._waiting.put(request_id, (not_before_s, self._sequence_of[request_id]))
            self._is_asked, self._blocked_by = False, None
        return True

    def resize(self, capacity: PoolCapacity) -> None:
        """Workers came or went. What runs goes on, even beyond a smaller capacity."""
        self._room.resize(capacity)
        for request_id in self._set_aside:
            self._enqueue(self._held[request_id])
        self._set_aside.clear()
        self._is_asked, self._blocked_by = False, None

    def used(self, energy_j: float) -> None:
        """Tell the hold rule what workers spent on released requests since the last call."""
        self._rule.used(energy_j)

    def see_grid(self, intensity_gco2e_per_kwh: float | None) -> None:
        """Tell the hold rule the grid's intensity from now on; None where nobody knows it."""
        self._rule.see_grid(intensity_gco2e_per_kwh)

    def _changed(self, now_s: float) -> None:
        self._now_s, self._is_asked, self._blocked_by = now_s, False, None

    def _enqueue(self, request: Request) -> None:
        sequence = self._sequence_of[request.id]
        if request.latency_class is LatencyClass.INTERACTIVE:
            self._enter_lane(request, request.arrived_at_s)
        else:
            self._waiting.put(request.id, (request.not_before_s, sequence))
        self._latest_starts.put(request.id, (self._latest_at_s(request), sequence), request.adapter)

    def _latest_at_s(self, request: Request) -> float:
        # The group rule lets the young ones go along when the first hold ends, in their own order.
        is_group = self.policy.holding is Holding.GROUP
        return request.release_by_s if is_group else self.policy.budget_ends_at_s(request)

    def _enter_lane(self, request: Request, since_s: float) -> None:
        self._lane_of(request).put(request, self._sequence_of[request.id], self._rule.hold_until_s(request, since_s))
        self._held_interactive += request.latency_class is LatencyClass.INTERACTIVE

    def _leave_lane(self, request: Request) -> None:
        if self._lane_of(request).discard(request.id):
            self._held_interactive -= request.latency_class is LatencyClass.INTERACTIVE

    def _lane_of(self, request: Request) -> Lane:
        key = lane_key(request, has_length_lanes=self.policy.has_length_lanes)
        lane = self._lanes.get(key)
        if lane is None:
            lane = Lane(request.latency_class)
            self._lanes = dict(sorted([*self._lanes.items(), (key, lane)], key=lambda entry: entry[0]))
        return lane

    def _withdraw(self, request: Request) -> None:
        self._latest_starts.discard(request.id)
        self._waiting.discard(request.id)
        self._leave_lane(request)

    def _forget(self, request_id: str) -> Request:
        request = self._held.pop(request_id)
        self._withdraw(request)
        self._set_aside.pop(request_id, None)
        del self._sequence_of[request_id]
        return request

    def _promote(self, now_s: float) -> None:
        """Deferred requests whose instant has come line up."""
        while (first := self._waiting.first()) is not None and first[0][0] <= now_s:
            request = self._held[first[1]]
            self._waiting.discard(request.id)
            self._enter_lane(request, max(request.arrived_at_s, request.not_before_s))

    def _next_due(self, now_s: float, until_s: float) -> tuple[Request, ReleaseReason, _Rule] | None:
        """The request that goes next, whether or not it fits; `until_s` is up to when a latest start counts as due."""
        first = self._latest_starts.first(self._room.adapters.takes)
        if first is not None and first[0][0] <= until_s:
            return self._overdue(self._held[first[1]])
        for lane in self._lanes.values():
            next_id = lane.first(self._room.adapters.takes)
            if next_id is None or not self._is_served(lane):
                continue
            if lane.granted <= 0:
                lane.decided(self._rule.verdict(lane.latency_class, self._line_of(lane), now_s))
            if lane.granted > 0:
                request = self._held[next_id]
                if lane.is_interactive:
                    return request, lane.verdict.reason, _Rule.INTERACTIVE
                at_s = self._room.unread.room_at_s(request.prompt_tokens, now_s)
                if at_s > now_s:
                    self._read_at_s = at_s
                    return None
                return request, lane.verdict.reason, _Rule.DEFERRED
        return None

    def _overdue(self, request: Request) -> tuple[Request, ReleaseReason, _Rule]:
        if request.latency_class is not LatencyClass.INTERACTIVE:
            return request, ReleaseReason.LATEST_START, _Rule.LATEST_START
        lane = self._lane_of(request)
        reason = lane.verdict.reason if lane.granted > 0 else ReleaseReason.HOLD_OVER
        return request, reason, _Rule.LATEST_START

    def _line_of(self, lane: Lane) -> Line:
        return self._line(len(lane), lane.ends_at_s, lane.longest_tokens)

    def _line(self, held: int, ends_at_s: float, longest_tokens: int) -> Line:
        return Line(
            held=held,
            ends_at_s=ends_at_s,
            running=len(self._room.running),
            sequences=self._room.capacity.sequences,
            workers=self._room.capacity.workers,
            longest_tokens=longest_tokens,
        )

    def _is_served(self, lane: Lane) -> bool:
        """Whether it is the lane's turn: deferred ones wait until sequences are left over for them."""
        return len(lane) > 0 and (lane.is_interactive or self._free_for_deferred > 0)

    @property
    def _free_for_deferred(self) -> int:
        """Interactive requests still held keep their place, and the reserve stays free."""
        return self._room.free_sequences - max(self._held_interactive, self.policy.reserved_sequences)

    def _start(self, request: Request, now_s: float) -> None:
        self._forget(request.id)
        self._lane_of(request).granted -= 1
        self._count_as_running(request, now_s)

    def _count_as_running(self, request: Request, now_s: float) -> None:
        self._room.start(request, now_s)
        self._released += 1
        self._rule.started(request, now_s)

    def _stop(self, request_id: str, now_s: float, *, is_answered: bool) -> bool:
        request = self._room.end(request_id)
        if request is None:
            return False
        self._rule.ended(request, now_s, is_answered=is_answered)
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
