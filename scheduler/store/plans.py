"""The first plans of jobs in the store: their rows read. Decides nothing; sql.py writes them with a claim.

Whether a job has succeeded, and when, is said by its own row, so a plan and the end of its job cannot come apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields

from sqlalchemy import Connection, select

from scheduler.first_plans import FirstPlan, KeptPlan
from scheduler.jobs import JobState
from scheduler.ledger import EnergyUse, Subject
from scheduler.store.rows import use_of
from scheduler.store.tables import ENERGY_USES, FIRST_PLANS, JOBS

# Databases take some thousands of parameters in a statement.
_ASKED_AT_ONCE = 500
_NAMES = [one.name for one in fields(FirstPlan)]
_PLAN_COLUMNS = [FIRST_PLANS.c[name] for name in _NAMES]


class PlanReads(ABC):
    """The questions, over whatever connection the subclass lends."""

    @abstractmethod
    def _connected(self) -> AbstractContextManager[Connection]: ...

    def kept_plans(
        self, since_at_s: float, until_at_s: float, *, limit: int, tenant: str | None = None
    ) -> Sequence[KeptPlan]:
        ended_at_s = JOBS.c.ended_at_s
        query = (
            select(ended_at_s, *_PLAN_COLUMNS)
            .join(JOBS, JOBS.c.id == FIRST_PLANS.c.job_id)
            .where(JOBS.c.state == JobState.SUCCEEDED.value, ended_at_s >= since_at_s, ended_at_s < until_at_s)
            .order_by(ended_at_s.desc(), FIRST_PLANS.c.job_id)
            .limit(limit)
        )
        if tenant is not None:
            query = query.where(FIRST_PLANS.c.tenant == tenant)
        with self._connected() as connection:
            rows = connection.execute(query).all()
        return [KeptPlan(plan=FirstPlan(**dict(zip(_NAMES, row[1:], strict=True))), ended_at_s=row[0]) for row in rows]

    def uses_of_jobs(self, job_ids: Collection[str]) -> Sequence[EnergyUse]:
        wanted, found = list(job_ids), list[EnergyUse]()
        of_a_job = ENERGY_USES.c.subject == Subject.JOB.value
        with self._connected() as connection:
            for first in range(0, len(wanted), _ASKED_AT_ONCE):
                some = wanted[first : first + _ASKED_AT_ONCE]
                query = select(ENERGY_USES).where(ENERGY_USES.c.subject_id.in_(some), of_a_job)
                found += [use_of(row) for row in connection.execute(query).mappings()]
        return found
