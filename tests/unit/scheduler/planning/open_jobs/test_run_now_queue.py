"""The queue that runs everything at once, worked by hand on one GPU."""

from __future__ import annotations

from scheduler.jobs import Job
from scheduler.planning.open_jobs.run_now_queue import RunNowQueue
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region
from tests.unit.scheduler.planning.open_jobs.test_fleet import a_piece


def a_queue(*jobs: Job, gpus: int = 1) -> RunNowQueue:
    queue = RunNowQueue([a_region(gpus=gpus)])
    for job in jobs:
        queue.admit(job, MIDNIGHT_S)
    return queue


def test_jobs_stand_in_line() -> None:
    first, second = a_job("first", within_s=HOUR_S), a_job("second", within_s=HOUR_S)
    queue = a_queue(first, second)
    assert queue.meets(first) is True
    assert queue.meets(second) is False


def test_nothing_is_known_of_a_job_that_was_never_admitted() -> None:
    assert a_queue().meets(a_job()) is None


def test_a_job_that_fits_nowhere_is_not_met() -> None:
    large = a_job("large", gpus=9)
    assert a_queue(large).meets(large) is False


def test_a_place_is_kept_whatever_comes_after() -> None:
    patient, urgent = a_job("patient", within_s=9 * HOUR_S), a_job("urgent", within_s=HOUR_S)
    queue = a_queue(patient, urgent)
    assert queue.meets(patient) is True
    assert queue.meets(urgent) is False


def test_what_runs_already_holds_its_gpus() -> None:
    running, next_one = a_job("running"), a_job("next", within_s=2 * HOUR_S)
    queue = RunNowQueue([a_region()])
    queue.admit(running, MIDNIGHT_S, a_piece(-1, 1.5))
    queue.admit(next_one, MIDNIGHT_S)
    assert queue.meets(next_one) is False


def test_a_run_that_ended_sooner_makes_room_for_those_that_come_after() -> None:
    short, next_one = a_job("short", duration_s=2 * HOUR_S), a_job("next", within_s=2 * HOUR_S)
    queue = a_queue(short)
    queue.settle(short, 0.5 * HOUR_S)
    queue.admit(next_one, MIDNIGHT_S)
    assert queue.meets(next_one) is True
    assert queue.meets(short) is None


def test_a_job_that_is_gone_without_an_end_leaves_its_place_as_it_was() -> None:
    gone, next_one = a_job("gone", duration_s=2 * HOUR_S), a_job("next", within_s=2 * HOUR_S)
    queue = a_queue(gone)
    queue.settle(gone, None)
    queue.admit(next_one, MIDNIGHT_S)
    assert queue.meets(next_one) is False


def test_more_gpus_are_of_use_to_those_that_come_after() -> None:
    first, second, third = (a_job(name, within_s=HOUR_S) for name in ("first", "second", "third"))
    queue = a_queue(first, second)
    queue.resize([a_region(gpus=2)])
    queue.admit(third, MIDNIGHT_S)
    assert queue.meets(second) is False  # its place stays
    assert queue.meets(third) is True


def test_what_is_over_is_forgotten_and_what_is_open_is_not() -> None:
    queue = RunNowQueue([a_region()])
    jobs = [a_job(f"job {place}", within_s=HOUR_S, earliest_s=MIDNIGHT_S + place * HOUR_S) for place in range(600)]
    for place, job in enumerate(jobs):
        queue.admit(job, MIDNIGHT_S + place * HOUR_S)
    assert all(queue.meets(job) for job in jobs)
    assert len(queue._pieces) < 300
