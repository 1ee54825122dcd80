"""The log of a local worker's GPUs: from a module like pynvml to the points of a calibration, on virtual time."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from scheduler.config import TelemetrySettings
from scheduler.daemon.env import Env
from scheduler.daemon.metering import Metering
from scheduler.daemon.nvml import Reading
from scheduler.daemon.telemetry import Telemetry
from scheduler.daemon.workers import Worker
from scheduler.worker_settings import WorkerSettings
from shaping.calibration import Point
from shaping.meter_log import points_from, read_meter_log
from tests.unit.scheduler.daemon.fake_nvml import fake_nvml
from tests.virtual_time import run_virtually

P = ParamSpec("P")
T = TypeVar("T")


class InPlace(Executor):
    """Runs what it is given at once: virtual time knows no threads."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001  as an executor does
            done.set_exception(error)
        return done


def a_worker(*devices: str) -> Worker:
    return Worker(WorkerSettings(url="http://w:1", models=("m",), region="here", gpus=2, devices=devices))


async def kept(
    worker: Worker, folder: Path, *, seconds: int, settings: TelemetrySettings | None = None, speed: float = 1.0
) -> None:
    """A worker that answers a request of 300 and 100 tokens each second, ten at a time, beside its log."""
    env = Env(epoch_s=1000.0, executor=InPlace(), speed=speed)
    task = asyncio.create_task(Telemetry(env, settings or TelemetrySettings(), folder, [worker]).run())
    worker.in_flight = 10
    for _ in range(seconds):
        await env.sleep_s(1.0 * speed)
        worker.served.add(prompt_tokens=300, output_tokens=100)
    task.cancel()
    await asyncio.wait((task,))


def with_two_gpus(monkeypatch: pytest.MonkeyPatch, *, counts: bool = True) -> None:
    """Two GPUs of 250 W each."""

    def now_s() -> float:
        return asyncio.get_running_loop().time()

    watts = dict.fromkeys(("GPU-a", "GPU-b"), lambda: 250.0)
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(watts, now_s=now_s, counts=counts))


def found(folder: Path, name: str = "worker-1-000001.csv") -> tuple[Point, ...]:
    path = folder / name
    return points_from(read_meter_log(path.read_text().splitlines(keepends=True), name)).points


@pytest.mark.parametrize("counts", [True, False], ids=["counter", "power only"])
def test_what_is_logged_calibrates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, counts: bool) -> None:
    with_two_gpus(monkeypatch, counts=counts)
    run_virtually(kept(a_worker("0", "1"), tmp_path, seconds=65))
    (point,) = found(tmp_path)
    assert point.batch_sequences == 10
    assert point.tokens_per_s == pytest.approx(100, rel=0.02)
    assert point.j_per_token == pytest.approx(5.0, rel=0.02)


def test_a_policy_clock_that_runs_ahead_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_two_gpus(monkeypatch)
    run_virtually(kept(a_worker("0", "1"), tmp_path, seconds=65, speed=60.0))
    assert found(tmp_path)[0].j_per_token == pytest.approx(5.0, rel=0.02)


def test_a_worker_elsewhere_is_not_logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_two_gpus(monkeypatch)
    run_virtually(kept(a_worker(), tmp_path, seconds=2))
    assert not list(tmp_path.iterdir())


def test_without_nvml_a_worker_is_served_and_said_to_be_unmetered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    worker = a_worker("0", "1")
    run_virtually(kept(worker, tmp_path, seconds=2))
    assert [record.__dict__["action"] for record in caplog.records] == ["meter_unavailable"]
    assert worker.served.requests == 2
    assert not list(tmp_path.iterdir())


def test_a_full_file_is_followed_by_the_next_and_the_oldest_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_two_gpus(monkeypatch)
    settings = TelemetrySettings(max_file_bytes=4096, files_kept=2)
    run_virtually(kept(a_worker("0", "1"), tmp_path, seconds=300, settings=settings))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2
    assert "worker-1-000001.csv" not in names
    assert all(path.read_text().startswith("at_s,running,") for path in tmp_path.iterdir())


class Silent:
    """A meter whose disk is full before it says anything."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.is_closed = False

    def read(self) -> Reading:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        self.is_closed = True


def test_a_full_disk_ends_the_log_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def ends() -> None:
        env = Env(epoch_s=1000.0, executor=InPlace())
        await Telemetry(env, TelemetrySettings(), tmp_path, [a_worker("0", "1")], Silent).run()

    run_virtually(ends())
    assert caplog.records[-1].__dict__["action"] == "meter_log_ended"


# -- for the ledger ----------------------------------------------------------------------------------------------------


def booked_by(worker: Worker, folder: Path, settings: TelemetrySettings | None = None) -> list[float | None]:
    """Two requests alike, one for all of 2.5 s and one for its first second; the meter is read each second."""
    found: dict[str, float | None] = {}

    async def live() -> None:
        env = Env(epoch_s=1000.0, executor=InPlace())
        task = asyncio.create_task(Telemetry(env, settings or TelemetrySettings(), folder, [worker]).run())
        await env.sleep_s(0.5)
        if worker.metering is not None:
            metering = worker.metering
            shares = {name: metering.began(env.monotonic_s(), 300, 100) for name in ("long", "short")}
            for name, share in shares.items():
                metering.book(share, lambda energy_j, name=name: found.update({name: energy_j}))  # type: ignore[misc]
            await env.sleep_s(1.0)
            metering.ended(shares["short"], env.monotonic_s())
            assert not found
            await env.sleep_s(1.5)
            metering.ended(shares["long"], env.monotonic_s())
            assert list(found) == ["short"]
        task.cancel()
        await asyncio.wait((task,))

    run_virtually(live())
    return [found.get("long"), found.get("short")]


def test_what_gpus_drew_is_split_over_the_requests_that_ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_two_gpus(monkeypatch)
    long_j, short_j = booked_by(a_worker("0", "1"), tmp_path)
    # 500 W; no profile is called m, so time alone counts. From 0 to 1 s both share 500 J, from 1 to 2 s 1 s and 0.5 s.
    assert short_j == pytest.approx(250.0 + 500.0 / 3, rel=0.01)
    assert long_j is None  # the meter ended before it was read again: this one is modelled


def test_nothing_is_split_where_the_settings_say_so_or_there_is_no_meter(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_two_gpus(monkeypatch)
    assert booked_by(a_worker("0", "1"), tmp_path, TelemetrySettings(book_metered=False)) == [None, None]
    assert booked_by(a_worker(), tmp_path) == [None, None]
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert booked_by(a_worker("0", "1"), tmp_path) == [None, None]


def test_after_the_meter_has_ended_requests_are_booked_at_once(tmp_path: Path) -> None:
    metering = Metering(None)
    share = metering.began(0.0, 300, 100)
    metering.close()
    found: list[float | None] = []
    metering.book(share, found.append)
    metering.ended(share, 1.0)
    assert found == [None]
