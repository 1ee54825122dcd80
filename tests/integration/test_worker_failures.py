"""What the log says of a worker that fails: which one, of what model, why, what to do, and when it rests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from scheduler.daemon import worker_failures, workers
from scheduler.daemon.worker_failures import REMEDIES
from scheduler.daemon.workers import Failure
from tests.integration.gateway_stand import (
    MODEL,
    SOON_S,
    FakeWorker,
    Gate,
    a_stand,
    answers,
    answers_at_once,
    resets,
    streams,
    until,
)


@pytest.fixture(autouse=True)
def _short_rests(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(workers, "_FIRST_EJECTION_S", 0.05)
    caplog.set_level(logging.INFO, logger=worker_failures.__name__)


def lines(caplog: pytest.LogCaptureFixture) -> Sequence[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.name == worker_failures.__name__]


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line["action"] for line in lines(caplog)]


async def test_a_failed_call_names_worker_and_model_what_failed_and_the_remedy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = FakeWorker(answers(500))
    async with a_stand(worker) as stand:
        await stand.chat()
    first = lines(caplog)[0]
    assert (first["action"], first["worker"], first["model"]) == ("worker_failed", worker.url, MODEL)
    assert (first["failure"], first["detail"]) == (Failure.ERROR, "status 500")
    assert first["remedy"] == REMEDIES[Failure.ERROR]


async def test_a_stream_that_breaks_off_names_its_model_too(caplog: pytest.LogCaptureFixture) -> None:
    async with a_stand(FakeWorker(streams(b"data: {}\n\n", breaks_off=True))) as stand:
        await stand.chat(stream=True)
    assert [(line["model"], line["failure"]) for line in lines(caplog)] == [(MODEL, Failure.BROKEN_OFF)]


async def test_three_failures_are_one_line_of_a_rest_and_its_end_another(caplog: pytest.LogCaptureFixture) -> None:
    worker = FakeWorker(answers(500))
    async with a_stand(worker) as stand:
        for _ in range(3):
            await stand.chat()
        await until(lambda: "worker_rest_ended" in actions(caplog))
        assert stand.count("slacktide_worker_rests_total", worker=worker.url, fault="failures") == 1
        worker.behaviour = answers_at_once
        assert (await stand.chat()).status == 200
    assert actions(caplog) == ["worker_failed"] * 3 + ["worker_rests", "worker_rest_ended"]
    rests, ended = lines(caplog)[3:]
    assert (rests["levelname"], rests["worker"], rests["models"], rests["fault"]) == (
        "WARNING",
        worker.url,
        MODEL,
        "failures",
    )
    assert rests["why"] == f"3 calls in a row failed, the last one of {MODEL}: error, status 500"
    assert (rests["rest_s"], rests["remedy"]) == (0.05, REMEDIES[Failure.ERROR])
    assert ended["worker"] == worker.url
    assert ended["rested_s"] >= 0.05


async def test_a_worker_that_left_the_settings_is_not_said_to_be_given_requests_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = FakeWorker(answers(500))
    async with a_stand(worker) as stand:
        for _ in range(3):
            await stand.chat()
        (rested,) = stand.gateway.workers
        rested.is_retired = True
        await asyncio.sleep(0.1)  # twice its rest
    assert actions(caplog) == ["worker_failed"] * 3 + ["worker_rests"]


async def test_an_answer_that_comes_during_the_rest_ends_it_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_FIRST_EJECTION_S", 3600.0)
    gate = Gate()
    worker = FakeWorker(gate)
    async with a_stand(worker) as stand:
        slow = stand.call()
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        worker.behaviour = resets
        while "worker_rests" not in actions(caplog):
            await stand.chat()
        gate.opened.set()
        assert (await slow).status == 200
        assert actions(caplog)[-1] == "worker_rest_ended"
        worker.behaviour = answers_at_once
        assert (await stand.chat()).status == 200


async def test_what_our_own_end_breaks_off_is_no_failure_of_the_worker(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    worker = FakeWorker(gate)
    async with a_stand(worker) as stand:
        cut_off = stand.call()
        await asyncio.wait_for(gate.entered.wait(), SOON_S)
        await stand.gateway.stop(0.0)
        assert (await cut_off).status >= 500
        assert stand.count("slacktide_worker_failures_total", worker=worker.url, kind="broken_off") == 0
        gate.opened.set()
    assert lines(caplog) == []


def test_there_is_a_remedy_for_every_failure() -> None:
    assert set(REMEDIES) == set(Failure)
