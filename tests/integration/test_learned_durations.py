"""A daemon plans recurring work with what its past runs took: of this life and of those before."""

from __future__ import annotations

from pathlib import Path

import pytest

from scheduler.events import Outcome
from scheduler.quantities import parse_instant_s
from scheduler.store.sql import open_store
from tests.builders import a_job
from tests.daemons import a_daemon, a_submission, posted, until_state
from tests.stores import sqlite_store_url

pytestmark = pytest.mark.slow

HOUR_S = 3600.0


def nine_nights(folder: Path) -> None:
    """Nine runs of an hour declared that took an hour and a half."""
    store = open_store(sqlite_store_url(folder))
    for night in range(9):
        job = a_job(id=f"night-{night}", label="nightly", template="sleep")
        with store.transaction():
            store.submit(job, now_s=0.0)
            claim = store.claim(job.id, holder="before", region="here", now_s=100.0, lease_s=45.0)
            assert claim is not None
            store.started(job.id, claim.token, now_s=100.0)
            store.finish(job.id, claim.token, outcome=Outcome.SUCCEEDED, now_s=100.0 + 1.5 * HOUR_S)
    store.close()


async def test_a_job_is_planned_with_what_runs_of_its_label_took_before_the_restart(tmp_path: Path) -> None:
    nine_nights(tmp_path)
    async with a_daemon(tmp_path) as (_, client):
        status, job = await posted(client, "/api/v1/jobs", a_submission(label="nightly", duration="1h"))
        assert (status, job["duration_s"], job["declared_duration_s"]) == (201, 1.5 * HOUR_S, HOUR_S)
        assert parse_instant_s(job["plan"]["end"]) - parse_instant_s(job["plan"]["start"]) == pytest.approx(
            1.5 * HOUR_S
        )

        _, other = await posted(client, "/api/v1/jobs", a_submission(label="other", duration="1h"))
        assert (other["duration_s"], other["declared_duration_s"]) == (HOUR_S, HOUR_S)


async def test_what_the_past_asks_for_refuses_nobody(tmp_path: Path) -> None:
    nine_nights(tmp_path)
    busy = {"region": [{"name": "here", "zone": "SUN", "gpus": 1, "pue": 1.0}]}
    async with a_daemon(tmp_path, busy, speed=1.0) as (_, client):
        first = a_submission(arguments={"seconds": "30"}, duration="30m", within="31m")
        status, _ = await posted(client, "/api/v1/jobs", first)
        assert status == 201
        # Half an hour is taken: an hour and a half does not fit beside it, the declared hour does.
        status, job = await posted(client, "/api/v1/jobs", a_submission(label="nightly", duration="1h", within="110m"))
        assert (status, job["duration_s"]) == (201, HOUR_S)


async def test_a_run_of_this_life_counts_for_the_next(tmp_path: Path) -> None:
    tables = {"planning": {"duration_quantile_ratio": 0.5}}
    async with a_daemon(tmp_path, tables) as (_, client):
        short = a_submission(label="sweep", duration="1m", within="10m")  # it takes six minutes and more
        _, job = await posted(client, "/api/v1/jobs", short)
        assert job["duration_s"] == 60.0
        await until_state(client, job["id"], "succeeded")
        _, again = await posted(client, "/api/v1/jobs", a_submission(label="sweep", duration="1m"))
        assert again["duration_s"] >= 360.0
        assert again["declared_duration_s"] == 60.0
