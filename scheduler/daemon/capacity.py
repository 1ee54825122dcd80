"""Keeps the engine's regions up to date with what they hold. Lays nothing out itself: regions_ahead.py does."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from scheduler.daemon.env import Env
from scheduler.daemon.interactive import InteractiveHours
from scheduler.daemon.runner import Runner
from scheduler.events import CapacityChanged
from scheduler.planning.plan import Region
from scheduler.region_settings import RegionSettings
from scheduler.regions_ahead import regions_ahead
from scheduler.store.contract import Reads
from scheduler.worker_settings import WorkerSettings

log = logging.getLogger(__name__)

# Holds are laid out for weeks; a day that a timer misses costs nothing.
REFRESH_S = 86_400.0


class Capacity:
    """What each region holds from now on, told to the engine where it has changed."""

    def __init__(
        self,
        env: Env,
        settings: Sequence[RegionSettings],
        runner: Runner,
        reads: Reads,
        interactive: InteractiveHours,
    ) -> None:
        self._env, self._settings, self._runner = env, settings, runner
        self._reads, self._interactive = reads, interactive

    def take_up(
        self, regions: Sequence[RegionSettings], workers: Sequence[WorkerSettings], quantile_ratio: float
    ) -> None:
        """Other regions, in force with the next look."""
        self._settings = regions
        self._interactive.take_up(regions, workers, quantile_ratio)

    async def refresh(self) -> None:
        """Lay the holds out again; a region that holds what it held makes no new plan."""
        now_s = self._env.now_s()
        if self._interactive.is_learning:
            await self._env.in_thread(self._interactive.catch_up, self._reads, now_s)
        regions = await self._env.in_thread(self._laid_out, now_s)
        known = {region.name: region for region in self._runner.engine.regions}
        for region in regions:
            if region != known.get(region.name):
                log.info("capacity changed", extra={"action": "capacity_update", "region": region.name})
                self._runner.post(CapacityChanged(at_s=now_s, region=region))

    def _laid_out(self, now_s: float) -> list[Region]:
        return regions_ahead(self._settings, now_s, self._interactive.holds(now_s))
