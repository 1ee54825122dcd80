"""Why a job is where it is, in a sentence, also for one without a place."""

from __future__ import annotations

import pytest

from scheduler.daemon.jobs_api import why_there
from scheduler.jobs import JobState
from scheduler.store.contract import JobRecord
from scheduler.store.standing import Standing
from tests.builders import a_job
from tests.unit.scheduler.test_first_plans import a_placement


@pytest.mark.parametrize(
    ("standing", "why"),
    [
        (Standing(changed_at_s=1.0), "it is waiting, and has no place yet"),
        (Standing(changed_at_s=1.0, reason="put on hold", on_hold_at_s=1.0), "put on hold"),
        (Standing(changed_at_s=1.0, state=JobState.SUCCEEDED, ended_at_s=1.0), "it has ended"),
        (Standing(changed_at_s=1.0, state=JobState.FAILED, ended_at_s=1.0, reason="exit code 1"), "exit code 1"),
    ],
)
def test_a_job_without_a_place_is_said_to_have_ended_only_when_it_has(standing: Standing, why: str) -> None:
    record = JobRecord(sequence=1, job=a_job(), payload=None, standing=standing, result=None)

    assert why_there(record, None) == why
    assert why_there(record, a_placement()).startswith("here on 1 GPU at ")
