"""Random lives of an engine: whatever happens, and however often it is told, GPUs, states and journal stay right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

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
    PauseRequested,
    PauseRun,
    ResumeRequested,
    RunFinished,
    RunLost,
    RunPaused,
    RunStarted,
    StartRun,
    StopRun,
    Tick,
)
from scheduler.jobs import HOLDING_STATES, TERMINAL_STATES, Interruption, Job, JobState, done_after_pause_s
from scheduler.journal import Decision, decode, encode_decision, encode_header, replay
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.open_jobs.run_now import RunNowPlanner
from scheduler.planning.plan import Cause, Forecasts, Placement, Plan, Refusal, Region
from scheduler.planning.planner import Freed, OpenJob, Planner
from scheduler.watched import SAME_INSTANT_S
from tests.builders import HOUR_S, a_job, a_series

START_S = 1_640_995_200.0
REGIONS = (Region(name="here", zone="DE", gpus=3, pue=1.1), Region(name="there", zone="FR", gpus=2, pue=1.0))
PLANNERS: dict[str, type[FleetPlanner] | type[RunNowPlanner]] = {"fleet": FleetPlanner, "run_now": RunNowPlanner}
# Long enough for all jobs of one life to run one after another, several times over.
ROUNDS_TO_DRAIN = 100

_steps_s = st.sampled_from([0.0, 0.0, 1.0, 60.0, 900.0, HOUR_S, 5 * HOUR_S])
_interruptions = st.sampled_from([None, None, Interruption(), Interruption(checkpoint_s=60, restore_s=120)])
_pieces = st.data()


@dataclass(frozen=True)
class CountsAnew:
    """A planner that is not shown what the engine has counted."""

    inner: Planner

    def plan(self, open_jobs: Sequence[OpenJob], regions: Sequence[Region], forecasts: Forecasts, now_s: float) -> Plan:
        return self.inner.plan(open_jobs, regions, forecasts, now_s)

    def refill(
        self,
        open_jobs: Sequence[OpenJob],
        freed: Sequence[Freed],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Plan:
        return self.inner.refill(open_jobs, freed, regions, forecasts, now_s)

    def place(
        self,
        newcomer: OpenJob,
        others: Sequence[OpenJob],
        regions: Sequence[Region],
        forecasts: Forecasts,
        now_s: float,
    ) -> Placement | Refusal:
        return self.inner.place(newcomer, list(others), regions, forecasts, now_s)


class Lives(RuleBasedStateMachine):
    """The model: which attempt of each job is alive at the launcher, since when, and on which GPUs."""

    @initialize(planner=st.sampled_from(sorted(PLANNERS)))
    def open(self, planner: str) -> None:
        self.planner_name = planner
        self.regions = list(REGIONS)
        self.engine = Engine(regions=list(REGIONS), planner=self._planner())
        # Told the same events in the opposite order; what others hold is counted anew for each newcomer.
        self.mirror = Engine(regions=list(REGIONS), planner=CountsAnew(self._planner()))
        self.now_s = START_S
        self.told: list[Event] = []
        self.jobs: dict[str, Job] = {}
        self.alive: dict[str, StartRun] = {}
        self.asked_to_pause: set[str] = set()
        self.over: list[StartRun] = []
        self.history: list[Decision] = []
        self.attempts: dict[str, int] = {}
        self.has_shrunk = False

    def _planner(self) -> Planner:
        return PLANNERS[self.planner_name]()

    # -- what happens -------------------------------------------------------------------------------------------------

    @rule(
        gpus=st.integers(0, 4),
        duration_h=st.sampled_from([0.01, 1.0, 3.0]),
        delay_h=st.sampled_from([0.0, 0.0, 2.0]),
        slack_h=st.sampled_from([0.0, 1.0, 8.0, 30.0]),
        interruption=_interruptions,
        regions=st.sampled_from([(), ("here",), ("there", "here"), ("gone",)]),
        priority=st.integers(0, 1),
    )
    def submit(
        self,
        gpus: int,
        duration_h: float,
        delay_h: float,
        slack_h: float,
        interruption: Interruption | None,
        regions: tuple[str, ...],
        priority: int,
    ) -> None:
        earliest_s = self.now_s + delay_h * HOUR_S
        job = a_job(
            id=f"j{len(self.jobs)}",
            gpus=gpus,
            submitted_at_s=self.now_s,
            earliest_start_at_s=earliest_s,
            deadline_at_s=earliest_s + (duration_h + slack_h) * HOUR_S,
            duration_s=duration_h * HOUR_S,
            interruption=interruption,
            regions=regions,
            priority=priority,
        )
        self.jobs[job.id] = job
        self.told.append(JobSubmitted(at_s=self.now_s, job=job))

    @rule(data=_pieces)
    @precondition(lambda self: self.jobs)
    def submit_again(self, data: st.DataObject) -> None:
        job = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        self._decide()
        if self.engine.state(job.id) is not None:  # the daemon never tells of a job that has ended
            self.told.append(JobSubmitted(at_s=self.now_s, job=job))
            self._decide()

    @rule(state=st.sampled_from([JobState.WAITING, JobState.PAUSED, JobState.RUNNING, JobState.STARTING]))
    def restore(self, state: JobState) -> None:
        """As after a restart: a job in any state, its run alive where it holds one."""
        job = a_job(
            id=f"j{len(self.jobs)}",
            gpus=0,
            submitted_at_s=self.now_s - HOUR_S,
            earliest_start_at_s=self.now_s - HOUR_S,
            deadline_at_s=self.now_s + 4 * HOUR_S,
            interruption=Interruption(checkpoint_s=60, restore_s=120),
        )
        self.jobs[job.id] = job
        holds = state in HOLDING_STATES
        restored = JobRestored(
            at_s=self.now_s,
            job=job,
            state=state,
            attempt=2,
            done_s=600.0,
            running_in="here" if holds else None,
            started_at_s=self.now_s - 600.0 if state is JobState.RUNNING else None,
        )
        self.attempts[job.id] = 2
        self.told.append(restored)
        if holds:
            run = StartRun(
                at_s=self.now_s - 600.0,
                job_id=job.id,
                region="here",
                attempt=2,
                done_s=600.0,
                cause=Cause.RUN_NOW,
                reason="",
            )
            self.alive[job.id] = run
        self._decide()  # the daemon tells of nothing else before it has told of all that it found

    @rule(data=_pieces, kind=st.sampled_from(["started", "finished", "failed", "lost", "paused"]))
    @precondition(lambda self: self.alive)
    def report(self, data: st.DataObject, kind: str) -> None:
        run = self.alive[data.draw(st.sampled_from(sorted(self.alive)))]
        if kind == "paused" and run.job_id not in self.asked_to_pause:
            return  # a run ends paused only where it was asked to
        self.told.append(self._report(run, kind))
        if kind != "started":
            self._end(run)

    @rule(data=_pieces, kind=st.sampled_from(["started", "finished", "failed", "lost", "paused"]))
    @precondition(lambda self: self.over)
    def report_again(self, data: st.DataObject, kind: str) -> None:
        """Something about an attempt that is long over."""
        self.told.append(self._report(data.draw(st.sampled_from(self.over)), kind))

    @rule(data=_pieces)
    @precondition(lambda self: self.jobs)
    def cancel(self, data: st.DataObject) -> None:
        self.told.append(CancelRequested(at_s=self.now_s, job_id=data.draw(st.sampled_from(sorted(self.jobs)))))

    @rule(data=_pieces)
    @precondition(lambda self: self.jobs)
    def put_on_hold(self, data: st.DataObject) -> None:
        self.told.append(PauseRequested(at_s=self.now_s, job_id=data.draw(st.sampled_from(sorted(self.jobs)))))

    @rule(data=_pieces)
    @precondition(lambda self: self.jobs)
    def let_go(self, data: st.DataObject) -> None:
        self.told.append(ResumeRequested(at_s=self.now_s, job_id=data.draw(st.sampled_from(sorted(self.jobs)))))

    @rule(data=_pieces)
    @precondition(lambda self: self.alive)
    def not_given_out(self, data: st.DataObject) -> None:
        """The hold was written before the start, which came to nothing: the daemon tells of both."""
        run = self.alive[data.draw(st.sampled_from(sorted(self.alive)))]
        self._decide()
        if self.engine.state(run.job_id) is not JobState.STARTING or run.job_id not in self.alive:
            return
        self.told.append(PauseRequested(at_s=self.now_s, job_id=run.job_id))
        self.told.append(RunLost(at_s=self.now_s, job_id=run.job_id, attempt=run.attempt, was_claimed=False))
        del self.alive[run.job_id]
        self.asked_to_pause.discard(run.job_id)
        self.attempts[run.job_id] -= 1
        self._decide()

    @rule(data=_pieces, gpus=st.integers(0, 4))
    def change_capacity(self, data: st.DataObject, gpus: int) -> None:
        before = data.draw(st.sampled_from(self.regions))
        after = Region(name=before.name, zone=before.zone, gpus=gpus, pue=before.pue)
        self.regions = [after if one.name == after.name else one for one in self.regions]
        self.has_shrunk |= gpus < before.gpus
        # One change of a region at an instant: what two of them mean together nobody has said.
        self.told = [
            one for one in self.told if not (isinstance(one, CapacityChanged) and one.region.name == after.name)
        ]
        self.told.append(CapacityChanged(at_s=self.now_s, region=after))

    @rule(zone=st.sampled_from(["DE", "FR"]), values=st.lists(st.sampled_from([50.0, 100.0, 400.0]), max_size=30))
    def update_forecast(self, zone: str, values: list[float]) -> None:
        series = a_series(values, zone=zone, start_at_s=self.now_s - 900.0) if values else None
        self.told = [one for one in self.told if not (isinstance(one, ForecastUpdated) and one.zone == zone)]
        self.told.append(ForecastUpdated(at_s=self.now_s, zone=zone, series=series, rung=Rung.LIVE if values else None))

    @rule(step_s=_steps_s, replan=st.booleans())
    def pass_time(self, step_s: float, replan: bool) -> None:
        self._decide()
        self.now_s += step_s
        self.told.append(Tick(at_s=self.now_s, replan=replan))
        self._decide()

    @rule()
    @precondition(lambda self: self.engine.next_wakeup_at_s() is not None)
    def sleep_until_woken(self) -> None:
        self._decide()
        wakeup_at_s = self.engine.next_wakeup_at_s()
        if wakeup_at_s is not None:
            self.now_s = max(self.now_s, wakeup_at_s)
            self._decide()

    # -- the model ----------------------------------------------------------------------------------------------------

    def _report(self, run: StartRun, kind: str) -> Event:
        job_id, attempt, now_s = run.job_id, run.attempt, self.now_s
        match kind:
            case "started":
                return RunStarted(at_s=now_s, job_id=job_id, attempt=attempt)
            case "finished":
                return RunFinished(at_s=now_s, job_id=job_id, attempt=attempt, outcome=Outcome.SUCCEEDED)
            case "failed":
                return RunFinished(at_s=now_s, job_id=job_id, attempt=attempt, outcome=Outcome.FAILED)
            case "lost":
                return RunLost(at_s=now_s, job_id=job_id, attempt=attempt)
        done_s = done_after_pause_s(self.jobs[job_id], run.done_s, now_s - run.at_s)
        return RunPaused(at_s=now_s, job_id=job_id, attempt=attempt, done_s=done_s)

    def _end(self, run: StartRun) -> None:
        del self.alive[run.job_id]
        self.asked_to_pause.discard(run.job_id)
        self.over.append(run)

    def _decide(self) -> None:
        told, self.told = self.told, []
        ended_before = {job_id for job_id in self.jobs if self.engine.state(job_id) is None} - _ids_of_new(told)
        commands = self.engine.decide(told, self.now_s)
        assert self.mirror.decide(told[::-1], self.now_s) == commands
        self.history.append(Decision(now_s=self.now_s, events=told, commands=commands))
        assert not ended_before & {job_id for command in commands if (job_id := _job_of(command))}
        for command in commands:
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case StartRun():
                assert command.job_id not in self.alive, "one live attempt per job"
                assert not self.engine.is_on_hold(command.job_id)
                assert command.attempt == self.attempts.get(command.job_id, 0) + 1
                assert command.at_s >= self.jobs[command.job_id].earliest_start_at_s - SAME_INSTANT_S
                self.attempts[command.job_id] = command.attempt
                self.alive[command.job_id] = command
            case PauseRun():
                assert self.jobs[command.job_id].interruption is not None
                assert self.alive[command.job_id].attempt == command.attempt
                self.asked_to_pause.add(command.job_id)
            case StopRun():
                assert self.alive[command.job_id].attempt == command.attempt
            case _:
                pass

    # -- what always holds --------------------------------------------------------------------------------------------

    @invariant()
    def no_more_gpus_are_used_than_there_are(self) -> None:
        if self.has_shrunk:
            return  # what runs goes on where capacity was taken away under it
        for region in self.regions:
            held = [self.jobs[run.job_id].gpus for run in self.alive.values() if run.region == region.name]
            assert sum(held) <= region.gpus

    @invariant()
    def open_jobs_are_in_a_state_that_an_open_job_can_have(self) -> None:
        for job_id in self.engine.open_job_ids():
            state = self.engine.state(job_id)
            assert state is not JobState.QUARANTINED
            # Cancelled while it runs: it is kept until its GPUs are free.
            assert state not in TERMINAL_STATES or state is JobState.CANCELLED

    @invariant()
    def what_is_on_hold_takes_no_room_beyond_its_run(self) -> None:
        if self.told:
            return  # ends that the engine has not heard of yet
        planned = {one.job.id for one in self.engine.open_jobs(self.now_s)}
        for job_id in self.engine.open_job_ids():
            if self.engine.is_on_hold(job_id) and job_id not in self.alive:
                assert job_id not in planned
                assert self.engine.placement(job_id) is None

    @invariant()
    def the_next_wakeup_lies_ahead(self) -> None:
        wakeup_at_s = self.engine.next_wakeup_at_s()
        assert wakeup_at_s is None or not self.history or wakeup_at_s > self.history[-1].now_s

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        self._decide()
        self._check_the_journal()
        self._check_that_all_work_gets_done()

    def _check_the_journal(self) -> None:
        written = [encode_header(REGIONS, self.planner_name), *(encode_decision(one) for one in self.history)]
        regions, planner_name, decisions = decode(written)
        fresh = Engine(regions=regions, planner=PLANNERS[planner_name]())
        for recorded, commands in replay(fresh, decisions):
            assert commands == recorded.commands

    def _check_that_all_work_gets_done(self) -> None:
        """Once faults stop and the full capacity is there, every job that fits somewhere runs to its end."""
        self.told.extend(CapacityChanged(at_s=self.now_s, region=region) for region in REGIONS)
        self.told.extend(ResumeRequested(at_s=self.now_s, job_id=job_id) for job_id in sorted(self.jobs))
        self._decide()
        for _ in range(ROUNDS_TO_DRAIN):
            runs = sorted(self.alive.values(), key=lambda run: run.job_id)
            wakeup_at_s = self.engine.next_wakeup_at_s()
            if not runs and wakeup_at_s is None:
                break
            self.now_s = max(self.now_s + HOUR_S, wakeup_at_s or 0.0)
            for run in runs:
                self.told.append(self._report(run, "finished"))
                self._end(run)
            self._decide()
        left = [self.jobs[job_id] for job_id in self.engine.open_job_ids()]
        assert [job.id for job in left if _fits(job, REGIONS)] == []


def _fits(job: Job, regions: Sequence[Region]) -> bool:
    return any(job.gpus <= one.gpus and (not job.regions or one.name in job.regions) for one in regions)


def _ids_of_new(events: Sequence[Event]) -> set[str]:
    return {event.job.id for event in events if isinstance(event, (JobSubmitted, JobRestored))}


def _job_of(command: Command) -> str:
    match command:
        case StartRun() | PauseRun() | StopRun():
            return command.job_id
        case _:
            return ""


TestLives = pytest.mark.slow(Lives.TestCase)
TestLives.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
