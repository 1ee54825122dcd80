"""A copy of a daemon that works: everything acknowledged before it is there after it is put back."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import aiohttp
import pytest

from slacktide.backup import backup, restore
from slacktide.terminal import OwnFailure, UsageProblem
from tests.daemons import a_daemon, a_submission, got, posted, until_state

pytestmark = pytest.mark.slow

SETTINGS = """
[server]
state_dir = "{folder}"
[[region]]
name = "here"
zone = "SUN"
gpus = 2
[[feed]]
kind = "synthetic"
zones = ["SUN"]
archetype = "solar"
"""


def settings(folder: Path, state: Path) -> Path:
    path = folder / f"{state.name}.toml"
    path.write_text(SETTINGS.format(folder=state))
    return path


async def submitted(client: aiohttp.ClientSession, count: int, **fields: str) -> list[str]:
    answers = [await posted(client, "/api/v1/jobs", a_submission(**fields)) for _ in range(count)]
    return [job["id"] for _, job in answers]


async def uploaded(client: aiohttp.ClientSession) -> str:
    form = aiohttp.FormData({"purpose": "fine-tune"})
    form.add_field("file", b'{"messages": []}\n', filename="examples.jsonl")
    async with client.post("/v1/files", data=form) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["id"])


async def test_what_was_acknowledged_before_the_copy_is_there_after_it_is_put_back(tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    async with a_daemon(state) as (_, client):
        done, file_id = await submitted(client, 1, within="2h"), await uploaded(client)
        await until_state(client, done[0], "succeeded")
        before = await submitted(client, 5)
        going_on = asyncio.create_task(submitted(client, 40))
        await asyncio.to_thread(backup, copy, settings(tmp_path, state))
        during = await going_on

    other = tmp_path / "other"
    await asyncio.to_thread(restore, copy, settings(tmp_path, other))
    async with a_daemon(other) as (_, client):
        assert (await got(client, f"/api/v1/jobs/{done[0]}"))[1]["state"] == "succeeded"
        assert (await got(client, f"/v1/files/{file_id}"))[0] == 200
        async with client.get(f"/v1/files/{file_id}/content") as content:
            assert await content.read() == b'{"messages": []}\n'
        assert [(await got(client, f"/api/v1/jobs/{job_id}"))[0] for job_id in before] == [200] * 5
        status, goes_on = await posted(client, "/api/v1/jobs", a_submission(within="2h"))
        assert status == 201, goes_on
        await until_state(client, goes_on["id"], "succeeded")
        # Of what came meanwhile the copy has a beginning, without holes.
        there = [(await got(client, f"/api/v1/jobs/{job_id}"))[0] == 200 for job_id in during]
        assert there == sorted(there, reverse=True)


async def test_a_copy_leaves_what_belongs_to_a_life_of_the_daemon(tmp_path: Path) -> None:
    state, copy = tmp_path / "state", tmp_path / "copy"
    async with a_daemon(state) as (_, client):
        running = await submitted(client, 1, within="2h")
        await until_state(client, running[0], "succeeded")
        await asyncio.to_thread(backup, copy, settings(tmp_path, state))
    names = {path.name for path in copy.rglob("*")}
    assert not names & {"lock", "ballast", "queue.db-wal", "queue.db.lock"}
    assert json.loads((copy / "backup.json").read_text())["has_database"] is True
    assert copy.stat().st_mode & 0o077 == 0


def test_nothing_is_written_over(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    sqlite3.connect(state / "queue.db").close()
    config = settings(tmp_path, state)
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageProblem, match="is there already"):
        backup(tmp_path / "taken", config)
    with pytest.raises(UsageProblem, match="nothing that"):
        restore(tmp_path / "taken", config)
    backup(tmp_path / "copy", config)
    with pytest.raises(UsageProblem, match="is not empty"):
        restore(tmp_path / "copy", config)


def test_a_damaged_copy_is_not_put_back(tmp_path: Path) -> None:
    state, other = tmp_path / "state", tmp_path / "other"
    state.mkdir()
    with sqlite3.connect(state / "queue.db") as database:
        database.execute("CREATE TABLE jobs (number INTEGER)")
        database.executemany("INSERT INTO jobs VALUES (?)", [(number,) for number in range(9999)])
    backup(tmp_path / "copy", settings(tmp_path, state))
    damaged = bytearray((tmp_path / "copy" / "queue.db").read_bytes())
    damaged[8192:12288] = b"\xff" * 4096
    (tmp_path / "copy" / "queue.db").write_bytes(damaged)
    with pytest.raises(OwnFailure, match="is damaged"):
        restore(tmp_path / "copy", settings(tmp_path, other))
    assert not other.exists()


def test_a_queue_on_a_server_is_copied_by_its_own_means(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    config = settings(tmp_path, state)
    config.write_text(
        config.read_text().replace("[server]", '[server]\ndatabase_url = "postgresql+psycopg://here/queue"')
    )
    with pytest.raises(UsageProblem, match="server of its own") as caught:
        backup(tmp_path / "copy", config)
    assert "pg_dump" in caught.value.hint
    backup(tmp_path / "copy", config, without_database=True)
    assert json.loads((tmp_path / "copy" / "backup.json").read_text())["has_database"] is False
