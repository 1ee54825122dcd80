"""Whatever is offered, in whatever order: nothing lost, nothing late while there is room, capacity never exceeded."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shaping.policy import Group, ShapingPolicy, TooLarge
from shaping.request import LatencyClass, PoolCapacity, Request
from shaping.shaper import Shaper
from tests.unit.shaping.requests import MODEL, a_request, a_shaper, offer_all

CLASSES = st.sampled_from(list(LatencyClass))
# Class, prompt tokens, patience, wait until the planned instant, priority.
ARRIVALS = st.tuples(
    CLASSES,
    st.integers(0, 120),
    st.sampled_from([0.0, 0.5, 5.0, 30.0, 500.0]),
    st.sampled_from([0.0, 0.0, 1.0, 20.0]),
    st.integers(0, 2),
)
KV_TOKENS = st.one_of(st.none(), st.integers(20, 200))


def _line_up(request: Request, place: dict[str, int]) -> tuple[bool, int, int]:
    """Rules 2 and 3 of the shaper: flex before batch, lower priority first, then as offered."""
    return request.latency_class is LatencyClass.BATCH, request.priority, place[request.id]


class ShaperMachine(RuleBasedStateMachine):
    """Drives a shaper as a gateway does, and keeps its own account beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.count = 0
        self.offered: dict[str, Request] = {}
        self.released: list[str] = []
        self.given_up_held: set[str] = set()

    @initialize(
        sequences=st.integers(1, 6),
        kv_tokens=KV_TOKENS,
        hold_s=st.sampled_from([0.0, 1.0, 10.0]),
        min_group=st.integers(1, 5),
        reserved=st.integers(0, 2),
    )
    def start(self, sequences: int, kv_tokens: int | None, hold_s: float, min_group: int, reserved: int) -> None:
        self.policy = ShapingPolicy(interactive_hold_s=hold_s, min_group=min_group, reserved_sequences=reserved)
        self.shaper = Shaper(MODEL, PoolCapacity(sequences=sequences, kv_tokens=kv_tokens), self.policy)

    @rule(arrivals=st.lists(ARRIVALS, min_size=1, max_size=5))
    def offer(self, arrivals: list[tuple[LatencyClass, int, float, float, int]]) -> None:
        for arrival in arrivals:
            self._offer_one(*arrival)
        self.ask()

    def _offer_one(
        self, latency_class: LatencyClass, prompt_tokens: int, patience_s: float, wait_s: float, priority: int
    ) -> None:
        self.count += 1
        request = a_request(
            f"r{self.count}",
            arrived_at_s=self.now_s,
            release_by_s=self.now_s + patience_s,
            prompt_tokens=prompt_tokens,
            latency_class=latency_class,
            not_before_s=self.now_s + wait_s,
            priority=priority,
        )
        try:
            self.shaper.offer(request, self.now_s)
        except TooLarge:
            assert self.shaper.capacity.kv_tokens is not None
            assert request.kv_tokens > self.shaper.capacity.kv_tokens
        else:
            self.offered[request.id] = request

    @rule(choice=st.integers(0, 10**6))
    def finish(self, choice: int) -> None:
        running = list(self.shaper.running)
        if running:
            assert self.shaper.finish(running[choice % len(running)], self.now_s)
            self.ask()

    @rule(choice=st.integers(0, 10**6))
    def give_up(self, choice: int) -> None:
        known = [*self.shaper.held, *self.shaper.running]
        if known:
            gone = known[choice % len(known)]
            if gone in self.shaper.held:
                self.given_up_held.add(gone)
            assert self.shaper.give_up(gone, self.now_s)
            assert not self.shaper.give_up(gone, self.now_s)
            self.ask()

    @rule(choice=st.integers(0, 10**6), wait_s=st.floats(-5, 40))
    def retime(self, choice: int, wait_s: float) -> None:
        held = list(self.shaper.held.values())
        if held:
            request = held[choice % len(held)]
            is_deferred = request.latency_class is not LatencyClass.INTERACTIVE
            assert self.shaper.retime(request.id, self.now_s + wait_s) == is_deferred
            self.ask()

    @rule(sequences=st.integers(0, 5), kv_tokens=KV_TOKENS)
    def resize(self, sequences: int, kv_tokens: int | None) -> None:
        self.shaper.resize(PoolCapacity(sequences=sequences, kv_tokens=kv_tokens))
        self.ask()

    @rule(gap_s=st.floats(0.01, 15))
    def pass_time(self, gap_s: float) -> None:
        """Time goes on, with a release at every wakeup that the shaper asks for and at no other instant."""
        until_s = self.now_s + gap_s
        while (wakeup_at_s := self.shaper.next_wakeup_at_s()) is not None and wakeup_at_s <= until_s:
            assert wakeup_at_s > self.now_s  # a wakeup that is not later than the last answer would spin
            self.now_s = wakeup_at_s
            self.ask()
        self.now_s = until_s
        if self.shaper.next_wakeup_at_s() != until_s:
            self._judge_what_stays()  # whoever asks at the wakeups only misses nothing

    def ask(self) -> None:
        """One release, judged."""
        before = dict(self.shaper.held)
        running = len(self.shaper.running)
        groups = self.shaper.release(self.now_s)
        for group in groups:
            assert group.requests
            assert group.released_at_s == self.now_s
        chosen = [request for group in groups for request in group.requests]
        self.released += [request.id for request in chosen]
        if chosen:
            self._judge_capacity(chosen, running)
            self._judge_order(before, groups)
        self._judge_what_stays()

    def _judge_capacity(self, chosen: Sequence[Request], running_before: int) -> None:
        capacity = self.shaper.capacity
        assert running_before + len(chosen) <= capacity.sequences
        if capacity.kv_tokens is not None:
            assert sum(request.kv_tokens for request in self.shaper.running.values()) <= capacity.kv_tokens

    def _judge_order(self, before: dict[str, Request], groups: Sequence[Group]) -> None:
        """First in first out among equals that no latest start hurries; nothing deferred before its instant."""
        place = {id_: index for index, id_ in enumerate(before)}
        for group in groups:
            unhurried = [request for request in group.requests if request.release_by_s > self.now_s]
            for request in unhurried:
                is_deferred = request.latency_class is not LatencyClass.INTERACTIVE
                assert not is_deferred or request.not_before_s <= self.now_s
            keys = [_line_up(request, place) for request in unhurried]
            overtaken = [_line_up(request, place) for request in self._left_behind(before, unhurried)]
            assert keys == sorted(keys)
            assert not keys or not overtaken or keys[-1] < min(overtaken)

    def _left_behind(self, before: dict[str, Request], chosen: Sequence[Request]) -> list[Request]:
        """Held ones of the same kind that could have gone: their instant had come and the pool could hold them."""
        kinds = {request.latency_class is LatencyClass.INTERACTIVE for request in chosen}
        kv_tokens = self.shaper.capacity.kv_tokens
        return [
            request
            for request in before.values()
            if request.id in self.shaper.held
            and (request.latency_class is LatencyClass.INTERACTIVE) in kinds
            and (request.latency_class is LatencyClass.INTERACTIVE or request.not_before_s <= self.now_s)
            and (kv_tokens is None or request.kv_tokens <= kv_tokens)
        ]

    def _judge_what_stays(self) -> None:
        """Nobody stays past the latest start or the hold while there is room for the first in line."""
        capacity = self.shaper.capacity
        fitting = [
            request
            for request in self.shaper.held.values()
            if capacity.kv_tokens is None or request.kv_tokens <= capacity.kv_tokens
        ]
        overdue = sorted(
            (request for request in fitting if request.release_by_s <= self.now_s),
            key=lambda request: (request.release_by_s, int(request.id[1:])),
        )
        if overdue:
            assert not self._has_room_for(overdue[0])
            return
        ended = [
            request
            for request in fitting
            if request.latency_class is LatencyClass.INTERACTIVE
            and request.arrived_at_s + self.policy.interactive_hold_s <= self.now_s
        ]
        if ended:
            interactive = [request for request in fitting if request.latency_class is LatencyClass.INTERACTIVE]
            first = min(interactive, key=lambda request: (request.priority, int(request.id[1:])))
            assert not self._has_room_for(first)
        self._judge_deferred(fitting)

    def _judge_deferred(self, fitting: Sequence[Request]) -> None:
        """No sequence runs empty while a deferred request's instant has come, but for the reserve."""
        ready = [
            request
            for request in fitting
            if request.latency_class is not LatencyClass.INTERACTIVE and request.not_before_s <= self.now_s
        ]
        has_interactive = any(request.latency_class is LatencyClass.INTERACTIVE for request in fitting)
        free = self.shaper.capacity.sequences - len(self.shaper.running)
        if ready and not has_interactive and free > self.policy.reserved_sequences:
            first = min(ready, key=lambda r: (r.latency_class is LatencyClass.BATCH, r.priority, int(r.id[1:])))
            assert not self._has_room_for(first)

    def _has_room_for(self, request: Request) -> bool:
        capacity, running = self.shaper.capacity, self.shaper.running
        if len(running) >= capacity.sequences:
            return False
        used = sum(other.kv_tokens for other in running.values())
        return capacity.kv_tokens is None or used + request.kv_tokens <= capacity.kv_tokens

    @invariant()
    def arrivals_are_released_or_held_or_given_up(self) -> None:
        if not hasattr(self, "shaper"):
            return
        stats = self.shaper.stats
        assert len(self.released) == len(set(self.released))
        assert set(self.offered) == set(self.released) | set(self.shaper.held) | self.given_up_held
        assert stats.offered == stats.released + stats.held + stats.given_up_held == len(self.offered)
        assert stats.released == stats.running + stats.finished + stats.given_up_running

    def teardown(self) -> None:
        """Once workers answer, the queue drains: nothing starves."""
        if not hasattr(self, "shaper"):
            return
        self.shaper.resize(PoolCapacity(sequences=2, kv_tokens=None))
        self.now_s += 1000.0
        for _ in range(len(self.offered) + 1):
            self.ask()
            for id_ in list(self.shaper.running):
                self.shaper.finish(id_, self.now_s)
        assert not self.shaper.held
        assert not self.shaper.running


TestShaper = pytest.mark.slow(ShaperMachine.TestCase)
TestShaper.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(CLASSES, st.integers(0, 3), st.floats(0, 50)), max_size=40))
def test_the_same_offers_make_the_same_groups(offers: list[tuple[LatencyClass, int, float]]) -> None:
    def run() -> list[Group]:
        shaper = a_shaper(sequences=5, hold_s=1.0, min_group=3)
        for index, (latency_class, priority, not_before_s) in enumerate(offers):
            request = a_request(f"r{index}", latency_class=latency_class, priority=priority, not_before_s=not_before_s)
            shaper.offer(request, 0.0)
        return [*shaper.release(0.0), *shaper.release(60.0)]

    assert run() == run()


def test_a_stream_of_urgent_requests_does_not_starve_the_patient_one() -> None:
    shaper = a_shaper(sequences=1)
    shaper.offer(a_request("patient", priority=9, release_by_s=20.0), 0.0)
    waited_s = 0
    while "patient" in shaper.held:
        shaper.offer(a_request(f"r{waited_s}", arrived_at_s=waited_s, release_by_s=waited_s + 10.0), waited_s)
        shaper.release(waited_s)
        for id_ in list(shaper.running):
            shaper.finish(id_, waited_s + 1.0)
        waited_s += 1
        assert waited_s < 50
    assert waited_s <= 21


@pytest.mark.slow
def test_a_burst_of_100_000_is_taken_in_and_served() -> None:
    shaper = a_shaper(sequences=256, hold_s=0.02, min_group=8)
    generator = random.Random(7)
    offer_all(
        shaper,
        *(
            a_request(f"r{n}", latency_class=generator.choice(list(LatencyClass)), not_before_s=generator.random() * 90)
            for n in range(100_000)
        ),
    )
    served = 0
    while shaper.held or shaper.running:
        for group in shaper.release(100.0):
            served += len(group.requests)
        for id_ in list(shaper.running):
            shaper.finish(id_, 100.0)
    assert served == 100_000
