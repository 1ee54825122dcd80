"""A daemon with a power cap, a job whose power changes and an elastic one: from the submission to the account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.daemons import a_daemon, a_submission, got, posted, until_state

pytestmark = pytest.mark.slow


def tables(**region: Any) -> dict[str, Any]:
    told = {"name": "told", "command": ["sh", "-c", "echo $SLACKTIDE_GPUS; sleep {seconds}"]}
    return {"region": [{"name": "here", "zone": "SUN", "gpus": 4, "pue": 1.25, **region}], "template": [told]}


def a_job(**fields: Any) -> dict[str, Any]:
    return a_submission(**{"template": "told", **fields})


async def test_a_job_above_the_power_cap_is_refused_with_what_fits(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(power_cap_kw=2.0)) as (_, client):
        status, answer = await posted(client, "/api/v1/jobs", a_job(power="2kW", gpus=4))
        _, plan = await got(client, "/api/v1/plan")
        fits, _ = await posted(client, "/api/v1/jobs", a_job(power="1500W", gpus=3))

        assert (status, answer["error"]["param"]) == (422, "power_cap")
        assert (
            "draws 2.5 kW, its share of cooling included, and the power cap of here is 2 kW"
            in answer["error"]["message"]
        )
        assert "use 3 GPUs instead of 4" in answer["error"]["message"]
        assert plan["regions"][0]["power_cap_kw"] == 2.0
        assert fits == 201


async def test_an_elastic_job_is_told_its_gpus_and_booked_with_them(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables()) as (_, client):
        body = a_job(elastic="1:1,2:1.8,4:3", gpus=1, duration="4h", within="100m", arguments={"seconds": "1"})
        _, job = await posted(client, "/api/v1/jobs", body)
        ended = await until_state(client, job["id"], "succeeded")
        _, account = await got(client, "/api/v1/savings?since=2021-12-01T00:00Z")
        async with client.get(f"/api/v1/jobs/{job['id']}/log") as log:
            assert (await log.text()).strip() == "4"

        assert job["plan"]["segments"][0]["gpus"] == 4
        assert ended["run_gpus"] == 4
        assert ended["elastic"][1] == {"gpus": 2, "speed": 1.8}
        # It slept a second, an hour and a little of the grid's time, on four times the power of one GPU.
        assert account["energy_kwh"] > 3.5


async def test_a_job_in_phases_is_booked_phase_by_phase(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables()) as (_, client):
        body = a_job(power_profile="30m:100W,2h:4kW", duration="", power="", within="160m", arguments={"seconds": "1"})
        _, job = await posted(client, "/api/v1/jobs", body)
        ended = await until_state(client, job["id"], "succeeded")
        _, account = await got(client, "/api/v1/savings?since=2021-12-01T00:00Z")

        assert ended["duration_s"] == 9000.0
        assert ended["power_profile"][1] == {"duration_s": 7200.0, "power_w": 4000.0}
        assert account["uses"] == 2
        assert account["energy_kwh"] > 1.5  # half an hour at 100 W, and more than half an hour at 4 kW
