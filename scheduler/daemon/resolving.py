"""One worker for each address that a name has, looked up again and again: replicas behind one name come and go.

Decides nothing about requests. A name that cannot be looked up keeps the addresses it had, or is called as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Never

from yarl import URL

from scheduler.config import Settings
from scheduler.daemon.env import Env
from scheduler.worker_settings import WorkerSettings

log = logging.getLogger(__name__)

_EVERY_S = 10.0
# More is a mistake in a zone, or somebody else's.
_MOST_ADDRESSES = 256


class Resolver:
    """What the names of workers stand for by now."""

    def __init__(self, env: Env, settings: Callable[[], Settings], on_change: Callable[[Settings], None]) -> None:
        """`settings` are those in force, with names; `on_change` is given them with addresses."""
        self._env, self._settings, self._on_change = env, settings, on_change
        self._known: dict[str, tuple[str, ...]] = {}  # addresses by the worker's URL

    def spread(self, settings: Settings) -> Settings:
        """The settings with a worker for each address that is known of a name."""
        workers = [one for worker in settings.worker for one in self._spread(worker)]
        return replace(settings, worker=tuple(workers))

    def _spread(self, worker: WorkerSettings) -> Sequence[WorkerSettings]:
        addresses = self._known.get(worker.url, ()) if worker.resolve else ()
        url = URL(worker.url)
        return [replace(worker, url=str(url.with_host(one)), resolve=False) for one in addresses] or [worker]

    async def run(self) -> Never:
        while True:
            await self.look_up()
            await self._env.sleep_s(_EVERY_S * self._env.speed)

    async def look_up(self) -> None:
        """Ask for every name once."""
        before = dict(self._known)
        for worker in self._settings().worker:
            if worker.resolve:
                await self._look_up(worker)
        if self._known != before:
            self._on_change(self.spread(self._settings()))

    async def _look_up(self, worker: WorkerSettings) -> None:
        url = URL(worker.url)
        try:
            found = await self._env.addresses(url.host or "", url.port or 80)
        except (OSError, UnicodeError) as error:
            fields = {"host": url.host, "why": str(error)}
            log.warning("worker's name not found", extra={"action": "worker_unresolved", **fields})
            return
        addresses = tuple(sorted(set(found))[:_MOST_ADDRESSES])
        if addresses and addresses != self._known.get(worker.url):
            self._known[worker.url] = addresses
            told = {"host": url.host, "addresses": len(addresses)}
            log.info("worker's name looked up", extra={"action": "worker_resolved", **told})
