"""Work of one job goes piece after piece, whatever becomes of a piece."""

from __future__ import annotations

import asyncio
import logging
import warnings

import pytest

from scheduler.daemon import chains
from scheduler.daemon.chains import Chains


async def test_work_of_one_job_waits_for_what_was_added_before_and_that_of_others_does_not() -> None:
    done: list[str] = []
    gate = asyncio.Event()

    async def first() -> None:
        await gate.wait()
        done.append("first")

    async def noted(name: str) -> None:
        done.append(name)

    under_way = Chains()
    under_way.add("a", first())
    under_way.add("a", noted("second"))
    under_way.add("b", noted("other job"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert done == ["other job"]

    gate.set()
    await under_way.close()
    assert done == ["other job", "first", "second"]


async def test_work_that_fails_is_logged_and_the_next_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    async def failing() -> None:
        raise OSError("no such device")

    async def noted() -> None:
        done.append("next")

    under_way = Chains()
    with caplog.at_level(logging.ERROR):
        under_way.add("a", failing())
        under_way.add("a", noted())
        await under_way.close()
    assert done == ["next"]
    assert [record.__dict__["action"] for record in caplog.records] == ["command_failed"]


async def test_stuck_work_is_given_up_and_so_is_what_waits_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "CLOSE_WITHIN_S", 0.0)
    given_up: list[str] = []

    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append("stuck")

    async def never_begun() -> None:
        given_up.append("begun")

    under_way = Chains()
    under_way.add("a", stuck())
    under_way.add("a", never_begun())
    await asyncio.sleep(0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        await under_way.close()
        for _ in range(3):
            await asyncio.sleep(0)
    assert given_up == ["stuck"]
    assert [str(one.message) for one in said] == []
