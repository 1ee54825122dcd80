"""GPUs on which the workers of several simulated pools take turns: carries out the orders of GpuTurns in virtual time.

The same decisions as in the daemon; here an order always succeeds, and a swap takes the time and draws the power that
the settings say. The worker on the GPUs draws all their power, those asleep nothing: what the GPUs draw while all sleep
stays with the one that was on them last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from shaping.consolidation import Action, Demand, Order, Phase
from shaping.sharing import GpuTurns, SharingPolicy
from simulations.loop import Loop, Priority
from simulations.workers import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapSpec:
    """What a swap really takes. Powers are of all the GPUs; `swaps_in_s` includes putting the other one to sleep."""

    policy: SharingPolicy
    swaps_in_s: float
    asleep_power_w: float
    swapping_power_w: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seat:
    """One pool's place on the GPUs; to its pool what a Roster is."""

    place: int
    gpus: SharedGpus
    worker: Worker
    idle_power_w: float
    demand: Callable[[], Demand]
    hasten: Callable[[float], None]
    changed: Callable[[], None]

    @property
    def awake(self) -> list[int]:
        """Places of the pool's workers that take requests: its one, or none."""
        return [0] if self.gpus.turns.phases[self.place] is Phase.AWAKE else []

    def attend(self, demand: Callable[[], Demand], again: Callable[[], None]) -> None:
        """Something happened to the pool: all of them are asked, and asked again when it is time."""
        self.gpus.attend()


class SharedGpus:
    """One group of GPUs. Pools take their seats in order; the first is awake at the beginning."""

    def __init__(self, loop: Loop, spec: SwapSpec, *, pools: int) -> None:
        self.turns = GpuTurns(spec.policy, workers=pools)
        self.swaps = 0
        self._loop, self._spec, self._pools = loop, spec, pools
        self._seats: list[Seat] = []
        self._looks_at_s = math.inf

    @property
    def policy(self) -> SharingPolicy:
        return self._spec.policy

    def seat(
        self,
        worker: Worker,
        idle_power_w: float,
        *,
        demand: Callable[[], Demand],
        hasten: Callable[[float], None],
        changed: Callable[[], None],
    ) -> Seat:
        """The next place; `changed` is told whenever the worker begins or ceases to take requests."""
        seat = Seat(
            place=len(self._seats),
            gpus=self,
            worker=worker,
            idle_power_w=idle_power_w,
            demand=demand,
            hasten=hasten,
            changed=changed,
        )
        self._seats.append(seat)
        if not seat.awake:
            worker.idle_at(0.0, self._loop.now_s)
        return seat

    def attend(self) -> None:
        """Decide and act until nothing is left to do now."""
        while self._act():
            pass
        look_at_s = max(self._loop.now_s, self.turns.look_again_at_s)
        if look_at_s < math.inf and look_at_s != self._looks_at_s:
            self._looks_at_s = look_at_s
            self._loop.schedule(look_at_s, Priority.DECIDE, self.attend)

    def _act(self) -> bool:
        now_s = self._loop.now_s
        leave = self.turns.leave(now_s, self._demands())
        if leave is not None:
            self._seats[leave.worker].hasten(leave.ahead_s)
            self._seats[leave.worker].changed()
        before = list(self.turns.phases)
        orders = self.turns.orders(now_s, self._demands())
        for order in orders:
            self._carry_out(order, now_s)
        for seat in self._seats:
            if (before[seat.place] is Phase.AWAKE) != bool(seat.awake):
                seat.changed()
        return bool(orders)

    def _demands(self) -> list[Demand]:
        return [seat.demand() for seat in self._seats]

    def _carry_out(self, order: Order, now_s: float) -> None:
        worker = self._seats[order.worker].worker
        if order.action is Action.SLEEP:
            worker.idle_at(self._spec.asleep_power_w, now_s)
            self.turns.done(order.worker, Action.SLEEP)
            return
        self.swaps += 1
        for seat in self._seats:
            seat.worker.idle_at(0.0, now_s)
        worker.idle_at(self._spec.swapping_power_w, now_s)
        self._loop.schedule(now_s + self._spec.swaps_in_s, Priority.FINISH, lambda: self._awoke(order.worker))

    def _awoke(self, place: int) -> None:
        seat = self._seats[place]
        seat.worker.idle_at(seat.idle_power_w, self._loop.now_s)
        self.turns.done(place, Action.WAKE)
        seat.changed()
        self.attend()
