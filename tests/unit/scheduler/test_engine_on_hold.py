"""Jobs that somebody puts on hold: they take no room, do not start, and go on as early as they can when let go."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from scheduler.engine import Engine
from scheduler.events import (
    CancelRequested,
    Command,
    JobRestored,
    JobSubmitted,
    Outcome,
    PauseRequested,
    PauseRun,
    RecordState,
    ReportLate,
    ResumeRequested,
    RunFinished,
    RunLost,
    RunPaused,
    RunStarted,
    StartRun,
    Tick,
)
from scheduler.jobs import (
    HOLDABLE_STATES,
    MAX_LOST_ATTEMPTS,
    Interruption,
    JobState,
    NotHoldableError,
    refuse_hold,
    refuse_resume,
)
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Cause
from tests.builders import DAY_S, HOUR_S, ScriptedPlanner, a_job, a_region

PAUSABLE = Interruption(checkpoint_s=60, restore_s=120)


def an_engine(*, gpus: int = 8, **starts_at_s: float) -> Engine:
    return Engine(regions=[a_region(gpus=gpus)], planner=ScriptedPlanner(**starts_at_s))


def submitted(job_id: str, **fields: object) -> JobSubmitted:
    return JobSubmitted(at_s=0.0, job=a_job(id=job_id, **fields))


def of(kind: type, commands: Sequence[Command]) -> list[Command]:
    return [command for command in commands if isinstance(command, kind)]


def on_hold(job_id: str = "job", at_s: float = 0.0) -> PauseRequested:
    return PauseRequested(at_s=at_s, job_id=job_id)


def let_go(job_id: str = "job", at_s: float = 0.0) -> ResumeRequested:
    return ResumeRequested(at_s=at_s, job_id=job_id)


def test_a_waiting_job_on_hold_is_not_started_and_takes_no_room() -> None:
    engine = Engine(regions=[a_region(gpus=1)], planner=FleetPlanner())
    engine.decide([submitted("job", deadline_at_s=2 * HOUR_S, earliest_start_at_s=60.0)], 0.0)

    (told,) = of(RecordState, engine.decide([on_hold(at_s=1.0)], 1.0))

    assert told == RecordState(at_s=1.0, job_id="job", state=JobState.WAITING, reason="put on hold")
    assert (engine.placement("job"), engine.open_jobs(1.0), engine.next_wakeup_at_s()) == (None, [], None)
    assert of(StartRun, engine.decide([submitted("other", deadline_at_s=1.5 * HOUR_S)], 2.0))


def test_what_is_let_go_is_planned_again() -> None:
    engine = an_engine(job=HOUR_S)
    engine.decide([submitted("job", earliest_start_at_s=60.0)], 0.0)
    engine.decide([on_hold(at_s=1.0)], 1.0)
    assert engine.decide([Tick(at_s=2 * HOUR_S, replan=True)], 2 * HOUR_S) == []

    commands = engine.decide([let_go(at_s=3 * HOUR_S)], 3 * HOUR_S)

    assert of(RecordState, commands)
    assert [command.job_id for command in commands if isinstance(command, StartRun)] == ["job"]


def test_one_whose_deadline_passed_meanwhile_runs_as_early_as_it_can_and_is_told_late() -> None:
    engine = Engine(regions=[a_region(gpus=1)], planner=FleetPlanner())
    engine.decide([submitted("job", earliest_start_at_s=60.0)], 0.0)
    engine.decide([on_hold(at_s=1.0)], 1.0)

    commands = engine.decide([let_go(at_s=2 * DAY_S)], 2 * DAY_S)

    (late,), (start,) = of(ReportLate, commands), of(StartRun, commands)
    assert isinstance(late, ReportLate)
    assert isinstance(start, StartRun)
    assert (late.refusal.job_id, start.cause) == ("job", Cause.LATE)


def test_a_run_that_can_be_interrupted_is_paused_and_its_place_is_free() -> None:
    engine = an_engine(gpus=1)
    engine.decide([submitted("job", interruption=PAUSABLE), submitted("next")], 0.0)
    engine.decide([RunStarted(at_s=1.0, job_id="job", attempt=1)], 1.0)

    (pause,) = of(PauseRun, engine.decide([on_hold(at_s=600.0)], 600.0))
    assert pause == PauseRun(at_s=600.0, job_id="job", attempt=1, reason="on hold")
    assert of(PauseRun, engine.decide([on_hold(at_s=601.0), Tick(at_s=602.0)], 602.0)) == []
    paused = RunPaused(at_s=660.0, job_id="job", attempt=1, done_s=540.0)
    started = of(StartRun, engine.decide([paused], 660.0))

    assert [command.job_id for command in started if isinstance(command, StartRun)] == ["next"]
    assert (engine.state("job"), engine.is_on_hold("job"), engine.placement("job")) == (JobState.PAUSED, True, None)


def test_it_goes_on_from_its_checkpoint() -> None:
    engine = an_engine()
    engine.decide([submitted("job", interruption=PAUSABLE)], 0.0)
    engine.decide([RunStarted(at_s=0.0, job_id="job", attempt=1), on_hold()], 0.0)
    engine.decide([RunPaused(at_s=60.0, job_id="job", attempt=1, done_s=540.0)], 60.0)

    (start,) = of(StartRun, engine.decide([let_go(at_s=900.0)], 900.0))

    assert isinstance(start, StartRun)
    assert (start.attempt, start.done_s) == (2, 540.0)


def test_a_run_that_begins_on_hold_is_paused_once_it_has_begun() -> None:
    engine = an_engine()
    engine.decide([submitted("job", interruption=PAUSABLE)], 0.0)
    assert of(PauseRun, engine.decide([on_hold()], 0.0)) == []

    assert of(PauseRun, engine.decide([RunStarted(at_s=5.0, job_id="job", attempt=1)], 5.0))


def test_one_that_is_let_go_before_its_checkpoint_is_written_goes_on_after_it() -> None:
    engine = an_engine()
    engine.decide([submitted("job", interruption=PAUSABLE)], 0.0)
    engine.decide([RunStarted(at_s=0.0, job_id="job", attempt=1), on_hold()], 0.0)
    engine.decide([let_go(at_s=30.0)], 30.0)

    assert of(StartRun, engine.decide([RunPaused(at_s=60.0, job_id="job", attempt=1, done_s=0.0)], 60.0))


def test_a_run_in_one_piece_goes_on() -> None:
    engine = an_engine()
    engine.decide([submitted("job")], 0.0)
    engine.decide([RunStarted(at_s=0.0, job_id="job", attempt=1)], 0.0)

    assert engine.decide([on_hold()], 0.0) == []
    assert not engine.is_on_hold("job")


def test_a_run_that_is_lost_on_hold_waits_on_hold() -> None:
    engine = an_engine()
    engine.decide([submitted("job", interruption=PAUSABLE)], 0.0)
    engine.decide([RunStarted(at_s=0.0, job_id="job", attempt=1), on_hold()], 0.0)

    assert of(StartRun, engine.decide([RunLost(at_s=9.0, job_id="job", attempt=1)], 9.0)) == []
    assert (engine.state("job"), engine.placement("job")) == (JobState.WAITING, None)


def test_a_run_that_ends_on_hold_has_ended() -> None:
    engine = an_engine()
    engine.decide([submitted("job", interruption=PAUSABLE)], 0.0)
    engine.decide([RunStarted(at_s=0.0, job_id="job", attempt=1), on_hold()], 0.0)
    engine.decide([RunFinished(at_s=9.0, job_id="job", attempt=1, outcome=Outcome.SUCCEEDED)], 9.0)
    assert engine.state("job") is None


def test_a_job_that_was_not_given_out_because_it_is_on_hold_has_lost_no_attempt() -> None:
    engine = an_engine()
    engine.decide([submitted("job", interruption=PAUSABLE)], 0.0)
    for attempt in range(MAX_LOST_ATTEMPTS + 1):
        at_s = 10.0 * attempt
        unclaimed = RunLost(at_s=at_s + 1, job_id="job", attempt=1, was_claimed=False)
        assert of(StartRun, engine.decide([on_hold(at_s=at_s), unclaimed], at_s + 1)) == []
        (start,) = of(StartRun, engine.decide([let_go(at_s=at_s + 2)], at_s + 2))
        assert isinstance(start, StartRun)
        assert start.attempt == 1


def test_a_job_on_hold_is_cancelled_like_every_other() -> None:
    engine = an_engine(job=HOUR_S)
    engine.decide([submitted("job", earliest_start_at_s=60.0)], 0.0)
    engine.decide([on_hold(at_s=1.0)], 1.0)
    assert of(RecordState, engine.decide([CancelRequested(at_s=2.0, job_id="job")], 2.0))
    assert engine.state("job") is None


@pytest.mark.parametrize("state", [JobState.WAITING, JobState.PAUSED, JobState.RUNNING])
def test_after_a_restart_it_is_still_on_hold(state: JobState) -> None:
    engine = an_engine()
    running = {"running_in": "here", "started_at_s": 0.0} if state is JobState.RUNNING else {}
    restored = JobRestored(
        at_s=0.0,
        job=a_job(interruption=PAUSABLE),
        state=state,
        attempt=1,
        is_on_hold=True,
        **running,  # type: ignore[arg-type]
    )
    commands = engine.decide([restored], 0.0)
    assert of(StartRun, commands) == []
    assert bool(of(PauseRun, commands)) is (state is JobState.RUNNING)


@pytest.mark.parametrize("state", sorted(set(JobState) - HOLDABLE_STATES))
def test_what_neither_waits_nor_runs_is_not_put_on_hold(state: JobState) -> None:
    with pytest.raises(NotHoldableError, match=f"job job is {state}"):
        refuse_hold(a_job(), state)
    with pytest.raises(NotHoldableError):
        refuse_resume(a_job(), state)


def test_a_run_in_one_piece_is_refused_with_the_reason() -> None:
    with pytest.raises(NotHoldableError, match="it runs in one piece; cancel it, or let it end"):
        refuse_hold(a_job(), JobState.RUNNING)
    refuse_hold(a_job(interruption=PAUSABLE), JobState.RUNNING)
    refuse_hold(a_job(), JobState.WAITING)
