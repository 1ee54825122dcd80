"""However requests come and go between readings: their joules and nobody's sum to what the meter counted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shaping.metered_shares import MeteredShares, Share
from shaping.profiles import deployment

H100_8B = deployment(gpu="h100-sxm", model="llama-3.1-8b")
REQUESTS = st.tuples(st.floats(0.0, 9.0), st.floats(0.0, 5.0), st.integers(0, 9000), st.integers(0, 2000))


@given(
    requests=st.lists(REQUESTS, max_size=12),
    windows=st.lists(st.tuples(st.floats(0.05, 2.0), st.floats(0.0, 2000.0)), min_size=1, max_size=15),
    has_profile=st.booleans(),
)
def test_parts_sum_to_the_total_and_none_is_negative(
    requests: list[tuple[float, float, int, int]], windows: list[tuple[float, float]], has_profile: bool
) -> None:
    split = MeteredShares(H100_8B if has_profile else None)
    split.read(0.0, 0.0, None)
    begin = sorted((began_at_s, n) for n, (began_at_s, _, _, _) in enumerate(requests))
    shares: dict[int, Share] = {}
    settled: list[Share] = []
    now_s = counter_j = 0.0
    for lasted_s, drawn_j in windows:
        now_s, counter_j = now_s + lasted_s, counter_j + drawn_j
        while begin and begin[0][0] <= now_s:
            began_at_s, n = begin.pop(0)
            shares[n] = split.began(began_at_s, *requests[n][2:])
        for n, share in shares.items():
            ends_at_s = requests[n][0] + requests[n][1]
            if ends_at_s <= now_s and math.isinf(share.ended_at_s):
                split.ended(share, ends_at_s)
        settled += split.read(now_s, counter_j, None)
        given_j = [share.energy_j or 0.0 for share in shares.values()]
        assert all(one >= 0.0 for one in given_j)
        assert math.fsum(given_j) + split.nobodys_j == pytest.approx(counter_j, rel=1e-9, abs=1e-6)
    assert len(settled) == len(set(settled)) == sum(not math.isinf(share.ended_at_s) for share in shares.values())
