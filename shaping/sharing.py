"""Whose turn it is on GPUs that several models share: one worker awake at a time, the others asleep.

Decides from what each model's pool runs and holds, and when that must go. The rules:

1. A worker is woken only once all others on these GPUs sleep.
2. Another model *calls* from the instant at which the swap must begin for its first held request to go when its shaper
   wants it to. An occupant without work yields to the one that calls, the one with the earliest latest start first.
3. Another model *presses* from the instant at which the swap must begin for its first latest start to be met, the
   drain of the occupant included. Then the occupant takes no more requests, finishes those it has, and sleeps.
4. Who leaves takes along what has its latest start before it can be back.
5. A budget shorter than a swap there and back cannot be kept whatever one does. For turns it counts as such a swap and
   `stay_s` between, so that two busy models take turns of about that length and do not swap for every request.
6. Nobody calls: the occupant stays, or sleeps after `patience_s` without work where `may_all_sleep`.

So with two models, a budget of two swaps and the service of a group of each is kept (tests/properties/test_sharing.py),
and as latest starts are served in their order, nobody starves. Knows no engine, no power and no clock: somebody carries
the orders out, with `hasten` before them, and reports `done` or `failed`.
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
        others = [place for place in range(len(demands)) if place != occupant]
        caller = self._first(others, now_s, demands, occupant)
        if caller is not None:
            self._heir = caller
            return self._leaves(occupant, 2 * self.policy.swap_s + demands[caller].drain_s, now_s)
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
        """Who wakes now that all sleep: for whom the last one left, as long as it holds something."""
        heir = self._heir
        if heir is not None and demands[heir].held and self._may_order(heir, now_s):
            return heir
        return self._first(range(len(demands)), now_s, demands, None)

    def _first(
        self, places: Sequence[int], now_s: float, demands: Sequence[Demand], occupant: int | None
    ) -> int | None:
        """Of those that call and may be woken, the one that must go first; the earlier place of equals."""
        asking = [
            place
            for place in places
            if demands[place].held
            and self._may_order(place, now_s)
            and self._asks(now_s, demands[place], None if occupant is None else demands[occupant])
        ]
        return min(asking, key=lambda place: _instant(demands[place].latest_start_at_s, math.inf), default=None)

    def _asks(self, now_s: float, demand: Demand, occupant: Demand | None) -> bool:
        """Whether the swap is to begin now; if not, when to look again."""
        swap_s = self.policy.swap_s
        presses_at_s = _instant(demand.latest_start_at_s, math.inf) - swap_s
        calls_at_s = now_s if demand.is_blocked else _instant(demand.first_start_at_s, now_s) - swap_s
        if occupant is not None:
            # What it does not run yet it may begin until then, which is why the drain counts in any case.
            presses_at_s -= occupant.drain_s
            if _instant(occupant.latest_start_at_s, math.inf) < now_s + 2 * swap_s + demand.drain_s:
                calls_at_s -= occupant.drain_s  # of what it will take along
            if occupant.running or occupant.is_blocked:
                calls_at_s = math.inf
        at_s = min(presses_at_s, calls_at_s)
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
