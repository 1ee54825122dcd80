"""What every store promises, whatever keeps it. SQLite always; PostgreSQL where a server is installed or named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from scheduler.events import Outcome
from scheduler.jobs import IllegalTransitionError, Interruption, JobState, NotHoldableError
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from scheduler.store.contract import (
    Claim,
    DuplicateJobError,
    IdempotencyConflictError,
    IdempotencyKey,
    JobFilter,
    Store,
    UnknownJobError,
    UnstorableError,
)
from scheduler.store.sql import SqlReader, open_store
from scheduler.store.uses_contract import UsesMark, UsesReach, every_use
from tests.stores import a_job


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def reopened(url: str, store: Store) -> Iterator[Callable[[], Store]]:
    again: list[Store] = []

    def reopen() -> Store:
        store.close()
        again.append(open_store(url))
        return again[-1]

    yield reopen
    for one in again:
        one.close()


def claim_of(store: Store, job_id: str, *, now_s: float = 10.0, holder: str = "daemon-1") -> Claim:
    claim = store.claim(job_id, holder=holder, region="DE", now_s=now_s, lease_s=30.0)
    assert claim is not None
    return claim


def state_of(store: Store, job_id: str) -> JobState:
    return store.job(job_id).standing.state


# -- acceptance ------------------------------------------------------------------------------------------------------


def test_a_submitted_job_reads_back_as_it_was(store: Store) -> None:
    job = a_job("a", regions=("DE", "FR"), arguments=(("epochs", "3"),), label="nightly")
    assert store.submit(job, now_s=5.0, payload={"command": ["train", "--x"], "env": {"A": "1"}}).is_new
    record = store.job("a")
    assert record.job == job
    assert record.payload == {"command": ["train", "--x"], "env": {"A": "1"}}
    assert (record.standing.state, record.standing.changed_at_s, record.result) == (JobState.WAITING, 5.0, None)


def test_a_list_of_jobs_leaves_their_payloads_where_they_are(store: Store) -> None:
    store.submit(a_job("a"), now_s=5.0, payload={"requests": [{"custom_id": "1"}]})

    assert [record.payload for record in store.jobs(JobFilter(), limit=5)] == [None]
    assert [record.payload for record in store.open_jobs()] == [None]


def test_an_unknown_job_is_said_to_be_unknown(store: Store) -> None:
    with pytest.raises(UnknownJobError):
        store.job("nobody")
    with pytest.raises(UnknownJobError):
        store.claim("nobody", holder="d", region="DE", now_s=1.0, lease_s=30.0)


def test_the_same_key_and_body_answer_the_first_job(store: Store) -> None:
    key = IdempotencyKey.of("retry-1", b'{"x": 1}')
    store.submit(a_job("a"), now_s=1.0, idempotency=key)
    second = store.submit(a_job("b"), now_s=2.0, idempotency=key)
    assert (second.job_id, second.is_new) == ("a", False)
    assert [record.job.id for record in store.open_jobs()] == ["a"]


def test_the_same_key_with_another_body_is_a_conflict(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0, idempotency=IdempotencyKey.of("k", b"one"))
    with pytest.raises(IdempotencyConflictError) as refused:
        store.submit(a_job("b"), now_s=1.0, idempotency=IdempotencyKey.of("k", b"two"))
    assert refused.value.job_id == "a"


def test_a_key_can_be_looked_up_before_anything_is_made_for_it(store: Store) -> None:
    key = IdempotencyKey.of("k", b"one")
    assert store.submission_of("default", key) is None
    store.submit(a_job("a"), now_s=1.0, idempotency=key)
    assert store.submission_of("default", key) == "a"
    assert store.submission_of("other", key) is None
    with pytest.raises(IdempotencyConflictError):
        store.submission_of("default", IdempotencyKey.of("k", b"two"))


def test_keys_of_two_tenants_do_not_meet(store: Store) -> None:
    key = IdempotencyKey.of("k", b"one")
    assert store.submit(a_job("a", tenant="red"), now_s=1.0, idempotency=key).is_new
    assert store.submit(a_job("b", tenant="blue"), now_s=1.0, idempotency=key).is_new


def test_an_id_is_accepted_once(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    with pytest.raises(DuplicateJobError):
        store.submit(a_job("a"), now_s=1.0)


def test_a_number_that_json_cannot_say_is_refused(store: Store) -> None:
    with pytest.raises(UnstorableError):
        store.submit(a_job("a", deadline_at_s=float("inf")), now_s=1.0)
    assert store.open_jobs() == []


def test_a_period_is_launched_once_and_in_one_piece_with_its_job(store: Store) -> None:
    first = store.launch("nightly", "2026-10-25T02:30", a_job("a"), now_s=1.0)
    again = store.launch("nightly", "2026-10-25T02:30", a_job("b"), now_s=2.0)
    assert (first.is_new, again.is_new, again.job_id) == (True, False, "a")
    with pytest.raises(DuplicateJobError), store.transaction():
        store.launch("nightly", "2026-10-26T02:30", a_job("a"), now_s=3.0)
    assert store.last_period("nightly") == "2026-10-25T02:30"
    assert store.last_period("weekly") is None


# -- leases and tokens -----------------------------------------------------------------------------------------------


def test_a_job_is_claimed_by_one_holder(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    claim = claim_of(store, "a", now_s=10.0)
    standing = store.job("a").standing
    assert (claim.attempt, claim.token) == (1, 1)
    assert (standing.state, standing.region, standing.lease_expires_at_s) == (JobState.STARTING, "DE", 40.0)
    assert store.claim("a", holder="daemon-2", region="FR", now_s=11.0, lease_s=30.0) is None


def test_the_token_and_the_attempt_grow_with_every_claim(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    first = claim_of(store, "a")
    assert store.lose("a", first.token, now_s=20.0, reason="worker gone") is JobState.WAITING
    second = claim_of(store, "a", now_s=30.0)
    assert second.token > first.token
    assert second.attempt == 2


def test_a_report_under_an_old_token_changes_nothing(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    old = claim_of(store, "a").token
    store.lose("a", old, now_s=20.0, reason="silent")
    assert not store.finish("a", old, outcome=Outcome.SUCCEEDED, now_s=21.0)
    new = claim_of(store, "a", now_s=30.0).token
    assert not store.started("a", old, now_s=31.0)
    assert not store.pause("a", old, done_s=5.0, now_s=31.0)
    assert not store.finish("a", old, outcome=Outcome.SUCCEEDED, now_s=31.0)
    assert store.lose("a", old, now_s=31.0, reason="") is None
    assert store.take_over("a", old, holder="x", now_s=31.0, lease_s=30.0) is None
    assert state_of(store, "a") is JobState.STARTING
    assert store.started("a", new, now_s=32.0)


def test_a_heartbeat_renews_the_lease_and_names_the_stale(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.submit(a_job(name), now_s=1.0)
    held, gone = claim_of(store, "a", now_s=10.0).token, claim_of(store, "b", now_s=10.0).token
    store.cancel("b", now_s=15.0)
    assert store.heartbeat([("a", held), ("b", gone), ("c", 1)], now_s=35.0, lease_s=30.0) == {"b", "c"}
    assert store.job("a").standing.lease_expires_at_s == 65.0
    assert store.lose_expired(now_s=64.9) == []


def test_an_expired_lease_is_taken_back_and_the_third_time_quarantined(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    states = []
    for attempt in range(3):
        claim_of(store, "a", now_s=100.0 * attempt)
        [record] = store.lose_expired(now_s=100.0 * attempt + 30.0)
        states.append(record.standing.state)
    assert states == [JobState.WAITING, JobState.WAITING, JobState.QUARANTINED]
    assert "attempt 3" in store.job("a").standing.reason
    assert store.claim("a", holder="d", region="DE", now_s=400.0, lease_s=30.0) is None
    requeued = store.requeue("a", now_s=500.0)
    assert (requeued.standing.state, requeued.standing.lost_attempts) == (JobState.WAITING, 0)
    assert claim_of(store, "a", now_s=501.0).attempt == 4


def test_taking_over_keeps_the_attempt_and_makes_the_former_holder_stale(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    before = claim_of(store, "a", holder="daemon-1")
    store.started("a", before.token, now_s=11.0)
    after = store.take_over("a", before.token, holder="daemon-2", now_s=200.0, lease_s=30.0)
    assert after is not None
    assert (after.attempt, after.token) == (before.attempt, before.token + 1)
    assert state_of(store, "a") is JobState.RUNNING
    assert not store.finish("a", before.token, outcome=Outcome.FAILED, now_s=201.0)
    assert store.finish("a", after.token, outcome=Outcome.SUCCEEDED, now_s=202.0)


# -- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_that_pauses_resumes_where_it_was(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    token = claim_of(store, "a").token
    store.started("a", token, now_s=12.0)
    assert store.pause("a", token, done_s=600.0, now_s=700.0)
    standing = store.job("a").standing
    assert (standing.state, standing.holder, standing.lease_expires_at_s) == (JobState.PAUSED, None, None)
    assert claim_of(store, "a", now_s=900.0).done_s == 600.0


def test_a_finished_run_keeps_its_result(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    token = claim_of(store, "a").token
    assert store.finish("a", token, outcome=Outcome.FAILED, now_s=50.0, result={"exit_code": 3}, reason="exit code 3")
    record = store.job("a")
    assert record.result == {"exit_code": 3}
    assert (record.standing.state, record.standing.ended_at_s, record.standing.reason) == (
        JobState.FAILED,
        50.0,
        "exit code 3",
    )


def test_a_terminal_state_is_final(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    token = claim_of(store, "a").token
    store.finish("a", token, outcome=Outcome.SUCCEEDED, now_s=50.0)
    assert not store.finish("a", token, outcome=Outcome.FAILED, now_s=51.0)
    assert store.claim("a", holder="d", region="DE", now_s=52.0, lease_s=30.0) is None
    with pytest.raises(IllegalTransitionError):
        store.cancel("a", now_s=53.0)
    with pytest.raises(IllegalTransitionError):
        store.requeue("a", now_s=53.0)
    assert state_of(store, "a") is JobState.SUCCEEDED


def test_an_illegal_report_under_a_good_token_raises_and_leaves_the_job(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    token = claim_of(store, "a").token
    assert store.started("a", token, now_s=11.0)
    with pytest.raises(IllegalTransitionError):
        store.started("a", token, now_s=12.0)
    assert (state_of(store, "a"), store.job("a").standing.started_at_s) == (JobState.RUNNING, 11.0)


def test_a_run_whose_start_was_never_reported_can_pause(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    token = claim_of(store, "a").token
    assert store.pause("a", token, done_s=60.0, now_s=90.0)
    assert state_of(store, "a") is JobState.PAUSED


def test_a_cancelled_run_is_stale_at_once(store: Store) -> None:
    store.submit(a_job("a"), now_s=1.0)
    token = claim_of(store, "a").token
    assert store.cancel("a", now_s=20.0, reason="by its owner").standing.state is JobState.CANCELLED
    assert not store.finish("a", token, outcome=Outcome.SUCCEEDED, now_s=21.0)
    assert store.job("a").standing.reason == "by its owner"


# -- transactions ----------------------------------------------------------------------------------------------------


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.submit(a_job("a"), now_s=1.0)
        raise ZeroDivisionError
    assert store.open_jobs() == []


def test_a_savepoint_that_fails_leaves_the_rest(store: Store) -> None:
    with store.transaction():
        store.submit(a_job("a"), now_s=1.0)
        with pytest.raises(DuplicateJobError), store.savepoint():
            store.submit(a_job("b"), now_s=1.0)
            store.submit(a_job("a"), now_s=1.0)
        store.submit(a_job("c"), now_s=1.0)
    assert [record.job.id for record in store.open_jobs()] == ["a", "c"]


def test_everything_is_there_after_reopening(store: Store, reopened: Callable[[], Store]) -> None:
    store.submit(a_job("a"), now_s=1.0, payload={"x": 1})
    store.submit(a_job("b"), now_s=1.0)
    token = claim_of(store, "b").token
    before = store.open_jobs()
    again = reopened()
    assert again.open_jobs() == before
    assert again.started("b", token, now_s=20.0)


# -- questions -------------------------------------------------------------------------------------------------------


def test_pages_go_back_from_the_newest_without_gap_or_overlap(store: Store) -> None:
    for number in range(5):
        store.submit(a_job(f"j{number}"), now_s=1.0)
    first = store.jobs(JobFilter(), limit=2)
    second = store.jobs(JobFilter(), limit=2, before=first[-1].sequence)
    third = store.jobs(JobFilter(), limit=2, before=second[-1].sequence)
    assert [record.job.id for page in (first, second, third) for record in page] == ["j4", "j3", "j2", "j1", "j0"]


def test_a_filter_by_state_and_tenant(store: Store) -> None:
    store.submit(a_job("a", tenant="red"), now_s=1.0)
    store.submit(a_job("b", tenant="blue"), now_s=1.0)
    store.submit(a_job("c", tenant="red"), now_s=1.0)
    store.cancel("c", now_s=2.0)
    chosen = JobFilter(states=frozenset({JobState.WAITING}), tenant="red")
    assert [record.job.id for record in store.jobs(chosen, limit=10)] == ["a"]
    counts = store.count_by_state()
    assert (counts[JobState.WAITING], counts[JobState.CANCELLED], counts[JobState.RUNNING]) == (2, 1, 0)


def test_open_jobs_come_in_the_order_of_acceptance(store: Store) -> None:
    for name in ("z", "a", "m"):
        store.submit(a_job(name), now_s=1.0)
    store.cancel("a", now_s=2.0)
    assert [record.job.id for record in store.open_jobs()] == ["z", "m"]


# -- on hold ----------------------------------------------------------------------------------------------------------


def test_a_job_on_hold_is_not_given_out_until_it_is_let_go(reopened: Callable[[], Store], store: Store) -> None:
    store.submit(a_job("one"), now_s=1.0)
    held = store.hold("one", now_s=2.0)
    assert (held.standing.state, held.standing.on_hold_at_s) == (JobState.WAITING, 2.0)
    assert store.hold("one", now_s=3.0).standing.on_hold_at_s == 2.0

    again = reopened()
    assert again.job("one").standing.on_hold_at_s == 2.0
    assert again.claim("one", holder="d", region="here", now_s=4.0, lease_s=60.0) is None
    assert again.resume("one", now_s=5.0).standing.on_hold_at_s is None
    assert again.claim("one", holder="d", region="here", now_s=6.0, lease_s=60.0) is not None


def test_a_run_on_hold_is_reported_like_every_other_and_stays_on_hold(store: Store) -> None:
    store.submit(a_job("one", interruption=Interruption()), now_s=1.0)
    claim = store.claim("one", holder="d", region="here", now_s=2.0, lease_s=60.0)
    assert claim is not None
    store.hold("one", now_s=3.0)
    assert store.started("one", claim.token, now_s=4.0)
    assert store.pause("one", claim.token, done_s=5.0, now_s=6.0)
    standing = store.job("one").standing
    assert (standing.state, standing.done_s, standing.on_hold_at_s) == (JobState.PAUSED, 5.0, 3.0)


def test_what_cannot_be_put_on_hold_is_refused_and_left_alone(store: Store) -> None:
    store.submit(a_job("runs"), now_s=1.0)
    store.claim("runs", holder="d", region="here", now_s=2.0, lease_s=60.0)
    store.submit(a_job("over"), now_s=1.0)
    store.cancel("over", now_s=2.0)
    for name in ("runs", "over"):
        before = store.job(name).standing
        with pytest.raises(NotHoldableError):
            store.hold(name, now_s=3.0)
        assert store.job(name).standing == before
    with pytest.raises(NotHoldableError):
        store.resume("over", now_s=3.0)
    with pytest.raises(UnknownJobError):
        store.hold("nobody", now_s=3.0)


def a_use(subject_id: str, started_at_s: float, *, tenant: str = "default") -> EnergyUse:
    return EnergyUse(
        subject=Subject.JOB,
        subject_id=subject_id,
        category="final",
        tenant=tenant,
        region="DE",
        zone="DE",
        started_at_s=started_at_s,
        ended_at_s=started_at_s + 60.0,
        energy_kwh=0.1 + 0.2,
        basis=EnergyBasis.MODELLED,
        pue=1.2,
        at_once_at_s=0.0,
        at_once_zone="FR",
        at_once_pue=1.1,
    )


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_of_uses_are_all_of_them_once_in_their_order(store: Store, limit: int) -> None:
    # Several start at one instant, and a page may end between them.
    uses = [a_use(f"use-{number}", 100.0 * (number % 3), tenant="red" if number % 2 else "blue") for number in range(7)]
    store.record_uses(uses)
    for tenant in (None, "red"):
        found: list[EnergyUse] = []
        after: UsesMark | None = None
        while True:
            page = store.uses_page(0.0, 150.0, after=after, limit=limit, tenant=tenant)
            assert len(page.uses) <= limit
            found += page.uses
            if (after := page.ends_at) is None:
                break
        assert found == store.uses(0.0, 150.0, tenant=tenant) == list(every_use(store, 0.0, 150.0, tenant=tenant))


def test_the_reach_of_uses_holds_what_they_are_compared_with(store: Store) -> None:
    assert store.uses_reach(0.0, 1e9) is None
    plain = replace(a_use("plain", 200.0), at_once_at_s=50.0, zone="DE", at_once_zone="FR")
    longer = replace(a_use("longer", 300.0), at_once_at_s=300.0, at_once_lasted_s=500.0, zone="DE", at_once_zone="DE")
    store.record_uses([plain, longer])
    assert store.uses_reach(0.0, 300.0) == UsesReach(start_at_s=50.0, end_at_s=260.0, zones=frozenset({"DE", "FR"}))
    assert store.uses_reach(250.0, 1e9) == UsesReach(start_at_s=300.0, end_at_s=800.0, zones=frozenset({"DE"}))


def test_uses_read_back_exactly_by_their_start(store: Store) -> None:
    late, early = a_use("late", 200.0), a_use("early", 100.0, tenant="red")
    store.record_uses([late, early])
    assert store.uses(0.0, 1000.0) == [early, late]
    assert store.uses(100.0, 200.0) == [early]
    assert store.uses(0.0, 1000.0, tenant="red") == [early]
    assert store.uses_of(Subject.JOB, "early") == [early]
    assert store.uses_of(Subject.REQUEST, "early") == []


def test_spans_are_of_one_category_and_the_oldest_use_is_known(store: Store) -> None:
    assert store.first_use_at_s() is None
    uses = [a_use("late", 200.0), a_use("early", 100.0)]
    store.record_uses([*uses, replace(a_use("flex", 150.0), category="flex")])
    category = uses[0].category
    assert sorted(store.spans(category, 0.0, 200.0)) == [("DE", "", 100.0, 160.0)]
    assert len(store.spans(category, 0.0, 201.0)) == 2
    assert store.first_use_at_s() == 100.0


def test_a_note_is_kept_and_replaced(store: Store) -> None:
    assert store.meta("drained") is None
    store.set_meta("drained", "no")
    store.set_meta("drained", "yes")
    assert store.meta("drained") == "yes"


def test_a_reader_sees_what_is_committed_and_nothing_else(store: Store, url: str) -> None:
    reader = SqlReader(url)
    with store.transaction():
        store.submit(a_job("a"), now_s=1.0)
        assert reader.open_jobs() == []
    assert [record.job.id for record in reader.open_jobs()] == ["a"]
    reader.close()
