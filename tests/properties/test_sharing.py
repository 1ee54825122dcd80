"""Models that take turns on a GPU: never two of them on it, no budget broken that could be kept, and nobody starves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from shaping.consolidation import Action, Demand, Order, Phase
from shaping.request import LatencyClass, Request
from shaping.sharing import GpuTurns, LatestStarts, SharingPolicy

SWAP_S, SERVICE_S, STAY_S = 4.0, 3.0, 20.0
POLICY = SharingPolicy(swap_s=SWAP_S, stay_s=STAY_S, patience_s=30.0)


@dataclass
class FakePool:
    """A pool with room for everybody, in which a request waits for its instant and then takes `SERVICE_S`."""

    starts: LatestStarts = field(default_factory=lambda: LatestStarts(POLICY))
    held: dict[str, Request] = field(default_factory=dict)
    ends_at_s: list[float] = field(default_factory=list)
    started_at_s: dict[str, float] = field(default_factory=dict)

    def offer(self, request: Request) -> None:
        self.held[request.id] = request
        self.starts.held(request)

    def go(self, now_s: float, ahead_s: float = 0.0) -> None:
        for one in list(self.held.values()):
            if one.not_before_s <= now_s or one.release_by_s <= now_s + ahead_s:
                del self.held[one.id]
                self.starts.gone(one.id)
                self.started_at_s[one.id] = now_s
                self.ends_at_s.append(now_s + SERVICE_S)

    def demand(self, now_s: float) -> Demand:
        self.ends_at_s = [one for one in self.ends_at_s if one > now_s]
        first = min((min(one.not_before_s, one.release_by_s) for one in self.held.values()), default=None)
        return Demand(
            running=len(self.ends_at_s),
            held=len(self.held),
            first_start_at_s=first,
            latest_start_at_s=self.starts.first_at_s,
            drain_s=SERVICE_S,
        )


@dataclass
class Gpu:
    """Everything on a clock of its own; `fails` says of each order in turn whether it fails."""

    models: int
    fails: list[bool] = field(default_factory=list)
    now_s: float = 0.0
    swaps: int = 0

    def __post_init__(self) -> None:
        self.turns = GpuTurns(POLICY, workers=self.models)
        self.pools = [FakePool() for _ in range(self.models)]
        self.under_way: list[tuple[float, Order]] = []

    def run(self, arrivals: list[tuple[int, Request]]) -> None:
        coming = sorted(arrivals, key=lambda one: one[1].arrived_at_s)
        for _ in range(100 * len(arrivals) + 100):
            while coming and coming[0][1].arrived_at_s <= self.now_s:
                place, request = coming.pop(0)
                self.pools[place].offer(request)
            self._act()
            if not coming and not any(pool.held for pool in self.pools):
                return
            self.now_s = self._next(coming)
        raise AssertionError("somebody waits for ever")

    def _act(self) -> None:
        for due in [one for one in self.under_way if one[0] <= self.now_s]:
            self.under_way.remove(due)
            self._end(due[1])
        while True:
            for place in self._awake():
                self.pools[place].go(self.now_s)
            leave = self.turns.leave(self.now_s, self._demands())
            if leave is not None:
                self.pools[leave.worker].go(self.now_s, leave.ahead_s)
            orders = self.turns.orders(self.now_s, self._demands())
            for order in orders:
                self._begin(order)
            assert sum(phase is not Phase.ASLEEP for phase in self.turns.phases) <= 1
            if not orders:
                return

    def _begin(self, order: Order) -> None:
        if order.action is Action.SLEEP:
            assert not self._demands()[order.worker].running
            takes_s = SWAP_S / 4
        else:
            assert all(phase is Phase.ASLEEP for place, phase in enumerate(self.turns.phases) if place != order.worker)
            takes_s, self.swaps = 3 * SWAP_S / 4, self.swaps + 1
        self.under_way.append((self.now_s + takes_s, order))

    def _end(self, order: Order) -> None:
        if self.fails and self.fails.pop():
            self.turns.failed(order.worker, order.action, self.now_s)
        else:
            self.turns.done(order.worker, order.action)

    def _awake(self) -> list[int]:
        return [place for place, phase in enumerate(self.turns.phases) if phase is Phase.AWAKE]

    def _demands(self) -> list[Demand]:
        return [pool.demand(self.now_s) for pool in self.pools]

    def _next(self, coming: list[tuple[int, Request]]) -> float:
        wants = [min(one.not_before_s, one.release_by_s) for pool in self.pools for one in pool.held.values()]
        instants = [
            self.turns.look_again_at_s,
            *(request.arrived_at_s for _, request in coming[:1]),
            *(at_s for at_s, _ in self.under_way),
            *(at_s for pool in self.pools for at_s in pool.ends_at_s),
            *wants,
        ]
        return min((at_s for at_s in instants if at_s > self.now_s), default=self.now_s + 1.0)


def requests(models: int, budgets_s: st.SearchStrategy[float]) -> st.SearchStrategy[list[tuple[int, Request]]]:
    """Of any model, at any time, which would go after a part of their budget if the worker were awake."""
    one = st.tuples(st.integers(0, models - 1), st.floats(0.0, 200.0), budgets_s, st.floats(0.0, 1.0))
    return st.lists(one, min_size=1, max_size=25).map(
        lambda drawn: [
            (
                place,
                Request(
                    id=str(number),
                    model=str(place),
                    arrived_at_s=at_s,
                    release_by_s=at_s + budget_s,
                    prompt_tokens=10,
                    output_tokens=10,
                    latency_class=LatencyClass.FLEX,
                    not_before_s=at_s + part * budget_s,
                ),
            )
            for number, (place, at_s, budget_s, part) in enumerate(drawn)
        ]
    )


@given(models=st.integers(2, 4), data=st.data())
@settings(deadline=None, max_examples=100)
def test_every_budget_of_a_swap_to_each_model_and_a_group_of_each_is_kept(models: int, data: st.DataObject) -> None:
    least_s = models * (SWAP_S + SERVICE_S) + 0.001
    arrivals = data.draw(requests(models, st.floats(least_s, 200.0)))
    gpu = Gpu(models=models)
    gpu.run(arrivals)
    for place, request in arrivals:
        assert gpu.pools[place].started_at_s[request.id] <= request.release_by_s + 1e-6


@given(models=st.integers(2, 4), data=st.data())
@settings(deadline=None)
def test_whatever_the_budgets_everybody_is_served_within_a_round_of_their_latest_start(
    models: int, data: st.DataObject
) -> None:
    arrivals = data.draw(requests(models, st.floats(0.0, 100.0)))
    gpu = Gpu(models=models)
    gpu.run(arrivals)
    for place, request in arrivals:
        waited_until_s = gpu.pools[place].started_at_s[request.id]
        assert waited_until_s <= POLICY.latest_start_at_s(request) + 2 * models * (SWAP_S + SERVICE_S)


@given(models=st.integers(1, 4), fails=st.lists(st.booleans(), max_size=20), data=st.data())
@settings(deadline=None)
def test_even_when_orders_fail_never_two_are_on_the_gpu_and_everybody_is_served_once_they_succeed(
    models: int, fails: list[bool], data: st.DataObject
) -> None:
    arrivals = data.draw(requests(models, st.floats(0.0, 100.0)))
    gpu = Gpu(models=models, fails=fails)
    gpu.run(arrivals)  # asserts of every instant
    assert sum(len(pool.started_at_s) for pool in gpu.pools) == len(arrivals)


@given(gap_s=st.floats(0.5, 2.0))
@settings(deadline=None, max_examples=10)
def test_two_busy_models_that_cannot_wait_take_turns_of_about_the_stay(gap_s: float) -> None:
    arrivals = [
        (
            place,
            Request(
                id=f"{place}-{number}",
                model=str(place),
                arrived_at_s=number * gap_s,
                release_by_s=number * gap_s,
                prompt_tokens=10,
                output_tokens=10,
            ),
        )
        for place in range(2)
        for number in range(int(300.0 / gap_s))
    ]
    gpu = Gpu(models=2)
    gpu.run(arrivals)
    assert gpu.swaps <= math.ceil(300.0 / STAY_S) + 1
