"""Which workers have which meter, what is said where they have none, and a log beside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import pytest

from scheduler.agent_settings import AgentSettings
from scheduler.config import TelemetrySettings
from scheduler.daemon.env import Env
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.remote_meters import RemoteMeters
from scheduler.daemon.workers import Worker
from scheduler.gpu_report import GpuReading, Report, written
from scheduler.worker_settings import WorkerSettings
from tests.unit.scheduler.daemon.test_telemetry import InPlace
from tests.unit.scheduler.test_gpu_report import a_gpu, a_report
from tests.virtual_time import run_virtually

ENVIRONMENT = {"T": "a-token-of-16-and-more"}


def a_worker(url: str, *devices: str, agent: str = "gpu1", model: str = "m") -> Worker:
    return Worker(WorkerSettings(url=url, models=(model,), region="here", devices=devices, agent=agent))


class Answers:
    """Stands for the session: each second of the loop an agent has drawn 400 J more on each board."""

    def __init__(self, gpus: Sequence[GpuReading], **fields: Any) -> None:
        self.gpus, self.fields = gpus, fields
        self.asked: list[tuple[str, Any]] = []
        self.fails = False
        self.status = 200
        self.content: Any = None

    def get(self, url: str, *, headers: Any, allow_redirects: bool) -> Answers:
        assert not allow_redirects
        self.asked.append((url, headers))
        if self.fails:
            raise aiohttp.ClientConnectionError
        return self

    async def __aenter__(self) -> Answers:
        now_s = asyncio.get_running_loop().time()
        gpus = [_drawn(one, 400.0 * now_s) for one in self.gpus]
        report = a_report(*gpus, sequence=int(now_s * 10), age_s=0.0, **self.fields)
        self.content = _stream(report)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


def _drawn(gpu: GpuReading, energy_j: float) -> GpuReading:
    values = {name: getattr(gpu, name) for name in GpuReading.__slots__}
    return GpuReading(**(values | {"energy_j": energy_j}))


def _stream(report: Report) -> Any:
    class Whole:
        async def iter_any(self) -> Any:
            yield written(report)

    return Whole()


async def followed(
    workers: Sequence[Worker],
    answers: Answers,
    folder: Path,
    seconds: float,
    metrics: Metrics | None = None,
    environment: dict[str, str] | None = None,
    **settings: Any,
) -> None:
    """The daemon's task beside its agent for so long."""
    meters = RemoteMeters(
        Env(epoch_s=1000.0, executor=InPlace()),
        agents=[AgentSettings(name="gpu1", url="http://gpu1:9402/", token_env="T")],
        settings=TelemetrySettings(**settings),
        folder=folder,
        workers=workers,
        environment=ENVIRONMENT if environment is None else environment,
        metrics=metrics or Metrics(),
    )
    (agent,) = meters._agents
    task = asyncio.create_task(meters._follow(agent, answers))  # type: ignore[arg-type]
    await asyncio.sleep(seconds)  # virtual
    assert not task.done(), task.exception()
    task.cancel()
    await asyncio.wait((task,))


def test_the_agent_is_asked_with_its_token_once_a_second_whoever_stands_on_it(tmp_path: Path) -> None:
    answers = Answers([a_gpu(0), a_gpu(1)])
    workers = [a_worker("http://w:1", "0"), a_worker("http://w:2", "1"), a_worker("http://w:3")]
    run_virtually(followed(workers, answers, tmp_path, 4.5))
    assert answers.asked == [("http://gpu1:9402/readings", {"Authorization": "Bearer a-token-of-16-and-more"})] * 5


def test_without_its_token_the_agent_is_not_asked_and_that_is_said(tmp_path: Path) -> None:
    answers, worker = Answers([a_gpu(0)]), a_worker("http://w:1", "0")

    async def live() -> None:
        task = asyncio.create_task(followed([worker], answers, tmp_path, 2.0, environment={}))
        await asyncio.sleep(1.0)
        assert worker.meter is not None
        assert worker.meter.what == "the environment variable T is not set"
        await task

    run_virtually(live())
    assert answers.asked == []


def test_workers_on_the_same_gpus_share_their_joules(tmp_path: Path) -> None:
    one, two = a_worker("http://w:1", "0"), a_worker("http://w:2", "0", model="n")
    other = a_worker("http://w:3", "1")
    found: dict[str, float | None] = {}

    async def live() -> None:
        task = asyncio.create_task(followed([one, two, other], Answers([a_gpu(0), a_gpu(1)]), tmp_path, 6.0))
        await asyncio.sleep(1.5)
        now_s = asyncio.get_running_loop().time()
        for name, worker in {"one": one, "two": two, "other": other}.items():
            assert worker.is_metered
            assert worker.metering is not None
            share = worker.metering.began(now_s, 0, 100)
            worker.metering.book(share, lambda metered_j, name=name: found.update({name: metered_j}))  # type: ignore[misc]
            worker.metering.ended(share, now_s + 2.0)
        await task

    run_virtually(live())
    # 400 W; from 1.5 to 3.5 s in windows of a second: 400 J each for who is there, and half of that for each of two.
    assert found["other"] == pytest.approx(1200.0)
    assert found["one"] == found["two"] == pytest.approx(600.0)


def test_one_gpu_under_two_names_is_metered_for_nobody(tmp_path: Path) -> None:
    workers = [a_worker("http://w:1", "0"), a_worker("http://w:2", "GPU-a"), a_worker("http://w:3", "1")]

    async def live() -> list[bool]:
        task = asyncio.create_task(followed(workers, Answers([a_gpu(0), a_gpu(1)]), tmp_path, 2.0))
        await asyncio.sleep(1.5)
        metered = [one.is_metered for one in workers]
        assert workers[0].meter is not None
        assert "GPU GPU-a is named by two workers" in workers[0].meter.what
        await task
        return metered

    assert run_virtually(live()) == [False, False, True]


def test_a_lost_answer_changes_nothing_and_silence_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    answers, worker, metrics = Answers([a_gpu(0)]), a_worker("http://w:1", "0"), Metrics()
    value = metrics.registry.get_sample_value

    async def live() -> None:
        task = asyncio.create_task(followed([worker], answers, tmp_path, 30.0, metrics, stale_s=5))
        await asyncio.sleep(2.5)
        answers.fails = True
        await asyncio.sleep(3.0)
        assert worker.is_metered
        assert value("slacktide_worker_gpu_power_watts", {"worker": "http://w:1"}) == 400.0
        await asyncio.sleep(4.0)
        assert not worker.is_metered
        assert value("slacktide_worker_metered", {"worker": "http://w:1"}) == 0.0
        assert value("slacktide_worker_gpu_power_watts", {"worker": "http://w:1"}) is None
        answers.fails = False
        await asyncio.sleep(2.0)
        assert worker.is_metered
        await task

    run_virtually(live())
    actions = [record.__dict__["action"] for record in caplog.records]
    assert actions == ["meter_unavailable"]  # once, and not with each try


def test_what_is_read_is_logged_to_calibrate_with_and_ends_with_the_daemon(tmp_path: Path) -> None:
    worker = a_worker("http://w:1", "0")
    run_virtually(followed([worker], Answers([a_gpu(0)]), tmp_path, 4.5, book_metered=False))
    header, *lines = (tmp_path / "worker-1-000001.csv").read_text().splitlines()
    assert header.startswith("at_s,running")
    assert [line.split(",")[0] for line in lines] == [f"{1000 + n}.000" for n in range(5)]
    assert [line.split(",")[-2:] for line in lines][:2] == [["0.000", "400.000"], ["400.000", "400.000"]]
    assert (worker.metering, worker.is_metered) == (None, False)
