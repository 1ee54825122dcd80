"""The queue in a SQL database. Decides nothing: standing.py says what a change is, this file makes it durable.

Statements of the hot path are compiled once and run at the driver's cost. One `SqlStore` writes, from one thread at a
time; any number of `SqlReader`s look on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, Engine, bindparam, func, insert, or_, select, update
from sqlalchemy.exc import DBAPIError

from scheduler.events import Outcome
from scheduler.first_plans import FirstPlan
from scheduler.jobs import HOLDING_STATES, TERMINAL_STATES, TRANSITIONS, Job, JobAction, JobState
from scheduler.ledger import EnergyUse, Subject
from scheduler.store import dialects, standing
from scheduler.store.access import AccessReads, AccessWrites
from scheduler.store.contract import (
    Claim,
    DuplicateJobError,
    IdempotencyConflictError,
    IdempotencyKey,
    JobFilter,
    JobRecord,
    Json,
    Submission,
    UnknownJobError,
)
from scheduler.store.dialects import DriverStatement
from scheduler.store.filing import FilingReads, FilingWrites
from scheduler.store.migrating import bring_up_to_date
from scheduler.store.plans import PlanReads
from scheduler.store.rows import record_of, row_of_job, row_of_standing, row_of_use, standing_of, text_of, use_of
from scheduler.store.standing import Standing
from scheduler.store.tables import ENERGY_USES, FIRST_PLANS, JOBS, LAUNCHED_PERIODS, META
from scheduler.store.use_pages import UsePages

_OPEN = sorted(set(JobState) - TERMINAL_STATES)
_HELD = sorted(HOLDING_STATES)
_LISTED = [column for column in JOBS.c if column is not JOBS.c.payload]


class SqlReads(FilingReads, AccessReads, UsePages, PlanReads):
    """The questions, over whatever connection the subclass lends."""

    def job(self, job_id: str) -> JobRecord:
        with self._connected() as connection:
            return _job(connection, job_id)

    def jobs(
        self, chosen: JobFilter, *, limit: int, before: int | None = None, with_payloads: bool = False
    ) -> Sequence[JobRecord]:
        query = (select(JOBS) if with_payloads else select(*_LISTED)).order_by(JOBS.c.sequence.desc()).limit(limit)
        if chosen.states is not None:
            query = query.where(JOBS.c.state.in_(sorted(chosen.states)))
        if chosen.tenant is not None:
            query = query.where(JOBS.c.tenant == chosen.tenant)
        if chosen.id_prefix is not None:
            query = query.where(JOBS.c.id.startswith(chosen.id_prefix, autoescape=True))
        if before is not None:
            query = query.where(JOBS.c.sequence < before)
        with self._connected() as connection:
            return [record_of(row) for row in connection.execute(query).mappings()]

    def open_jobs(self) -> Sequence[JobRecord]:
        query = select(*_LISTED).where(JOBS.c.state.in_(_OPEN)).order_by(JOBS.c.sequence)
        with self._connected() as connection:
            return [record_of(row) for row in connection.execute(query).mappings()]

    def count_by_state(self, tenant: str | None = None) -> Mapping[JobState, int]:
        query = select(JOBS.c.state, func.count().label("jobs")).group_by(JOBS.c.state)
        if tenant is not None:
            query = query.where(JOBS.c.tenant == tenant)
        with self._connected() as connection:
            found = {row.state: row.jobs for row in connection.execute(query)}
        return {state: found.get(state.value, 0) for state in JobState}

    def uses(self, since_at_s: float, until_at_s: float, *, tenant: str | None = None) -> Sequence[EnergyUse]:
        started_at_s = ENERGY_USES.c.started_at_s
        query = (
            select(ENERGY_USES)
            .where(started_at_s >= since_at_s, started_at_s < until_at_s)
            .order_by(started_at_s, ENERGY_USES.c.sequence)
        )
        if tenant is not None:
            query = query.where(ENERGY_USES.c.tenant == tenant)
        with self._connected() as connection:
            return [use_of(row) for row in connection.execute(query).mappings()]

    def uses_of(self, subject: Subject, subject_id: str) -> Sequence[EnergyUse]:
        query = (
            select(ENERGY_USES)
            .where(ENERGY_USES.c.subject_id == subject_id, ENERGY_USES.c.subject == subject.value)
            .order_by(ENERGY_USES.c.started_at_s, ENERGY_USES.c.sequence)
        )
        with self._connected() as connection:
            return [use_of(row) for row in connection.execute(query).mappings()]

    def spans(self, category: str, since_at_s: float, until_at_s: float) -> Sequence[tuple[str, str, float, float]]:
        column, started_at_s = ENERGY_USES.c, ENERGY_USES.c.started_at_s
        query = select(column.region, column.model, started_at_s, column.ended_at_s).where(
            started_at_s >= since_at_s, started_at_s < until_at_s, column.category == category
        )
        with self._connected() as connection:
            return [(row[0], row[1], row[2], row[3]) for row in connection.execute(query)]

    def first_use_at_s(self) -> float | None:
        with self._connected() as connection:
            first: float | None = connection.execute(select(func.min(ENERGY_USES.c.started_at_s))).scalar_one()
            return first

    def submission_of(self, tenant: str, idempotency: IdempotencyKey) -> str | None:
        with self._connected() as connection:
            return _job_of_key(connection, tenant, idempotency)

    def last_period(self, launch: str) -> str | None:
        query = select(func.max(LAUNCHED_PERIODS.c.period)).where(LAUNCHED_PERIODS.c.launch == launch)
        with self._connected() as connection:
            period: str | None = connection.execute(query).scalar_one()
            return period

    def meta(self, key: str) -> str | None:
        with self._connected() as connection:
            value: str | None = connection.execute(select(META.c.value).where(META.c.key == key)).scalar_one_or_none()
            return value


class SqlReader(SqlReads):
    """Reads from any thread; cannot write."""

    def __init__(self, url: str) -> None:
        self._engine = dialects.reader_engine(url)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with _translating(), self._engine.connect() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()


class SqlStore(SqlReads, FilingWrites, AccessWrites):
    """The writer. Use `open_store`, which makes sure that it is the only one and that the schema is right."""

    def __init__(self, engine: Engine, connection: Connection, held: ExitStack) -> None:
        self._connection = connection
        self._held = held
        self._hot = _HotStatements(engine.dialect)

    def close(self) -> None:
        self._held.close()

    # -- transactions ------------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with _translating(), self._connection.begin():
            yield

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        with _translating():
            self._connection.exec_driver_sql("SAVEPOINT part")
            try:
                yield
            except BaseException:
                if not dialects.has_lost_transaction(self._connection):
                    self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT part")
                    self._connection.exec_driver_sql("RELEASE SAVEPOINT part")
                raise
            self._connection.exec_driver_sql("RELEASE SAVEPOINT part")

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if self._connection.in_transaction():
            yield self._connection
        else:
            with self.transaction():
                yield self._connection

    # -- acceptance --------------------------------------------------------------------------------------------------

    def submit(
        self, job: Job, *, now_s: float, payload: Json | None = None, idempotency: IdempotencyKey | None = None
    ) -> Submission:
        row = row_of_job(job, payload or {}, idempotency, Standing(changed_at_s=now_s))
        with self._connected() as connection:
            if self._hot.insert_job.run(connection, row).rowcount == 1:
                return Submission(job_id=job.id, is_new=True)
            return _accepted_before(connection, job, idempotency)

    def launch(self, launch: str, period: str, job: Job, *, now_s: float, payload: Json | None = None) -> Submission:
        row = {"launch": launch, "period": period, "job_id": job.id}
        with self._connected() as connection:
            if self._hot.insert_period.run(connection, row).rowcount == 0:
                return Submission(job_id=_job_of_period(connection, launch, period), is_new=False)
            return self.submit(job, now_s=now_s, payload=payload)

    # -- leases ------------------------------------------------------------------------------------------------------

    def claim(
        self, job_id: str, *, holder: str, region: str, now_s: float, lease_s: float, gpus: int | None = None
    ) -> Claim | None:
        with self._connected() as connection:
            before = self._standing(connection, job_id)
            if JobAction.CLAIM not in TRANSITIONS[before.state] or before.on_hold_at_s is not None:
                return None
            after = standing.claimed(before, holder=holder, region=region, lease_s=lease_s, now_s=now_s, gpus=gpus)
            return self._leased(connection, job_id, after)

    def take_over(self, job_id: str, token: int, *, holder: str, now_s: float, lease_s: float) -> Claim | None:
        with self._connected() as connection:
            before = self._standing(connection, job_id)
            if not before.is_held_under(token):
                return None
            after = standing.taken_over(before, holder=holder, lease_s=lease_s, now_s=now_s)
            return self._leased(connection, job_id, after)

    def heartbeat(self, leases: Iterable[tuple[str, int]], *, now_s: float, lease_s: float) -> frozenset[str]:
        expires_at_s = now_s + lease_s
        with self._connected() as connection:
            return frozenset(
                job_id
                for job_id, token in leases
                if self._hot.renew_lease.run(
                    connection, {"at_id": job_id, "at_token": token, "lease_expires_at_s": expires_at_s}
                ).rowcount
                == 0
            )

    # -- reports about a run -----------------------------------------------------------------------------------------

    def started(self, job_id: str, token: int, *, now_s: float) -> bool:
        return self._report(job_id, token, lambda before: standing.started(before, now_s=now_s)) is not None

    def pause(self, job_id: str, token: int, *, done_s: float, now_s: float) -> bool:
        paused = self._report(job_id, token, lambda before: standing.paused(before, done_s=done_s, now_s=now_s))
        return paused is not None

    def finish(
        self,
        job_id: str,
        token: int,
        *,
        outcome: Outcome,
        now_s: float,
        result: Json | None = None,
        reason: str = "",
    ) -> bool:
        with self._connected() as connection:
            finished = self._report(
                job_id, token, lambda before: standing.finished(before, outcome=outcome, reason=reason, now_s=now_s)
            )
            if finished is not None and result is not None:
                self._hot.write_result.run(connection, {"at_id": job_id, "result": text_of(result)})
            return finished is not None

    def lose(self, job_id: str, token: int, *, now_s: float, reason: str, is_counted: bool = True) -> JobState | None:
        def lost(before: Standing) -> Standing:
            return standing.lost(before, reason=reason, now_s=now_s, is_counted=is_counted)

        after = self._report(job_id, token, lost)
        return None if after is None else after.state

    def lose_expired(self, *, now_s: float) -> Sequence[JobRecord]:
        query = select(JOBS.c.id).where(JOBS.c.state.in_(_HELD), JOBS.c.lease_expires_at_s <= now_s)
        with self._connected() as connection:
            expired = connection.execute(query.order_by(JOBS.c.sequence)).scalars().all()
            return [self._lose_expired_one(connection, job_id, now_s) for job_id in expired]

    def _lose_expired_one(self, connection: Connection, job_id: str, now_s: float) -> JobRecord:
        before = self._standing(connection, job_id)
        reason = f"the lease of attempt {before.attempt} ran out: no heartbeat of {before.holder}"
        return self._changed(connection, job_id, standing.lost(before, reason=reason, now_s=now_s))

    # -- commands of people ------------------------------------------------------------------------------------------

    def cancel(self, job_id: str, *, now_s: float, reason: str = "") -> JobRecord:
        with self._connected() as connection:
            before = self._standing(connection, job_id)
            return self._changed(connection, job_id, standing.cancelled(before, reason=reason, now_s=now_s))

    def hold(self, job_id: str, *, now_s: float) -> JobRecord:
        with self._connected() as connection:
            found = _job(connection, job_id)
            return self._changed(connection, job_id, standing.put_on_hold(found.standing, found.job, now_s=now_s))

    def resume(self, job_id: str, *, now_s: float) -> JobRecord:
        with self._connected() as connection:
            found = _job(connection, job_id)
            return self._changed(connection, job_id, standing.let_go(found.standing, found.job, now_s=now_s))

    def requeue(self, job_id: str, *, now_s: float) -> JobRecord:
        with self._connected() as connection:
            before = self._standing(connection, job_id)
            return self._changed(connection, job_id, standing.requeued(before, now_s=now_s))

    # -- ledger and notes --------------------------------------------------------------------------------------------

    def record_uses(self, uses: Collection[EnergyUse]) -> None:
        rows = [row_of_use(use) for use in uses]
        with self._connected() as connection:
            self._hot.insert_use.run_many(connection, rows)

    def keep_plan(self, plan: FirstPlan) -> None:
        with self._connected() as connection:
            self._hot.insert_plan.run(connection, asdict(plan))

    def set_meta(self, key: str, value: str) -> None:
        with self._connected() as connection:
            if connection.execute(update(META).where(META.c.key == key).values(value=value)).rowcount == 0:
                connection.execute(insert(META).values(key=key, value=value))

    # -- one job's standing ------------------------------------------------------------------------------------------

    def _standing(self, connection: Connection, job_id: str) -> Standing:
        row = self._hot.read_standing.run(connection, {"at_id": job_id}).mappings().one_or_none()
        if row is None:
            raise UnknownJobError(job_id)
        return standing_of(row)

    def _write(self, connection: Connection, job_id: str, after: Standing) -> None:
        self._hot.write_standing.run(connection, {"at_id": job_id, **row_of_standing(after)})

    def _changed(self, connection: Connection, job_id: str, after: Standing) -> JobRecord:
        self._write(connection, job_id, after)
        return _job(connection, job_id)

    def _leased(self, connection: Connection, job_id: str, after: Standing) -> Claim:
        self._write(connection, job_id, after)
        return Claim(job_id=job_id, token=after.token, attempt=after.attempt, done_s=after.done_s)

    def _report(self, job_id: str, token: int, change: Callable[[Standing], Standing]) -> Standing | None:
        with self._connected() as connection:
            before = self._standing(connection, job_id)
            if not before.is_held_under(token):
                return None
            after = change(before)
            self._write(connection, job_id, after)
            return after


def open_store(url: str) -> SqlStore:
    """Open, or create, and migrate. Raises StoreInUseError, SchemaError, StoreBusyError, StoreBrokenError."""
    with ExitStack() as opening, _translating():
        opening.enter_context(dialects.sole_writer(url))
        engine = dialects.writer_engine(url)
        opening.callback(engine.dispose)
        connection = opening.enter_context(engine.connect())
        with connection.begin():
            bring_up_to_date(connection)
        return SqlStore(engine, connection, opening.pop_all())


class _HotStatements:
    def __init__(self, dialect: Dialect) -> None:
        at_id = JOBS.c.id == bindparam("at_id")
        changing: dict[str, Any] = {name: bindparam(name) for name in row_of_standing(Standing(changed_at_s=0.0))}
        self.insert_job = DriverStatement(dialects.insert_unless_there(JOBS, dialect), dialect)
        self.insert_period = DriverStatement(dialects.insert_unless_there(LAUNCHED_PERIODS, dialect), dialect)
        self.insert_use = DriverStatement(dialects.insert_unless_there(ENERGY_USES, dialect), dialect)
        self.insert_plan = DriverStatement(dialects.insert_unless_there(FIRST_PLANS, dialect), dialect)
        self.read_standing = DriverStatement(
            select(*(JOBS.c[name] for name in changing)).where(at_id).with_for_update(), dialect
        )
        self.write_standing = DriverStatement(update(JOBS).where(at_id).values(changing), dialect)
        self.write_result = DriverStatement(update(JOBS).where(at_id).values(result=bindparam("result")), dialect)
        self.renew_lease = DriverStatement(
            update(JOBS)
            .where(at_id, JOBS.c.token == bindparam("at_token"), _is_held())
            .values(lease_expires_at_s=bindparam("lease_expires_at_s")),
            dialect,
        )


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise dialects.translated(error) from error


def _is_held() -> ColumnElement[bool]:
    # Spelled out: the driver's statement cannot expand an IN list.
    return or_(*(JOBS.c.state == state.value for state in _HELD))


def _job(connection: Connection, job_id: str) -> JobRecord:
    row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).mappings().one_or_none()
    if row is None:
        raise UnknownJobError(job_id)
    return record_of(row)


def _job_of_period(connection: Connection, launch: str, period: str) -> str:
    chosen = (LAUNCHED_PERIODS.c.launch == launch, LAUNCHED_PERIODS.c.period == period)
    job_id: str = connection.execute(select(LAUNCHED_PERIODS.c.job_id).where(*chosen)).scalar_one()
    return job_id


def _accepted_before(connection: Connection, job: Job, idempotency: IdempotencyKey | None) -> Submission:
    """What stands in the way of the insert: the same submission, another one under its key, or the id alone."""
    if idempotency is not None and (first := _job_of_key(connection, job.tenant, idempotency)) is not None:
        return Submission(job_id=first, is_new=False)
    raise DuplicateJobError(job.id)


def _job_of_key(connection: Connection, tenant: str, idempotency: IdempotencyKey) -> str | None:
    chosen: tuple[Any, ...] = (JOBS.c.tenant == tenant, JOBS.c.idempotency_key == idempotency.key)
    first = connection.execute(select(JOBS.c.id, JOBS.c.body_sha256).where(*chosen)).one_or_none()
    if first is None:
        return None
    if first.body_sha256 != idempotency.body_sha256:
        raise IdempotencyConflictError(idempotency.key, first.id)
    return str(first.id)
