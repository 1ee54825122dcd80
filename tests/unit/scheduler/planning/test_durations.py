"""What past runs of a label say about the next, and what a job is planned with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.jobs import Interruption, Job
from scheduler.planning.durations import (
    MOST_RUNS,
    PastRuns,
    declared_s,
    duration_ratio,
    guarded,
    run_s,
    with_run,
)
from tests.builders import a_job

HOUR_S = 3600.0


def a_night(**how: object) -> Job:
    """Three hours declared, with ten hours of time for them."""
    fields = {"label": "nightly", "duration_s": 3 * HOUR_S, "deadline_at_s": 10 * HOUR_S}
    return a_job(**{**fields, **how})


def after_runs(*took_h: float, job: Job | None = None) -> PastRuns:
    past = PastRuns()
    for hours in took_h:
        past = with_run(past, job or a_night(), hours * HOUR_S)
    return past


def test_a_job_is_planned_with_the_longest_of_nine_runs_at_nine_of_ten() -> None:
    planned = guarded(after_runs(2.0, 3.0, 2.5, 3.5, 3.0, 2.0, 4.5, 3.0, 3.0), a_night(), 0.9)
    assert planned.duration_s == pytest.approx(4.5 * HOUR_S)
    assert planned.declared_duration_s == 3 * HOUR_S


def test_eight_runs_say_nothing_about_nine_of_ten_and_enough_about_half() -> None:
    past = after_runs(2.0, 3.0, 2.5, 3.5, 3.0, 2.0, 4.5, 4.0)
    assert guarded(past, a_night(), 0.9) == a_night()
    assert duration_ratio(past, a_night(), 0.5) == pytest.approx(1.0)  # the fifth of eight: 3 h of 3 h declared


def test_a_job_is_never_planned_with_less_than_was_declared() -> None:
    assert guarded(after_runs(*[1.0] * 20), a_night(), 0.9) == a_night()


def test_runs_are_compared_as_shares_of_what_was_declared() -> None:
    past = after_runs(*[3.6] * 9)
    assert guarded(past, a_night(duration_s=5 * HOUR_S), 0.9).duration_s == pytest.approx(6 * HOUR_S)


def test_what_was_planned_with_is_not_what_later_runs_are_compared_with() -> None:
    planned = guarded(after_runs(*[4.5] * 9), a_night(), 0.9)
    past = after_runs(*[4.5] * 20, job=planned)
    assert guarded(past, a_night(), 0.9).duration_s == pytest.approx(4.5 * HOUR_S)
    assert declared_s(planned) == 3 * HOUR_S


@pytest.mark.parametrize(("deadline_h", "planned_h"), [(10.0, 4.5), (4.0, 4.0), (3.0, 3.0), (2.0, 3.0)])
def test_the_past_takes_the_time_there_is_and_makes_no_job_infeasible(deadline_h: float, planned_h: float) -> None:
    job = a_night(deadline_at_s=deadline_h * HOUR_S)
    assert guarded(after_runs(*[4.5] * 9), job, 0.9).duration_s == pytest.approx(planned_h * HOUR_S)


@pytest.mark.parametrize("other", [{"label": "weekly"}, {"label": ""}, {"tenant": "b"}, {"template": "evaluate"}])
def test_other_work_has_a_past_of_its_own(other: dict[str, str]) -> None:
    assert guarded(after_runs(*[4.5] * 9), a_night(**other), 0.9) == a_night(**other)


def test_without_a_label_nothing_is_remembered() -> None:
    assert after_runs(*[4.5] * 9, job=a_night(label="")) == PastRuns()


def test_old_runs_are_forgotten() -> None:
    past = after_runs(*[9.0] * 50, *[3.3] * MOST_RUNS)
    assert duration_ratio(past, a_night(), 0.99) == pytest.approx(1.1)


def test_a_quantile_of_zero_plans_with_what_is_declared() -> None:
    assert guarded(after_runs(*[4.5] * 50), a_night(), 0.0) == a_night()


@pytest.mark.parametrize(("done_h", "piece_h", "whole_h"), [(0.0, 3.0, 3.0), (2.0, 1.5, 3.0), (2.0, 0.2, 2.0)])
def test_a_run_in_pieces_took_what_its_pieces_took_without_the_restore(
    done_h: float, piece_h: float, whole_h: float
) -> None:
    job = a_night(interruption=Interruption(checkpoint_s=60.0, restore_s=HOUR_S / 2))
    assert run_s(job, done_h * HOUR_S, piece_h * HOUR_S) == pytest.approx(whole_h * HOUR_S)


@given(
    took_h=st.lists(st.floats(0.01, 100.0), min_size=1, max_size=40, unique=True),
    quantile_ratio=st.floats(0.01, 0.99),
)
def test_of_runs_that_are_alike_the_share_asked_for_stays_within_what_the_others_say(
    took_h: list[float], quantile_ratio: float
) -> None:
    """Each run in turn is the next, the others its past; runs that are alike are equally often any of them."""
    held = 0
    for place, hours in enumerate(took_h):
        past = after_runs(*took_h[:place], *took_h[place + 1 :])
        ratio = duration_ratio(past, a_night(), quantile_ratio)
        held += ratio is None or hours <= 3.0 * ratio * (1 + 1e-12)
    assert held >= quantile_ratio * len(took_h) - 1e-6
