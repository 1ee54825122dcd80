"""A daemon whose region has a maintenance window: work goes around it, and the interface says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scheduler.quantities import parse_instant_s
from tests.daemons import a_daemon, a_submission, got, posted, until_state

pytestmark = pytest.mark.slow

# The made-up grid is cleanest around noon; the clock starts at midnight of 2022-01-01.
MAINTENANCE = {"from": "2022-01-01T09:00Z", "to": "2022-01-01T15:00Z"}


def tables(**region: Any) -> dict[str, Any]:
    return {"region": [{"name": "here", "zone": "SUN", "gpus": 2, "pue": 1.0, **region}]}


async def test_a_job_is_placed_around_a_maintenance_window_and_the_window_is_named_as_what_holds_it(
    tmp_path: Path,
) -> None:
    async with a_daemon(tmp_path, tables(maintenance=[MAINTENANCE]), speed=60.0) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission(duration="2h", within="16h"))
        _, explained = await got(client, f"/api/v1/jobs/{job['id']}/explain")

        start_s, end_s = (parse_instant_s(job["plan"][key]) for key in ("start", "end"))
        assert end_s <= parse_instant_s(MAINTENANCE["from"]) or start_s >= parse_instant_s(MAINTENANCE["to"])
        (held,) = (one for one in explained["explanation"]["limits"] if one["limit"] == "held")
        assert held["saves_gco2e"] > 0
        assert parse_instant_s(MAINTENANCE["from"]) <= parse_instant_s(held["taken"][0]["start"])
        assert any("reserved or in maintenance" in one["text"] for one in explained["explanation"]["says"])


async def test_a_job_that_only_fits_into_the_window_is_refused_with_the_first_finish_after_it(tmp_path: Path) -> None:
    window = {"from": "2021-12-31T23:00Z", "to": "2022-01-01T05:00Z"}
    async with a_daemon(tmp_path, tables(maintenance=[window]), speed=1.0) as (_, client):
        status, answer = await posted(client, "/api/v1/jobs", a_submission(within="3h"))
        _, plan = await got(client, "/api/v1/plan")

        assert (status, answer["error"]["param"]) == (422, "held")
        assert "; finish by 2022-01-01T06:00Z" in answer["error"]["message"]
        assert (plan["regions"][0]["free_gpus"], plan["regions"][0]["held_gpus"]) == (2, 2)


async def test_hours_of_the_week_are_kept_free_and_a_job_runs_beside_them(tmp_path: Path) -> None:
    office = {"from": "00:00", "to": "00:00", "gpus": 1}
    async with a_daemon(tmp_path, tables(reserved=[office])) as (_, client):
        two, _ = await posted(client, "/api/v1/jobs", a_submission(gpus=2))
        _, one = await posted(client, "/api/v1/jobs", a_submission(gpus=1, within="90m"))

        assert two == 422
        assert (await until_state(client, one["id"], "succeeded"))["region"] == "here"
