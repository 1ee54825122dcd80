"""The least that groups on one GPU can reach, held against what the model says of them."""

from __future__ import annotations

import pytest

from benchmarks.arrival_runs import BARE_W
from benchmarks.consolidation import Group, groups, most_idle_w


def test_a_group_pays_for_serving_and_for_the_rest_of_its_period() -> None:
    # Ten requests in ten seconds, served in four: 0.6 s of each is idle. 50 + 0.6 x 100.
    one = Group(requests=10, serving_s=4.0, busy_j=50.0)
    assert one.idle_s == pytest.approx(0.6)
    assert one.energy_j(100.0) == pytest.approx(110.0)


def test_every_group_ends_within_the_budget_and_before_the_next_one() -> None:
    for one in groups(60.0):
        assert one.requests - 1 + one.serving_s <= 60.0
        assert one.serving_s <= one.period_s
    assert max(one.requests for one in groups(20.0)) < 20


def test_larger_groups_cost_less_while_serving() -> None:
    busy_j = [one.busy_j for one in groups()]
    assert busy_j == sorted(busy_j, reverse=True)


def test_at_the_most_idle_power_the_best_group_just_reaches_the_energy() -> None:
    idle_w = most_idle_w(57.1)
    assert min(one.energy_j(idle_w) for one in groups()) == pytest.approx(57.1)


def test_eight_times_less_is_out_of_reach_of_one_gpu_that_stays_powered() -> None:
    # Served at once a request takes 456.6 J; a GPU without a process still draws 71.8 W.
    assert min(one.energy_j(BARE_W) for one in groups()) > 456.6 / 8
    assert most_idle_w(456.6 / 8) < BARE_W / 6
