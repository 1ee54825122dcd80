"""Recurring launches through a whole daemon: submitted once, run once in the clean hours, whatever happens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scheduler.daemon.app import Daemon
from scheduler.quantities import parse_instant_s
from tests.builders import HOUR_S
from tests.daemons import PATIENCE_S, a_daemon, got, until, until_state

pytestmark = pytest.mark.slow

MORNING_AT_S = parse_instant_s("2022-06-01T05:30Z")
NIGHTLY = "nightly-2022-06-01T0600"


def a_launch(folder: Path, **fields: Any) -> dict[str, Any]:
    """Every day at 06:00 UTC: an hour of work by 17:00 that leaves a line in `marks`."""
    defaults = {
        "name": "nightly",
        "cron": "0 6 * * *",
        "command": ["/bin/sh", "-c", f"echo $SLACKTIDE_JOB_ID $SLACKTIDE_ATTEMPT >> {folder}/marks"],
        "duration_s": "1h",
        "within_s": "11h",
        "catch_up_s": "12h",
    }
    return {"launch": [{**defaults, **fields}]}


def marks(folder: Path) -> list[str]:
    path = folder / "marks"
    return path.read_text().splitlines() if path.exists() else []


async def jobs_of(client: aiohttp.ClientSession) -> list[Mapping[str, Any]]:
    _, listing = await got(client, "/api/v1/jobs")
    jobs: list[Mapping[str, Any]] = listing["data"]
    return jobs


async def until_clock(daemon: Daemon, at_s: float) -> None:
    await until(lambda: daemon.runner.now_s() >= at_s)


async def test_a_tick_is_submitted_once_and_runs_once_in_the_clean_hours(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, a_launch(tmp_path), epoch_s=MORNING_AT_S) as (daemon, client):
        await until_clock(daemon, MORNING_AT_S + HOUR_S)
        await until_launched(client, NIGHTLY)
        (submitted,) = await jobs_of(client)
        assert submitted["id"] == NIGHTLY
        assert submitted["earliest_start"] >= "2022-06-01T06:00:00Z"
        assert submitted["deadline"] == "2022-06-01T17:00:00Z"

        done = await until_state(client, NIGHTLY, "succeeded")

        # The synthetic sun stands highest at 13:00.
        assert "2022-06-01T10:00" < submitted["plan"]["start"] < "2022-06-01T15:00"
        assert done["started_at"] > "2022-06-01T10:00"
        assert marks(tmp_path) == [f"{NIGHTLY} 1"]
        _, account = await got(client, "/api/v1/savings")
        assert account["savings_ratio"] > 0.2


async def test_a_restart_while_the_launch_waits_and_another_after_it_ran_start_nothing_twice(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, a_launch(tmp_path), epoch_s=MORNING_AT_S) as (daemon, client):
        await until_launched(client, NIGHTLY)
        assert [job["state"] for job in await jobs_of(client)] == ["waiting"]

    async with a_daemon(tmp_path, a_launch(tmp_path), epoch_s=MORNING_AT_S + 1.5 * HOUR_S) as (_, client):
        await until_state(client, NIGHTLY, "succeeded")
        assert marks(tmp_path) == [f"{NIGHTLY} 1"]

    async with a_daemon(tmp_path, a_launch(tmp_path), epoch_s=MORNING_AT_S + 9 * HOUR_S) as (daemon, client):
        await until_clock(daemon, MORNING_AT_S + 11 * HOUR_S)
        assert [job["state"] for job in await jobs_of(client)] == ["succeeded"]
        assert marks(tmp_path) == [f"{NIGHTLY} 1"]


async def test_a_run_that_outlives_the_daemon_is_taken_over_and_not_started_again(tmp_path: Path) -> None:
    begun = f"echo $SLACKTIDE_JOB_ID $SLACKTIDE_ATTEMPT >> {tmp_path}/marks; "
    until_told = f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    tables = a_launch(tmp_path, command=["/bin/sh", "-c", begun + until_told], within_s="1h")
    async with a_daemon(tmp_path, tables, epoch_s=MORNING_AT_S):
        await until(lambda: bool(marks(tmp_path)))

    async with a_daemon(tmp_path, tables, epoch_s=MORNING_AT_S + HOUR_S) as (_, client):
        assert (await until_state(client, NIGHTLY, "running"))["attempt"] == 1
        (tmp_path / "go").touch()
        await until_state(client, NIGHTLY, "succeeded")
        assert marks(tmp_path) == [f"{NIGHTLY} 1"]


@pytest.mark.parametrize(("catch_up", "launched"), [("2h", 1), ("30m", 0)])
async def test_a_tick_missed_while_the_daemon_was_down_is_caught_up_for_so_long(
    tmp_path: Path, catch_up: str, launched: int
) -> None:
    tables = a_launch(tmp_path, catch_up_s=catch_up)
    async with a_daemon(tmp_path, tables, epoch_s=MORNING_AT_S + 1.5 * HOUR_S) as (daemon, client):
        await until_clock(daemon, MORNING_AT_S + 2.5 * HOUR_S)
        if launched:
            await until_launched(client, NIGHTLY)
        assert len(await jobs_of(client)) == launched


@pytest.mark.parametrize(
    ("day", "key"),
    [
        pytest.param("2022-10-30", "nightly-2022-10-30T0230", id="02:30 comes twice"),
        pytest.param("2022-03-27", "nightly-2022-03-27T0230", id="02:30 never comes"),
    ],
)
async def test_a_night_in_which_the_clocks_change_launches_once(tmp_path: Path, day: str, key: str) -> None:
    midnight_at_s = parse_instant_s(f"{day}T00:00Z")
    tables = a_launch(tmp_path, cron="30 2 * * *", timezone="Europe/Berlin", within_s="1h", catch_up_s="1h")
    async with a_daemon(tmp_path, tables, epoch_s=midnight_at_s) as (daemon, client):
        await until_clock(daemon, midnight_at_s + 3.5 * HOUR_S)
        await until_launched(client, key)
        assert [job["id"] for job in await jobs_of(client)] == [key]
        await until_state(client, key, "succeeded")
        assert marks(tmp_path) == [f"{key} 1"]


async def test_a_launch_on_more_or_fewer_gpus_is_told_how_many_it_has(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", f"echo $SLACKTIDE_GPUS >> {tmp_path}/marks"]
    # Twice as fast on two GPUs, in a bit more than an hour: on one it would be late.
    tables = a_launch(tmp_path, command=command, elastic="1:0.4,2:1", gpus=2, within_s="90m")
    async with a_daemon(tmp_path, tables, epoch_s=MORNING_AT_S) as (_, client):
        await until_launched(client, NIGHTLY)
        done = await until_state(client, NIGHTLY, "succeeded")
        assert (done["elastic"][0], done["run_gpus"]) == ({"gpus": 1, "speed": 0.4}, 2)
        assert marks(tmp_path) == ["2"]


async def until_launched(client: aiohttp.ClientSession, key: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while key not in {job["id"] for job in await jobs_of(client)}:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
