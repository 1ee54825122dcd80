"""What is suggested for a job that cannot be planned, beside a daemon's jobs and beside a plan of a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.jobs import Interruption, Job
from scheduler.planning.plan import Cause, Placement, Segment
from scheduler.planning.planner import OpenJob
from scheduler.planning.reasons.change_text import change_json, change_of_submission_json, change_text, changes_text
from scheduler.planning.reasons.in_fleet import FleetReasons
from scheduler.planning.reasons.nearest_change import Change, ChangeKind, nearest_changes, with_gpus
from scheduler.planning.reasons.suggestions import changes_beside
from scheduler.planning.whole_fleet.fleet_case import FleetCase
from scheduler.planning.whole_fleet.joint import plan_fleet
from scheduler.quantities import parse_duration_s
from tests.plan_cases import HOUR_S, MIDNIGHT_S, a_job, a_region, a_series


def holding(first_h: float, last_h: float, *, gpus: int = 1, region: str = "DE") -> OpenJob:
    """A job that is planned there."""
    start_at_s, end_at_s = MIDNIGHT_S + first_h * HOUR_S, MIDNIGHT_S + last_h * HOUR_S
    job = a_job(f"other-{first_h}-{region}", duration_s=end_at_s - start_at_s, gpus=gpus)
    piece = Segment(start_at_s=start_at_s, end_at_s=end_at_s, region=region)
    return OpenJob(job=job, planned=Placement(job_id=job.id, segments=(piece,), cause=Cause.CLEANEST))


def beside(job: Job, *others: OpenJob, gpus: int = 1, now_h: float = 0.0) -> list[Change]:
    regions = [a_region("DE", gpus=gpus), a_region("FR", gpus=gpus)]
    return changes_beside(job, others, regions, {}, MIDNIGHT_S + now_h * HOUR_S)


def kinds(changes: list[Change]) -> list[tuple[ChangeKind, ...]]:
    return [one.kinds for one in changes]


def test_the_first_minute_by_which_there_is_room_is_suggested() -> None:
    job = a_job(duration_s=2 * HOUR_S, within_s=3 * HOUR_S, regions=("DE",))
    changes = beside(job, holding(0, 1.5), holding(0, 24, region="FR"))
    assert kinds(changes) == [(ChangeKind.FINISH_BY,)]
    assert changes[0].changed.deadline_at_s == MIDNIGHT_S + 3.5 * HOUR_S
    assert change_text(changes[0]) == "finish by 2022-03-01T03:30Z instead of 2022-03-01T03:00Z"


def test_another_region_is_suggested_where_it_has_room() -> None:
    job = a_job(duration_s=HOUR_S, within_s=HOUR_S, regions=("DE",))
    changes = beside(job, holding(0, 2))
    assert changes_text(changes) == "finish by 2022-03-01T03:00Z instead of 2022-03-01T01:00Z, or allow FR"


def test_fewer_gpus_run_longer_with_the_same_energy() -> None:
    job = a_job(duration_s=2 * HOUR_S, within_s=5 * HOUR_S, gpus=8, power_w=2400)
    narrow = with_gpus(job, 4)
    assert (narrow.duration_s, narrow.power_w, narrow.energy_kwh) == (4 * HOUR_S, 1200, job.energy_kwh)
    changes = beside(job, gpus=5)
    assert kinds(changes) == [(ChangeKind.GPUS,)]
    assert change_text(changes[0]) == "use 5 GPUs instead of 8 (for 3 h 12 min instead of 2 h)"


def test_two_changes_at_once_are_told_only_where_no_single_one_helps() -> None:
    job = a_job(duration_s=2 * HOUR_S, within_s=2 * HOUR_S, gpus=2)
    changes = beside(job)
    assert kinds(changes) == [(ChangeKind.GPUS, ChangeKind.FINISH_BY)]
    assert change_text(changes[0]) == (
        "use 1 GPU instead of 2 (for 4 h instead of 2 h) and finish by 2022-03-01T04:00Z instead of 2022-03-01T02:00Z"
    )


def test_an_earlier_start_is_suggested_but_never_one_that_has_passed() -> None:
    job = a_job(duration_s=2 * HOUR_S, earliest_s=MIDNIGHT_S + 4 * HOUR_S, within_s=HOUR_S, submitted_at_s=MIDNIGHT_S)
    earlier = beside(job, now_h=1)[-1]
    assert earlier.kinds == (ChangeKind.EARLIEST_START,)
    assert change_text(earlier) == "let it start at 2022-03-01T03:00Z instead of 2022-03-01T04:00Z"
    assert ChangeKind.EARLIEST_START not in {kind for one in beside(job, now_h=3.5) for kind in one.kinds}


def test_a_job_that_could_run_in_pieces_is_told_so() -> None:
    job = a_job(duration_s=2 * HOUR_S, within_s=3 * HOUR_S, regions=("DE",))
    changes = beside(job, holding(1, 2), holding(0, 24, region="FR"))
    assert (ChangeKind.INTERRUPTIBLE,) in kinds(changes)
    pausing = replace(job, interruption=Interruption())
    assert (ChangeKind.INTERRUPTIBLE,) not in kinds(beside(pausing, holding(1, 2)))


def test_a_region_that_nobody_has_is_replaced() -> None:
    assert changes_text(beside(a_job(regions=("PL",)))) == "allow DE, or allow FR"


def test_nothing_is_suggested_where_nothing_helps() -> None:
    assert nearest_changes(a_job(gpus=0), [a_region(gpus=0)], lambda job: False, not_before_s=MIDNIGHT_S) == []


def test_a_guess_that_is_too_late_is_brought_forward() -> None:
    job = a_job(within_s=600)
    wanted_s = MIDNIGHT_S + 3600
    (later, *_) = nearest_changes(
        job,
        [a_region()],
        lambda changed: changed.deadline_at_s >= wanted_s,
        not_before_s=MIDNIGHT_S,
        first_finish_s=MIDNIGHT_S + 7200,
    )
    assert later.changed.deadline_at_s == wanted_s


@pytest.mark.parametrize(("hours", "expected"), [(8, True), (3, False)])
def test_no_finish_is_suggested_beyond_what_the_trace_knows(hours: int, expected: bool) -> None:
    case = FleetCase(
        jobs=[a_job("late", duration_s=4 * HOUR_S, within_s=2 * HOUR_S)],
        regions=[a_region()],
        forecasts={"DE": a_series(*range(1, hours + 1))},
    )
    changes = FleetReasons(plan_fleet(case, np.random.default_rng(0))).changes()["late"]
    assert ((ChangeKind.FINISH_BY,) in kinds(changes)) is expected


def test_a_change_is_written_as_columns_and_as_fields() -> None:
    asked = a_job(gpus=2, duration_s=HOUR_S, power_w=600, regions=("DE",))
    narrow = Change(kinds=(ChangeKind.GPUS,), asked=asked, changed=with_gpus(asked, 1))
    assert change_json(narrow)["changes"] == [
        {"field": "gpus", "value": 1, "instead_of": 2},
        {"field": "duration_s", "value": 7200.0, "instead_of": 3600.0},
    ]
    assert [(one["field"], one["value"]) for one in change_of_submission_json(narrow)["changes"]] == [
        ("gpus", 1),
        ("duration", "7200s"),
        ("power", "300W"),
    ]
    wider = Change(kinds=(ChangeKind.REGIONS,), asked=asked, changed=replace(asked, regions=("DE", "FR")))
    assert change_json(wider)["changes"][0]["value"] == "DE;FR"
    assert change_of_submission_json(wider)["changes"][0]["value"] == ["DE", "FR"]


@pytest.mark.parametrize(
    ("power_w", "said"),
    [(933.3333333, "311.1W"), (900.0, "300W"), (2999.97, "999.9W"), (0.3, "0.1W"), (3e9, "1000000000W")],
)
def test_a_suggested_power_has_four_digits_and_is_never_above_what_was_tried(power_w: float, said: str) -> None:
    asked = a_job(gpus=3, duration_s=HOUR_S, power_w=power_w)
    narrow = Change(kinds=(ChangeKind.GPUS,), asked=asked, changed=with_gpus(asked, 1))
    fields = {one["field"]: one["value"] for one in change_of_submission_json(narrow)["changes"]}
    assert fields["power"] == said


def test_a_suggested_duration_of_weeks_is_one_that_a_submission_may_say() -> None:
    asked = a_job(gpus=2, duration_s=1_234_567.0, power_w=600)
    narrow = Change(kinds=(ChangeKind.GPUS,), asked=asked, changed=with_gpus(asked, 1))
    fields = {one["field"]: one["value"] for one in change_of_submission_json(narrow)["changes"]}
    assert parse_duration_s(fields["duration"]) == 2_469_134.0
