"""The ledger's uses on their way to the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from scheduler.daemon.accounts import Accounts
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.poller import Poller
from scheduler.ledger import EnergyUse
from scheduler.store.contract import Reads, Store, StoreBusyError
from tests.unit.scheduler.test_ledger import a_use


class CountingWriter:
    """Keeps the ids of each write apart; refuses after the first `accepts`, or waits for ever in the next one."""

    def __init__(self, accepts: int = 1000, *, hangs: bool = False) -> None:
        self.writes: list[list[str]] = []
        self.accepts, self._hangs = accepts, hangs

    async def write(self, change: Callable[[Store], Any], *, is_admission: bool = False) -> Any:
        if len(self.writes) >= self.accepts:
            if self._hangs:
                await asyncio.Event().wait()
            raise StoreBusyError("busy")
        return change(cast(Store, self))

    def record_uses(self, uses: list[EnergyUse]) -> None:
        self.writes.append([use.subject_id for use in uses])

    @property
    def ids(self) -> list[str]:
        return [one for write in self.writes for one in write]


def accounts_with(writer: CountingWriter, uses: int) -> Accounts:
    made = Accounts(Env(), writer, cast(Reads, None), cast(Poller, None), Metrics())
    for number in range(uses):
        made.record(a_use(subject_id=str(number)))
    return made


def named(count: int) -> list[str]:
    return [str(number) for number in range(count)]


async def test_many_uses_are_written_in_short_transactions_that_others_can_come_between() -> None:
    writer = CountingWriter()
    await accounts_with(writer, 950).flush()
    assert writer.ids == named(950)
    assert max(len(write) for write in writer.writes) <= 200


async def test_what_a_busy_store_refuses_is_kept_in_its_order_for_the_next_time() -> None:
    writer = CountingWriter(accepts=2)
    accounts = accounts_with(writer, 950)
    await accounts.flush()
    writer.accepts = 1000
    await accounts.flush()
    assert writer.ids == named(950)


async def test_a_flush_that_is_cut_short_leaves_the_rest_for_the_last_one() -> None:
    writer = CountingWriter(accepts=1, hangs=True)
    accounts = accounts_with(writer, 950)
    flushing = asyncio.create_task(accounts.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    await asyncio.wait((flushing,))
    writer.accepts = 1000
    await accounts.flush()
    # The write under way was handed over and goes on without its caller: the second two hundred.
    assert writer.ids == [*named(200), *named(950)[400:]]
