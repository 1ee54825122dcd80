"""What open jobs hold, as they come, move and go."""

from __future__ import annotations

from scheduler.planning.open_jobs.standing import FORGET_EVERY, Holdings
from scheduler.planning.plan import Cause, Placement
from scheduler.planning.planner import OpenJob
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region
from tests.unit.scheduler.planning.open_jobs.test_fleet import a_piece

FIRST_HOUR_S, SECOND_HOUR_S = MIDNIGHT_S + 0.5 * HOUR_S, MIDNIGHT_S + 1.5 * HOUR_S


def holdings_of_a_run() -> Holdings:
    """One GPU taken for the first two hours."""
    holdings = Holdings([a_region()])
    holdings.put(OpenJob(job=a_job("running"), running=a_piece(0, 2)))
    return holdings


def taken(holdings: Holdings, at_s: float) -> int:
    return holdings.occupancy.taken(a_region().name, at_s)


def test_a_run_that_ends_early_frees_what_was_ahead_of_it() -> None:
    holdings = holdings_of_a_run()
    holdings.drop("running", MIDNIGHT_S + HOUR_S)
    assert taken(holdings, SECOND_HOUR_S) == 0


def test_a_run_that_ends_as_planned_leaves_the_past_as_it_was() -> None:
    holdings = holdings_of_a_run()
    holdings.drop("running", MIDNIGHT_S + 2 * HOUR_S)
    assert taken(holdings, MIDNIGHT_S + 2 * HOUR_S) == 0
    assert not holdings.holds("running")


def test_whoever_is_dropped_when_all_is_counted_anew_leaves_nothing_and_owes_nothing() -> None:
    holdings = Holdings([a_region()])
    for _ in range(FORGET_EVERY):
        holdings.put(
            OpenJob(
                job=a_job("waiting"),
                planned=Placement(job_id="waiting", segments=(a_piece(0, 2),), cause=Cause.CLEANEST),
            )
        )
        holdings.drop("waiting")
        assert taken(holdings, FIRST_HOUR_S) == 0


def test_a_clock_that_is_set_back_finds_nothing_of_those_that_are_gone() -> None:
    holdings = holdings_of_a_run()
    holdings.drop("running", MIDNIGHT_S + 2 * HOUR_S)
    holdings.count_anew()
    assert taken(holdings, FIRST_HOUR_S) == taken(holdings, SECOND_HOUR_S) == 0
