"""Metered windows over the requests in them, by hand: an H100 whose idle context draws 121.7 W."""

from __future__ import annotations

import pytest

from shaping.metered_shares import MeteredShares
from shaping.profiles import deployment

IDLE_W = 121.7


def a_split(*, has_profile: bool = True) -> MeteredShares:
    """Read for the first time at the instant 0, with the counter at 1000 J."""
    made = MeteredShares(deployment(gpu="h100-sxm", model="llama-3.1-8b") if has_profile else None)
    made.read(0.0, 1000.0, None)
    return made


def test_a_lone_request_has_all_but_the_idle_part_once_the_meter_is_read() -> None:
    split = a_split()
    share = split.began(0.5, 350, 400)
    split.ended(share, 0.9)
    (settled,) = split.read(1.0, 1400.0, None)
    assert settled is share
    assert share.energy_j == pytest.approx(400.0 - 0.6 * IDLE_W)
    assert split.nobodys_j == pytest.approx(0.6 * IDLE_W)


def test_a_window_without_requests_is_nobodys() -> None:
    split = a_split()
    assert split.read(1.0, 1121.7, None) == []
    assert split.nobodys_j == pytest.approx(121.7)


def test_requests_alike_share_alike_and_one_that_came_later_has_less() -> None:
    split = a_split()
    one, other = (split.began(0.0, 350, 400) for _ in range(2))
    late = split.began(0.5, 350, 400)
    split.read(1.0, 1500.0, None)
    assert one.energy_j == other.energy_j
    assert late.energy_j is not None
    assert one.energy_j is not None
    assert 0 < late.energy_j < one.energy_j
    assert one.energy_j * 2 + late.energy_j == pytest.approx(500.0)


def test_a_long_prompt_weighs_in_the_window_in_which_it_came_and_not_later() -> None:
    split = a_split()
    long, short = split.began(0.0, 8000, 100), split.began(0.0, 100, 100)
    split.read(1.0, 1500.0, None)
    assert long.energy_j is not None
    assert short.energy_j is not None
    assert long.energy_j > 1.5 * short.energy_j
    before_j = long.energy_j - short.energy_j
    split.read(2.0, 2000.0, None)
    assert long.energy_j - short.energy_j == pytest.approx(before_j)


def test_a_request_through_several_windows_collects_its_parts() -> None:
    split = a_split()
    share = split.began(0.0, 350, 400)
    assert split.read(1.0, 1300.0, None) == []
    split.ended(share, 1.5)
    assert split.read(2.0, 1700.0, None) == [share]
    assert share.energy_j == pytest.approx(700.0 - 0.5 * IDLE_W)


def test_without_a_profile_time_alone_counts() -> None:
    split = a_split(has_profile=False)
    whole, half = split.began(0.0, 9000, 400), split.began(0.5, 1, 1)
    split.read(1.0, 1300.0, None)
    assert whole.energy_j == pytest.approx(200.0)
    assert half.energy_j == pytest.approx(100.0)


def test_where_there_is_no_counter_the_power_of_the_reading_stands_for_the_window() -> None:
    split = MeteredShares(None)
    split.read(0.0, None, 300.0)
    share = split.began(0.0, 350, 400)
    split.read(2.0, None, 400.0)
    assert share.energy_j == pytest.approx(800.0)


@pytest.mark.parametrize(
    ("counter_j", "power_w"), [(None, None), (900.0, None), (None, 300.0)], ids=["none", "began anew", "counter gone"]
)
def test_who_ran_through_a_window_of_which_nothing_is_known_has_no_metered_energy(
    counter_j: float | None, power_w: float | None
) -> None:
    split = a_split()
    share = split.began(0.0, 350, 400)
    split.read(1.0, counter_j, power_w)
    split.read(2.0, 2000.0, None)
    split.ended(share, 2.5)
    assert split.read(3.0, 2500.0, None) == [share]
    assert share.energy_j is None


def test_who_was_there_before_the_first_reading_has_no_metered_energy() -> None:
    split = MeteredShares(None)
    share = split.began(0.0, 350, 400)
    split.read(1.0, 1000.0, None)
    split.ended(share, 1.5)
    split.read(2.0, 1300.0, None)
    assert share.energy_j is None


def test_when_the_meter_is_lost_everybody_who_waits_hears_it() -> None:
    split = a_split()
    gone, under_way = split.began(0.0, 1, 1), split.began(0.0, 1, 1)
    split.ended(gone, 0.5)
    assert split.lost() == [gone, under_way]
    assert (gone.energy_j, under_way.energy_j) == (None, None)
    split.ended(under_way, 0.7)  # its answer ends later, and is nobody's business here any more
    assert split.lost() == []
