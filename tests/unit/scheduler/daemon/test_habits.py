"""What a restarted daemon knows of how requests came, from a ledger in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from scheduler.daemon.habits import DAYS, habits_of
from scheduler.ledger import EnergyUse
from scheduler.store.contract import Reads
from scheduler.store.sql import open_store
from tests.builders import DAY_S, HOUR_S, YEAR_2022_AT_S, a_request_use

MONDAY_S = YEAR_2022_AT_S + 2 * DAY_S


@contextmanager
def a_ledger(folder: Path, uses: Sequence[EnergyUse]) -> Iterator[Reads]:
    store = open_store(f"sqlite:///{folder / 'queue.db'}")
    store.record_uses(uses)
    try:
        yield store
    finally:
        store.close()


@pytest.mark.slow
def test_requests_at_nine_on_past_days_are_known_after_a_restart(tmp_path: Path) -> None:
    now_s, nine_s = MONDAY_S + 3 * DAY_S, 9 * HOUR_S
    asked = [MONDAY_S + day * DAY_S + nine_s + second for day in range(3) for second in range(900)]
    with a_ledger(tmp_path, [a_request_use(at_s, lasted_s=2.0) for at_s in asked]) as reads:
        known = habits_of(reads, now_s)["llama-3.1-8b"]
    assert known.service_s == pytest.approx(2.0)
    assert 0.9 < (known.usual.least_per_s(now_s + nine_s, now_s + nine_s) or 0.0) < 1.0


@pytest.mark.slow
def test_neither_what_could_wait_nor_what_is_long_ago_is_a_habit(tmp_path: Path) -> None:
    now_s = MONDAY_S
    uses = [
        a_request_use(now_s - HOUR_S, lasted_s=2.0, category="flex"),
        a_request_use(now_s - (DAYS + 1) * DAY_S, lasted_s=2.0),
    ]
    with a_ledger(tmp_path, uses) as reads:
        assert habits_of(reads, now_s) == {}


@pytest.mark.slow
def test_an_empty_ledger_has_no_habits(tmp_path: Path) -> None:
    with a_ledger(tmp_path, []) as reads:
        assert habits_of(reads, MONDAY_S) == {}
