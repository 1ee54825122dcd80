"""The ledger read in pages by SQL, so that a month of requests takes no more memory than an hour. Decides nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from scheduler.store.rows import use_of
from scheduler.store.tables import ENERGY_USES
from scheduler.store.uses_contract import PAGE_USES, UsesMark, UsesPage, UsesReach

_USE = ENERGY_USES.c


class UsePages(ABC):
    """The questions, over whatever connection the subclass lends."""

    @abstractmethod
    def _connected(self) -> AbstractContextManager[Connection]: ...

    def uses_reach(self, since_at_s: float, until_at_s: float, *, tenant: str | None = None) -> UsesReach | None:
        lasted_s = func.coalesce(_USE.at_once_lasted_s, _USE.ended_at_s - _USE.started_at_s)
        are_meant = _started_in(since_at_s, until_at_s, tenant)
        ends = select(
            func.min(_USE.started_at_s),
            func.min(_USE.at_once_at_s),
            func.max(_USE.ended_at_s),
            func.max(_USE.at_once_at_s + lasted_s),
        ).where(are_meant)
        with self._connected() as connection:
            first_s, first_at_once_s, last_s, last_at_once_s = connection.execute(ends).one()
            if first_s is None:
                return None
            zones = connection.execute(select(_USE.zone, _USE.at_once_zone).where(are_meant).distinct())
            return UsesReach(
                start_at_s=min(first_s, first_at_once_s),
                end_at_s=max(last_s, last_at_once_s),
                zones=frozenset(zone for pair in zones for zone in pair),
            )

    def uses_page(
        self,
        since_at_s: float,
        until_at_s: float,
        *,
        after: UsesMark | None = None,
        limit: int = PAGE_USES,
        tenant: str | None = None,
    ) -> UsesPage:
        query = select(ENERGY_USES).where(_started_in(since_at_s, until_at_s, tenant))
        if after is not None:
            # The first condition is the one that an index serves.
            is_later = or_(_USE.started_at_s > after.started_at_s, _USE.sequence > after.sequence)
            query = query.where(_USE.started_at_s >= after.started_at_s, is_later)
        with self._connected() as connection:
            ordered = query.order_by(_USE.started_at_s, _USE.sequence).limit(limit)
            rows = connection.execute(ordered).mappings().all()
        uses = [use_of(row) for row in rows]
        if len(rows) < limit:
            return UsesPage(uses=uses, ends_at=None)
        last = rows[-1]
        return UsesPage(uses=uses, ends_at=UsesMark(started_at_s=last["started_at_s"], sequence=last["sequence"]))


def _started_in(since_at_s: float, until_at_s: float, tenant: str | None) -> ColumnElement[bool]:
    is_in_time = and_(_USE.started_at_s >= since_at_s, _USE.started_at_s < until_at_s)
    return is_in_time if tenant is None else and_(is_in_time, _USE.tenant == tenant)
