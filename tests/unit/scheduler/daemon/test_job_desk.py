"""What becomes of a budget that was promised when the client leaves before its job is durable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from scheduler.daemon.env import Env
from scheduler.daemon.job_desk import JobDesk
from scheduler.events import Event
from scheduler.jobs import IllegalTransitionError, JobAction, JobState
from scheduler.planning.weighed.admission import Admitted
from scheduler.store.contract import Submission
from tests.builders import a_job
from tests.unit.scheduler.test_first_plans import a_placement


@dataclass(slots=True)
class SlowQueue:
    """A writer that answers when it is let go, and the reads beside it."""

    fails_with: Exception | None = None
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, change: Callable[[Any], Any], *, is_admission: bool = False) -> Submission:
        self.is_asked.set()
        await self.may_answer.wait()
        if self.fails_with is not None:
            raise self.fails_with
        return Submission(job_id="job", is_new=True)

    def job(self, job_id: str) -> str:
        return f"the record of {job_id}"


@dataclass(slots=True)
class Told:
    """Stands for the engine's runner and for the budgets: what each was told, in order."""

    log: list[str] = field(default_factory=list)

    def post(self, event: Event) -> None:
        self.log.append(type(event).__name__)

    def promise(self, accepted: Admitted) -> None:
        self.log.append("promised")

    def take_back(self, job_id: str) -> None:
        self.log.append("taken back")

    def let_go(self, job_id: str, now_s: float) -> None:
        self.log.append("promised")


def a_desk(queue: SlowQueue, told: Told) -> JobDesk:
    outside: dict[str, Any] = {"writer": queue, "reads": queue, "runner": told, "budgets": told}
    return JobDesk(env=Env(epoch_s=0.0, seed=1), past=cast(Any, None), quotas=cast(Any, None), **outside)


async def left_by_its_client(queue: SlowQueue, call: Any) -> None:
    """The call is broken off while the queue is at work, as a client's leaving does; then the queue goes on."""
    calling = asyncio.ensure_future(call)
    await queue.is_asked.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


async def until_all_is_told(desk: JobDesk) -> None:
    await asyncio.gather(*desk._telling, return_exceptions=True)


async def test_a_budget_stays_promised_to_a_job_whose_client_left_until_the_engine_knows_it() -> None:
    queue, told = SlowQueue(), Told()
    desk = a_desk(queue, told)

    await left_by_its_client(queue, desk.submit(Admitted(job=a_job(), placement=a_placement()), None, None))
    assert told.log == ["promised"]
    queue.may_answer.set()
    await until_all_is_told(desk)

    assert told.log == ["promised", "JobSubmitted", "taken back"]


async def test_a_job_that_stays_on_hold_gives_its_budget_back_though_its_client_left() -> None:
    queue, told = SlowQueue(fails_with=IllegalTransitionError(JobState.SUCCEEDED, JobAction.REQUEUE)), Told()
    desk = a_desk(queue, told)

    await left_by_its_client(queue, desk.resume("job"))
    queue.may_answer.set()
    await until_all_is_told(desk)

    assert told.log == ["promised", "taken back"]
