"""The rules of holds.py and adaptive.py, one hand-worked case each; the group rule's are test_shaper.py's."""

from __future__ import annotations

from shaping.policy import Holding, ReleaseReason, ShapingPolicy
from shaping.request import LatencyClass, PoolCapacity
from shaping.shaper import Shaper
from tests.unit.shaping.requests import MODEL, a_flex_request, a_request, ids, offer_all, reasons


def a_shaper_that(holding: Holding, *, sequences: int = 256, grid: float | None = 400.0, **fields: float) -> Shaper:
    policy = ShapingPolicy(interactive_hold_s=60.0, min_group=1, holding=holding, **fields)  # type: ignore[arg-type]
    shaper = Shaper(MODEL, PoolCapacity(sequences=sequences), policy, idle_power_w=100.0)
    shaper.see_grid(grid)
    return shaper


def taught(shaper: Shaper, *, gap_s: float = 1.0, latency_class: LatencyClass = LatencyClass.INTERACTIVE) -> float:
    """Twenty requests `gap_s` apart, each alone and answered within a second at 400 W; the instant after."""
    for number in range(20):
        now_s = number * gap_s
        request = a_request(f"taught{number}", arrived_at_s=now_s, release_by_s=now_s, latency_class=latency_class)
        shaper.offer(request, now_s)
        shaper.release(now_s)
        shaper.finish(f"taught{number}", now_s + min(1.0, gap_s))
        shaper.used(400.0 * min(1.0, gap_s))
    return 20 * gap_s


def test_pass_through_holds_nothing_whatever_the_budget() -> None:
    shaper = a_shaper_that(Holding.PASS_THROUGH)
    shaper.offer(a_request("r1"), 0.0)
    assert reasons(shaper.release(0.0)) == [ReleaseReason.PASS_THROUGH]


def test_a_window_ends_with_the_delay_of_its_first_request() -> None:
    shaper = a_shaper_that(Holding.WINDOW, max_delay_s=2.0)
    offer_all(shaper, a_request("r1"), a_request("r2", arrived_at_s=1.0))
    assert shaper.release(1.0) == []
    assert shaper.next_wakeup_at_s() == 2.0
    assert ids(shaper.release(2.0)) == [["r1", "r2"]]


def test_a_window_longer_than_the_budget_still_goes_together() -> None:
    shaper = a_shaper_that(Holding.WINDOW, max_delay_s=30.0)
    offer_all(shaper, *(a_request(f"r{n}", arrived_at_s=n, release_by_s=n + 5.0) for n in range(3)))
    assert ids(shaper.release(5.0)) == [["r0", "r1", "r2"]]


def test_a_full_window_does_not_wait_and_the_rest_begins_the_next() -> None:
    shaper = a_shaper_that(Holding.WINDOW, max_delay_s=2.0, max_group=2)
    offer_all(shaper, a_request("r1"), a_request("r2"), a_request("r3", arrived_at_s=0.5))
    groups = shaper.release(0.5)
    assert ids(groups) == [["r1", "r2"]]
    assert reasons(groups) == [ReleaseReason.FULL]
    assert ids(shaper.release(2.5)) == [["r3"]]


def test_a_window_holds_deferred_requests_too_but_not_past_their_latest_start() -> None:
    shaper = a_shaper_that(Holding.WINDOW, max_delay_s=30.0)
    shaper.offer(a_flex_request("f1", not_before_s=10.0, release_by_s=20.0), 0.0)
    assert shaper.release(10.0) == []
    assert ids(shaper.release(20.0)) == [["f1"]]


def test_a_lane_behind_a_blocked_one_asks_for_no_wakeup() -> None:
    policy = ShapingPolicy(interactive_hold_s=60.0, min_group=1, holding=Holding.WINDOW, max_delay_s=2.0)
    shaper = Shaper(MODEL, PoolCapacity(sequences=8, kv_tokens=100), policy)
    shaper.offer(a_request("running", prompt_tokens=70, release_by_s=0.0), 0.0)
    assert ids(shaper.release(0.0)) == [["running"]]
    for latency_class in (LatencyClass.FLEX, LatencyClass.BATCH):
        shaper.offer(a_request(latency_class, prompt_tokens=40, latency_class=latency_class), 0.0)
    assert shaper.release(0.0) == []
    assert shaper.next_wakeup_at_s() == 2.0
    assert shaper.release(2.0) == []
    assert shaper.next_wakeup_at_s() == 100.0  # the latest starts; before that only a finish can help


def test_a_pace_lets_one_go_each_gap() -> None:
    shaper = a_shaper_that(Holding.PACED, pace_gap_s=0.5)
    offer_all(shaper, *(a_request(f"r{n}") for n in range(3)))
    assert ids(shaper.release(0.0)) == [["r0"]]
    assert shaper.next_wakeup_at_s() == 0.5
    assert ids(shaper.release(0.5)) == [["r1"]]
    assert ids(shaper.release(1.0)) == [["r2"]]


def test_a_pace_does_not_hold_what_cannot_wait() -> None:
    shaper = a_shaper_that(Holding.PACED, pace_gap_s=50.0)
    offer_all(shaper, a_request("r1"), a_request("r2", release_by_s=3.0))
    shaper.release(0.0)
    assert ids(shaper.release(3.0)) == [["r2"]]


def test_adaptive_passes_the_first_requests_through_for_it_knows_nothing() -> None:
    shaper = a_shaper_that(Holding.ADAPTIVE)
    shaper.offer(a_request("r1"), 0.0)
    assert reasons(shaper.release(0.0)) == [ReleaseReason.PASS_THROUGH]


def test_adaptive_holds_a_request_once_it_has_learnt_that_others_come() -> None:
    shaper = a_shaper_that(Holding.ADAPTIVE)
    now_s = taught(shaper)
    shaper.offer(a_request("r1", arrived_at_s=now_s, release_by_s=now_s + 30.0), now_s)
    assert shaper.release(now_s) == []
    assert ids(shaper.release(now_s + 30.0)) == [["r1"]]


def test_adaptive_holds_nothing_when_the_grid_is_unknown() -> None:
    shaper = a_shaper_that(Holding.ADAPTIVE, grid=None)
    now_s = taught(shaper)
    shaper.offer(a_request("r1", arrived_at_s=now_s, release_by_s=now_s + 30.0), now_s)
    assert ids(shaper.release(now_s)) == [["r1"]]


def group_that_goes(
    grid: float, price_gco2e_per_h: float = 1.0, latency_class: LatencyClass = LatencyClass.INTERACTIVE
) -> int:
    """How many requests, one a second, are held until the rule lets them go."""
    shaper = a_shaper_that(Holding.ADAPTIVE, grid=grid, latency_price_gco2e_per_h=price_gco2e_per_h)
    now_s, held = taught(shaper, latency_class=latency_class), 0
    while held < 60:
        request = a_request(
            f"r{held}", arrived_at_s=now_s, release_by_s=now_s + 600.0, latency_class=latency_class, not_before_s=0.0
        )
        shaper.offer(request, now_s)
        held += 1
        if shaper.release(now_s):
            return held
        now_s += 1.0
    return held


def test_a_dirty_grid_holds_longer_than_a_clean_one() -> None:
    # 300 W above idle for a second, times the grid: 300 J or 0.0333 g at 400 g/kWh. A second of waiting costs 1/3600 g,
    # so the group that pays best has sqrt(2 x 1/s x 0.0333 g / 0.000278 g/s) = 15.5 requests; a sixteenth of it at 25.
    clean, dirty = group_that_goes(25.0), group_that_goes(400.0)
    assert 3 <= clean <= 5
    assert 14 <= dirty <= 17


def test_a_dearer_wait_makes_smaller_groups() -> None:
    assert group_that_goes(400.0, price_gco2e_per_h=16.0) < group_that_goes(400.0, price_gco2e_per_h=1.0)


def test_a_newcomer_joins_what_will_run_longer_than_itself() -> None:
    shaper = a_shaper_that(Holding.ADAPTIVE)
    now_s = taught(shaper)
    shaper.offer(a_request("long", arrived_at_s=now_s, release_by_s=now_s, output_tokens=500), now_s)
    shaper.release(now_s)
    shaper.offer(a_request("short", arrived_at_s=now_s + 1, release_by_s=now_s + 50), now_s + 1)
    groups = shaper.release(now_s + 1)
    assert ids(groups) == [["short"]]
    assert reasons(groups) == [ReleaseReason.JOINED]


def test_waiting_is_cheaper_for_a_deadline_and_hardly_costs_a_batch_anything() -> None:
    groups = [group_that_goes(400.0, price_gco2e_per_h=100.0, latency_class=one) for one in LatencyClass]
    assert groups == sorted(groups)
    assert groups[0] < groups[1] < groups[2]
