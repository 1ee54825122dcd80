"""Why a worker is not metered: what the settings leave out, what its meter says, or that it has said nothing yet."""

from __future__ import annotations

import pytest

from scheduler.daemon.dashboard.worker_meters import describe_metering
from scheduler.daemon.metering import Metering, MeterSight
from scheduler.daemon.workers import Worker
from scheduler.worker_settings import WorkerSettings


def a_worker(*devices: str, meter: MeterSight | None = None, books: bool = True) -> Worker:
    worker = Worker(WorkerSettings(url="http://w:1", models=("m",), region="here", devices=devices))
    worker.meter = meter
    worker.metering = Metering(None) if books and meter is not None else None
    return worker


def test_a_worker_that_is_metered_has_no_problem() -> None:
    told = describe_metering(a_worker("0", meter=MeterSight(source="NVML here", power_w=300.0)), books_metered=True)
    assert told == {
        "worker": "http://w:1",
        "is_metered": True,
        "source": "NVML here",
        "since": None,
        "problem": None,
        "fix": None,
    }


def test_one_that_was_lost_says_since_when_why_and_what_to_do() -> None:
    lost = MeterSight(source="agent gpu1", what="it is silent", remedy="start it", since_at_s=0.0)
    told = describe_metering(a_worker("0", meter=lost), books_metered=True)
    assert (told["is_metered"], told["since"], told["problem"], told["fix"]) == (
        False,
        "1970-01-01T00:00:00Z",
        "it is silent",
        "start it",
    )


@pytest.mark.parametrize(
    ("worker", "books", "problem"),
    [
        (a_worker(), True, "names no `devices`"),
        (a_worker("0"), True, "has not been read yet"),
        (a_worker("0", meter=MeterSight(source="NVML here"), books=False), False, "book_metered is false"),
    ],
)
def test_whoever_is_not_metered_has_a_problem_and_a_fix(worker: Worker, books: bool, problem: str) -> None:
    told = describe_metering(worker, books_metered=books)
    assert not told["is_metered"]
    assert problem in told["problem"]
    assert told["fix"]
