"""Drives the engine in real time: collects events, lets it decide, has its commands carried out. Decides nothing.

    anything outside -> post(event) -> Engine.decide -> journal -> CarryOut -> post(event)

The loop sleeps until an event is posted or the engine's next wake-up. Commands of one decision are carried out in their
order; carrying out never blocks the next decision.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from scheduler.daemon.env import Env
from scheduler.daemon.journal_file import JournalFile
from scheduler.engine import Engine
from scheduler.events import Command, Event, RecordPlacement, ReportLate

log = logging.getLogger(__name__)

# Without any event the engine is asked this often anyway: a wall clock that was set back must not hold a job for hours.
LONGEST_SLEEP_S = 60.0


class CarryOut(Protocol):
    """Whoever does what the engine asks for. Must return soon and report what became of it as events."""

    def carry_out(self, command: Command) -> None: ...


class Runner:
    """One engine's loop. `post` may be called from anywhere on the event loop."""

    def __init__(
        self,
        env: Env,
        engine: Engine,
        journal: JournalFile | None = None,
        on_decision: Callable[[Sequence[Event], Sequence[Command]], None] | None = None,
    ) -> None:
        """`on_decision` hears of everything that the engine was told and said."""
        self._on_decision = on_decision
        self.engine = engine
        self._env = env
        self._journal = journal
        self._inbox: list[Event] = []
        self._news = asyncio.Event()

    def post(self, *events: Event) -> None:
        """Something has happened; the engine hears of it on the next turn of the loop."""
        self._inbox.extend(events)
        self._news.set()

    def now_s(self) -> float:
        return self._env.now_s()

    async def run(self, hands: CarryOut) -> None:
        """Decide until cancelled."""
        while True:
            self.decide_once(hands)
            await self._sleep()

    def decide_once(self, hands: CarryOut) -> Sequence[Command]:
        """One decision over everything posted so far."""
        self._news.clear()
        taken, self._inbox = self._inbox, []
        now_s = self._env.now_s()
        commands = self.engine.decide(taken, now_s)
        if self._journal is not None and (taken or commands):
            self._journal.append(now_s, taken, commands)
        if self._on_decision is not None:
            self._on_decision(taken, commands)
        for command in commands:
            self._log(command)
            hands.carry_out(command)
        return commands

    async def _sleep(self) -> None:
        if self._inbox:
            return
        wakeup_at_s = self.engine.next_wakeup_at_s()
        wait_s = LONGEST_SLEEP_S * self._env.speed
        if wakeup_at_s is not None:
            wait_s = min(wait_s, max(0.0, wakeup_at_s - self._env.now_s()))
        try:
            async with asyncio.timeout(self._env.real_s(wait_s)):
                await self._news.wait()
        except TimeoutError:
            return

    def _log(self, command: Command) -> None:
        match command:
            case RecordPlacement():
                job_id, detail = command.placement.job_id, command.reason
            case ReportLate():
                job_id, detail = command.refusal.job_id, command.refusal.what
            case _:
                job_id, detail = command.job_id, command.reason
        job = self.engine.job(job_id)
        fields = {"job": job_id, "label": job.label if job else "", "reason": detail}
        log.info("decided", extra={"action": _ACTIONS[type(command).__name__], **fields})


_ACTIONS = {
    "StartRun": "run_start",
    "PauseRun": "run_pause",
    "StopRun": "run_stop",
    "RecordPlacement": "job_planned",
    "RecordState": "job_state",
    "ReportLate": "job_late",
}
