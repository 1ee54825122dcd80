"""The head-room is a share of what jobs may have, and of that a lone job may have all."""

from __future__ import annotations

from scheduler.planning.open_jobs.capacity import Occupancy
from scheduler.planning.open_jobs.head_room import waiting_room
from scheduler.planning.plan import Hold, Region, Segment
from tests.builders import HOUR_S

DAY_H = 24.0


def a_region(*held: tuple[float, float, int], gpus: int = 8) -> Region:
    holds = tuple(Hold(start_at_s=a * HOUR_S, end_at_s=b * HOUR_S, gpus=n) for a, b, n in held)
    return Region(name="here", zone="DE", gpus=gpus, held=holds)


def room(
    region: Region, gpus: int, *taken: tuple[float, float, int], at_least_h: float = 0.0
) -> list[tuple[float, float]]:
    pieces = [((Segment(start_at_s=a * HOUR_S, end_at_s=b * HOUR_S, region="here"),), n) for a, b, n in taken]
    occupancy = Occupancy.of([region], pieces)
    found = waiting_room(occupancy, region, 0.0, DAY_H * HOUR_S, gpus, 0.375, at_least_h * HOUR_S)
    return [(from_s / HOUR_S, to_s / HOUR_S) for from_s, to_s in found]


def test_a_wide_job_may_wait_alone_for_what_a_region_lends() -> None:
    # Of 4 that are lent, 1 is kept free beside others: a job of 3 fits beside nobody, and alone even one of 4.
    assert room(a_region((6, 12, 4)), 4) == [(0, 24)]
    assert room(a_region((6, 12, 4)), 5) == [(0, 6), (12, 24)]


def test_beside_another_job_a_share_of_what_is_lent_stays_free() -> None:
    # 8 lend 8 and keep 3: 5 fit beside nobody's reserve; while 4 are held, 4 are lent and 1 is kept.
    assert room(a_region((6, 12, 4)), 3, (0, 24, 2)) == [(0, 6), (12, 24)]
    assert room(a_region((6, 12, 4)), 1, (0, 24, 2)) == [(0, 24)]


def test_stretches_that_meet_where_a_hold_ends_are_one() -> None:
    assert room(a_region((6, 12, 4)), 1, at_least_h=20) == [(0, 24)]


def test_without_holds_the_rule_is_the_old_one() -> None:
    assert room(a_region(), 5, (6, 12, 1)) == [(0, 6), (12, 24)]
    assert room(a_region(), 8, (6, 12, 1)) == [(0, 6), (12, 24)]
