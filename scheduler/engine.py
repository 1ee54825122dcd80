"""Which job starts, pauses or stops now, and why. Events in, commands out; the planner says where and when.

The engine holds the truth about who occupies which GPUs; a plan is only an intention. So two things hold whatever the
plan says: no run is started on GPUs that are taken, and no job waits past its latest start while GPUs are free.
Knows no clock, no store and no launcher: it is driven by the daemon in real time and by the simulator in virtual time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from intensity_feeds.series import IntensitySeries
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
    RecordPlacement,
    RecordState,
    ReportLate,
    ResumeRequested,
    RunFinished,
    RunLost,
    RunPaused,
    RunStarted,
    StartRun,
    StopRun,
    Tick,
    order_key,
)
from scheduler.jobs import HOLDING_STATES, TERMINAL_STATES, Job, JobAction, JobState, next_state
from scheduler.open_entry import (
    OpenEntry,
    current_segment,
    is_due,
    later_segments,
    pause_at_s,
    precedence,
    restored_entry,
    run_length_s,
    run_now,
)
from scheduler.placement_text import explain, is_same_place
from scheduler.planning.open_jobs.board_loops import BoardLoops
from scheduler.planning.open_jobs.run_now_queue import RunNowQueue
from scheduler.planning.open_jobs.standing import Standing
from scheduler.planning.plan import Placement, Plan, Refusal, Region, Segment, gpus_of
from scheduler.planning.planner import Freed, OpenJob, Planner
from scheduler.quantities import format_instant
from scheduler.start_room import StartRoom
from scheduler.wakeups import next_wakeup_at_s
from scheduler.watched import SAME_INSTANT_S, Watched


@dataclass(slots=True)
class Engine:
    """`decide` is its only verb that changes anything; the rest are questions. With `loops` it says the same sooner."""

    regions: Sequence[Region]
    planner: Planner
    forecasts: dict[str, IntensitySeries] = field(default_factory=dict)
    loops: BoardLoops | None = None
    _jobs: dict[str, OpenEntry] = field(default_factory=dict)
    _newcomers: list[str] = field(default_factory=list)
    _at_once: RunNowQueue = field(init=False)
    _wants_plan: bool = False
    _freed: list[Freed] = field(default_factory=list)  # by runs that ended early, nothing else being changed
    _decided_at_s: float = float("-inf")
    _commands: list[Command] = field(default_factory=list)
    _watched: Watched[OpenEntry] = field(init=False)
    _room: StartRoom = field(init=False)

    def __post_init__(self) -> None:
        self._at_once = RunNowQueue(self.regions, self.loops)
        self._watched = Watched(self.regions)
        self._room = StartRoom(self.regions)

    # -- deciding ---------------------------------------------------------------------------------------------------

    def decide(self, events: Sequence[Event], now_s: float) -> list[Command]:
        """Take in what happened up to `now_s` and say what to do. The order of `events` does not matter."""
        if now_s < self._decided_at_s:  # a clock that was set back: what was forgotten as past is ahead again
            self._watched.look_again(self._jobs.values())
        for event in sorted(events, key=order_key) if len(events) > 1 else events:
            self._take_in(event, now_s)
        self._admit_newcomers(now_s)
        if self._wants_plan:
            self._plan_all(now_s)
        else:
            self._refill(now_s)
            self._place_newcomers(now_s)
        self._newcomers.clear()
        self._freed.clear()
        self._wants_plan = False
        self._decided_at_s = now_s
        self._pause_due(now_s)
        self._start_due(now_s)
        commands, self._commands = self._commands, []
        return commands

    def next_wakeup_at_s(self) -> float | None:
        """The next instant at which `decide` would do something without any new event; None when there is none."""
        return next_wakeup_at_s(self._watched, self._room.holding, self._decided_at_s)

    # -- asking -----------------------------------------------------------------------------------------------------

    def appraise(self, job: Job, now_s: float) -> Placement | Refusal:
        """Where the job would run if it were submitted now, or why it cannot be in time. Changes nothing."""
        newcomer = OpenJob(job=job)
        others = self.open_jobs(now_s)
        answer = self.planner.place(newcomer, others, self.regions, self.forecasts, now_s)
        if isinstance(answer, Placement):
            return answer
        # Others that wait may move to make room, as long as none of them becomes late by it.
        plan = self.planner.plan([*others, newcomer], self.regions, self.forecasts, now_s)
        newly_late = set(plan.refusals) - self._late_ids()
        return plan.placements[job.id] if not newly_late else plan.refusals.get(job.id, answer)

    def appraise_held(self, job_id: str, now_s: float) -> Sequence[Segment] | None:
        """When the rest of a job on hold would run if it were let go now; None for one that is not, or runs still.

        Where it cannot be in time any more it would run at once.
        """
        entry = self._jobs.get(job_id)
        if entry is None or not entry.is_on_hold or entry.running is not None:
            return None
        rest = replace(self._as_open(entry, now_s), planned=None)
        others = [one for one in self.open_jobs(now_s) if one.job.id != job_id]
        answer = self.planner.place(rest, others, self.regions, self.forecasts, now_s)
        if isinstance(answer, Placement):
            return answer.segments
        region = next((one.name for one in self.regions if not entry.job.regions or one.name in entry.job.regions), "")
        return (Segment(region=region, start_at_s=now_s, end_at_s=now_s + rest.remaining_s),) if region else ()

    def placement(self, job_id: str) -> Placement | None:
        entry = self._jobs.get(job_id)
        return entry.placement if entry else None

    def job(self, job_id: str) -> Job | None:
        """An open job, or one whose cancelled run has not ended yet."""
        entry = self._jobs.get(job_id)
        return entry.job if entry else None

    def state(self, job_id: str) -> JobState | None:
        """The state of an open job; None once it has ended."""
        entry = self._jobs.get(job_id)
        return entry.state if entry else None

    def is_on_hold(self, job_id: str) -> bool:
        """Whether an open job is on hold; False for others."""
        entry = self._jobs.get(job_id)
        return entry is not None and entry.is_on_hold

    def open_job_ids(self) -> list[str]:
        return sorted(self._jobs)

    def open_jobs(self, now_s: float) -> list[OpenJob]:
        """All open jobs with what is decided about them, by id; without those on hold, about which nothing is."""
        return [self._as_open(entry, now_s) for _, entry in sorted(self._jobs.items()) if entry.is_planned]

    def plan(self) -> Plan:
        """What is intended now, for all open jobs."""
        placed = {job_id: entry.placement for job_id, entry in sorted(self._jobs.items()) if entry.placement}
        return Plan(made_at_s=self._decided_at_s, placements=placed)

    def free_gpus(self) -> dict[str, int]:
        """GPUs that no run occupies, by region; never negative unless capacity was taken away under running work."""
        held = self._watched.gpus_held
        return {region.name: region.gpus - held.get(region.name, 0) for region in self.regions}

    def gpus_held(self, job_id: str) -> int | None:
        """GPUs that the job's run holds; None where it does not run, or is not known."""
        entry = self._jobs.get(job_id)
        return None if entry is None or entry.running is None else gpus_of(entry.job, entry.running)

    # -- taking in --------------------------------------------------------------------------------------------------

    def _take_in(self, event: Event, now_s: float) -> None:
        match event:
            case JobSubmitted():
                self._add(OpenEntry(job=event.job))
            case JobRestored():
                self._add(restored_entry(event))
            case ForecastUpdated():
                self._update_forecast(event)
            case CapacityChanged():
                self._update_region(event.region)
            case CancelRequested():
                self._cancel(event.job_id, now_s)
            case PauseRequested():
                self._put_on_hold(event.job_id, now_s)
            case ResumeRequested():
                self._let_go(event.job_id, now_s)
            case Tick():
                self._wants_plan |= event.replan
            case RunStarted() | RunFinished() | RunLost() | RunPaused():
                entry = self._jobs.get(event.job_id)
                if entry is not None and entry.attempt == event.attempt:  # else a report of an attempt long replaced
                    self._take_in_run(entry, event, now_s)
                    if not isinstance(event, RunStarted):  # it holds what it held
                        self._watch(entry)

    def _take_in_run(
        self, entry: OpenEntry, event: RunStarted | RunFinished | RunLost | RunPaused, now_s: float
    ) -> None:
        if entry.state in TERMINAL_STATES:  # cancelled while it ran; now its GPUs are free
            if not isinstance(event, RunStarted):
                self._forget(entry, now_s)
            return
        if entry.state not in HOLDING_STATES:  # its end was told before
            return
        match event:
            case RunStarted():
                if entry.state is JobState.STARTING:
                    entry.state = next_state(entry.state, JobAction.START)
            case RunFinished():
                succeeded = event.outcome is Outcome.SUCCEEDED
                entry.state = next_state(entry.state, JobAction.SUCCEED if succeeded else JobAction.FAIL)
                self._take_in_end(entry, event.at_s)
                self._forget(entry, now_s, run_length_s(entry, event.at_s) if succeeded else None)
            case RunPaused():
                entry.pause(event.done_s)
                self._wants_plan |= entry.is_on_hold  # nobody planned this pause: what it leaves free is for others
                self._newcomers.append(entry.job.id)
            case RunLost():
                entry.attempt -= not event.was_claimed
                self._lose(entry, now_s, is_counted=event.was_claimed or not entry.is_on_hold)

    def _take_in_end(self, entry: OpenEntry, ended_at_s: float) -> None:
        if entry.running is None or later_segments(entry):
            self._wants_plan = True
        elif entry.running.end_at_s > ended_at_s + SAME_INSTANT_S:
            self._freed.append((replace(entry.running, start_at_s=ended_at_s), gpus_of(entry.job, entry.running)))
        else:
            self._wants_plan |= entry.running.end_at_s < ended_at_s - SAME_INSTANT_S

    def _add(self, entry: OpenEntry) -> None:
        if entry.job.id in self._jobs:  # the same submission told twice
            return
        if entry.state is JobState.QUARANTINED:  # takes no room in any plan until somebody lets it out
            return
        self._jobs[entry.job.id] = entry
        self._newcomers.append(entry.job.id)
        self._watch(entry)

    def _update_forecast(self, event: ForecastUpdated) -> None:
        if event.series is None:
            self.forecasts.pop(event.zone, None)
        else:
            self.forecasts[event.zone] = event.series
        self._wants_plan = True

    def _update_region(self, region: Region) -> None:
        kept = [region if region.name == known.name else known for known in self.regions]
        self.regions = kept if region in kept else [*kept, region]
        self._at_once.resize(self.regions)
        self._watched.holdings.resize(self.regions)
        self._room = StartRoom(self.regions)
        self._wants_plan = True

    def _cancel(self, job_id: str, now_s: float) -> None:
        entry = self._jobs.get(job_id)
        if entry is None or entry.state in TERMINAL_STATES:
            return
        was_held = entry.state in HOLDING_STATES
        entry.state = next_state(entry.state, JobAction.CANCEL)
        self._watch(entry)
        if was_held:  # its GPUs stay taken until the launcher says the run has ended
            self._commands.append(StopRun(at_s=now_s, job_id=job_id, attempt=entry.attempt, reason="cancelled"))
            return
        self._commands.append(RecordState(at_s=now_s, job_id=job_id, state=entry.state, reason="cancelled"))
        self._forget(entry, now_s)

    def _put_on_hold(self, job_id: str, now_s: float) -> None:
        entry = self._jobs.get(job_id)
        if entry is None or entry.is_on_hold or entry.state in TERMINAL_STATES:
            return
        if entry.state in HOLDING_STATES and entry.job.interruption is None:
            return  # it runs in one piece; whoever asks is refused before it comes to this
        entry.is_on_hold, self._wants_plan = True, True
        if entry.running is None:
            entry.placement = None
        self._watch(entry)
        self._commands.append(RecordState(at_s=now_s, job_id=job_id, state=entry.state, reason="put on hold"))

    def _let_go(self, job_id: str, now_s: float) -> None:
        entry = self._jobs.get(job_id)
        if entry is None or not entry.is_on_hold or entry.state in TERMINAL_STATES:
            return
        entry.is_on_hold, self._wants_plan = False, True
        self._watch(entry)
        self._commands.append(RecordState(at_s=now_s, job_id=job_id, state=entry.state, reason="let go"))

    def _lose(self, entry: OpenEntry, now_s: float, *, is_counted: bool) -> None:
        entry.lose(is_counted=is_counted)
        reason = (
            f"its run was lost for the {_ordinal(entry.lost)} time" if is_counted else "put on hold before it began"
        )
        self._commands.append(RecordState(at_s=now_s, job_id=entry.job.id, state=entry.state, reason=reason))
        if entry.state is JobState.QUARANTINED:
            self._forget(entry, now_s)
        self._wants_plan = True

    def _forget(self, entry: OpenEntry, now_s: float, lasted_s: float | None = None) -> None:
        self._at_once.settle(entry.job, lasted_s)
        self._watched.drop(entry.job.id, now_s)
        del self._jobs[entry.job.id]

    def _watch(self, entry: OpenEntry) -> None:
        """Something about an open job changed; to be told of every change."""
        if entry.job.id in self._jobs:
            self._watched.put(entry)

    # -- planning ---------------------------------------------------------------------------------------------------

    def _as_open(self, entry: OpenEntry, now_s: float) -> OpenJob:
        return entry.as_open(now_s, met_at_once=self._at_once.meets(entry.job))

    def _late_ids(self) -> set[str]:
        return {job_id for job_id, entry in self._jobs.items() if entry.is_reported_late}

    def _admit_newcomers(self, now_s: float) -> None:
        """To the queue that runs everything at once: what runs already holds its GPUs, the rest comes in turn."""
        if not self._newcomers:
            return
        unknown = [self._jobs[name] for name in self._newcomers if name in self._jobs]
        unknown = [entry for entry in unknown if self._at_once.meets(entry.job) is None]
        for entry in sorted(unknown, key=lambda one: (one.running is None, precedence(one))):
            self._at_once.admit(entry.job, now_s, entry.running)

    def _place_newcomers(self, now_s: float) -> None:
        if not self._newcomers:
            return
        newcomers = [self._jobs[job_id] for job_id in self._newcomers if job_id in self._jobs]
        for entry in sorted(newcomers, key=precedence):
            if entry.running is not None or not entry.is_planned:
                continue
            others = self._others(entry, now_s)
            answer = self.planner.place(self._as_open(entry, now_s), others, self.regions, self.forecasts, now_s)
            if isinstance(answer, Refusal):
                self._plan_all(now_s)
                return
            self._adopt(entry, answer, now_s)

    def _others(self, entry: OpenEntry, now_s: float) -> Sequence[OpenJob]:
        def listed() -> list[OpenJob]:
            return [open_job for open_job in self.open_jobs(now_s) if open_job.job.id != entry.job.id]

        self._watched.see_overruns(now_s)
        holdings = self._watched.holdings
        return listed() if holdings.holds(entry.job.id) else Standing(holdings, listed)

    def _plan_all(self, now_s: float) -> None:
        self._adopt_all(self.planner.plan(self.open_jobs(now_s), self.regions, self.forecasts, now_s), now_s)

    def _refill(self, now_s: float) -> None:
        if self._freed:
            open_jobs = self.open_jobs(now_s)
            self._adopt_all(self.planner.refill(open_jobs, self._freed, self.regions, self.forecasts, now_s), now_s)

    def _adopt_all(self, plan: Plan, now_s: float) -> None:
        for job_id, entry in sorted(self._jobs.items()):
            if (refusal := plan.refusals.get(job_id)) and not entry.is_reported_late:
                entry.is_reported_late = True
                self._commands.append(ReportLate(at_s=now_s, refusal=refusal))
            if placement := plan.placements.get(job_id):
                self._adopt(entry, placement, now_s)

    def _adopt(self, entry: OpenEntry, placement: Placement, now_s: float) -> None:
        if placement is entry.placement:
            return
        if entry.baseline_gco2e is None:
            entry.baseline_gco2e = placement.baseline_emissions_gco2e
        if placement.baseline_emissions_gco2e is not entry.baseline_gco2e:
            # "At once" is when the job was submitted, not whenever it was last planned.
            placement = replace(placement, baseline_emissions_gco2e=entry.baseline_gco2e)
        before, entry.placement = entry.placement, placement
        if before is None or before.segments != placement.segments or before.cause is not placement.cause:
            self._watch(entry)
        if entry.running is not None and entry.job.interruption is None:
            return  # it stays where it is until it ends: no news
        if before is None or not is_same_place(before, placement):
            reason = explain(placement, before)
            self._commands.append(RecordPlacement(at_s=now_s, placement=placement, reason=reason))

    # -- acting -----------------------------------------------------------------------------------------------------

    def _pause_due(self, now_s: float) -> None:
        for job_id, entry in sorted(self._watched.pausable.items()):
            if entry.state is JobState.RUNNING and (reason := _reason_to_pause(entry, now_s)):
                entry.is_pausing = True
                self._commands.append(PauseRun(at_s=now_s, job_id=job_id, attempt=entry.attempt, reason=reason))

    def _start_due(self, now_s: float) -> None:
        due = [entry for entry in self._watched.due(now_s) if is_due(entry, now_s)]
        for entry in sorted(due, key=precedence):
            runs = (run for run in self._runs_now(entry, now_s) if self._room.takes(entry, run, self._watched))
            run = next(runs, None)
            if run is not None:
                self._start(entry, run)

    def _runs_now(self, entry: OpenEntry, now_s: float) -> Iterable[Segment]:
        """The run that is planned; at the latest start the same in every region that it may run in."""
        planned = current_segment(entry, now_s)
        regions = [planned.region]
        if now_s >= entry.latest_start_at_s:  # in time somewhere is better than late in the cleanest place
            regions += entry.job.regions or [region.name for region in self.regions]
        yield from (run_now(entry, region, planned.gpus, now_s) for region in regions)

    def _start(self, entry: OpenEntry, run: Segment) -> None:
        assert entry.placement is not None
        entry.attempt += 1
        entry.state = next_state(entry.state, JobAction.CLAIM)
        entry.running = run
        self._watch(entry)
        self._commands.append(
            StartRun(
                at_s=run.start_at_s,
                job_id=entry.job.id,
                region=run.region,
                gpus=run.gpus,
                attempt=entry.attempt,
                done_s=entry.done_s,
                cause=entry.placement.cause,
                reason=explain(entry.placement, None),
            )
        )


def _reason_to_pause(entry: OpenEntry, now_s: float) -> str:
    """Why its run is asked to pause now; empty where it is not."""
    if entry.is_on_hold:
        return "" if entry.is_pausing else "on hold"
    at_s = pause_at_s(entry)
    if at_s is None or at_s > now_s + SAME_INSTANT_S:
        return ""
    later = later_segments(entry)[0]
    return f"goes on in {later.region} at {format_instant(later.start_at_s)}"


def _ordinal(count: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(count, f"{count}th")
