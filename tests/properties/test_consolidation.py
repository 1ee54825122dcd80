"""Whatever load comes and whichever orders fail: nobody sleeps at work, and a burst has all workers in the end."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from shaping.consolidation import Action, ConsolidationPolicy, Consolidator, Demand, Phase

WORKERS, PLACES = 4, 8
# Time passed, requests at each worker, held ones, seconds until the first of them is to go, whether orders succeed.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.1, 1.0, 10.0, 100.0]),
        st.lists(st.integers(0, PLACES), min_size=WORKERS, max_size=WORKERS),
        st.integers(0, 30),
        st.sampled_from([0.0, 3.0, 500.0]),
        st.booleans(),
    ),
    max_size=40,
)
POLICIES = st.builds(
    ConsolidationPolicy,
    wake_s=st.sampled_from([0.0, 5.0]),
    patience_s=st.sampled_from([0.0, 20.0]),
    min_awake=st.integers(0, WORKERS),
    headroom_ratio=st.sampled_from([0.0, 0.5]),
)


@given(policy=POLICIES, steps=STEPS)
@settings(deadline=None)
def test_nobody_is_put_to_sleep_at_work_and_the_next_look_lies_ahead(
    policy: ConsolidationPolicy, steps: list[tuple[float, list[int], int, float, bool]]
) -> None:
    pool, now_s = Consolidator(policy, workers=WORKERS, sequences_per_worker=PLACES), 0.0
    for passed_s, busy, held, starts_in_s, succeeds in steps:
        now_s += passed_s
        # Who sleeps or wakes was given nothing.
        is_given = [phase in (Phase.AWAKE, Phase.DRAINING) for phase in pool.phases]
        in_flight = [count if given_any else 0 for count, given_any in zip(busy, is_given, strict=True)]
        demand = Demand(running=sum(in_flight), held=held, first_start_at_s=now_s + starts_in_s if held else None)
        for order in pool.orders(now_s, demand, in_flight):
            assert order.action is Action.WAKE or in_flight[order.worker] == 0
            if succeeds:
                pool.done(order.worker, order.action)
            else:
                pool.failed(order.worker, order.action, now_s)
        assert pool.look_again_at_s > now_s


@given(policy=POLICIES, steps=STEPS)
@settings(deadline=None)
def test_a_burst_wakes_everybody_once_orders_succeed(
    policy: ConsolidationPolicy, steps: list[tuple[float, list[int], int, float, bool]]
) -> None:
    pool, now_s = Consolidator(policy, workers=WORKERS, sequences_per_worker=PLACES), 0.0
    for passed_s, *_, succeeds in steps:
        now_s += passed_s
        for order in pool.orders(now_s, Demand(running=0, held=0), [0] * WORKERS):
            if succeeds:
                pool.done(order.worker, order.action)
            else:
                pool.failed(order.worker, order.action, now_s)
    burst = Demand(running=0, held=WORKERS * PLACES, first_start_at_s=now_s, is_blocked=True)
    for _ in range(3):
        now_s += 60.0
        for order in pool.orders(now_s, burst, [0] * WORKERS):
            pool.done(order.worker, order.action)
    assert pool.phases == [Phase.AWAKE] * WORKERS
