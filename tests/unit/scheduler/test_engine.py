from __future__ import annotations

from collections.abc import Sequence

import pytest

from intensity_feeds.feed import Rung
from scheduler.engine import Engine
from scheduler.events import (
    CancelRequested,
    CapacityChanged,
    Command,
    Event,
    ForecastUpdated,
    JobRestored,
    JobSubmitted,
    Outcome,
    PauseRun,
    RecordPlacement,
    RecordState,
    ReportLate,
    RunFinished,
    RunLost,
    RunPaused,
    RunStarted,
    StartRun,
    StopRun,
    Tick,
)
from scheduler.jobs import Interruption, JobState
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Cause, Forecasts, Placement, Refusal, Region, Segment
from scheduler.planning.planner import OpenJob, Planner
from tests.builders import HOUR_S, ScriptedPlanner, a_job, a_region, a_series


def an_engine(*, gpus: int = 8, **starts_at_s: float) -> Engine:
    return Engine(regions=[a_region(gpus=gpus)], planner=ScriptedPlanner(**starts_at_s))


def submitted(*ids: str, at_s: float = 0.0, **fields: object) -> list[JobSubmitted]:
    return [JobSubmitted(at_s=at_s, job=a_job(id=job_id, **fields)) for job_id in ids]


def starts(commands: Sequence[Command]) -> list[str]:
    return [command.job_id for command in commands if isinstance(command, StartRun)]


def test_a_job_planned_for_later_is_recorded_and_started_only_then() -> None:
    engine = an_engine(night=2 * HOUR_S)

    first = engine.decide(submitted("night"), 0.0)

    assert [type(command) for command in first] == [RecordPlacement]
    assert engine.next_wakeup_at_s() == 2 * HOUR_S
    assert starts(engine.decide([Tick(at_s=2 * HOUR_S)], 2 * HOUR_S)) == ["night"]
    assert engine.state("night") is JobState.STARTING


def test_no_run_starts_on_gpus_that_are_taken() -> None:
    engine = an_engine(gpus=2)

    commands = engine.decide(submitted("a", "b", gpus=2), 0.0)

    assert starts(commands) == ["a"]
    assert engine.free_gpus() == {"here": 0}


def test_a_finish_frees_its_gpus_before_a_submission_of_the_same_instant_asks_for_them() -> None:
    engine = an_engine(gpus=1)
    engine.decide(submitted("old"), 0.0)
    events: list[Event] = [
        *submitted("new", at_s=HOUR_S),
        RunFinished(at_s=HOUR_S, job_id="old", attempt=1, outcome=Outcome.SUCCEEDED),
    ]

    assert starts(engine.decide(events, HOUR_S)) == ["new"]


def test_the_order_in_which_events_of_one_instant_arrive_does_not_matter() -> None:
    events: list[Event] = [
        *submitted("b", "a", gpus=8),
        ForecastUpdated(at_s=0.0, zone="DE", series=a_series([1.0] * 48), rung=Rung.LIVE),
        CapacityChanged(at_s=0.0, region=a_region(gpus=16)),
    ]

    assert an_engine().decide(events, 0.0) == an_engine().decide(events[::-1], 0.0)


def test_the_latest_start_overrules_a_plan_that_waits_too_long() -> None:
    engine = an_engine(tight=10 * HOUR_S)
    engine.decide(submitted("tight", deadline_at_s=3 * HOUR_S), 0.0)

    assert engine.next_wakeup_at_s() == 2 * HOUR_S
    assert starts(engine.decide([Tick(at_s=2 * HOUR_S)], 2 * HOUR_S)) == ["tight"]


def test_at_its_latest_start_a_job_runs_in_any_allowed_region_that_has_room() -> None:
    engine = Engine(regions=[a_region(gpus=1), a_region(name="there", zone="FR", gpus=1)], planner=ScriptedPlanner())
    engine.decide(submitted("first", duration_s=5 * HOUR_S), 0.0)

    commands = engine.decide(submitted("second", deadline_at_s=HOUR_S), 0.0)

    assert [command.region for command in commands if isinstance(command, StartRun)] == ["there"]


def test_cancelling_a_waiting_job_ends_it_and_a_running_one_keeps_its_gpus_until_it_has_stopped() -> None:
    engine = an_engine(gpus=1, waiting=5 * HOUR_S)
    engine.decide(submitted("running", "waiting"), 0.0)

    commands = engine.decide(
        [CancelRequested(at_s=1.0, job_id="running"), CancelRequested(at_s=1.0, job_id="waiting")], 1.0
    )

    assert [type(command) for command in commands] == [StopRun, RecordState]
    assert engine.open_job_ids() == ["running"]
    assert engine.free_gpus() == {"here": 0}
    engine.decide([RunLost(at_s=2.0, job_id="running", attempt=1)], 2.0)
    assert engine.open_job_ids() == []
    assert engine.free_gpus() == {"here": 1}


def test_a_lost_run_is_started_again_and_quarantined_the_third_time() -> None:
    engine = an_engine()
    engine.decide(submitted("crash"), 0.0)

    states = []
    for attempt in (1, 2, 3):
        commands = engine.decide([RunLost(at_s=float(attempt), job_id="crash", attempt=attempt)], float(attempt))
        states += [command.state for command in commands if isinstance(command, RecordState)]

    assert states == [JobState.WAITING, JobState.WAITING, JobState.QUARANTINED]
    assert engine.open_job_ids() == []


def test_a_report_of_an_attempt_long_replaced_is_ignored() -> None:
    engine = an_engine()
    engine.decide(submitted("twice"), 0.0)
    engine.decide([RunLost(at_s=1.0, job_id="twice", attempt=1)], 1.0)

    engine.decide([RunFinished(at_s=2.0, job_id="twice", attempt=1, outcome=Outcome.SUCCEEDED)], 2.0)

    assert engine.state("twice") is JobState.STARTING


def test_an_early_finish_makes_a_new_plan_for_those_who_wait_and_an_expected_one_does_not() -> None:
    planner = ScriptedPlanner(later=3 * HOUR_S)
    engine = Engine(regions=[a_region()], planner=planner)
    engine.decide(submitted("a", "b", "later"), 0.0)

    engine.decide([RunFinished(at_s=HOUR_S, job_id="a", attempt=1, outcome=Outcome.SUCCEEDED)], HOUR_S)
    assert planner.whole_plans == 0
    engine.decide([RunFinished(at_s=HOUR_S + 9, job_id="b", attempt=1, outcome=Outcome.FAILED)], HOUR_S + 9)
    assert planner.whole_plans == 1


def test_who_waits_moves_into_the_room_of_a_run_that_ended_early() -> None:
    engine = Engine(regions=[a_region(gpus=1)], planner=FleetPlanner(reserve_ratio=0.0))
    cleanest_in_the_middle = ForecastUpdated(at_s=0.0, zone="DE", series=a_series([5, 1, 3, 3]), rung=Rung.LIVE)
    engine.decide([cleanest_in_the_middle, *submitted("long", duration_s=2 * HOUR_S, deadline_at_s=2 * HOUR_S)], 0.0)
    engine.decide(submitted("waits", at_s=60.0), 60.0)
    assert (placement := engine.placement("waits")) is not None
    assert placement.start_at_s == 2 * HOUR_S

    commands = engine.decide([RunFinished(at_s=1800.0, job_id="long", attempt=1, outcome=Outcome.SUCCEEDED)], 1800.0)

    assert [(type(one), one.placement.start_at_s) for one in commands if isinstance(one, RecordPlacement)] == [
        (RecordPlacement, HOUR_S)
    ]


class TwoPieces(ScriptedPlanner):
    """One hour now, the rest from hour 5."""

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        first = Segment(start_at_s=0.0, end_at_s=HOUR_S, region="here")
        second = Segment(start_at_s=5 * HOUR_S, end_at_s=6 * HOUR_S, region="here")
        pieces = (first, second) if now_s < HOUR_S else (second,)
        return Placement(job_id=newcomer.job.id, segments=pieces, cause=Cause.CLEANEST)


def test_an_interruptible_run_is_paused_in_time_to_checkpoint_and_resumed_where_it_left_off() -> None:
    engine = Engine(regions=[a_region()], planner=TwoPieces())
    interruption = Interruption(checkpoint_s=60.0, restore_s=30.0)
    engine.decide(submitted("train", duration_s=2 * HOUR_S, interruption=interruption), 0.0)
    engine.decide([RunStarted(at_s=1.0, job_id="train", attempt=1)], 1.0)

    assert engine.next_wakeup_at_s() == HOUR_S - 60.0
    paused = engine.decide([Tick(at_s=HOUR_S - 60)], HOUR_S - 60)
    assert [type(command) for command in paused] == [PauseRun]
    engine.decide([RunPaused(at_s=HOUR_S, job_id="train", attempt=1, done_s=HOUR_S - 60)], HOUR_S)
    assert engine.state("train") is JobState.PAUSED
    assert engine.next_wakeup_at_s() == 5 * HOUR_S

    resumed = [
        command for command in engine.decide([Tick(at_s=5 * HOUR_S)], 5 * HOUR_S) if isinstance(command, StartRun)
    ]
    assert [(command.attempt, command.done_s) for command in resumed] == [(2, HOUR_S - 60)]


def test_a_run_found_alive_after_a_restart_occupies_its_gpus_and_is_not_started_again() -> None:
    engine = an_engine(gpus=1)
    restored = JobRestored(
        at_s=100.0, job=a_job(id="old"), state=JobState.RUNNING, attempt=1, running_in="here", started_at_s=0.0
    )

    assert engine.decide([restored], 100.0) == []
    assert engine.free_gpus() == {"here": 0}


def test_the_same_submission_told_twice_is_one_job() -> None:
    engine = an_engine()

    commands = engine.decide([*submitted("one"), *submitted("one")], 0.0)

    assert starts(commands) == ["one"]


def test_appraising_changes_nothing() -> None:
    engine = an_engine()

    answer = engine.appraise(a_job(id="maybe"), 0.0)

    assert isinstance(answer, Placement)
    assert engine.open_job_ids() == []


@pytest.mark.parametrize("kind", [RunStarted, RunLost])
def test_a_report_of_an_unknown_job_is_ignored(kind: type[RunStarted] | type[RunLost]) -> None:
    assert an_engine().decide([kind(at_s=0.0, job_id="nobody", attempt=1)], 0.0) == []


def test_an_end_told_twice_while_the_job_waits_again_changes_nothing() -> None:
    engine = an_engine()
    engine.decide(submitted("job", gpus=8), 0.0)
    lost = RunLost(at_s=1.0, job_id="job", attempt=1)
    engine.decide([lost, CapacityChanged(at_s=1.0, region=a_region(gpus=1))], 1.0)
    assert engine.state("job") is JobState.WAITING

    engine.decide([lost], 2.0)
    engine.decide([RunFinished(at_s=3.0, job_id="job", attempt=1, outcome=Outcome.SUCCEEDED)], 3.0)

    assert engine.state("job") is JobState.WAITING


def test_a_job_in_quarantine_takes_no_room_after_a_restart_and_runs_once_it_is_let_out() -> None:
    engine = an_engine(gpus=1)
    kept = JobRestored(at_s=0.0, job=a_job(id="crash"), state=JobState.QUARANTINED, attempt=3, lost=3)

    assert engine.decide([kept], 0.0) == []
    assert engine.plan().placements == {}
    let_out = JobRestored(at_s=1.0, job=a_job(id="crash"), state=JobState.WAITING, attempt=3)
    assert starts(engine.decide([let_out], 1.0)) == ["crash"]


def test_a_resumed_run_found_after_a_restart_is_expected_to_restore_before_it_goes_on() -> None:
    engine = Engine(regions=[a_region()], planner=FleetPlanner())
    train = a_job(id="train", duration_s=2 * HOUR_S, interruption=Interruption(restore_s=300.0))
    restored = JobRestored(
        at_s=HOUR_S,
        job=train,
        state=JobState.RUNNING,
        attempt=2,
        done_s=HOUR_S,
        running_in="here",
        started_at_s=HOUR_S,
    )

    engine.decide([restored, Tick(at_s=HOUR_S, replan=True)], HOUR_S)

    (only,) = engine.plan().placements["train"].segments
    assert only.end_at_s == 2 * HOUR_S + 300.0


def test_no_job_starts_before_it_may_though_its_deadline_cannot_be_met() -> None:
    engine = an_engine(early=2 * HOUR_S)
    early = submitted("early", earliest_start_at_s=2 * HOUR_S, deadline_at_s=2.5 * HOUR_S)

    assert starts(engine.decide(early, 0.0)) == []
    assert engine.next_wakeup_at_s() == 2 * HOUR_S
    assert starts(engine.decide([], 2 * HOUR_S)) == ["early"]


@pytest.mark.parametrize("planner", [FleetPlanner(), RunNowPlanner()])
def test_a_deadline_that_passed_while_the_daemon_was_down_is_told_and_the_job_still_runs(planner: Planner) -> None:
    engine = Engine(regions=[a_region()], planner=planner)
    restored = JobRestored(at_s=3 * HOUR_S, job=a_job(deadline_at_s=2 * HOUR_S), state=JobState.WAITING, attempt=0)

    commands = engine.decide([restored], 3 * HOUR_S)

    assert [type(one) for one in commands] == [ReportLate, RecordPlacement, StartRun]
    placement = engine.placement("job")
    assert placement is not None
    assert placement.cause is Cause.LATE


def test_a_run_in_a_region_that_is_no_longer_there_goes_on_to_its_end() -> None:
    engine = an_engine()
    restored = JobRestored(at_s=0.0, job=a_job(), state=JobState.RUNNING, attempt=1, running_in="gone")

    assert engine.decide([restored, Tick(at_s=0.0, replan=True)], 0.0) == []
    engine.decide([RunFinished(at_s=1.0, job_id="job", attempt=1, outcome=Outcome.SUCCEEDED)], 1.0)

    assert engine.open_job_ids() == []
