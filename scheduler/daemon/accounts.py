"""Keeps the uses of energy and settles them on the intensity known by now. Prices nothing itself.

Uses of requests are booked in memory, because the request path does not wait for a disk, and written every few
seconds; a kill costs the account those seconds and no job anything. Uses of jobs are written with the end of their run.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Sequence

from intensity_feeds.series import IntensitySeries
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.poller import Poller
from scheduler.ledger import Account, EnergyUse, realised_then_expected, settle
from scheduler.savings_by import By, Heap, settled_by
from scheduler.store.contract import DiskFullError, Reads, StoreBusyError
from scheduler.store.writer import Writing

log = logging.getLogger(__name__)

FLUSH_S = 5.0
MAX_BUFFERED = 100_000


class Accounts:
    """The daemon's ledger: takes uses, writes them in batches, answers with sums."""

    def __init__(
        self,
        env: Env,
        writer: Writing,
        reads: Reads,
        poller: Poller,
        metrics: Metrics,
        on_use: Callable[[EnergyUse], None] = lambda use: None,
    ) -> None:
        self._on_use = on_use
        self._env, self._writer, self._reads = env, writer, reads
        self._poller, self._metrics = poller, metrics
        self._unwritten: list[EnergyUse] = []

    def record(self, use: EnergyUse) -> None:
        """Book one use; what is no number is refused here, where it cannot take the others of its batch along."""
        if not math.isfinite(use.energy_kwh):
            log.error("use dropped", extra={"action": "use_dropped", "subject": use.subject_id})
            return
        if len(self._unwritten) >= MAX_BUFFERED:
            log.error("use dropped", extra={"action": "use_dropped", "subject": use.subject_id})
            return
        self._unwritten.append(use)
        self.count(use)

    def count(self, use: EnergyUse) -> None:
        """Show a use in the metrics; one of a job is written together with the end of its run, not here."""
        self._metrics.energy(use.subject, use.basis, use.energy_kwh)
        self._on_use(use)

    async def flush(self) -> None:
        """Write what is booked; what cannot be written now is kept for the next time."""
        taken, self._unwritten = self._unwritten, []
        if not taken:
            return
        try:
            await self._writer.write(lambda store: store.record_uses(taken))
        except (StoreBusyError, DiskFullError) as error:
            self._unwritten = taken + self._unwritten
            log.warning("uses not written", extra={"action": "uses_kept", "why": str(error), "uses": len(taken)})

    @property
    def unwritten(self) -> Sequence[EnergyUse]:
        """Counted, and in no ledger yet."""
        return self._unwritten

    async def settle_writes(self) -> None:
        """Until what was booked by now is in the ledger, or among `unwritten` again. Raises StoreBusyError."""
        await self.flush()
        await self._writer.write(lambda store: None)  # after all that was on its way before

    async def run(self) -> None:
        """Flush until cancelled."""
        while True:
            await self._env.sleep_s(FLUSH_S * self._env.speed)
            await self.flush()

    async def settled(self, since_s: float, until_s: float, *, tenant: str | None = None) -> Account:
        """The account of uses that started in [since_s, until_s), of all tenants or of one."""
        await self.flush()
        uses = await self._env.in_thread(self._reads.uses, since_s, until_s, tenant=tenant)
        return await self.priced(uses)

    async def priced(self, uses: Sequence[EnergyUse]) -> Account:
        """The account of these uses."""
        intensity = await self._intensity(uses)
        return await self._env.in_thread(settle, uses, intensity)  # seconds, for the requests of a busy month

    async def settled_by(self, by: By, since_s: float, until_s: float, *, tenant: str | None = None) -> dict[str, Heap]:
        """The same sorted into heaps."""
        await self.flush()
        uses = await self._env.in_thread(self._reads.uses, since_s, until_s, tenant=tenant)
        intensity = await self._intensity(uses)
        return await self._env.in_thread(settled_by, by, uses, intensity)

    async def settled_jobs(self, job_ids: Collection[str], since_s: float, until_s: float) -> Account:
        """The account of these jobs' uses that started in [since_s, until_s)."""
        if not job_ids:
            return Account()
        found = await self._env.in_thread(self._reads.uses, since_s, until_s)
        uses = [use for use in found if use.subject_id in job_ids]
        return await self._env.in_thread(settle, uses, await self._intensity(uses))

    async def _intensity(self, uses: Sequence[EnergyUse]) -> dict[str, IntensitySeries]:
        if not uses:
            return {}
        start_s, end_s, zones = await self._env.in_thread(_reach, uses)
        known = {zone: await self._known(zone, start_s, end_s) for zone in sorted(zones)}
        return {zone: series for zone, series in known.items() if series is not None}

    async def _known(self, zone: str, start_s: float, end_s: float) -> IntensitySeries | None:
        """What was realised as far as it is known, and the forecast after that."""
        history = await self._poller.history(zone, start_s, end_s)
        return realised_then_expected(history, self._poller.forecasts().get(zone))


def _reach(uses: Sequence[EnergyUse]) -> tuple[float, float, set[str]]:
    """From when to when, and of which zones, the intensity has to be known."""
    start_s = min(min(use.started_at_s, use.at_once_at_s) for use in uses)
    end_s = max(max(use.ended_at_s, use.at_once_end_at_s) for use in uses)
    return start_s, end_s, {use.zone for use in uses} | {use.at_once_zone for use in uses}
