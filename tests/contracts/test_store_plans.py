"""What every store promises of first plans. SQLite always; PostgreSQL where a server is installed or named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from scheduler.events import Outcome
from scheduler.first_plans import FirstPlan, KeptPlan
from scheduler.store.contract import Store
from scheduler.store.sql import SqlReader, open_store
from tests.contracts.test_store import a_use
from tests.stores import a_job, taken_back


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


def a_plan(job_id: str, tenant: str = "red") -> FirstPlan:
    return FirstPlan(
        job_id=job_id,
        tenant=tenant,
        model="small",
        planned_at_s=5.0,
        emissions_gco2e=300.5,
        at_once_emissions_gco2e=400.25,
    )


def ended(store: Store, job_id: str, at_s: float, outcome: Outcome = Outcome.SUCCEEDED) -> None:
    """A job that ran to its end under a plan."""
    store.submit(a_job(job_id), now_s=0.0)
    claim = store.claim(job_id, holder="me", region="here", now_s=5.0, lease_s=60.0)
    assert claim is not None
    store.keep_plan(a_plan(job_id))
    store.finish(job_id, claim.token, outcome=outcome, now_s=at_s)


def test_a_plan_is_told_once_its_job_has_succeeded_and_reads_back_as_it_was(url: str, store: Store) -> None:
    ended(store, "done", 20.0)
    ended(store, "failed", 20.0, Outcome.FAILED)
    store.submit(a_job("waits"), now_s=0.0)
    store.keep_plan(a_plan("waits"))
    reader = SqlReader(url)
    told = [KeptPlan(plan=a_plan("done"), ended_at_s=20.0)]
    assert reader.kept_plans(0.0, 99.0, limit=9) == store.kept_plans(0.0, 99.0, limit=9) == told
    reader.close()


def test_the_first_plan_of_a_job_stays(store: Store) -> None:
    ended(store, "done", 20.0)
    store.keep_plan(replace(a_plan("done"), emissions_gco2e=1.0))
    (kept,) = store.kept_plans(0.0, 99.0, limit=9)
    assert kept.plan.emissions_gco2e == 300.5


def test_the_latest_ends_of_a_time_and_a_tenant_come_first(store: Store) -> None:
    for name, at_s in (("a", 10.0), ("b", 30.0), ("c", 20.0), ("d", 40.0)):
        ended(store, name, at_s)
    assert [one.plan.job_id for one in store.kept_plans(10.0, 40.0, limit=9)] == ["b", "c", "a"]
    assert [one.plan.job_id for one in store.kept_plans(10.0, 40.0, limit=2)] == ["b", "c"]
    assert store.kept_plans(0.0, 99.0, limit=9, tenant="blue") == []
    assert len(store.kept_plans(0.0, 99.0, limit=9, tenant="red")) == 4


def test_the_uses_of_more_jobs_than_a_statement_names_are_told(store: Store) -> None:
    store.record_uses([a_use(f"job-{number}", 1.0) for number in range(1200)])
    wanted = [f"job-{number}" for number in range(0, 1200, 2)]
    assert sorted(use.subject_id for use in store.uses_of_jobs(wanted)) == sorted(wanted)
    assert store.uses_of_jobs([]) == []


def test_a_database_of_the_schema_before_keeps_its_jobs_and_gets_plans(url: str) -> None:
    older = open_store(url)
    older.submit(a_job("kept"), now_s=1.0)
    older.close()
    with taken_back(url, "0006") as connection:
        assert not connection.dialect.has_table(connection, "first_plans")

    newer = open_store(url)
    assert newer.job("kept").job == a_job("kept")
    ended(newer, "done", 20.0)
    assert [one.plan.job_id for one in newer.kept_plans(0.0, 99.0, limit=9)] == ["done"]
    newer.close()
