"""Which workers of a simulated pool are awake: carries out the orders of a Consolidator in virtual time.

The same decisions as in the daemon; here an order always succeeds, and takes the time and draws the power that the
pool's settings say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shaping.consolidation import Action, ConsolidationPolicy, Consolidator, Demand, Phase
from simulations.loop import Loop, Priority
from simulations.workers import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepSpec:
    """How workers of a pool sleep. Powers are of one worker; `wakes_in_s` is what waking really takes."""

    policy: ConsolidationPolicy
    wakes_in_s: float
    asleep_power_w: float
    waking_power_w: float


class Roster:
    """Asked by `attend` after everything that happens to the pool; `changed` is told when the awake ones change."""

    def __init__(
        self,
        loop: Loop,
        spec: SleepSpec,
        workers: Sequence[Worker],
        sequences_per_worker: int,
        idle_power_w: float,
        changed: Callable[[], None],
    ) -> None:
        self._loop, self._spec, self._workers = loop, spec, workers
        self._idle_power_w, self._changed = idle_power_w, changed
        self._decides = Consolidator(spec.policy, workers=len(workers), sequences_per_worker=sequences_per_worker)
        self._looks_at_s = math.inf
        self.sleeps = 0
        self._awake = self.awake

    @property
    def awake(self) -> list[int]:
        """Places of the workers that take requests."""
        return [place for place, phase in enumerate(self._decides.phases) if phase is Phase.AWAKE]

    def attend(self, demand: Callable[[], Demand], again: Callable[[], None]) -> None:
        """Decide and act; `again` is scheduled for when it should be asked again."""
        now_s = self._loop.now_s
        for order in self._decides.orders(now_s, demand(), [worker.load for worker in self._workers]):
            if order.action is Action.SLEEP:
                self._fall_asleep(order.worker, now_s)
            else:
                self._wake(order.worker, now_s)
        look_at_s = max(now_s, self._decides.look_again_at_s)
        if look_at_s < math.inf and look_at_s != self._looks_at_s:
            self._looks_at_s = look_at_s
            self._loop.schedule(look_at_s, Priority.DECIDE, again)
        self._tell()

    def _fall_asleep(self, place: int, now_s: float) -> None:
        self._workers[place].idle_at(self._spec.asleep_power_w, now_s)
        self._decides.done(place, Action.SLEEP)
        self.sleeps += 1

    def _wake(self, place: int, now_s: float) -> None:
        self._workers[place].idle_at(self._spec.waking_power_w, now_s)
        self._loop.schedule(now_s + self._spec.wakes_in_s, Priority.FINISH, lambda: self._awoke(place))

    def _awoke(self, place: int) -> None:
        self._workers[place].idle_at(self._idle_power_w, self._loop.now_s)
        self._decides.done(place, Action.WAKE)
        self._tell()

    def _tell(self) -> None:
        if self._awake != self.awake:
            self._awake = self.awake
            self._changed()
