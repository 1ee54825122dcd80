"""Room for GPUs over time."""

from __future__ import annotations

import math

from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.plan import Segment
from tests.plan_cases import a_region


def a_piece(start_at_s: float, end_at_s: float, region: str = "DE") -> Segment:
    return Segment(start_at_s=start_at_s, end_at_s=end_at_s, region=region)


def occupied(*held: tuple[float, float, int], gpus: int = 8) -> Occupancy:
    occupancy = Occupancy([a_region(gpus=gpus)])
    for start_at_s, end_at_s, taken in held:
        occupancy.take([a_piece(start_at_s, end_at_s)], taken)
    return occupancy


def test_counts_what_overlaps() -> None:
    occupancy = occupied((0, 10, 2), (5, 15, 3))
    assert [occupancy.taken("DE", at_s) for at_s in (-1, 0, 5, 10, 15)] == [0, 2, 5, 3, 0]


def test_what_ends_makes_room_at_that_instant() -> None:
    occupancy = occupied((0, 10, 8))
    assert not occupancy.fits("DE", 9, 11, 1)
    assert occupancy.fits("DE", 10, 20, 8)
    assert not occupancy.fits("DE", 10, 20, 9)


def test_giving_back_undoes_taking() -> None:
    occupancy = occupied((0, 10, 2), (5, 15, 3))
    occupancy.give_back([a_piece(5, 15)], 3)
    assert [occupancy.taken("DE", at_s) for at_s in (0, 7, 12)] == [2, 2, 0]


def test_free_stretches_lie_between_what_is_taken() -> None:
    occupancy = occupied((2, 4, 7), (4, 6, 8), (8, 9, 5))
    assert occupancy.free("DE", 0, 10, 1) == ((0, 4), (6, 10))
    assert occupancy.free("DE", 0, 10, 4) == ((0, 2), (6, 8), (9, 10))
    assert occupancy.free("DE", 3, 5, 1) == ((3, 4),)
    assert occupancy.free("DE", 0, 10, 9) == ()


def test_head_room_stays_free_except_beside_a_job_that_is_alone() -> None:
    occupancy = occupied((2, 4, 5))
    assert occupancy.free("DE", 0, 10, 2, kept_free=2) == ((0, 2), (4, 10))
    assert occupancy.free("DE", 0, 10, 1, kept_free=2) == ((0, 10),)
    assert occupancy.free("DE", 0, 10, 8, kept_free=2) == ((0, 2), (4, 10))
    assert occupancy.free("DE", 0, 10, 9, kept_free=2) == ()


def test_the_earliest_start_waits_for_a_stretch_long_enough() -> None:
    occupancy = occupied((2, 4, 8), (6, 9, 8))
    assert occupancy.earliest_start_at_s("DE", 0, 2, 1) == 0
    assert occupancy.earliest_start_at_s("DE", 1, 2, 1) == 4
    assert occupancy.earliest_start_at_s("DE", 1, 3, 1) == 9
    assert occupancy.earliest_start_at_s("DE", 1, 3, 9) == math.inf


def test_a_copy_does_not_touch_the_original() -> None:
    occupancy = occupied()
    occupancy.copy().take([a_piece(0, 10)], 8)
    assert occupancy.fits("DE", 0, 10, 8)


def test_a_region_that_is_gone_takes_nothing() -> None:
    occupancy = occupied()
    occupancy.take([a_piece(0, 10, region="closed")], 8)
    assert occupancy.fits("DE", 0, 10, 8)


def test_a_job_without_gpus_always_has_room() -> None:
    assert occupied((0, 10, 8)).fits("DE", 0, 10, 0)
