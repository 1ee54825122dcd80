"""Whose turn it is on GPUs that several models share: one worker awake at a time, the others asleep.

Decides from what each model's pool runs and holds, and when that must go. The rules:

1. A worker is woken only once all others on these GPUs sleep.
2. Another model *calls* from the instant at which the swap must begin for its first held request to go when its shaper
   wants it to. An occupant without work yields to the one that calls, the one with the earliest latest start first.
3. Others *press* from the instant at which the swap to the first of them must begin for all of their latest starts to
   be met one after the other, the drain of each before included. Then the occupant takes no more requests, finishes
   those it has, and sleeps.
4. Who leaves takes along what has its latest start before it can be back.
5. A budget shorter than a swap there and back cannot be kept whatever one does. For turns it counts as such a swap and
   `stay_s` between, so that two busy models take turns of about that length and do not swap for every request.
6. Nobody calls: the occupant stays, or sleeps after `patience_s` without work where `may_all_sleep`.

So a budget of a swap to each model and the service of a group of each is kept where the drains are known
(tests/properties/test_sharing.py), and as latest starts are served in their order, nobody starves. Knows no engine, no
power and no clock: somebody carries the orders out, with `leave` before them, and reports `done` or `failed`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from shaping.consolidation import RETRY_S, Action, Demand, Order, Phase, SleepStates
from shaping.lazy_heap import LazyHeap
from shaping.request import Request

# A worker that will not wake is tried at ever longer intervals, as each try sends another one to sleep: ten seconds
# doubled up to so many times, some ten minutes.
_MOST_DOUBLINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SharingPolicy:
    """`swap_s` is the time from the order to sleep until the other takes requests, with reserve. Raises ValueError."""

    swap_s: float
    stay_s: float
    patience_s: float
    may_all_sleep: bool = False

    def __post_init__(self) -> None:
        if not (self.swap_s >= 0 and self.stay_s >= 0 and self.patience_s >= 0):
            raise ValueError("the times of a swap, a stay and of patience are zero or more")

    def latest_start_at_s(self, request: Request) -> float:
        """When the request must go, as far as turns are concerned."""
        if request.release_by_s - request.arrived_at_s >= 2 * self.swap_s:
            return request.release_by_s
        return request.arrived_at_s + self.stay_s + 2 * self.swap_s


class LatestStarts:
    """The held requests of one pool by when they must go. Every operation is O(log n), amortised."""

    __slots__ = ("_heap", "_numbers", "_policy")

    def __init__(self, policy: SharingPolicy) -> None:
        self._policy, self._heap, self._numbers = policy, LazyHeap(), count()

    def held(self, request: Request, slower_s: float = 0.0) -> None:
        """`slower_s` is what service now takes beyond what its `release_by_s` keeps free for it."""
        self._heap.put(request.id, (self._policy.latest_start_at_s(request) - slower_s, next(self._numbers)))

    def gone(self, request_id: str) -> None:
        """Released, or given up."""
        self._heap.discard(request_id)

    @property
    def first_at_s(self) -> float | None:
        """None where nobody is held."""
        first = self._heap.first()
        return None if first is None else first[0][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """A worker that is to make room: first its pool releases what has its latest start within `ahead_s`."""

    worker: int
    ahead_s: float


class GpuTurns(SleepStates):
    """The workers on one group of GPUs, each of another model, by their place. `awake` is who is found awake."""

    def __init__(self, policy: SharingPolicy, *, workers: int, awake: int | None = 0) -> None:
        super().__init__([Phase.AWAKE if place == awake else Phase.ASLEEP for place in range(workers)])
        self.policy = policy
        self._idle_since_s: float | None = None
        self._heir: int | None = None  # for whom the last one left
        self._failures = [0] * workers

    def leave(self, now_s: float, demands: Sequence[Demand]) -> Leave | None:
        """Who is to make room from now on, if anybody. Asked before `orders`, with the demand of each worker's pool."""
        self._look_at_s = math.inf
        on_it = self._places(Phase.AWAKE)
        if not on_it or self._places(Phase.FALLING_ASLEEP, Phase.WAKING, Phase.DRAINING):
            return None
        occupant = on_it[0]
        if len(on_it) > 1:  # found so: a human, or another life of the daemon, woke both
            return self._leaves(on_it[-1], 0.0, now_s)
        waiting = self._waiting([place for place in range(len(demands)) if place != occupant], now_s, demands)
        round_s = demands[occupant].drain_s + self._round_s(waiting, demands)
        if self._presses(waiting, now_s, demands, occupant) or self._yields(waiting, now_s, demands, occupant, round_s):
            self._heir = waiting[0]
            return self._leaves(occupant, round_s, now_s)
        return self._leaves(occupant, 0.0, now_s) if self._is_weary(now_s, demands[occupant]) else None

    def orders(self, now_s: float, demands: Sequence[Demand]) -> list[Order]:
        """What is to be done now."""
        self._keep_who_is_wanted(now_s, demands)
        found = []
        for place in self._places(Phase.DRAINING):
            if demands[place].running == 0:
                self.phases[place] = Phase.FALLING_ASLEEP
                found.append(Order(worker=place, action=Action.SLEEP))
        if self._places(Phase.ASLEEP) == list(range(len(self.phases))):
            caller = self._next(now_s, demands)
            if caller is not None:
                self.phases[caller], self._heir = Phase.WAKING, None
                found.append(Order(worker=caller, action=Action.WAKE))
        return found

    def done(self, worker: int, action: Action) -> None:
        super().done(worker, action)
        self._idle_since_s = None
        if action is Action.WAKE:
            self._failures[worker] = 0

    def failed(self, worker: int, action: Action, now_s: float) -> None:
        super().failed(worker, action, now_s)
        if action is Action.WAKE:
            self._retry_at_s[worker] = now_s + RETRY_S * 2 ** min(self._failures[worker], _MOST_DOUBLINGS)
            self._failures[worker] += 1

    def _leaves(self, place: int, ahead_s: float, now_s: float) -> Leave | None:
        if not self._may_order(place, now_s):
            return None
        self.phases[place] = Phase.DRAINING
        return Leave(worker=place, ahead_s=ahead_s)

    def _keep_who_is_wanted(self, now_s: float, demands: Sequence[Demand]) -> None:
        """Whoever called may have gone; the occupant that was to leave may have got work."""
        draining = self._places(Phase.DRAINING)
        if len(draining) == 1 and not self._places(Phase.AWAKE, Phase.FALLING_ASLEEP):
            own = demands[draining[0]]
            is_wanted_elsewhere = any(one.held for place, one in enumerate(demands) if place != draining[0])
            if own.held and not is_wanted_elsewhere:
                self.phases[draining[0]] = Phase.AWAKE

    def _next(self, now_s: float, demands: Sequence[Demand]) -> int | None:
        """Who wakes now that all sleep: for whom the last one left, or the first that wants to go."""
        waiting = self._waiting(range(len(demands)), now_s, demands)
        if self._heir in waiting:
            return self._heir
        return next((place for place in waiting if self._is_time(self._calls_at_s(demands[place], now_s), now_s)), None)

    def _waiting(self, places: Sequence[int], now_s: float, demands: Sequence[Demand]) -> list[int]:
        """Those that hold something and may be woken, whoever must go first in front; the earlier place of equals."""
        able = [place for place in places if demands[place].held and self._may_order(place, now_s)]
        return sorted(able, key=lambda place: _instant(demands[place].latest_start_at_s, math.inf))

    def _round_s(self, waiting: Sequence[int], demands: Sequence[Demand]) -> float:
        """How long an occupant is away that leaves to all of them, from its drain on."""
        return self.policy.swap_s + sum(self.policy.swap_s + demands[place].drain_s for place in waiting)

    def _presses(self, waiting: Sequence[int], now_s: float, demands: Sequence[Demand], occupant: int) -> bool:
        """Whether the first of them must begin now for all to begin in time, one after the other."""
        # What the occupant does not run yet it may begin until then, which is why its drain counts in any case.
        lead_s, at_s = demands[occupant].drain_s + self.policy.swap_s, math.inf
        for place in waiting:
            at_s = min(at_s, _instant(demands[place].latest_start_at_s, math.inf) - lead_s)
            lead_s += demands[place].drain_s + self.policy.swap_s
        return self._is_time(at_s, now_s)

    def _yields(
        self, waiting: Sequence[int], now_s: float, demands: Sequence[Demand], occupant: int, round_s: float
    ) -> bool:
        """Whether the occupant has nothing to do and one of them wants to go."""
        own = demands[occupant]
        if own.running or own.is_blocked:
            return False
        takes_along = _instant(own.latest_start_at_s, math.inf) < now_s + round_s
        drain_s = own.drain_s if takes_along else 0.0
        at_s = min((self._calls_at_s(demands[place], now_s) for place in waiting), default=math.inf)
        return self._is_time(at_s - drain_s, now_s)

    def _calls_at_s(self, demand: Demand, now_s: float) -> float:
        """When the swap must begin for its first request to go when its shaper wants it to."""
        return now_s if demand.is_blocked else _instant(demand.first_start_at_s, now_s) - self.policy.swap_s

    def _is_time(self, at_s: float, now_s: float) -> bool:
        """Whether it has come; if not, it is looked at then."""
        if at_s > now_s:
            self._look_at_s = min(self._look_at_s, at_s)
        return at_s <= now_s

    def _is_weary(self, now_s: float, demand: Demand) -> bool:
        """Whether it has had nothing to do for so long that it may sleep, though nobody takes its place."""
        if not self.policy.may_all_sleep or demand.running or demand.held:
            self._idle_since_s = None
            return False
        if self._idle_since_s is None:
            self._idle_since_s = now_s
        until_s = self._idle_since_s + self.policy.patience_s
        if now_s < until_s:
            self._look_at_s = min(self._look_at_s, until_s)
        return now_s >= until_s


def _instant(at_s: float | None, otherwise_s: float) -> float:
    return otherwise_s if at_s is None else at_s
