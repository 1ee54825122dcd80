"""Jobs in virtual time: the same Engine as the daemon's, told what happens and obeyed.

Gathers the events of one instant into one call of `Engine.decide`, as the daemon's runner does, and lets the virtual
launcher carry out the commands. Decides nothing itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from scheduler.engine import Engine
from scheduler.events import Event, JobSubmitted, Outcome, RunFinished, Tick
from scheduler.jobs import Job
from scheduler.journal import Decision
from simulations.launcher import JobWork, VirtualLauncher
from simulations.loop import Loop, Priority

# An engine that asks to be woken again and again at one instant would hold the clock still for ever.
MAX_DECISIONS_PER_INSTANT = 10_000


class StalledError(RuntimeError):
    """The engine asked for one instant so often that time would never move on."""

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        super().__init__(f"{MAX_DECISIONS_PER_INSTANT} decisions at the instant {now_s} and no end")

    def __reduce__(self) -> tuple[type[StalledError], tuple[float]]:
        # By its fields, or it could not come back from another process.
        return StalledError, (self.now_s,)


class Fleet:
    """Puts its events on the loop when made; after `loop.run()` its launcher holds what ran where and when."""

    def __init__(
        self,
        loop: Loop,
        engine: Engine,
        works: Sequence[JobWork],
        *,
        watch: Callable[[Decision], None] | None = None,
        progressed: Callable[[int], None] = lambda count: None,
        accepted: Callable[[Job, float], Job | None] = lambda job, now_s: job,
    ) -> None:
        self._accepted = accepted
        self._loop, self._engine, self._watch, self._progressed = loop, engine, watch, progressed
        self._works = {work.job.id: work for work in works}
        self.launcher = VirtualLauncher(self._works)
        self.finished_at_s: dict[str, float] = {}
        self._inbox: list[Event] = []
        self._to_come = len(works)
        self._wake_at_s = math.inf
        self._decided_at_s, self._decisions_here = -math.inf, 0
        for work in works:
            self._announce(JobSubmitted(at_s=work.job.submitted_at_s, job=work.job), Priority.ARRIVAL)

    @property
    def can_go_on(self) -> bool:
        """Whether a job is still to be submitted, runs, or has a place in the plan; false once all have ended.

        What happened at this instant and is not decided yet counts too: a run that has just paused will go on.
        """
        is_known = self._to_come > 0 or bool(self._inbox) or self.launcher.is_busy
        return is_known or self._engine.next_wakeup_at_s() is not None

    def tell(self, event: Event) -> None:
        """Something happened at this instant; the decision follows once everything of the instant is known."""
        if not self._inbox:
            self._loop.schedule(self._loop.now_s, Priority.DECIDE, self._decide)
        self._inbox.append(event)

    def _announce(self, event: Event, priority: Priority) -> None:
        def happen() -> None:
            if self.launcher.confirm(event):
                self._note(event)
                if (told := self._admitted(event)) is not None:
                    self.tell(told)

        self._loop.schedule(event.at_s, priority, happen)

    def _admitted(self, event: Event) -> Event | None:
        """A job as it was accepted; None for one that was not."""
        if not isinstance(event, JobSubmitted):
            return event
        job = self._accepted(event.job, self._loop.now_s)
        if job is None:
            self._progressed(1)
            return None
        return event if job is event.job else replace(event, job=job)

    def _note(self, event: Event) -> None:
        match event:
            case JobSubmitted():
                self._to_come -= 1
            case RunFinished(outcome=Outcome.SUCCEEDED):
                self.finished_at_s[event.job_id] = event.at_s
                self._progressed(1)

    def _decide(self) -> None:
        now_s = self._loop.now_s
        self._refuse_standstill(now_s)
        events, self._inbox = self._inbox, []
        commands = self._engine.decide(events, now_s)
        if self._watch:
            self._watch(Decision(now_s=now_s, events=events, commands=commands))
        for command in commands:
            for event in self.launcher.carry_out(command):
                self._announce(event, Priority.FINISH)
        self._wake()

    def _wake(self) -> None:
        wake_at_s = self._engine.next_wakeup_at_s()
        if wake_at_s is None or self._loop.now_s < self._wake_at_s <= wake_at_s:
            return  # a wake-up before that is on the agenda already
        self._wake_at_s = wake_at_s = max(wake_at_s, self._loop.now_s)
        self._loop.schedule(wake_at_s, Priority.DECIDE, lambda: self._tick(wake_at_s))

    def _tick(self, at_s: float) -> None:
        if at_s == self._wake_at_s:
            self._wake_at_s = math.inf
            self.tell(Tick(at_s=at_s))

    def _refuse_standstill(self, now_s: float) -> None:
        self._decisions_here = self._decisions_here + 1 if now_s == self._decided_at_s else 0
        self._decided_at_s = now_s
        if self._decisions_here > MAX_DECISIONS_PER_INSTANT:
            raise StalledError(now_s)


class Timetable:
    """What recurs: new forecasts and whole new plans, for as long as there is work that could use them."""

    def __init__(
        self,
        loop: Loop,
        fleet: Fleet,
        renewed_forecasts: Callable[[float], Sequence[Event]],
        *,
        renew_s: float,
        replan_s: float,
        is_needed: Callable[[], bool],
    ) -> None:
        self._loop, self._fleet, self._is_needed = loop, fleet, is_needed
        self._every(renew_s, renewed_forecasts, loop.now_s)
        self._every(replan_s, lambda now_s: [Tick(at_s=now_s, replan=True)], loop.now_s + replan_s)

    def _every(self, period_s: float, events: Callable[[float], Sequence[Event]], first_at_s: float) -> None:
        def recur() -> None:
            if self._is_needed():
                for event in events(self._loop.now_s):
                    self._fleet.tell(event)
                self._every(period_s, events, self._loop.now_s + period_s)

        self._loop.schedule(first_at_s, Priority.FORECAST, recur)
