"""What every store promises of keys, the audit log and used quotas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.keys import Key, Scope
from scheduler.quotas import Limit, Used, What, Window
from scheduler.store.access_contract import AuditEntry, DuplicateKeyError, UnknownKeyError
from scheduler.store.contract import Store
from scheduler.store.sql import SqlReader, open_store
from tests.stores import a_job, sqlite_store_url, taken_back


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


def a_key(key_id: str) -> Key:
    return Key(
        id=key_id,
        tenant="red",
        scopes=(Scope.INFER, Scope.READ),
        key_sha256="ab" * 32,
        created_at_s=1.5,
        created_by="anyone",
        name="é",
        expires_at_s=9.5,
    )


def an_entry(target: str, tenant: str | None = "red") -> AuditEntry:
    return AuditEntry(
        at_s=2.5,
        key_id="k",
        tenant=tenant,
        action="POST /api/v1/keys",
        target=target,
        status=201,
        code="",
        request_id="req-1",
    )


def test_a_key_reads_back_as_it_was(url: str, store: Store) -> None:
    everybodys = replace(a_key("b"), tenant=None, expires_at_s=None)
    store.add_key(a_key("a"))
    store.add_key(everybodys)
    reader = SqlReader(url)
    assert reader.keys() == store.keys() == [a_key("a"), everybodys]
    reader.close()


def test_an_id_is_given_once(store: Store) -> None:
    store.add_key(a_key("a"))
    with pytest.raises(DuplicateKeyError), store.transaction(), store.savepoint():
        store.add_key(a_key("a"))
    assert store.keys() == [a_key("a")]


def test_only_the_end_and_the_successor_of_a_key_change(store: Store) -> None:
    store.add_key(a_key("a"))
    ended = replace(a_key("a"), expires_at_s=3.0, revoked_at_s=2.0, replaced_by="b")
    store.write_key(replace(ended, tenant="blue", scopes=(Scope.ADMIN,), key_sha256="cd" * 32))
    assert store.keys() == [ended]
    with pytest.raises(UnknownKeyError):
        store.write_key(a_key("nobody"))


def test_the_audit_log_is_read_newest_first_a_page_at_a_time(store: Store) -> None:
    store.append_audit([an_entry("1"), an_entry("2", tenant="blue")])
    store.append_audit([])
    store.append_audit([an_entry("3", tenant=None), an_entry("4")])
    newest = store.audit(limit=2)
    assert [one.target for one in newest] == ["4", "3"]
    assert replace(newest[0], sequence=0) == an_entry("4")
    assert [one.target for one in store.audit(limit=9, before=newest[-1].sequence)] == ["2", "1"]
    assert [one.target for one in store.audit(limit=9, tenant="red")] == ["4", "1"]


def test_parts_of_a_month_add_up_whoever_stores_them(store: Store) -> None:
    part = Used(
        tenant="red",
        month="2026-01",
        requests=2,
        tokens=5_000_000_000,
        energy_kwh=0.5,
        emissions_gco2e=0.25,
        energy_usd=0.125,
        unpriced_kwh=1.0,
    )
    given_back = Used(tenant="red", month="2026-01", tokens=-1_000_000_000)
    store.add_used([part, replace(part, month="2026-02"), replace(part, tenant="blue")])
    store.add_used([part, given_back])
    assert store.used("2026-01") == [replace(part, tenant="blue"), part.plus(part).plus(given_back)]
    assert store.used("2026-03") == []


def test_a_quota_is_written_whole_and_taken_away_whole(url: str, store: Store) -> None:
    calls = Limit(what=What.REQUESTS, window=Window.MINUTE, most_cost=60.0)
    grams = Limit(what=What.GCO2E, window=Window.MONTH, most_cost=0.5)
    store.write_quota("red", [calls, grams])
    store.write_quota("blue", [grams])
    store.write_quota("red", [calls])
    reader = SqlReader(url)
    assert reader.quotas() == store.quotas() == {"red": (calls,), "blue": (grams,)}
    reader.close()
    store.write_quota("red", [])
    store.write_quota("nobody", [])
    assert store.quotas() == {"blue": (grams,)}


def test_a_key_and_its_entry_in_the_log_are_one_change(store: Store) -> None:
    with pytest.raises(UnknownKeyError), store.transaction():
        store.append_audit([an_entry("1")])
        store.write_key(a_key("nobody"))
    assert store.audit(limit=9) == []


def test_a_database_of_the_schema_before_keeps_what_it_holds_and_gets_keys(tmp_path: Path) -> None:
    url = sqlite_store_url(tmp_path)
    older = open_store(url)
    older.submit(a_job("kept"), now_s=1.0)
    older.close()
    with taken_back(url, "0002"):
        pass

    newer = open_store(url)
    assert newer.job("kept").job == a_job("kept")
    assert newer.keys() == []
    newer.add_key(a_key("a"))
    newer.close()
