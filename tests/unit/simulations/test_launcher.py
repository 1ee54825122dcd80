"""Commands to a virtual launcher have the consequences that a real one would report."""

from __future__ import annotations

from scheduler.events import Event, Outcome, PauseRun, RunFinished, RunPaused, RunStarted, StartRun, StopRun
from scheduler.jobs import Interruption, Job, JobKind
from scheduler.planning.plan import Cause
from simulations.launcher import JobWork, Stretch, VirtualLauncher

PAUSABLE = Interruption(checkpoint_s=10.0, restore_s=20.0)


def a_job(job_id: str = "j", duration_s: float = 600.0, interruption: Interruption | None = None) -> Job:
    return Job(
        id=job_id,
        kind=JobKind.FINE_TUNING,
        submitted_at_s=0.0,
        earliest_start_at_s=0.0,
        deadline_at_s=100_000.0,
        duration_s=duration_s,
        power_w=700.0,
        interruption=interruption,
    )


def a_launcher(job: Job, true_duration_s: float | None = None) -> VirtualLauncher:
    return VirtualLauncher({job.id: JobWork(job=job, true_duration_s=true_duration_s or job.duration_s)})


def a_start(at_s: float, attempt: int = 1, done_s: float = 0.0) -> StartRun:
    return StartRun(
        at_s=at_s, job_id="j", region="here", attempt=attempt, done_s=done_s, cause=Cause.CLEANEST, reason=""
    )


def a_finish(at_s: float, attempt: int = 1) -> RunFinished:
    return RunFinished(at_s=at_s, job_id="j", attempt=attempt, outcome=Outcome.SUCCEEDED)


def happened(launcher: VirtualLauncher, events: list[Event]) -> list[Event]:
    return [event for event in sorted(events, key=lambda event: event.at_s) if launcher.confirm(event)]


def test_a_start_is_followed_by_its_report_and_by_the_finish_after_the_true_duration() -> None:
    launcher = a_launcher(a_job(duration_s=600.0), true_duration_s=900.0)
    events = launcher.carry_out(a_start(100.0))
    assert events == [RunStarted(at_s=100.0, job_id="j", attempt=1), a_finish(1000.0)]


def test_a_finish_closes_the_stretch_on_the_gpus() -> None:
    launcher = a_launcher(a_job())
    happened(launcher, launcher.carry_out(a_start(100.0)))
    assert launcher.stretches == [Stretch(job_id="j", region="here", start_at_s=100.0, end_at_s=700.0)]
    assert not launcher.is_busy


def test_a_pause_writes_a_checkpoint_and_overtakes_the_finish() -> None:
    launcher = a_launcher(a_job(interruption=PAUSABLE))
    events = launcher.carry_out(a_start(0.0))
    events += launcher.carry_out(PauseRun(at_s=200.0, job_id="j", attempt=1, reason=""))
    assert happened(launcher, events)[1:] == [RunPaused(at_s=210.0, job_id="j", attempt=1, done_s=200.0)]


def test_a_resumed_run_loads_its_checkpoint_before_it_goes_on() -> None:
    launcher = a_launcher(a_job(interruption=PAUSABLE))
    _, finish = launcher.carry_out(a_start(1000.0, attempt=2, done_s=200.0))
    assert finish == a_finish(1000.0 + 20.0 + 400.0, attempt=2)


def test_progress_is_told_on_the_scale_of_the_estimate() -> None:
    launcher = a_launcher(a_job(duration_s=600.0, interruption=PAUSABLE), true_duration_s=1200.0)
    launcher.carry_out(a_start(0.0))
    (paused,) = launcher.carry_out(PauseRun(at_s=300.0, job_id="j", attempt=1, reason=""))
    assert isinstance(paused, RunPaused)
    assert paused.done_s == 150.0


def test_a_stopped_run_ends_at_once_without_a_result() -> None:
    launcher = a_launcher(a_job())
    events = launcher.carry_out(a_start(0.0))
    events += launcher.carry_out(StopRun(at_s=50.0, job_id="j", attempt=1, reason="cancelled"))
    ended = RunFinished(at_s=50.0, job_id="j", attempt=1, outcome=Outcome.FAILED)
    assert happened(launcher, events) == [RunStarted(at_s=0.0, job_id="j", attempt=1), ended]
    assert launcher.stretches[0].end_at_s == 50.0


def test_a_pause_that_writes_nothing_new_while_restoring_keeps_the_progress_it_had() -> None:
    launcher = a_launcher(a_job(interruption=PAUSABLE))
    launcher.carry_out(a_start(0.0, attempt=2, done_s=200.0))
    (paused,) = launcher.carry_out(PauseRun(at_s=5.0, job_id="j", attempt=2, reason=""))
    assert isinstance(paused, RunPaused)
    assert paused.done_s == 200.0
