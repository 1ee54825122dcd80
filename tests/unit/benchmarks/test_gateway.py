"""What the gateway's benchmark makes of its rounds: every slice counts, with the machine's part of the tail beside."""

from __future__ import annotations

import pytest

from benchmarks.gateway import added_per_round_ms, every_round, page_of, pooled_added_p99_ms, verdicts
from benchmarks.gateway_rounds import BARE, DIRECT, HOLDING, PASS_THROUGH, FullSpeed, Round, Slice


def a_slice(*took_ms: float, waited_ratio: float = 0.0) -> Slice:
    return Slice(
        latencies_s=sorted(one / 1000 for one in took_ms),
        busy_ratio=0.5,
        waited_ratio=waited_ratio,
        stolen_ratio=0.0,
    )


def a_round(gateway: Slice, *, rate_per_s: float = 900.0) -> Round:
    """Of a worker that always takes 1 ms, and a bare proxy that takes 3 ms and does 1,000 a second."""
    rates_per_s = {DIRECT: 9000.0, BARE: 1000.0, PASS_THROUGH: rate_per_s, HOLDING: rate_per_s}
    return Round(
        arrivals_per_s=rate_per_s / 2,
        full_speed={name: FullSpeed(requests_per_s=rate, cpu_ms_per_request=0.2) for name, rate in rates_per_s.items()},
        slices={DIRECT: a_slice(1.0), BARE: a_slice(3.0), PASS_THROUGH: gateway, HOLDING: gateway},
    )


def test_one_bad_slice_is_in_the_tail_of_all_requests_and_not_in_the_median_round() -> None:
    rounds = [a_round(a_slice(4.0)), a_round(a_slice(41.0)), a_round(a_slice(4.0))]
    assert added_per_round_ms(rounds, PASS_THROUGH, 0.99) == pytest.approx([3.0, 40.0, 3.0])
    assert pooled_added_p99_ms(rounds, PASS_THROUGH) == pytest.approx(40.0)
    met = {said: is_met for said, is_met in verdicts(rounds) if "added" in said}
    assert met == {
        "40.0 ms added at p99 over all requests, the bare proxy 2.0 (target 5)": False,
        "3.0 ms added at p99 in the median round, the bare proxy 2.0 (target 5)": True,
    }


def test_a_rate_is_compared_within_its_round() -> None:
    rounds = [a_round(a_slice(4.0), rate_per_s=rate) for rate in (700.0, 790.0, 900.0)]
    said, is_met = verdicts(rounds)[0]
    assert said == "gateway: 0.79 of the bare proxy's rate (target 0.8)"
    assert not is_met
    assert verdicts(rounds)[1][1]


def test_every_slice_is_on_the_page_with_what_the_machine_kept_from_it() -> None:
    rounds = [a_round(a_slice(4.0, waited_ratio=0.25)), a_round(a_slice(41.0))]
    assert "| 1 | 450 | 1.0 (0%, 0%) | 3.0 (0%, 0%) | 4.0 (25%, 0%) | 4.0 (25%, 0%) |" in every_round(rounds)
    page = page_of(rounds, 2.0, "worker")
    assert "| 2 | 450 | 1.0 (0%, 0%) | 3.0 (0%, 0%) | 41.0 (0%, 0%) | 41.0 (0%, 0%) |" in page
    assert "LiteLLM proxy: not run, none was named." in " ".join(page.split())
