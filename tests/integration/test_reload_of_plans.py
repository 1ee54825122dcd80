"""A whole daemon is given other launches, budgets, prices, planning, sleep and model pools while work waits in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from scheduler.daemon.app import Daemon
from scheduler.daemon.model_routing import ModelPoolError
from scheduler.events import Tick
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from scheduler.quantities import parse_instant_s
from tests.builders import DAY_S, HOUR_S, YEAR_2022_AT_S
from tests.contracts.test_openai_client_model_pool import LARGE, SMALL
from tests.daemons import PATIENCE_S, a_daemon, a_submission, got, posted, settings_of, until, until_state
from tests.integration import test_daemon_model_pool as model_pools
from tests.integration import test_learned_durations as learned
from tests.integration import test_sleeping_workers as sleepers
from tests.integration.gateway_stand import CHAT, MODEL, FakeWorker, Gate, a_chat
from tests.integration.test_objective import write_prices

pytestmark = pytest.mark.slow

MIDNIGHT = "nightly-2022-01-01T0000"


async def reload(daemon: Daemon, folder: Path, tables: Mapping[str, Any]) -> None:
    await daemon.reload(settings_of(folder, tables))


def a_launch(folder: Path, **fields: Any) -> dict[str, Any]:
    command = ["/bin/sh", "-c", f"echo $SLACKTIDE_JOB_ID >> {folder}/marks"]
    nightly = {"name": "nightly", "cron": "0 0 * * *", "command": command, "duration_s": "1h", "within_s": "20h"}
    return {"launch": [{**nightly, **fields}]}


def planned_h(daemon: Daemon, job_id: str) -> float:
    placement = daemon.runner.engine.placement(job_id)
    assert placement is not None
    return (placement.start_at_s - YEAR_2022_AT_S) / HOUR_S


async def test_a_launch_that_comes_is_submitted_and_one_that_leaves_still_runs_what_waits(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=60.0) as (daemon, client):
        await reload(daemon, tmp_path, a_launch(tmp_path))
        await until(lambda: daemon.runner.engine.placement(MIDNIGHT) is not None)
        before_h = planned_h(daemon, MIDNIGHT)
        await reload(daemon, tmp_path, {})
        told_at_s = daemon.env.now_s()
        daemon.runner.post(Tick(at_s=told_at_s, replan=True))
        await until(lambda: daemon.runner.engine.plan().made_at_s >= told_at_s)
        assert planned_h(daemon, MIDNIGHT) == pytest.approx(before_h)
        async with client.post(f"/api/v1/jobs/{MIDNIGHT}/cancel") as answer:
            assert answer.status == 200
        await reload(daemon, tmp_path, a_launch(tmp_path, name="soon", within_s="1h"))
        await until(lambda: daemon.runner.engine.job("soon-2022-01-01T0000") is not None)
        await reload(daemon, tmp_path, {})
        await until_state(client, "soon-2022-01-01T0000", "succeeded")
        assert (tmp_path / "marks").read_text().split() == ["soon-2022-01-01T0000"]


async def test_a_launch_that_stays_or_comes_back_is_submitted_once_a_period(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, a_launch(tmp_path), speed=60.0) as (daemon, client):
        await reload(daemon, tmp_path, a_launch(tmp_path, within_s="10h"))
        await reload(daemon, tmp_path, {})
        await reload(daemon, tmp_path, a_launch(tmp_path))
        await until(lambda: not daemon.wanted.cron.is_set())
        _, listing = await got(client, "/api/v1/jobs")
        assert [job["id"] for job in listing["data"]] == [MIDNIGHT]


def red(**fields: Any) -> dict[str, Any]:
    return a_submission(tenant="red", **fields)


def a_use(name: str) -> EnergyUse:
    """Half a kilowatt-hour of the tenant red, in the first hour."""
    return EnergyUse(
        subject=Subject.REQUEST,
        subject_id=name,
        category="interactive",
        tenant="red",
        region="here",
        zone="SUN",
        started_at_s=YEAR_2022_AT_S,
        ended_at_s=YEAR_2022_AT_S + 60.0,
        energy_kwh=0.5,
        basis=EnergyBasis.MODELLED,
        pue=1.0,
        at_once_at_s=YEAR_2022_AT_S,
        at_once_zone="SUN",
        at_once_pue=1.0,
    )


async def test_a_budget_that_comes_knows_what_was_spent_and_planned_before_it(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=60.0) as (daemon, client):
        daemon.accounts.record(a_use("written"))
        await daemon.accounts.flush()
        daemon.accounts.record(a_use("not-written-yet"))
        _, first = await posted(client, "/api/v1/jobs", red(within="20h"))
        await reload(daemon, tmp_path, {"budget": [{"tenant": "red", "kwh": 2.5}]})
        daemon.accounts.record(a_use("after"))
        _, left = await got(client, "/api/v1/budgets")
        _, second = await posted(client, "/api/v1/jobs", red(within="30h"))

        (standing,) = left["data"]
        assert [standing["settled"], standing["planned"]] == pytest.approx([1.5, 1.0])
        assert parse_instant_s(first["plan"]["start"]) < YEAR_2022_AT_S + DAY_S
        assert parse_instant_s(second["earliest_start"]) == YEAR_2022_AT_S + DAY_S

        await reload(daemon, tmp_path, {})
        assert (await got(client, "/api/v1/budgets"))[1]["data"] == []
        async with client.get("/metrics") as response:
            assert "slacktide_budget_left{" not in await response.text()


async def test_uses_that_are_booked_while_the_ledger_is_read_count_once(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=60.0) as (daemon, client):
        reloading = asyncio.create_task(reload(daemon, tmp_path, {"budget": [{"tenant": "*", "kwh": 100}]}))
        number = 0
        while not reloading.done():
            daemon.accounts.record(a_use(f"request-{number}"))
            number += 1
            if number % 7 == 0:
                await daemon.accounts.flush()
            await asyncio.sleep(0)
        await reloading
        _, left = await got(client, "/api/v1/budgets")
        assert number > 1
        assert left["data"][0]["settled"] == pytest.approx(0.5 * number)


async def test_other_prices_move_what_waits_and_a_file_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    files = [tmp_path / "one.csv", tmp_path / "other.csv"]
    for path, cheap_h in zip(files, (3, 7), strict=True):
        write_prices(path, cheap_h)
    tables = [{"price": {"trace": str(path)}, "objective": {"usd": 1.0}} for path in files]
    async with a_daemon(tmp_path, tables[0], speed=60.0) as (daemon, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission())
        assert planned_h(daemon, job["id"]) == 3
        await reload(daemon, tmp_path, tables[1])
        await until(lambda: planned_h(daemon, job["id"]) == 7)
        with pytest.raises(Exception, match="no such file"):
            await reload(daemon, tmp_path, {**tables[1], "price": {"trace": str(tmp_path / "none.csv")}})
        write_prices(files[1], 9)
        daemon.look_at_prices()
        await until(lambda: planned_h(daemon, job["id"]) == 9)
        await reload(daemon, tmp_path, {})  # by grams again: the sun of noon
        await until(lambda: 10 <= planned_h(daemon, job["id"]) <= 14)


async def test_planning_is_taken_up_with_its_cadence_and_what_past_runs_count_for(tmp_path: Path) -> None:
    learned.nine_nights(tmp_path)
    async with a_daemon(tmp_path, {"planning": {"replan_s": 1e6}}, speed=60.0) as (daemon, client):
        _, careful = await posted(client, "/api/v1/jobs", a_submission(label="nightly"))
        await reload(daemon, tmp_path, {"planning": {"replan_s": 12, "duration_quantile_ratio": 0}})
        _, declared = await posted(client, "/api/v1/jobs", a_submission(label="nightly"))
        assert (careful["duration_s"], declared["duration_s"]) == (1.5 * HOUR_S, HOUR_S)

        made_at_s = daemon.runner.engine.plan().made_at_s
        await until(lambda: daemon.runner.engine.plan().made_at_s >= made_at_s + 36.0)
        source = daemon.poller.source
        await reload(daemon, tmp_path, {"planning": {"correct_forecasts": False}})
        assert daemon.poller.source is not source


def asleep(daemon: Daemon) -> list[bool]:
    return [worker.is_asleep for worker in daemon.gateway.workers]


async def test_workers_that_sleep_are_woken_where_consolidation_is_turned_off(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        urls = await stack.enter_async_context(sleepers.two_workers())
        worker = {"models": [MODEL], "region": "here", "max_sequences": 4}
        tables: dict[str, Any] = {"worker": [{"url": url, **worker} for url in urls]}
        on = {"enabled": True, "min_awake": 1, "headroom_ratio": 0, "wake_s": 0.1, "patience_s": 0.2}
        daemon, client = await stack.enter_async_context(a_daemon(tmp_path, tables, speed=1.0))
        await reload(daemon, tmp_path, {**tables, "consolidation": on})
        await until(lambda: asleep(daemon) == [False, True])
        await reload(daemon, tmp_path, {**tables, "consolidation": {**on, "min_awake": 0}})
        await until(lambda: asleep(daemon) == [True, True])
        await reload(daemon, tmp_path, tables)
        await until(lambda: asleep(daemon) == [False, False])
        async with client.post(CHAT, json=a_chat(max_tokens=2)) as answer:
            assert answer.status == 200
        assert await sleepers.sleeping(urls) == [False, False]


async def test_a_model_pool_changes_under_a_request_and_what_it_spent_stays_spent(tmp_path: Path) -> None:
    gate = Gate()
    async with AsyncExitStack() as stack:
        small = await stack.enter_async_context(FakeWorker().listening())
        large = await stack.enter_async_context(FakeWorker(gate).listening())
        rich = model_pools.tables(tmp_path, small, large, budget_kwh=1e6)
        state = tmp_path / "state"
        daemon, client = await stack.enter_async_context(a_daemon(state, rich))
        under_way = asyncio.create_task(model_pools.asked_long(client))
        await asyncio.wait_for(gate.entered.wait(), PATIENCE_S)
        # What the first request cost is more than this: nothing is left in the same window.
        await reload(daemon, state, model_pools.tables(tmp_path, small, large, budget_kwh=1e-9))
        assert await model_pools.asked_long(client) == (200, SMALL, "budget_spent")
        gate.opened.set()
        assert await under_way == (200, LARGE, "worth_its_price")

        await reload(daemon, state, rich)
        assert await model_pools.asked_long(client) == (200, LARGE, "worth_its_price")
        with pytest.raises(ModelPoolError, match="no estimate"):
            wrong = model_pools.tables(tmp_path, small, large, estimates=["weak", "mighty"])
            await reload(daemon, state, wrong)
        assert (await model_pools.asked_long(client))[0] == 200
        await reload(daemon, state, {**rich, "model_pool": []})
        async with client.post(CHAT, json=a_chat(model="auto")) as answer:
            assert answer.status == 404
