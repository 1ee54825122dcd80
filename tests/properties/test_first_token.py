"""However deferred requests come: what workers have not read stays within the budget, and nobody starves for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shaping.policy import ReleaseReason
from shaping.request import LatencyClass
from tests.unit.shaping.requests import a_request, a_shaper

TOKENS_PER_S, BUDGET_S = 100.0, 2.0
ARRIVALS = st.tuples(
    st.sampled_from(list(LatencyClass)),
    st.integers(1, 500),
    st.floats(0.0, 20.0),  # arrival
    st.sampled_from([1.0, 5.0, 1000.0]),  # patience
)


@given(st.lists(ARRIVALS, min_size=1, max_size=25))
def test_a_deferred_prompt_never_joins_more_than_is_read_within_the_budget(
    arrivals: list[tuple[LatencyClass, int, float, float]],
) -> None:
    shaper = a_shaper(sequences=1000, first_token_budget_s=BUDGET_S, reading_tokens_per_s=TOKENS_PER_S)
    to_come = sorted(
        (arrived_at_s, n, kind, prompt_tokens, patience_s)
        for n, (kind, prompt_tokens, arrived_at_s, patience_s) in enumerate(arrivals)
    )
    patiences_s = {f"r{n}": arrived_at_s + patience_s for arrived_at_s, n, _, _, patience_s in to_come}
    unread_tokens, since_s, now_s, released = 0.0, 0.0, 0.0, 0
    while to_come or shaper.held:
        wakeup_at_s = shaper.next_wakeup_at_s()
        assert wakeup_at_s is not None or to_come, "somebody is held and nobody will ask"
        next_s = to_come[0][0] if to_come else float("inf")
        now_s = max(now_s, min(next_s, float("inf") if wakeup_at_s is None else wakeup_at_s))
        while to_come and to_come[0][0] <= now_s:
            arrived_at_s, n, kind, prompt_tokens, _ = to_come.pop(0)
            request = a_request(
                f"r{n}",
                latency_class=kind,
                prompt_tokens=prompt_tokens,
                arrived_at_s=arrived_at_s,
                release_by_s=patiences_s[f"r{n}"],
            )
            shaper.offer(request, now_s)
        for group in shaper.release(now_s):
            for request in group.requests:
                released += 1
                unread_tokens = max(0.0, unread_tokens - (now_s - since_s) * TOKENS_PER_S)
                since_s = now_s
                is_free = group.reason is not ReleaseReason.PLANNED
                within = unread_tokens + request.prompt_tokens <= BUDGET_S * TOKENS_PER_S + 1e-6
                assert is_free or within or unread_tokens <= 1e-6
                assert now_s <= patiences_s[request.id] + 1e-9
                unread_tokens += request.prompt_tokens
    assert released == len(arrivals)
