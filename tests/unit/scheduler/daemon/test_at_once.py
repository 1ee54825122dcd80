"""Who waits goes on in the call that settles, or in the next turn where that cannot be."""

from __future__ import annotations

import asyncio

import pytest

from scheduler.daemon.at_once import AtOnce


async def waits_for(future: AtOnce[str], seen: list[str]) -> None:
    seen.append(await future)


async def in_a_callback(future: AtOnce[str], seen: list[str], result: str) -> list[str]:
    """What was seen when `settle` had returned, called as a transport calls its protocol."""
    told: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    def callback() -> None:
        future.settle(result)
        told.set_result(list(seen))

    asyncio.get_running_loop().call_soon(callback)
    return await told


async def a_waiting_task(seen: list[str]) -> tuple[AtOnce[str], asyncio.Task[None]]:
    future: AtOnce[str] = AtOnce(loop=asyncio.get_running_loop())
    task = asyncio.create_task(waits_for(future, seen))
    await asyncio.sleep(0)
    return future, task


async def test_the_waiter_has_gone_on_when_settle_returns() -> None:
    seen: list[str] = []
    future, task = await a_waiting_task(seen)
    assert await in_a_callback(future, seen, "bytes") == ["bytes"]
    await task


async def test_within_another_task_the_waiter_goes_on_in_the_next_turn() -> None:
    seen: list[str] = []
    future, task = await a_waiting_task(seen)
    future.settle("bytes")
    assert seen == []
    await task
    assert seen == ["bytes"]


async def test_what_came_before_anybody_waited_is_there_for_who_does() -> None:
    seen: list[str] = []
    future: AtOnce[str] = AtOnce(loop=asyncio.get_running_loop())
    await in_a_callback(future, seen, "early")
    await waits_for(future, seen)
    assert seen == ["early"]


async def test_an_error_reaches_the_waiter() -> None:
    future, task = await a_waiting_task([])
    future.set_exception(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await task


async def test_a_waiter_that_is_cancelled_leaves_a_future_that_is_done() -> None:
    future, task = await a_waiting_task([])
    task.cancel()
    await asyncio.wait((task,))
    assert future.cancelled()


async def test_the_waiter_keeps_its_own_context_and_task() -> None:
    tasks: list[asyncio.Task[object] | None] = []
    future: AtOnce[str] = AtOnce(loop=asyncio.get_running_loop())

    async def waits() -> None:
        await future
        tasks.append(asyncio.current_task())

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    await in_a_callback(future, [], "bytes")
    assert tasks == [task]
