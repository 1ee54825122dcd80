"""Random histories of a queue, with crashes between: nothing acknowledged is lost, tokens grow, terminal is final."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, initialize, invariant, multiple, rule

from scheduler.events import Outcome
from scheduler.jobs import (
    HOLDABLE_STATES,
    HOLDING_STATES,
    TERMINAL_STATES,
    TRANSITIONS,
    IllegalTransitionError,
    Interruption,
    JobState,
    NotHoldableError,
)
from scheduler.store.contract import IdempotencyKey
from scheduler.store.sql import open_store
from scheduler.store.standing import Standing
from tests.stores import a_job, sqlite_store_url

LEASE_S = 30.0
# A few jobs with long histories find more than many with short ones.
JOBS = 2
# Nothing is killed here, so nothing has to reach a disk; an fsync a step would take most of the time.
MEMORY = Path("/dev/shm")

_tokens_off = st.sampled_from([0, 0, 0, -1, 1])


@cache
def _migrated() -> Path:
    """An empty queue to copy: a migration for every history would take most of the time."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    open_store(sqlite_store_url(folder)).close()
    return folder


class Histories(RuleBasedStateMachine):
    """The model: for each job the token under which a report must count now, or None when every report is stale."""

    jobs = Bundle("jobs")

    @initialize(target=jobs)
    def open(self) -> MultipleResults[str]:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        shutil.copytree(_migrated(), self.folder, dirs_exist_ok=True)
        self.store = open_store(sqlite_store_url(self.folder))
        self.now_s = 0.0
        self.valid_token: dict[str, int | None] = {}
        self.expires_at_s: dict[str, float] = {}
        self.seen: dict[str, Standing] = {}
        self.pausable: dict[str, bool] = {}
        self.on_hold: set[str] = set()
        return multiple(*(self._submitted() for _ in range(JOBS)))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.folder)

    def _submitted(self) -> str:
        job_id = f"j{len(self.valid_token)}"
        key = IdempotencyKey.of(job_id, b"body")
        self.pausable[job_id] = bool(len(self.pausable) % 2)
        job = a_job(job_id, interruption=Interruption() if self.pausable[job_id] else None)
        assert self.store.submit(job, now_s=self.now_s, idempotency=key).is_new
        self.valid_token[job_id] = None
        return job_id

    @rule(job_id=jobs)
    def submit_again(self, job_id: str) -> None:
        key = IdempotencyKey.of(job_id, b"body")
        again = self.store.submit(a_job(f"{job_id}-again"), now_s=self.now_s, idempotency=key)
        assert (again.job_id, again.is_new) == (job_id, False)

    @rule(job_id=jobs)
    def claim(self, job_id: str) -> None:
        is_free = self.seen[job_id].state in (JobState.WAITING, JobState.PAUSED) and job_id not in self.on_hold
        claim = self.store.claim(job_id, holder="d", region="DE", now_s=self.now_s, lease_s=LEASE_S)
        assert (claim is not None) == is_free
        if claim is not None:
            assert claim.attempt == self.seen[job_id].attempt + 1
            assert claim.token > self.seen[job_id].token
            self._lease(job_id, claim.token)

    @rule(job_id=jobs, off=_tokens_off)
    def take_over(self, job_id: str, off: int) -> None:
        token = self.seen[job_id].token + off
        claim = self.store.take_over(job_id, token, holder="e", now_s=self.now_s, lease_s=LEASE_S)
        assert (claim is not None) == (self.valid_token[job_id] == token)
        if claim is not None:
            assert claim.attempt == self.seen[job_id].attempt
            assert claim.token > self.seen[job_id].token
            self._lease(job_id, claim.token)

    def _lease(self, job_id: str, token: int) -> None:
        self.valid_token[job_id] = token
        self.expires_at_s[job_id] = self.now_s + LEASE_S

    @rule(job_id=jobs, off=_tokens_off)
    def heartbeat(self, job_id: str, off: int) -> None:
        token = self.seen[job_id].token + off
        is_valid = self.valid_token[job_id] == token
        stale = self.store.heartbeat([(job_id, token)], now_s=self.now_s, lease_s=LEASE_S)
        assert stale == (frozenset() if is_valid else {job_id})
        if is_valid:
            self.expires_at_s[job_id] = self.now_s + LEASE_S

    @rule(job_id=jobs, off=_tokens_off)
    def started(self, job_id: str, off: int) -> None:
        token = self.seen[job_id].token + off
        is_valid = self.valid_token[job_id] == token
        if is_valid and self.seen[job_id].state is JobState.RUNNING:
            with pytest.raises(IllegalTransitionError):
                self.store.started(job_id, token, now_s=self.now_s)
        else:
            assert self.store.started(job_id, token, now_s=self.now_s) == is_valid

    @rule(job_id=jobs, off=_tokens_off, done_s=st.floats(0, 3600))
    def pause(self, job_id: str, off: int, done_s: float) -> None:
        token = self.seen[job_id].token + off
        is_valid = self.valid_token[job_id] == token
        assert self.store.pause(job_id, token, done_s=done_s, now_s=self.now_s) == is_valid
        self._end_lease(job_id, is_valid)

    @rule(job_id=jobs, off=_tokens_off, outcome=st.sampled_from(Outcome))
    def finish(self, job_id: str, off: int, outcome: Outcome) -> None:
        token = self.seen[job_id].token + off
        is_valid = self.valid_token[job_id] == token
        assert self.store.finish(job_id, token, outcome=outcome, now_s=self.now_s) == is_valid
        self._end_lease(job_id, is_valid)

    @rule(job_id=jobs, off=_tokens_off)
    def lose(self, job_id: str, off: int) -> None:
        token = self.seen[job_id].token + off
        is_valid = self.valid_token[job_id] == token
        assert (self.store.lose(job_id, token, now_s=self.now_s, reason="gone") is not None) == is_valid
        self._end_lease(job_id, is_valid)

    def _end_lease(self, job_id: str, has_ended: bool) -> None:
        if has_ended:
            self.valid_token[job_id] = None

    @rule(passing_s=st.floats(0, 40))
    def time_passes(self, passing_s: float) -> None:
        self.now_s += passing_s
        overdue = {
            job_id
            for job_id, token in self.valid_token.items()
            if token is not None and self.expires_at_s[job_id] <= self.now_s
        }
        assert {record.job.id for record in self.store.lose_expired(now_s=self.now_s)} == overdue
        for job_id in overdue:
            self.valid_token[job_id] = None

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        if self.seen[job_id].state in TERMINAL_STATES:
            with pytest.raises(IllegalTransitionError):
                self.store.cancel(job_id, now_s=self.now_s)
        else:
            assert self.store.cancel(job_id, now_s=self.now_s).standing.state is JobState.CANCELLED
            self.valid_token[job_id] = None

    @rule(job_id=jobs)
    def requeue(self, job_id: str) -> None:
        if self.seen[job_id].state is JobState.QUARANTINED:
            assert self.store.requeue(job_id, now_s=self.now_s).standing.state is JobState.WAITING
        else:
            with pytest.raises(IllegalTransitionError):
                self.store.requeue(job_id, now_s=self.now_s)

    @rule(job_id=jobs)
    def hold(self, job_id: str) -> None:
        state = self.seen[job_id].state
        if state in HOLDABLE_STATES and (self.pausable[job_id] or state not in HOLDING_STATES):
            self.store.hold(job_id, now_s=self.now_s)
            self.on_hold.add(job_id)
        else:
            with pytest.raises(NotHoldableError):
                self.store.hold(job_id, now_s=self.now_s)

    @rule(job_id=jobs)
    def let_go(self, job_id: str) -> None:
        if self.seen[job_id].state in HOLDABLE_STATES:
            self.store.resume(job_id, now_s=self.now_s)
            self.on_hold.discard(job_id)
        else:
            with pytest.raises(NotHoldableError):
                self.store.resume(job_id, now_s=self.now_s)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = open_store(sqlite_store_url(self.folder))

    @staticmethod
    def _reachable(state: JobState) -> set[JobState]:
        """By one report; a pause may stand for the start that was never reported, too."""
        return {*TRANSITIONS[state].values()} | ({JobState.PAUSED} if state is JobState.STARTING else set())

    @invariant()
    def histories_are_legal(self) -> None:
        for job_id in getattr(self, "valid_token", ()):
            now = self.store.job(job_id).standing  # raises when an accepted job is lost
            before = self.seen.get(job_id, now)
            assert now.token >= before.token and now.attempt >= before.attempt
            assert now.state == before.state or now.state in self._reachable(before.state)
            assert before.state not in TERMINAL_STATES or now == before
            assert (now.on_hold_at_s is not None) == (job_id in self.on_hold)
            is_held = now.state in HOLDING_STATES
            assert is_held == (self.valid_token[job_id] is not None)
            assert is_held == (now.holder is not None) == (now.lease_expires_at_s is not None)
            self.seen[job_id] = now


TestHistories = pytest.mark.slow(Histories.TestCase)
# Without shrinking, which would take minutes: two jobs and forty steps can be read as they are.
TestHistories.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
