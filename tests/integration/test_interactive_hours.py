"""A daemon that shares GPUs between jobs and requests keeps what its ledger says requests will need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scheduler.daemon.app import Daemon
from scheduler.quantities import parse_instant_s
from tests.builders import DAY_S, HOUR_S, YEAR_2022_AT_S, a_request_use
from tests.daemons import a_daemon, a_submission, got, posted, until

pytestmark = pytest.mark.slow

WEEKS = 10


def tables(**region: Any) -> dict[str, Any]:
    return {
        "region": [{"name": "here", "zone": "SUN", "gpus": 2, "pue": 1.0, **region}],
        "worker": [{"url": "http://127.0.0.1:9", "models": ["llama-3.1-8b"], "region": "here", "max_sequences": 4}],
    }


async def served_at_noon(daemon: Daemon) -> None:
    """Somebody asked something at each noon of ten weeks; one who could wait was the first."""
    days = [YEAR_2022_AT_S + day * DAY_S for day in range(-7 * WEEKS, 0)]
    uses = [
        a_request_use(days[0], lasted_s=60.0, category="flex"),
        *(a_request_use(day + 12 * HOUR_S, lasted_s=60.0) for day in days),
    ]
    await daemon.writer.write(lambda store: store.record_uses(uses))


async def test_the_hours_in_which_requests_came_are_kept_and_known_again_after_a_restart(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(learn_interactive=True, interactive_gpus=2), speed=60.0) as (daemon, client):
        assert (await posted(client, "/api/v1/jobs", a_submission()))[0] == 422  # all is kept until something is known
        await served_at_noon(daemon)
        await daemon.capacity.refresh()
        await until(lambda: len(daemon.runner.engine.regions[0].held) > 1)
        holds = daemon.runner.engine.regions[0].held
        assert {(one.start_at_s % DAY_S / HOUR_S, one.gpus) for one in holds} == {(12.0, 1)}

    async with a_daemon(tmp_path, tables(learn_interactive=True, interactive_gpus=2), speed=60.0) as (daemon, client):
        await until(lambda: len(daemon.runner.engine.regions[0].held) > 1)
        _, job = await posted(client, "/api/v1/jobs", a_submission(gpus=2, duration="3h", within="16h"))
        noon_s = parse_instant_s("2022-01-01T12:00Z")
        start_s, end_s = (parse_instant_s(job["plan"][key]) for key in ("start", "end"))
        assert end_s <= noon_s or start_s >= noon_s + HOUR_S
        _, explained = await got(client, f"/api/v1/jobs/{job['id']}/explain")
        assert "held" in {one["limit"] for one in explained["explanation"]["limits"]}


async def test_without_learning_the_fixed_figure_is_kept(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(interactive_gpus=1), speed=60.0) as (daemon, client):
        await served_at_noon(daemon)
        await daemon.capacity.refresh()
        assert (await posted(client, "/api/v1/jobs", a_submission(gpus=1)))[0] == 201
        assert (await posted(client, "/api/v1/jobs", a_submission(gpus=2)))[0] == 422
