"""When a daemon looks at what: timers that wake its tasks, and how other settings move them while it runs.

A timer only sets an event; the work belongs to the daemon's own tasks, which are stopped in order. A timer whose
interval stays is left alone, so that settings that are read again and again put nothing off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from scheduler.config import Settings
from scheduler.daemon.capacity import REFRESH_S
from scheduler.daemon.env import Env
from scheduler.store.contract import StoreBrokenError

log = logging.getLogger(__name__)

# Ticks that a timer missed are found by this look, whatever happened to the timer.
_CRON_LOOK_S = 60.0
# What grids really emitted is known hours later.
_BUDGETS_S = 3600.0
# Day-ahead prices are written at some hour of the day before.
_PRICES_S = 600.0
_SHORTEST_S = 0.25  # real, under a clock that runs ahead


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be looked at now; whoever sets one of these is in no hurry to know what comes of it."""

    poll: asyncio.Event = field(default_factory=asyncio.Event)
    plan: asyncio.Event = field(default_factory=asyncio.Event)
    cron: asyncio.Event = field(default_factory=asyncio.Event)
    budgets: asyncio.Event = field(default_factory=asyncio.Event)
    prices: asyncio.Event = field(default_factory=asyncio.Event)
    capacity: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class _Timer:
    """An interval in real seconds, or a cron expression in its time zone; two that are equal fire alike."""

    wanted: str
    every_s: float = 0.0
    cron: str = ""
    timezone: str = ""

    def trigger(self) -> BaseTrigger:
        if self.cron:
            return CronTrigger.from_crontab(self.cron, timezone=self.timezone)
        return IntervalTrigger(seconds=self.every_s, timezone=UTC)


class Timers:
    """The timers of one daemon."""

    def __init__(self, env: Env, wanted: Wanted, settings: Settings) -> None:
        # APScheduler drops what is a second late by default; here late is better than never, and once is enough.
        defaults = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        self._scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=defaults)
        self._env, self._wanted = env, wanted
        self._known: dict[str, _Timer] = {}
        self.take_up(settings)

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        self._scheduler.shutdown(wait=False)

    def take_up(self, settings: Settings) -> None:
        """The timers of these settings from now on."""
        timers = dict(self._timers(settings))
        for name, before in self._known.items():
            if timers.get(name) != before:
                self._scheduler.remove_job(name)
        for name, timer in timers.items():
            if self._known.get(name) != timer:
                self._scheduler.add_job(_wake, timer.trigger(), (getattr(self._wanted, timer.wanted),), id=name)
        self._known = timers

    def _timers(self, settings: Settings) -> Iterator[tuple[str, _Timer]]:
        replan_s, every = settings.planning.replan_s, self._env.real_s
        poll_s = min((feed.poll_s for feed in settings.feed), default=replan_s)
        yield "poll", _Timer("poll", every(poll_s))
        yield "plan", _Timer("plan", every(replan_s))
        yield "capacity", _Timer("capacity", every(REFRESH_S))
        yield "cron look", _Timer("cron", max(_SHORTEST_S, every(_CRON_LOOK_S)))
        if settings.budget:
            yield "budgets", _Timer("budgets", max(_SHORTEST_S, every(_BUDGETS_S)))
        if settings.price.trace:
            yield "prices", _Timer("prices", max(_SHORTEST_S, every(_PRICES_S)))
        for launch in settings.launch:
            yield f"cron {launch.name}", _Timer("cron", cron=launch.cron, timezone=launch.timezone)


async def _wake(wanted: asyncio.Event) -> None:
    wanted.set()


async def whenever(wanted: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work each time it is wanted, until cancelled; what fails is logged and done again the next time."""
    while True:
        await wanted.wait()
        wanted.clear()
        try:
            await work()
        except StoreBrokenError:
            raise
        except Exception:
            log.exception("timed work failed", extra={"action": "timed_work_failed"})
