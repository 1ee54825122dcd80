from __future__ import annotations

import pytest

from scheduler.events import Outcome
from scheduler.jobs import IllegalTransitionError, JobState
from scheduler.store import standing
from scheduler.store.standing import Standing


def a_claimed(now_s: float = 10.0) -> Standing:
    waiting = Standing(changed_at_s=0.0)
    return standing.claimed(waiting, holder="daemon", region="DE", lease_s=45.0, now_s=now_s)


def test_a_claim_counts_the_attempt_and_grows_the_token() -> None:
    claimed = a_claimed(now_s=10.0)
    assert (claimed.state, claimed.attempt, claimed.token) == (JobState.STARTING, 1, 1)
    assert (claimed.holder, claimed.lease_expires_at_s, claimed.region) == ("daemon", 55.0, "DE")


def test_only_the_current_token_of_a_held_job_counts() -> None:
    claimed = a_claimed()
    assert claimed.is_held_under(1)
    assert not claimed.is_held_under(2)
    given_back = standing.lost(claimed, reason="silent", now_s=20.0)
    assert not given_back.is_held_under(1)


def test_a_paused_job_keeps_what_is_done_and_gives_its_lease_back() -> None:
    running = standing.started(a_claimed(), now_s=12.0)
    paused = standing.paused(running, done_s=600.0, now_s=700.0)
    assert (paused.state, paused.done_s, paused.holder, paused.lease_expires_at_s) == (
        JobState.PAUSED,
        600.0,
        None,
        None,
    )


def test_a_loss_keeps_the_checkpoint() -> None:
    running = standing.started(a_claimed(), now_s=12.0)
    paused = standing.paused(running, done_s=600.0, now_s=700.0)
    again = standing.claimed(paused, holder="daemon", region="FR", lease_s=45.0, now_s=800.0)
    assert standing.lost(again, reason="silent", now_s=900.0).done_s == 600.0


def test_pauses_do_not_bring_a_job_nearer_to_quarantine() -> None:
    now = Standing(changed_at_s=0.0)
    for _ in range(5):
        now = standing.claimed(now, holder="d", region="DE", lease_s=45.0, now_s=1.0)
        now = standing.paused(standing.started(now, now_s=2.0), done_s=1.0, now_s=3.0)
    assert (now.attempt, now.lost_attempts, now.state) == (5, 0, JobState.PAUSED)


def test_a_finished_job_can_do_nothing_more() -> None:
    finished = standing.finished(a_claimed(), outcome=Outcome.FAILED, reason="exit code 1", now_s=20.0)
    assert finished.is_terminal
    with pytest.raises(IllegalTransitionError):
        standing.cancelled(finished, reason="", now_s=21.0)
