"""A request that goes in the call that offers it goes as it would have through the queues, under every rule."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from shaping.policy import Group, Holding, OfferError, ShapingPolicy
from shaping.request import LatencyClass, PoolCapacity, Request
from shaping.shaper import Shaper
from tests.unit.shaping.requests import MODEL, a_request


class Arrival(NamedTuple):
    """One request, after a gap; then the oldest that runs may end."""

    gap_s: float
    latency_class: LatencyClass
    prompt_tokens: int
    patience_s: float
    adapter: str
    ends_one: bool


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        gap_s=st.sampled_from([0.0, 0.005, 0.5, 3.0]),
        latency_class=st.sampled_from([LatencyClass.INTERACTIVE, LatencyClass.INTERACTIVE, LatencyClass.FLEX]),
        prompt_tokens=st.sampled_from([1, 30, 90]),
        patience_s=st.sampled_from([0.0, 0.01, 5.0]),
        adapter=st.sampled_from(["", "", "a", "b"]),
        ends_one=st.booleans(),
    ),
    max_size=25,
)
POLICIES = st.builds(
    ShapingPolicy,
    holding=st.sampled_from(list(Holding)),
    interactive_hold_s=st.sampled_from([0.0, 0.02, 1.0]),
    min_group=st.integers(1, 3),
    max_delay_s=st.sampled_from([0.0, 0.5]),
    pace_gap_s=st.sampled_from([0.0, 0.5]),
    latency_price_gco2e_per_h=st.sampled_from([0.0, 1.0]),
    has_length_lanes=st.booleans(),
)
CAPACITIES = st.builds(
    PoolCapacity,
    sequences=st.integers(0, 4),
    kv_tokens=st.sampled_from([None, 100, 400]),
    adapters=st.sampled_from([None, 1]),
)


def offered(shaper: Shaper, request: Request, *, at_once: bool) -> list[Group]:
    try:
        if not at_once:
            shaper.offer(request, request.arrived_at_s)
        elif (group := shaper.offer_at_once(request, request.arrived_at_s)) is not None:
            return [group]
    except OfferError:
        return []
    return shaper.release(request.arrived_at_s)


@given(policy=POLICIES, capacity=CAPACITIES, arrivals=ARRIVALS)
def test_at_once_is_offer_and_release(policy: ShapingPolicy, capacity: PoolCapacity, arrivals: list[Arrival]) -> None:
    through, at_once = (Shaper(MODEL, capacity, policy, idle_power_w=60.0) for _ in range(2))
    for shaper in (through, at_once):
        shaper.see_grid(400.0)
    now_s = 0.0
    for number, one in enumerate(arrivals):
        until_s = now_s + one.gap_s
        while (wakeup_at_s := through.next_wakeup_at_s()) is not None and wakeup_at_s <= until_s:
            now_s = max(now_s, wakeup_at_s)
            assert at_once.release(now_s) == through.release(now_s)
        now_s = until_s
        request = a_request(
            f"r{number}",
            arrived_at_s=now_s,
            release_by_s=now_s + one.patience_s,
            prompt_tokens=one.prompt_tokens,
            latency_class=one.latency_class,
            adapter=one.adapter,
        )
        assert offered(at_once, request, at_once=True) == offered(through, request, at_once=False)
        if one.ends_one and through.running:
            gone = next(iter(through.running))
            for shaper in (through, at_once):
                shaper.finish(gone, now_s)
                shaper.used(100.0)
            assert at_once.release(now_s) == through.release(now_s)
        assert (at_once.stats, at_once.is_blocked) == (through.stats, through.is_blocked)
        assert at_once.next_wakeup_at_s() == through.next_wakeup_at_s()
