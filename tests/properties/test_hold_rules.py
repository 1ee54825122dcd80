"""Whatever rule holds: nothing lost, first in first out, no budget overrun, no place taken twice, no slow operation."""

from __future__ import annotations

import math
import sys
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaping.policy import Group, Holding, ShapingPolicy
from shaping.request import LatencyClass, PoolCapacity, Request
from shaping.shaper import Shaper
from tests.unit.shaping.requests import MODEL, a_request

SERVICE_S = 3.0
POWER_W, IDLE_W = 500.0, 120.0
EPOCH_S = 1_700_000_000.0  # a wait too short for a clock of this size would be asked for again and again

POLICIES = st.builds(
    ShapingPolicy,
    interactive_hold_s=st.sampled_from([0.0, 0.5, 20.0]),
    min_group=st.integers(1, 6),
    max_group=st.sampled_from([None, 1, 3]),
    holding=st.sampled_from(list(Holding)),
    max_delay_s=st.sampled_from([0.0, 1.0, 30.0]),
    pace_gap_s=st.sampled_from([0.0, 0.3, 5.0]),
    latency_price_gco2e_per_h=st.sampled_from([0.0, 0.3, 50.0]),
    has_length_lanes=st.booleans(),
)
# Gap to the one before, class, prompt and output tokens, patience of a deferred one, wait until its planned instant.
ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.05, 1.0, 9.0]),
        st.sampled_from(list(LatencyClass)),
        st.integers(1, 60),
        st.integers(1, 60),
        st.sampled_from([0.5, 10.0, 60.0]),
        st.sampled_from([0.0, 0.0, 4.0]),
    ),
    min_size=1,
    max_size=60,
)
KV_TOKENS = st.one_of(st.none(), st.integers(120, 400))


class Course:
    """One run of a shaper before workers that take three seconds for a request, seen from outside."""

    def __init__(self, policy: ShapingPolicy, capacity: PoolCapacity, gives_up_each: int = 0) -> None:
        self.policy, self.capacity = policy, capacity
        self.shaper = Shaper(MODEL, capacity, policy, idle_power_w=IDLE_W)
        self.shaper.see_grid(400.0)
        self.gives_up_each = gives_up_each
        self.order: dict[LatencyClass, list[str]] = {one: [] for one in LatencyClass}
        self.offered: dict[str, Request] = {}
        self.released_at_s: dict[str, float] = {}
        self.full_until_s = -math.inf  # the last instant at which somebody had to wait for a place
        self.finishes: list[tuple[float, str]] = []
        self.given_up = 0

    def play(self, requests: list[Request]) -> None:
        pending = sorted(requests, key=lambda one: one.arrived_at_s)
        while pending or self.finishes or self.shaper.held:
            now_s = self._next_instant_s(pending)
            while self.finishes and self.finishes[0][0] <= now_s:
                self.shaper.used(POWER_W * SERVICE_S / max(1, len(self.shaper.running)))
                self.shaper.finish(self.finishes.pop(0)[1], now_s)
            while pending and pending[0].arrived_at_s <= now_s:
                self._offer(pending.pop(0), now_s)
            self._let_go(self.shaper.release(now_s), now_s)

    def _next_instant_s(self, pending: list[Request]) -> float:
        wakeup_at_s = self.shaper.next_wakeup_at_s()
        instants = [pending[0].arrived_at_s] if pending else []
        instants += [self.finishes[0][0]] if self.finishes else []
        instants += [wakeup_at_s] if wakeup_at_s is not None else []
        assert instants, "requests are held and nothing will ever wake the shaper"
        return min(instants)

    def _offer(self, request: Request, now_s: float) -> None:
        self.shaper.offer(request, now_s)
        self.offered[request.id] = request
        if self.gives_up_each and len(self.offered) % self.gives_up_each == 0:
            assert self.shaper.give_up(request.id, now_s)
            self.given_up += 1

    def _let_go(self, groups: list[Group], now_s: float) -> None:
        for group in groups:
            assert group.requests
            for request in group.requests:
                assert request.id not in self.released_at_s
                self.released_at_s[request.id] = now_s
                self.order[request.latency_class].append(request.id)
                self.finishes.append((now_s + SERVICE_S, request.id))
        self._judge(now_s)

    def _judge(self, now_s: float) -> None:
        running, held = self.shaper.running.values(), self.shaper.held.values()
        assert len(running) <= self.capacity.sequences
        used_tokens = sum(request.kv_tokens for request in running)
        assert self.capacity.kv_tokens is None or used_tokens <= self.capacity.kv_tokens
        stats = self.shaper.stats
        assert stats.offered == stats.released + stats.held + stats.given_up_held == len(self.offered)
        assert stats.given_up == self.given_up
        wakeup_at_s = self.shaper.next_wakeup_at_s()
        assert wakeup_at_s is None or wakeup_at_s > now_s
        overdue = [one for one in held if self.policy.budget_ends_at_s(one) <= now_s]
        if overdue:
            first = min(overdue, key=self.policy.budget_ends_at_s)
            assert self._has_no_room(first, used_tokens)

    def _has_no_room(self, request: Request, used_tokens: int) -> bool:
        is_full = len(self.shaper.running) >= self.capacity.sequences
        kv_tokens = self.capacity.kv_tokens
        # Equally overdue ones may differ in size; any of them that fits would have gone.
        return is_full or (kv_tokens is not None and used_tokens + 120 > kv_tokens)


def requests_of(arrivals: list[tuple[float, LatencyClass, int, int, float, float]]) -> list[Request]:
    now_s, found = EPOCH_S, []
    for place, (gap_s, latency_class, prompt_tokens, output_tokens, patience_s, wait_s) in enumerate(arrivals):
        now_s += gap_s
        found.append(
            a_request(
                f"r{place:05d}",
                arrived_at_s=now_s,
                release_by_s=now_s + patience_s,
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
                latency_class=latency_class,
                not_before_s=now_s + min(wait_s, patience_s),
            )
        )
    return found


@given(policy=POLICIES, arrivals=ARRIVALS, sequences=st.integers(1, 80), kv_tokens=KV_TOKENS, each=st.integers(0, 5))
@settings(max_examples=200, deadline=None)
@pytest.mark.slow
def test_every_rule_loses_nothing_exceeds_nothing_and_holds_nothing_beyond_its_budget(
    policy: ShapingPolicy,
    arrivals: list[tuple[float, LatencyClass, int, int, float, float]],
    sequences: int,
    kv_tokens: int | None,
    each: int,
) -> None:
    course = Course(policy, PoolCapacity(sequences=sequences, kv_tokens=kv_tokens), gives_up_each=each)
    course.play(requests_of(arrivals))
    assert len(course.released_at_s) + course.given_up == len(arrivals)


@given(policy=POLICIES, arrivals=ARRIVALS)
@settings(max_examples=150, deadline=None)
@pytest.mark.slow
def test_every_rule_is_first_in_first_out_within_a_class_and_lane(
    policy: ShapingPolicy, arrivals: list[tuple[float, LatencyClass, int, int, float, float]]
) -> None:
    """Where patience, length and planned wait are equal within a class, arrival alone decides."""
    alike = [(gap_s, latency_class, 20, 16, 30.0, 0.0) for gap_s, latency_class, *_ in arrivals]
    course = Course(policy, PoolCapacity(sequences=4))
    course.play(requests_of(alike))
    for ids in course.order.values():
        assert ids == sorted(ids)


def calls_for_a_burst(holding: Holding, count: int) -> int:
    """Function calls, builtins included, that a burst takes until the last of it is answered."""
    policy = ShapingPolicy(
        interactive_hold_s=5.0,
        min_group=8,
        max_group=16,
        holding=holding,
        max_delay_s=1.0,
        pace_gap_s=0.001,
        latency_price_gco2e_per_h=0.3,
        has_length_lanes=True,
    )
    shaper = Shaper(MODEL, PoolCapacity(sequences=256), policy, idle_power_w=IDLE_W)
    shaper.see_grid(400.0)
    calls = 0

    def tally(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    classes = list(LatencyClass)
    burst = [a_request(f"r{n}", latency_class=classes[n % 3], output_tokens=1 + n % 700) for n in range(count)]
    now_s = 0.0
    sys.setprofile(tally)
    try:
        for request in burst:
            shaper.offer(request, now_s)
        while shaper.held or shaper.running:
            now_s += 1.0
            shaper.release(now_s)
            shaper.next_wakeup_at_s()
            shaper.used(1000.0)
            for id_ in list(shaper.running):
                shaper.finish(id_, now_s + 0.5)
    finally:
        sys.setprofile(None)
    assert shaper.stats.finished == count
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("holding", list(Holding))
def test_ten_times_the_burst_takes_hardly_more_than_ten_times_the_operations(holding: Holding) -> None:
    small, large = calls_for_a_burst(holding, 400), calls_for_a_burst(holding, 4_000)
    assert large < 10 * small * 1.4  # logarithms grow by less than that from 400 to 4,000


@pytest.mark.slow
def test_a_burst_of_100_000_costs_each_request_a_bounded_number_of_operations() -> None:
    policy = ShapingPolicy(interactive_hold_s=5.0, min_group=8, holding=Holding.ADAPTIVE)
    shaper = Shaper(MODEL, PoolCapacity(sequences=256), policy, idle_power_w=IDLE_W)
    shaper.see_grid(400.0)
    for number in range(100_000):
        shaper.offer(a_request(f"r{number}", release_by_s=5.0), 0.0)
    now_s, releases = 5.0, 0
    while shaper.held or shaper.running:
        now_s, releases = now_s + 1.0, releases + 1
        shaper.release(now_s)
        shaper.used(1000.0)
        for id_ in list(shaper.running):
            shaper.finish(id_, now_s)
    assert shaper.stats.finished == 100_000
    assert releases <= 100_000 / 256 + 2
