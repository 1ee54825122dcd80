"""Tenants' budgets in a whole daemon: who waits, who is refused, what is left, and that a restart forgets nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from scheduler.jobs import JobState
from scheduler.ledger import EnergyBasis, EnergyUse, Subject
from scheduler.quantities import parse_instant_s
from tests.builders import DAY_S, HOUR_S, YEAR_2022_AT_S
from tests.daemons import a_daemon, a_submission, got, posted, until, until_state

pytestmark = pytest.mark.slow


def tables(**budget: Any) -> dict[str, Any]:
    return {"budget": [{"tenant": "red", **budget}]}


def red(**fields: Any) -> dict[str, Any]:
    """An hour at a kilowatt."""
    return a_submission(tenant="red", **fields)


async def test_the_second_job_of_a_day_waits_for_the_next_and_the_budget_is_named(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(kwh=1.5), speed=60.0) as (_, client):
        first = await posted(client, "/api/v1/jobs", red(within="20h"))
        status, second = await posted(client, "/api/v1/jobs", red(within="30h"))
        other = await posted(client, "/api/v1/jobs", a_submission(tenant="blue", within="20h"))
        _, left = await got(client, "/api/v1/budgets")
        _, explained = await got(client, f"/api/v1/jobs/{second['id']}/explain")

        assert (first[0], status, other[0]) == (201, 201, 201)
        assert first[1]["asked_earliest_start"] is None
        assert parse_instant_s(second["earliest_start"]) == YEAR_2022_AT_S + DAY_S
        assert parse_instant_s(second["asked_earliest_start"]) == pytest.approx(YEAR_2022_AT_S, abs=3600)
        assert parse_instant_s(second["plan"]["start"]) >= YEAR_2022_AT_S + DAY_S
        (standing,) = left["data"]
        assert (standing["unit"], standing["period"], standing["at_most"]) == ("kwh", "2022-01-01", 1.5)
        assert [standing["settled"], standing["planned"], standing["left"]] == pytest.approx([0, 1, 0.5])
        # Today's noon is cleaner than the small hours of tomorrow.
        (held,) = (one for one in explained["explanation"]["limits"] if one["limit"] == "budget")
        assert held["saves_gco2e"] > 0
        assert "earliest_start" not in {one["limit"] for one in explained["explanation"]["limits"]}
        async with client.get("/metrics") as response:
            assert 'slacktide_budget_left{per="day",tenant="red",unit="kwh"} 0.5' in await response.text()


async def test_a_job_that_cannot_wait_is_refused_with_a_finish_that_the_next_day_pays_for(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(kwh=1.5), speed=1.0) as (_, client):
        await posted(client, "/api/v1/jobs", red(within="20h"))
        status, answer = await posted(client, "/api/v1/jobs", red(within="20h"))

        assert (status, answer["error"]["param"]) == (422, "budget")
        assert "needs 1 kwh in 2022-01-01, where red has used or planned 1 of 1.5" in answer["error"]["message"]
        assert "; finish by 2022-01-02T01:00Z" in answer["error"]["message"]
        (later,) = (one for one in answer["error"]["suggestions"] if one["changes"][0]["field"] == "deadline")
        taken_up = red(within="", deadline=later["changes"][0]["value"])
        assert (await posted(client, "/api/v1/jobs", taken_up))[0] == 201


async def test_submissions_at_the_same_moment_do_not_spend_the_same_money(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(kwh=2.5), speed=1.0) as (_, client):
        answers = await asyncio.gather(*(posted(client, "/api/v1/jobs", red(within="20h")) for _ in range(5)))
        assert sorted(status for status, _ in answers) == [201, 201, 422, 422, 422]


async def test_what_was_spent_is_known_after_a_restart_in_grams_and_kilowatt_hours(tmp_path: Path) -> None:
    limits = {"kwh": 1.5, "gco2e": 1e6, "per": "month"}
    async with a_daemon(tmp_path, tables(**limits)) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", red(within="90m", arguments={"seconds": "1.0"}))
        done = await until_state(client, job["id"], "succeeded")
        ran_h = (parse_instant_s(done["ended_at"]) - parse_instant_s(done["started_at"])) / HOUR_S
        _, before = await got(client, "/api/v1/budgets")
        assert [one["planned"] for one in before["data"]] == [0, 0]

    async with a_daemon(tmp_path, tables(**limits), epoch_s=YEAR_2022_AT_S + DAY_S, speed=60.0) as (_, client):
        _, after = await got(client, "/api/v1/budgets?tenant=red")
        status, answer = await posted(client, "/api/v1/jobs", red(within="20h"))

        grams, energy = after["data"]
        assert [one["planned"] for one in after["data"]] == [0, 0]
        assert energy["settled"] == pytest.approx(before["data"][1]["settled"])
        assert 0.5 < energy["settled"] < ran_h + 0.1  # at a kilowatt; a busy machine takes longer to end it
        assert grams["settled"] == pytest.approx(before["data"][0]["settled"], rel=0.05)
        assert (status, answer["error"]["param"]) == (422, "budget")
        assert (await got(client, "/api/v1/budgets?tenant=blue"))[1]["data"] == []


async def test_a_run_over_midnight_is_charged_to_the_new_day_after_a_restart_too(tmp_path: Path) -> None:
    region = [{"name": "here", "zone": "SUN", "gpus": 2, "pue": 1.0, "embodied_kgco2e_per_gpu": 985.0}]
    limits = {**tables(kwh=5.0), "region": region}
    use = EnergyUse(
        subject=Subject.JOB,
        subject_id="gone",
        category="production",
        tenant="red",
        region="here",
        zone="SUN",
        started_at_s=YEAR_2022_AT_S - 3 * HOUR_S,
        ended_at_s=YEAR_2022_AT_S + HOUR_S,
        energy_kwh=4.0,
        basis=EnergyBasis.MODELLED,
        pue=1.0,
        at_once_at_s=YEAR_2022_AT_S - 3 * HOUR_S,
        at_once_zone="SUN",
        at_once_pue=1.0,
    )
    async with a_daemon(tmp_path, limits, epoch_s=YEAR_2022_AT_S + HOUR_S, speed=1.0) as (daemon, client):
        await daemon.writer.write(lambda store: store.record_uses([use]))
        assert (await got(client, "/api/v1/budgets"))[1]["data"][0]["settled"] == 0  # nobody booked it here
    async with a_daemon(tmp_path, limits, epoch_s=YEAR_2022_AT_S + HOUR_S, speed=1.0) as (_, client):
        assert (await got(client, "/api/v1/budgets"))[1]["data"][0]["settled"] == pytest.approx(1.0)


async def test_a_budget_of_everybody_counts_what_each_tenant_plans_and_spends(tmp_path: Path) -> None:
    limits = {"budget": [{"tenant": "*", "kwh": 2.5}]}
    async with a_daemon(tmp_path, limits, speed=1.0) as (_, client):
        first, _ = await posted(client, "/api/v1/jobs", red(within="20h"))
        second, _ = await posted(client, "/api/v1/jobs", a_submission(tenant="blue", within="20h"))
        third, refused = await posted(client, "/api/v1/jobs", a_submission(tenant="green", within="20h"))
        _, left = await got(client, "/api/v1/budgets?tenant=green")

        assert (first, second, third) == (201, 201, 422)
        assert "where everybody together has used or planned 2 of 2.5" in refused["error"]["message"]
        (standing,) = left["data"]
        assert (standing["tenant"], standing["left"]) == ("*", pytest.approx(0.5))


async def test_what_each_tenant_spent_is_known_to_everybodys_budget_after_a_restart(tmp_path: Path) -> None:
    limits = {"budget": [{"tenant": "*", "kwh": 9.0, "per": "month"}]}
    async with a_daemon(tmp_path, limits) as (_, client):
        for tenant in ("red", "blue"):
            _, job = await posted(client, "/api/v1/jobs", a_submission(tenant=tenant, within="90m"))
            await until_state(client, job["id"], "succeeded")
        _, before = await got(client, "/api/v1/budgets")
    async with a_daemon(tmp_path, limits, epoch_s=YEAR_2022_AT_S + DAY_S, speed=60.0) as (_, client):
        _, after = await got(client, "/api/v1/budgets")

    assert before["data"][0]["settled"] > 0
    assert after["data"][0]["settled"] == pytest.approx(before["data"][0]["settled"])


async def test_a_job_on_hold_reserves_nothing_and_is_let_go_only_when_its_budget_can_pay_again(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(kwh=1.5), speed=60.0) as (daemon, client):
        _, first = await posted(client, "/api/v1/jobs", red(within="20h"))
        await posted(client, f"/api/v1/jobs/{first['id']}/pause", {})
        await until(lambda: daemon.runner.engine.is_on_hold(first["id"]))
        _, left = await got(client, "/api/v1/budgets")
        assert left["data"][0]["planned"] == 0
        _, second = await posted(client, "/api/v1/jobs", red(within="20h"))

        status, refused = await posted(client, f"/api/v1/jobs/{first['id']}/resume", {})
        assert (status, refused["error"]["code"], refused["error"]["param"]) == (409, "over_budget", "budget")
        assert "It stays on hold: budget: needs 1 kwh in 2022-01-01" in refused["error"]["message"]
        assert daemon.runner.engine.is_on_hold(first["id"])

        async with client.post(f"/api/v1/jobs/{second['id']}/cancel") as answer:
            assert answer.status == 200
        await until(lambda: daemon.runner.engine.job(second["id"]) is None)
        assert (await posted(client, f"/api/v1/jobs/{first['id']}/resume", {}))[0] == 200
        await until(lambda: daemon.runner.engine.placement(first["id"]) is not None)
        assert (await got(client, "/api/v1/budgets"))[1]["data"][0]["planned"] == pytest.approx(1.0)


async def test_two_jobs_that_are_let_go_at_the_same_moment_do_not_spend_the_same_money(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(kwh=2.5), speed=1.0) as (daemon, client):
        jobs = [(await posted(client, "/api/v1/jobs", red(within="20h")))[1]["id"] for _ in range(2)]
        for job in jobs:
            await posted(client, f"/api/v1/jobs/{job}/pause", {})
        await until(lambda: all(daemon.runner.engine.is_on_hold(job) for job in jobs))
        await posted(client, "/api/v1/jobs", red(within="20h"))
        answers = await asyncio.gather(*(posted(client, f"/api/v1/jobs/{job}/resume", {}) for job in jobs))
        assert sorted(status for status, _ in answers) == [200, 409]


async def test_a_job_that_is_late_when_it_is_let_go_pays_for_its_run_at_once(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, tables(kwh=1.5), speed=600.0) as (daemon, client):
        engine = daemon.runner.engine
        status, late = await posted(client, "/api/v1/jobs", red(within="90m", arguments={"seconds": "2"}))
        assert status == 201
        assert (await posted(client, f"/api/v1/jobs/{late['id']}/pause", {}))[0] == 200
        await until(lambda: engine.is_on_hold(late["id"]))
        job = engine.job(late["id"])
        assert job is not None
        _, other = await posted(client, "/api/v1/jobs", red(within="20h"))
        await until(lambda: daemon.env.now_s() > job.deadline_at_s - job.duration_s)  # late by now

        status, refused = await posted(client, f"/api/v1/jobs/{late['id']}/resume", {})
        assert (status, refused["error"]["code"]) == (409, "over_budget")
        assert engine.is_on_hold(late["id"])

        async with client.post(f"/api/v1/jobs/{other['id']}/cancel") as answer:
            assert answer.status == 200
        await until(lambda: engine.job(other["id"]) is None)
        segments = engine.appraise_held(late["id"], daemon.env.now_s())
        assert segments is not None
        (whole,) = segments
        assert whole.end_at_s - whole.start_at_s == pytest.approx(HOUR_S)
        assert whole.start_at_s == pytest.approx(daemon.env.now_s(), abs=60.0)
        assert (await posted(client, f"/api/v1/jobs/{late['id']}/resume", {}))[0] == 200
        assert await planned_or_settled_kwh(client) == pytest.approx(1.0, abs=0.05)  # charged before it has started
        assert (await posted(client, "/api/v1/jobs", red(within="3h")))[0] == 422  # and nobody else gets what it needs
        await until(lambda: engine.state(late["id"]) in (JobState.RUNNING, None))


async def planned_or_settled_kwh(client: ClientSession) -> float:
    (left,) = (await got(client, "/api/v1/budgets"))[1]["data"]
    return float(left["planned"] + left["settled"])
