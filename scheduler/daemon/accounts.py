"""Keeps the uses of energy and settles them on the intensity known by now. Prices nothing itself.

Uses of requests are booked in memory, because the request path does not wait for a disk, and written every few
seconds; a kill costs the account those seconds and no job anything. Uses of jobs are written with the end of their run.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from intensity_feeds.series import IntensitySeries
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.poller import Poller
from scheduler.ledger import Account, EnergyUse, Settlement, realised_then_expected, settle
from scheduler.savings_by import By, Heap, Sorting
from scheduler.store.contract import DiskFullError, Reads, StoreBusyError
from scheduler.store.uses_contract import UsesMark, UsesReach
from scheduler.store.writer import Writing

log = logging.getLogger(__name__)

FLUSH_S = 5.0
MAX_BUFFERED = 100_000
# A transaction of some milliseconds: submissions wait for the one under way.
_WRITTEN_AT_ONCE = 200


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
        """Write what is booked, some at a time; what cannot be written now is kept for the next time."""
        while self._unwritten:
            # The others stay where a daemon that stops finds them.
            taken, self._unwritten = self._unwritten[:_WRITTEN_AT_ONCE], self._unwritten[_WRITTEN_AT_ONCE:]
            try:
                await self._writer.write(lambda store, some=taken: store.record_uses(some))  # type: ignore[misc]
            except (StoreBusyError, DiskFullError) as error:
                self._unwritten = taken + self._unwritten
                fields = {"action": "uses_kept", "why": str(error), "uses": len(self._unwritten)}
                log.warning("uses not written", extra=fields)
                return

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
        settlement = Settlement(await self._intensity_of(since_s, until_s, tenant))
        await self._folded(settlement.add, since_s, until_s, tenant)
        return settlement.account()

    async def priced(self, uses: Sequence[EnergyUse]) -> Account:
        """The account of these few uses."""
        return settle(uses, await self._intensity(_reach(uses)) if uses else {})

    async def priced_each(self, heaps: Mapping[str, Sequence[EnergyUse]]) -> dict[str, Account]:
        """The same for some heaps of them, by their names."""
        every = [use for uses in heaps.values() for use in uses]
        intensity = await self._intensity(_reach(every)) if every else {}
        return {name: settle(uses, intensity) for name, uses in heaps.items()}

    async def settled_by(self, by: By, since_s: float, until_s: float, *, tenant: str | None = None) -> dict[str, Heap]:
        """The same sorted into heaps."""
        sorting = Sorting(by, await self._intensity_of(since_s, until_s, tenant))
        await self._folded(sorting.add, since_s, until_s, tenant)
        return sorting.heaps()

    async def _folded(
        self, add: Callable[[Iterable[EnergyUse]], None], since_s: float, until_s: float, tenant: str | None
    ) -> None:
        """Every use of that time, a page after the other: a month of a busy gateway is gigabytes."""

        def one_page(after: UsesMark | None) -> UsesMark | None:
            page = self._reads.uses_page(since_s, until_s, after=after, tenant=tenant)
            add(page.uses)
            return page.ends_at

        after = await self._env.in_thread(one_page, None)
        while after is not None:
            after = await self._env.in_thread(one_page, after)

    async def _intensity_of(self, since_s: float, until_s: float, tenant: str | None) -> dict[str, IntensitySeries]:
        """What has to be known to price the uses of that time, those included that are still to be written."""
        await self.flush()
        reach = await self._env.in_thread(self._reads.uses_reach, since_s, until_s, tenant=tenant)
        return {} if reach is None else await self._intensity(reach)

    async def _intensity(self, reach: UsesReach) -> dict[str, IntensitySeries]:
        known = {zone: await self._known(zone, reach.start_at_s, reach.end_at_s) for zone in sorted(reach.zones)}
        return {zone: series for zone, series in known.items() if series is not None}

    async def _known(self, zone: str, start_s: float, end_s: float) -> IntensitySeries | None:
        """What was realised as far as it is known, and the forecast after that."""
        history = await self._poller.history(zone, start_s, end_s)
        return realised_then_expected(history, self._poller.forecasts().get(zone))


def _reach(uses: Sequence[EnergyUse]) -> UsesReach:
    """Of at least one use."""
    return UsesReach(
        start_at_s=min(min(use.started_at_s, use.at_once_at_s) for use in uses),
        end_at_s=max(max(use.ended_at_s, use.at_once_end_at_s) for use in uses),
        zones=frozenset(zone for use in uses for zone in (use.zone, use.at_once_zone)),
    )
