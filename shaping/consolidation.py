"""How many workers of a pool stay awake, which one sleeps, and when to wake it again.

Decides from what runs, what is held and until when, how fast requests come and how long they take. The rules:

1. Needed are as many workers as hold what runs or is about to go, or what comes on average if that is more, with head
   room; never fewer than `min_awake`. What is held counts from `wake_s` before the first of it is to go.
   Where more comes every day at this time than head room has places for, that counts from `wake_s` before.
2. Too few: workers whose sleep has not begun yet are kept, then sleeping ones are woken, at once.
3. Too many: once that has lasted `patience_s` (hysteresis), the least busy of them take no more requests and sleep when
   they have none left. Nothing runs and the next start is known to be further away than that: at once.

Knows no engine, no power and no clock: somebody carries the orders out and reports `done` or `failed`. Workers of
several models on the same GPUs take turns: sharing.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from shaping.usual_load import SLOT_S, UsualRate

# A worker that could not be woken or put to sleep is left alone for so long.
RETRY_S = 10.0


class Phase(StrEnum):
    """What a worker is doing about its sleep; only an awake one is given requests."""

    AWAKE = "awake"
    DRAINING = "draining"  # takes no more requests and finishes those it has
    FALLING_ASLEEP = "falling_asleep"
    ASLEEP = "asleep"
    WAKING = "waking"


class Action(StrEnum):
    SLEEP = "sleep"
    WAKE = "wake"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What one worker is to do now."""

    worker: int
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolidationPolicy:
    """`wake_s` is the time from the order to the first request, with reserve. Raises ValueError."""

    wake_s: float
    patience_s: float
    min_awake: int = 1
    headroom_ratio: float = 0.25

    def __post_init__(self) -> None:
        if not (self.wake_s >= 0 and self.patience_s >= 0 and self.headroom_ratio >= 0 and self.min_awake >= 0):
            raise ValueError("times, head room and the least number of awake workers are zero or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What is asked of a pool. Rate and service time are None while they are not known."""

    running: int
    held: int
    first_start_at_s: float | None = None  # when the first of those held is to go
    latest_start_at_s: float | None = None  # when the first of them must go, where workers take turns on their GPUs
    drain_s: float = 0.0  # how long what runs takes to end, by the longest of late; for workers that take turns
    is_blocked: bool = False  # something should have gone and found no room
    rate_per_s: float | None = None
    service_s: float | None = None
    usual: UsualRate | None = None  # while requests may still come


def break_even_s(load_power_w: float, load_s: float, idle_power_w: float, asleep_power_w: float) -> float:
    """How long a sleep must last to pay for waking up; infinite when sleeping saves nothing.

    Source: energy_model 2.3.
    """
    saved_w = idle_power_w - asleep_power_w
    return load_power_w * load_s / saved_w if saved_w > 0.0 else math.inf


class SleepStates:
    """What each of some workers is doing about its sleep, by place, and how orders to it end."""

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = list(phases)
        self._retry_at_s = [-math.inf] * len(self.phases)
        self._look_at_s = math.inf

    @property
    def look_again_at_s(self) -> float:
        """When to ask for orders again if nothing else happens."""
        return self._look_at_s

    def done(self, worker: int, action: Action) -> None:
        """An order was carried out."""
        self.phases[worker] = Phase.ASLEEP if action is Action.SLEEP else Phase.AWAKE

    def failed(self, worker: int, action: Action, now_s: float) -> None:
        """An order could not be carried out: the worker is what it was, and is left alone for a while."""
        self.phases[worker] = Phase.AWAKE if action is Action.SLEEP else Phase.ASLEEP
        self._retry_at_s[worker] = now_s + RETRY_S

    def _may_order(self, place: int, now_s: float) -> bool:
        if now_s < self._retry_at_s[place]:
            self._look_at_s = min(self._look_at_s, self._retry_at_s[place])
            return False
        return True

    def _places(self, *phases: Phase) -> list[int]:
        return [place for place, phase in enumerate(self.phases) if phase in phases]


class Consolidator(SleepStates):
    """The state of one pool's workers, all alike, by their place."""

    def __init__(self, policy: ConsolidationPolicy, *, workers: int, sequences_per_worker: int) -> None:
        super().__init__([Phase.AWAKE] * workers)
        self.policy = policy
        self._sequences_per_worker = sequences_per_worker
        self._surplus_since_s: float | None = None

    def orders(self, now_s: float, demand: Demand, in_flight: Sequence[int]) -> list[Order]:
        """What is to be done now; `in_flight` has the requests of each worker."""
        self._look_at_s = math.inf
        needed = min(len(self.phases), self._needed(now_s, demand))
        coming = self._places(Phase.AWAKE, Phase.WAKING)
        if needed >= len(coming):
            self._surplus_since_s = None
        if needed > len(coming):
            return self._raise(needed - len(coming), now_s)
        if needed < len(coming):
            self._lower(len(coming) - needed, now_s, demand, in_flight)
        return self._asleep_now(now_s, in_flight)

    def _needed(self, now_s: float, demand: Demand) -> int:
        is_due = demand.held > 0 and (demand.is_blocked or self._starts_in_s(now_s, demand) <= self.policy.wake_s)
        rising = self._rising(now_s, demand)
        if not demand.running and not is_due and not rising:
            if demand.held:
                self._look_by(now_s + self._starts_in_s(now_s, demand) - self.policy.wake_s)
            return self.policy.min_awake
        on_average = (demand.rate_per_s or 0.0) * (demand.service_s or 0.0)
        at_once = max(demand.running + (demand.held if is_due else 0), on_average, rising)
        return max(
            self.policy.min_awake, math.ceil(at_once * (1.0 + self.policy.headroom_ratio) / self._sequences_per_worker)
        )

    def _rising(self, now_s: float, demand: Demand) -> float:
        """Requests that will run at once by habit, where head room is too little for them; else 0."""
        if demand.usual is None or demand.service_s is None:
            return 0.0
        if demand.usual.knows_at(now_s + self.policy.wake_s):
            self._look_by(_next_slot_at_s(now_s + self.policy.wake_s) - self.policy.wake_s)
        coming_per_s = demand.usual.least_per_s(now_s, now_s + self.policy.wake_s)
        now_per_s = (demand.rate_per_s or 0.0) * (1.0 + self.policy.headroom_ratio)
        return 0.0 if coming_per_s is None or coming_per_s <= now_per_s else coming_per_s * demand.service_s

    def _look_by(self, at_s: float) -> None:
        self._look_at_s = min(self._look_at_s, at_s)

    def _starts_in_s(self, now_s: float, demand: Demand) -> float:
        return 0.0 if demand.first_start_at_s is None else demand.first_start_at_s - now_s

    def _raise(self, count: int, now_s: float) -> list[Order]:
        """Keep who was about to sleep, then wake sleepers, lowest place first."""
        for place in self._places(Phase.DRAINING)[:count]:
            self.phases[place] = Phase.AWAKE
            count -= 1
        found: list[Order] = []
        for place in self._places(Phase.ASLEEP):
            if len(found) < count and self._may_order(place, now_s):
                self.phases[place] = Phase.WAKING
                found.append(Order(worker=place, action=Action.WAKE))
        return found

    def _lower(self, count: int, now_s: float, demand: Demand, in_flight: Sequence[int]) -> None:
        """Mark who is to sleep, the least busy first and of equals the last, once it is time."""
        if self._surplus_since_s is None:
            self._surplus_since_s = now_s
        is_long_gap = (
            demand.running == 0
            and demand.held > 0
            and self._starts_in_s(now_s, demand) > self.policy.wake_s + self.policy.patience_s
        )
        if not is_long_gap and now_s < self._surplus_since_s + self.policy.patience_s:
            self._look_at_s = min(self._look_at_s, self._surplus_since_s + self.policy.patience_s)
            return
        awake = sorted(self._places(Phase.AWAKE), key=lambda place: (in_flight[place], -place))
        for place in [one for one in awake if now_s >= self._retry_at_s[one]][:count]:
            self.phases[place] = Phase.DRAINING

    def _asleep_now(self, now_s: float, in_flight: Sequence[int]) -> list[Order]:
        found = []
        for place in self._places(Phase.DRAINING):
            if in_flight[place] == 0:
                self.phases[place] = Phase.FALLING_ASLEEP
                found.append(Order(worker=place, action=Action.SLEEP))
        return found


def _next_slot_at_s(now_s: float) -> float:
    return (math.floor(now_s / SLOT_S) + 1) * SLOT_S
