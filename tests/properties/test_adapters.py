"""Whatever adapters requests name: never more at once than fit, nobody lost, in order within an adapter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shaping.request import LatencyClass
from tests.unit.shaping.requests import a_request, a_shaper

ARRIVALS = st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.sampled_from(list(LatencyClass)), st.booleans())


@given(st.lists(ARRIVALS, max_size=40), st.integers(1, 3), st.integers(1, 6), st.sampled_from([0.0, 3.0]))
def test_adapters_at_once_stay_within_the_limit_and_everybody_is_served_in_order(
    arrivals: list[tuple[str, LatencyClass, bool]], limit: int, sequences: int, hold_s: float
) -> None:
    shaper = a_shaper(sequences=sequences, adapters=limit, hold_s=hold_s, min_group=3)
    served: list[str] = []

    def release(now_s: float) -> None:
        for group in shaper.release(now_s):
            served.extend(request.id for request in group.requests)
        adapters = {request.adapter for request in shaper.running.values()} - {""}
        assert len(adapters) <= limit
        assert len(shaper.running) <= sequences

    requests = {}
    for n, (adapter, kind, ends_one) in enumerate(arrivals):
        request = requests[f"r{n}"] = a_request(
            f"r{n}", adapter=adapter, latency_class=kind, arrived_at_s=float(n), release_by_s=n + 1000.0
        )
        shaper.offer(request, float(n))
        release(float(n))
        if ends_one and shaper.running:
            shaper.finish(next(iter(shaper.running)), float(n))
            release(float(n))
    now_s = float(len(arrivals))
    while shaper.held:
        now_s += 10.0
        release(now_s)
        assert shaper.running, "places are free, and nobody goes"
        shaper.finish(next(iter(shaper.running)), now_s)
    release(now_s)
    assert sorted(served) == sorted(requests)
    for adapter in {request.adapter for request in requests.values()}:
        for kind in LatencyClass:
            own = [id_ for id_ in served if (requests[id_].adapter, requests[id_].latency_class) == (adapter, kind)]
            assert own == sorted(own, key=lambda id_: int(id_[1:]))
