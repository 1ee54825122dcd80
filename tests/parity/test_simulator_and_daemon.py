"""The simulator drives the engine exactly as a plain runner does: same events at the same instants, same commands.

The simulator schedules through its loop and its virtual launcher. It is held against two others: the daemon's own
runner and journal on an event loop with virtual time, and a runner written here the obvious way: a list of what is due,
always the earliest instant first, everything of one instant in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intensity_feeds.series import IntensitySeries
from scheduler.engine import Engine
from scheduler.events import (
    Command,
    Event,
    ForecastUpdated,
    JobSubmitted,
    Outcome,
    PauseRequested,
    PauseRun,
    ResumeRequested,
    RunFinished,
    RunPaused,
    RunStarted,
    StartRun,
    Tick,
)
from scheduler.jobs import Interruption, Job, JobKind
from scheduler.journal import Decision, replay
from scheduler.planning.gpu_counts import speed_at
from scheduler.planning.open_jobs.fleet import FleetPlanner
from scheduler.planning.plan import Region
from simulations.fleet import Fleet, Timetable
from simulations.launcher import JobWork
from simulations.loop import Loop
from tests.builders import a_job
from tests.parity.daemon_driver import driven_by_daemon

HOUR_S = 3600.0
REPLAN_S = 6 * HOUR_S


@dataclass(frozen=True)
class Case:
    """Jobs for two regions whose forecasts are known from the start and told again every six hours."""

    works: tuple[JobWork, ...]
    forecasts: dict[str, IntensitySeries]
    # At which renewal each job is put on hold; it is let go at the next.
    holds: tuple[tuple[int, str], ...] = ()
    regions: tuple[Region, ...] = (
        Region(name="north", zone="N", gpus=4, pue=1.1),
        Region(name="south", zone="S", gpus=3, pue=1.3),
    )

    def engine(self) -> Engine:
        return Engine(regions=self.regions, planner=FleetPlanner())

    def renewed(self, now_s: float) -> list[Event]:
        known = [ForecastUpdated(at_s=now_s, zone=zone, series=one) for zone, one in sorted(self.forecasts.items())]
        return [*known, *self.asked_for(round(now_s / REPLAN_S), now_s)]

    def asked_for(self, renewal: int, now_s: float) -> Iterator[Event]:
        for begins, job_id in self.holds:
            if renewal == begins:
                yield PauseRequested(at_s=now_s, job_id=job_id)
            if renewal == begins + 1:
                yield ResumeRequested(at_s=now_s, job_id=job_id)


Driver = Callable[[Case], list[Decision]]


def by_simulator(case: Case) -> list[Decision]:
    decisions: list[Decision] = []
    loop = Loop(0.0)
    fleet = Fleet(loop, case.engine(), case.works, watch=decisions.append)
    Timetable(loop, fleet, case.renewed, renew_s=REPLAN_S, replan_s=REPLAN_S, is_needed=lambda: fleet.can_go_on)
    loop.run()
    return decisions


class PlainRunner:
    """What a daemon's runner does, without its clock and its sockets."""

    def __init__(self, case: Case) -> None:
        self.case, self.engine = case, case.engine()
        self.truth = {work.job.id: work.true_duration_s for work in case.works}
        self.jobs = {work.job.id: work.job for work in case.works}
        self.due: list[Event] = [JobSubmitted(at_s=job.submitted_at_s, job=job) for job in self.jobs.values()]
        self.running: dict[str, tuple[float, float, float]] = {}  # speed, start of progress, done before
        self.timer_at_s = 0.0
        self.decisions: list[Decision] = []

    def run(self) -> list[Decision]:
        while (now_s := self.next_instant_s()) is not None:
            events = [event for event in self.due if event.at_s == now_s]
            self.due = [event for event in self.due if event.at_s != now_s]
            if now_s == self.timer_at_s:
                events += self.timer(now_s)
            if not events:
                events = [Tick(at_s=now_s)]
            commands = self.engine.decide([*reversed(events)], now_s)  # the order told must not matter
            self.decisions.append(Decision(now_s=now_s, events=events, commands=commands))
            for command in commands:
                self.obey(command)
        return self.decisions

    def next_instant_s(self) -> float | None:
        wakeup_at_s = self.engine.next_wakeup_at_s()
        if not self.due and wakeup_at_s is None:
            return None
        ahead = [*(event.at_s for event in self.due), self.timer_at_s]
        return min(ahead if wakeup_at_s is None else [*ahead, wakeup_at_s])

    def timer(self, now_s: float) -> list[Event]:
        self.timer_at_s = now_s + REPLAN_S
        first: list[Event] = [] if now_s == 0 else [Tick(at_s=now_s, replan=True)]
        return self.case.renewed(now_s) + first

    def obey(self, command: Command) -> None:
        match command:
            case StartRun():
                self.start(command)
            case PauseRun():
                self.pause(command)

    def start(self, command: StartRun) -> None:
        job, true_s = self.jobs[command.job_id], self.truth[command.job_id]
        done_s = command.done_s * true_s / job.duration_s
        restore_s = job.interruption.restore_s if job.interruption and done_s > 0 else 0.0
        speed = speed_at(job, command.gpus)
        self.running[job.id] = (speed, command.at_s + restore_s, done_s)
        self.due += [
            RunStarted(at_s=command.at_s, job_id=job.id, attempt=command.attempt),
            RunFinished(
                at_s=command.at_s + restore_s + (true_s - done_s) / speed,
                job_id=job.id,
                attempt=command.attempt,
                outcome=Outcome.SUCCEEDED,
            ),
        ]

    def pause(self, command: PauseRun) -> None:
        job, true_s = self.jobs[command.job_id], self.truth[command.job_id]
        speed, since_s, before_s = self.running.pop(job.id)
        self.due = [event for event in self.due if not (isinstance(event, RunFinished) and event.job_id == job.id)]
        assert job.interruption is not None
        done_s = (before_s + max(0.0, command.at_s - since_s) * speed) / true_s * job.duration_s
        self.due.append(
            RunPaused(
                at_s=command.at_s + job.interruption.checkpoint_s,
                job_id=job.id,
                attempt=command.attempt,
                done_s=done_s,
            )
        )


def by_plain_runner(case: Case) -> list[Decision]:
    return PlainRunner(case).run()


def by_daemon(case: Case) -> list[Decision]:
    truth = {work.job.id: work.true_duration_s for work in case.works}
    return driven_by_daemon(case.engine(), [work.job for work in case.works], truth, case.renewed, REPLAN_S)


# Every driver is held against the simulator.
DRIVERS: dict[str, Driver] = {"plain runner": by_plain_runner, "daemon on virtual time": by_daemon}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Submissions fall on few instants, the forecasts' edges and the replanning timer among them, so that many tie."""
    instants = st.sampled_from([0.0, HOUR_S, 2 * HOUR_S, REPLAN_S, 2 * REPLAN_S, 9 * HOUR_S + 1800])
    works = []
    for index in range(draw(st.integers(1, 7))):
        duration_s = draw(st.sampled_from([900.0, HOUR_S, 3 * HOUR_S, 7 * HOUR_S]))
        submitted_at_s = draw(instants)
        interruption = draw(
            st.sampled_from([None, Interruption(checkpoint_s=120.0, restore_s=180.0, min_run_s=1800.0)])
        )
        job = Job(
            id=f"job-{index}",
            kind=JobKind.FINE_TUNING,
            submitted_at_s=submitted_at_s,
            earliest_start_at_s=submitted_at_s,
            deadline_at_s=submitted_at_s + duration_s + draw(st.sampled_from([60.0, 4 * HOUR_S, 24 * HOUR_S])),
            duration_s=duration_s,
            power_w=700.0,
            gpus=draw(st.integers(1, 5)),
            interruption=interruption,
        )
        true_ratio = draw(st.sampled_from([1.0, 1.0, 0.5, 1.5]))
        works.append(JobWork(job=job, true_duration_s=duration_s * true_ratio))
    forecasts = {
        zone: IntensitySeries.regular(zone, 0.0, HOUR_S, draw(st.lists(st.integers(10, 600), min_size=96, max_size=96)))
        for zone in draw(st.sampled_from([("N", "S"), ("N",), ()]))
    }
    return Case(works=tuple(works), forecasts=forecasts)


@st.composite
def cases_with_holds(draw: st.DrawFn) -> Case:
    """Some jobs are put on hold, one of them in the middle of its run; another goes on until all are let go."""
    case = draw(cases())
    last = _at_once("last", duration_s=30 * HOUR_S)
    paused = _at_once("paused", duration_s=20 * HOUR_S, interruption=Interruption(checkpoint_s=120.0, restore_s=180.0))
    works = (*case.works, *(JobWork(job=job, true_duration_s=job.duration_s) for job in (last, paused)))
    some = st.tuples(st.integers(0, 3), st.sampled_from([one.job.id for one in case.works]))
    holds = draw(st.lists(some, max_size=4, unique_by=lambda one: one[1]))
    return replace(case, works=works, holds=((draw(st.integers(1, 3)), paused.id), *holds))


def _at_once(job_id: str, **fields: Any) -> Job:
    """Of no GPU, and with no time to spare."""
    return a_job(id=job_id, gpus=0, power_w=0.0, deadline_at_s=fields["duration_s"], **fields)


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS.keys())
@given(case=cases())
@settings(deadline=None, max_examples=60)
def test_every_driver_gets_the_same_commands_at_the_same_instants(driver: Driver, case: Case) -> None:
    simulated, driven = by_simulator(case), driver(case)
    assert commands(simulated) == commands(driven)


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS.values(), ids=DRIVERS.keys())
@given(case=cases_with_holds())
@settings(deadline=None, max_examples=15)
def test_every_driver_does_the_same_with_jobs_on_hold(driver: Driver, case: Case) -> None:
    simulated, driven = by_simulator(case), driver(case)
    assert commands(simulated) == commands(driven)
    for recorded, again in replay(case.engine(), driven):
        assert again == list(recorded.commands)


@pytest.mark.slow
@given(case=cases())
@settings(deadline=None, max_examples=30)
def test_the_simulators_journal_replays_to_the_same_commands(case: Case) -> None:
    decisions = by_simulator(case)
    for recorded, again in replay(case.engine(), decisions):
        assert again == list(recorded.commands)


@pytest.mark.slow
@given(case=cases())
@settings(deadline=None, max_examples=30)
def test_no_region_ever_runs_more_than_its_gpus(case: Case) -> None:
    loop = Loop(0.0)
    fleet = Fleet(loop, case.engine(), case.works)
    Timetable(loop, fleet, case.renewed, renew_s=REPLAN_S, replan_s=REPLAN_S, is_needed=lambda: fleet.can_go_on)
    loop.run()
    gpus = {work.job.id: work.job.gpus for work in case.works}
    for region in case.regions:
        here = [one for one in fleet.launcher.stretches if one.region == region.name]
        for instant_s in {one.start_at_s for one in here}:
            held = sum(gpus[one.job_id] for one in here if one.start_at_s <= instant_s < one.end_at_s)
            assert held <= region.gpus


def commands(decisions: list[Decision]) -> list[Command]:
    return [command for decision in decisions for command in decision.commands]
