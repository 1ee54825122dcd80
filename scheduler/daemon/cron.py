"""Submits the job of each period of each recurring launch, once. The rules stand in scheduler/periods.py.

The timer only wakes it: which periods are due is computed from the cron expression and the queue remembers which were
submitted, so a tick that was missed while the daemon was down, or fired twice, makes no difference.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from scheduler.daemon.env import Env
from scheduler.daemon.past_runs import PastWork
from scheduler.daemon.runner import Runner
from scheduler.events import JobSubmitted
from scheduler.launch_settings import LaunchSettings
from scheduler.periods import Period, due_periods, job_of
from scheduler.store.contract import DiskFullError, Store, StoreBusyError
from scheduler.store.writer import Writing

log = logging.getLogger(__name__)


class Cron:
    """Recurring launches of one daemon; each looks back as far as it may catch up."""

    def __init__(
        self,
        env: Env,
        launches: Sequence[LaunchSettings],
        writer: Writing,
        runner: Runner,
        past: PastWork,
    ) -> None:
        self._past = past
        self._env, self._launches, self._writer, self._runner = env, tuple(launches), writer, runner
        self._looked_until_s = {launch.name: env.now_s() - launch.catch_up_s for launch in launches}

    def take_up(self, launches: Sequence[LaunchSettings]) -> None:
        """Other launches from the next look on: one that is new looks back as at a start, one that stays goes on."""
        known, now_s = {launch.name for launch in self._launches}, self._env.now_s()
        for launch in launches:
            if launch.name not in known:
                looked_s = self._looked_until_s.get(launch.name, float("-inf"))  # it may have been here before
                self._looked_until_s[launch.name] = max(looked_s, now_s - launch.catch_up_s)
        self._launches = tuple(launches)

    async def submit_due(self) -> None:
        """Submit every period that is due and was not submitted before."""
        for launch in self._launches:
            now_s = self._env.now_s()
            try:
                for period in due_periods(launch, self._looked_until_s[launch.name], now_s):
                    await self._submit(launch, period, now_s)
            except (StoreBusyError, DiskFullError) as error:  # due still, and found again at the next look
                log.warning("launch delayed", extra={"action": "launch_delayed", "launch": launch.name, "why": error})
                continue
            # A clock that was set back must not make a period due twice in this life; the queue guards the others.
            self._looked_until_s[launch.name] = max(now_s, self._looked_until_s[launch.name])

    async def _submit(self, launch: LaunchSettings, period: Period, now_s: float) -> None:
        job = self._past.guarded(job_of(launch, period, now_s))

        def accept(store: Store) -> bool:
            return store.launch(launch.name, period.key, job, now_s=now_s).is_new

        if not await self._writer.write(accept):
            return
        log.info("launch submitted", extra={"action": "launch_submit", "launch": launch.name, "period": period.key})
        self._runner.post(JobSubmitted(at_s=now_s, job=job))
