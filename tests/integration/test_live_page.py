"""The status page in a browser: it submits and cancels, changes while one looks, and survives the daemon's restart."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from scheduler.daemon.app import Daemon
from scheduler.jobs import MAX_LOST_ATTEMPTS, Interruption
from scheduler.quantities import parse_instant_s
from scheduler.store.contract import Store
from tests.batch_files import MODEL, a_line, as_file
from tests.browser import a_tab
from tests.daemons import PATIENCE_S, a_daemon, a_submission, got, posted, until_state
from tests.integration.gateway_stand import FakeWorker, Gate
from tests.integration.test_batches_and_workers import a_batch, a_batch_of, a_life, until_ended

pytestmark = pytest.mark.slow


TWO_REGIONS = [{"name": name, "zone": "SUN", "gpus": 2, "pue": 1.0} for name in ("here", "there")]
ASK, GO = "Show what it would save", "Submit it"


async def presses(tab: Page, name: str) -> None:
    await tab.get_by_role("button", name=name).click()


async def test_a_job_is_appraised_then_submitted_and_opened(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client):
        async with a_tab(f"{daemon.listener.base_url}/#/jobs") as tab:
            await presses(tab, "Submit a job")
            await tab.get_by_label("seconds").fill("0.1")
            await tab.get_by_label("Name").fill("from-the-page")
            await presses(tab, ASK)
            appraised = await tab.locator("#submit-said .appraisal").inner_text()
            none_yet = (await got(client, "/api/v1/jobs"))[1]["data"]
            await presses(tab, GO)
            await tab.locator("#job .facts").wait_for()
            await expect(tab.locator("#jobs tbody a")).to_have_text("from-the-page")
        _, listed = await got(client, "/api/v1/jobs")
    assert "instead of" in appraised
    assert none_yet == []
    assert [(job["label"], job["duration_s"]) for job in listed["data"]] == [("from-the-page", 3600.0)]


async def test_what_is_wrong_is_said_at_its_field_by_the_page_and_by_the_daemon(tmp_path: Path) -> None:
    async with (
        a_daemon(tmp_path, {"region": TWO_REGIONS}, speed=1.0) as (daemon, _),
        a_tab(f"{daemon.listener.base_url}/#/jobs") as tab,
    ):
        await presses(tab, "Submit a job")
        runs_for, seconds = tab.get_by_label("Runs for"), tab.get_by_label("seconds")
        await runs_for.fill("soon")
        await tab.get_by_label("GPUs", exact=True).fill("2.5")
        await tab.get_by_label("here", exact=True).uncheck()
        await tab.get_by_label("there", exact=True).uncheck()
        await presses(tab, ASK)
        await expect(seconds).to_be_focused()
        await expect(seconds).to_have_accessible_description("seconds: the command needs it. argument of the command")
        said = await tab.locator(".wrong:visible").all_inner_texts()

        await seconds.fill("-1")  # an option, which only the daemon refuses
        await expect(tab.locator(".wrong:visible")).to_have_count(0)
        await runs_for.fill("1h")
        await tab.get_by_label("GPUs", exact=True).fill("1")
        await tab.get_by_label("here", exact=True).check()
        await presses(tab, ASK)
        await expect(tab.locator(".wrong:visible")).to_have_text(
            "seconds: may not begin with a dash or hold a zero byte."
        )
        await expect(seconds).to_be_focused()
    assert said == [
        "seconds: the command needs it.",
        "Runs for: “soon” is no duration: write a number and a unit, such as 45m or 2h30m.",
        "GPUs: “2.5” is no whole number.",
        "May run in: choose one at least.",
    ]


async def test_a_local_deadline_regions_and_pauses_are_submitted_as_they_were_chosen(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, {"region": TWO_REGIONS}, speed=1.0) as (daemon, client):
        async with a_tab(f"{daemon.listener.base_url}/#/jobs", zone="Asia/Kolkata") as tab:
            await presses(tab, "Submit a job")
            await tab.get_by_label("seconds").fill("0.1")
            await tab.get_by_label(re.compile("^Date and time, Asia/")).fill("2022-01-02T11:30")
            await expect(tab.locator("#hint-until")).to_contain_text("that is 06:00 UTC, 2 Jan 2022")
            await tab.get_by_label("here", exact=True).uncheck()
            await tab.get_by_label("May be paused").check()
            await tab.get_by_label("To save its state").fill("2m")
            await tab.get_by_label("Shortest piece").fill("10m")
            await presses(tab, ASK)
            await presses(tab, GO)
            await tab.locator("#job .facts").wait_for()
        _, listed = await got(client, "/api/v1/jobs")
        stored = daemon.reads.job(listed["data"][0]["id"]).job
    assert stored.deadline_at_s == parse_instant_s("2022-01-02T06:00Z")
    assert stored.regions == ("there",)
    assert stored.interruption == Interruption(checkpoint_s=120.0, restore_s=0.0, min_run_s=600.0)


async def test_phases_of_power_and_an_earliest_start_are_submitted_as_they_were_chosen(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client):
        async with a_tab(f"{daemon.listener.base_url}/#/jobs", zone="Asia/Kolkata") as tab:
            await presses(tab, "Submit a job")
            await tab.get_by_label("seconds").fill("0.1")
            await tab.get_by_label("May be paused").check()
            await tab.get_by_label("its power changes").check()
            for said_by_phases in ("Runs for", "Power", "May be paused"):
                await expect(tab.get_by_label(said_by_phases, exact=said_by_phases == "Power")).to_be_hidden()
            await presses(tab, ASK)
            phases = tab.get_by_label("Phases")
            await expect(phases).to_be_focused()
            await expect(phases).to_have_accessible_description(
                re.compile("^Phases: nothing is written: write a duration and a power, such as 10m:3kW. how long")
            )
            await phases.fill("10m:1kW, 20m:2kW ,5m: 1kW")
            await tab.get_by_label("Earliest date and time, Asia/").fill("2022-01-01T15:30")
            await expect(tab.get_by_label("from", exact=True)).to_be_checked()
            await expect(tab.locator("#hint-starts")).to_contain_text("that is 10:00 UTC, 1 Jan 2022")
            await presses(tab, ASK)
            await presses(tab, GO)
            await tab.locator("#job .facts").wait_for()
            phases_told = re.compile(r"3\sphases of up to 2\skW")
            await expect(tab.locator("#jobs tbody")).to_contain_text(phases_told)
            await expect(tab.locator("#job .facts")).to_contain_text(phases_told)
            await expect(tab.locator("#job .facts")).to_contain_text("from 10:00 UTC, 1 Jan 2022")
            await expect(tab.locator("#job .facts")).not_to_contain_text("2022-01")  # all instants as people write them
        _, listed = await got(client, "/api/v1/jobs")
        stored = daemon.reads.job(listed["data"][0]["id"]).job
    assert stored.asked_earliest_start_at_s is None
    assert stored.earliest_start_at_s == parse_instant_s("2022-01-01T10:00Z")
    assert [(one.duration_s, one.power_w) for one in stored.power_profile] == [(600, 1e3), (1200, 2e3), (300, 1e3)]
    assert stored.interruption is None


async def test_numbers_of_gpus_are_chosen_by_keyboard_and_told_at_their_field_by_page_and_daemon(
    tmp_path: Path,
) -> None:
    async with a_daemon(tmp_path, {"region": [{**TWO_REGIONS[0], "gpus": 4}]}, speed=1.0) as (daemon, client):
        async with a_tab(f"{daemon.listener.base_url}/#/jobs") as tab:
            await presses(tab, "Submit a job")
            await tab.get_by_label("seconds").fill("0.1")
            await tab.get_by_label("GPUs", exact=True).fill("2")
            await tab.keyboard.press("Tab")  # to the choice in force, then on to the third
            await expect(tab.get_by_label("power and GPUs stay the same")).to_be_focused()
            await tab.keyboard.press("ArrowDown")
            await tab.keyboard.press("ArrowDown")
            await tab.keyboard.press("Tab")
            speeds = tab.get_by_label("Speeds")
            await expect(speeds).to_be_focused()
            wrong, said = tab.locator(".wrong:visible"), []
            for text in ("1:1, two", "1:1, 4:3", "1:1, 2:0"):
                await speeds.fill(text)
                await tab.keyboard.press("Enter")
                await expect(wrong).to_have_count(1)
                said.append(await wrong.inner_text())
                await expect(speeds).to_be_focused()
            await speeds.fill("1:1, 2:1.8, 4:3")
            await tab.keyboard.press("Enter")
            await expect(tab.get_by_role("button", name=GO)).to_be_focused()
            await expect(tab.locator("#submit-said .appraisal")).to_contain_text(re.compile(r"in here on \d\sGPU"))
            await tab.keyboard.press("Enter")
            await tab.locator("#job .facts").wait_for()
            await expect(tab.locator("#jobs tbody")).to_contain_text(re.compile(r"700\sW; may take 1, 2 or 4"))
        _, listed = await got(client, "/api/v1/jobs")
        stored = daemon.reads.job(listed["data"][0]["id"]).job
    assert said == [
        "Speeds: “two” is no number of GPUs and speed: write them as 2:1.8.",
        "Speeds: its own number, 2, has no speed here: add 2:1.",
        "Speeds: '1:1,2:0' needs numbers of GPUs and speeds above 0.",
    ]
    assert (stored.gpus, stored.elastic) == (2, ((1, 1.0), (2, 1.8), (4, 3.0)))


async def test_an_earliest_start_after_the_deadline_is_told_at_its_field(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, _), a_tab(f"{daemon.listener.base_url}/#/jobs") as tab:
        await presses(tab, "Submit a job")
        await tab.get_by_label("seconds").fill("0.1")
        await tab.get_by_label("Earliest date and time").fill("2022-01-03T00:00")
        await tab.get_by_label("Date and time, UTC", exact=True).fill("2022-01-02T00:00")
        await presses(tab, ASK)
        await expect(tab.locator(".wrong:visible")).to_have_text("May start: it has to be done before that.")
        await expect(tab.get_by_label("Earliest date and time")).to_be_focused()


async def test_a_refusal_offers_changes_that_fill_the_form_when_pressed(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client):
        async with a_tab(f"{daemon.listener.base_url}/#/jobs", zone="Asia/Kolkata") as tab:
            await presses(tab, "Submit a job")
            await tab.get_by_label("seconds").fill("0.1")
            await tab.get_by_label("Runs for").fill("30h")
            await presses(tab, ASK)
            refusal = await tab.get_by_role("alert").inner_text()
            await tab.get_by_role("list", name="What would help").get_by_role("button", name="Finish by").click()
            await tab.locator("#submit-said .appraisal").wait_for()
            await expect(tab.get_by_label("by", exact=True)).to_be_checked()
            await presses(tab, GO)
            await tab.locator("#job .facts").wait_for()
        _, listed = await got(client, "/api/v1/jobs")
    assert refusal.endswith("there is not so much time.")
    assert [job["duration_s"] for job in listed["data"]] == [30 * 3600.0]


async def test_a_job_is_held_let_go_and_queued_again_by_the_buttons_of_its_state(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission(within="30h"))
        async with a_tab(f"{daemon.listener.base_url}/#job={job['id']}") as tab:
            await presses(tab, "Put it on hold")
            await expect(tab.locator("#job-title")).to_be_focused()
            await expect(tab.locator("#job-title")).to_contain_text("on hold")
            await expect(tab.locator("#open-jobs .held")).to_have_text("on hold")
            held = (await got(client, f"/api/v1/jobs/{job['id']}"))[1]["on_hold_since"]
            await presses(tab, "Let it go on")
            await tab.get_by_role("button", name="Put it on hold").wait_for()
            go_on = (await got(client, f"/api/v1/jobs/{job['id']}"))[1]["on_hold_since"]
            await quarantine(daemon, job["id"])
            await tab.reload()
            await presses(tab, "Queue it again")
            await expect(tab.locator("#job-title")).to_contain_text("waiting")
    assert held is not None
    assert go_on is None


async def quarantine(daemon: Daemon, job_id: str) -> None:
    """As a job does whose runs were lost three times."""

    def lose(store: Store) -> None:
        for _ in range(MAX_LOST_ATTEMPTS):
            claim = store.claim(job_id, holder="gone", region="here", now_s=daemon.env.now_s(), lease_s=60.0)
            assert claim is not None
            store.lose(job_id, claim.token, now_s=daemon.env.now_s(), reason="its host is gone")

    await daemon.writer.write(lose)


async def test_a_span_of_one_day_names_both_days_and_one_of_seconds_one_minute(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client):
        status, job = await posted(client, "/api/v1/jobs", a_submission(duration="20s", within="24h"))
        assert status == 201, job
        async with a_tab(daemon.listener.base_url) as tab:
            window = await tab.locator('#open-jobs [data-column="May run"]').inner_text()
            runs = await tab.locator('#open-jobs [data-column="Runs"]').inner_text()
    assert "00:00 Sat 1 Jan \u2013 00:00 Sun 2 Jan" in window.replace("\u00a0", " ").replace("\u2060", "")
    assert "\u2013" not in runs


async def test_what_changes_elsewhere_is_seen_without_a_reload(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client), a_tab(daemon.listener.base_url) as tab:
        await expect(tab.locator("#open-jobs")).to_contain_text("No job")
        await tab.evaluate("window.isTheSamePage = true")
        _, job = await posted(client, "/api/v1/jobs", a_submission(label="from-a-terminal", within="30h"))
        await tab.locator("#open-jobs .state.waiting").wait_for()
        await tab.locator("#regions .bar.planned").wait_for()
        await posted(client, f"/api/v1/jobs/{job['id']}/cancel", {})
        await expect(tab.locator("#open-jobs")).to_contain_text("No job")
        assert await tab.evaluate("window.isTheSamePage")


async def test_savings_follow_what_ends_within_seconds(tmp_path: Path) -> None:
    async with (
        a_daemon(tmp_path, speed=3600.0) as (daemon, client),
        a_tab(f"{daemon.listener.base_url}/#/savings") as tab,
    ):
        await expect(tab.locator("#savings")).to_contain_text("Nothing has been booked yet")
        _, job = await posted(client, "/api/v1/jobs", a_submission(within="61m"))
        await until_state(client, job["id"], "succeeded")
        for sorted_by in (tab.locator("#account table"), tab.get_by_role("table", name="By tenant")):
            uses = sorted_by.locator("tbody tr:last-child [data-column=Uses]")
            await expect(uses).to_have_text("1", timeout=20_000)


async def test_a_page_says_that_the_daemon_is_gone_and_goes_on_with_its_next_life(tmp_path: Path) -> None:
    async with AsyncExitStack() as first_life:
        daemon, client = await first_life.enter_async_context(a_daemon(tmp_path, speed=1.0))
        port = daemon.listener.port
        await posted(client, "/api/v1/jobs", a_submission(label="before", within="30h"))
        async with a_tab(daemon.listener.base_url) as tab:
            await expect(tab.locator("#open-jobs")).to_contain_text("before")
            await first_life.aclose()
            await expect(tab.locator("#notices .bad")).to_contain_text("The daemon does not answer")
            await expect(tab.locator("#link")).to_contain_text("silent for")
            await expect(tab.locator("#open-jobs")).to_contain_text("before")

            server = {"port": port, "state_dir": str(tmp_path), "drain_s": 2}
            async with a_daemon(tmp_path, {"server": server}, speed=1.0) as (_, again):
                await expect(tab.locator("#notices .good")).to_contain_text("started anew")
                await posted(again, "/api/v1/jobs", a_submission(label="after", within="30h"))
                await expect(tab.locator("#open-jobs")).to_contain_text("after")
                await expect(tab.locator("#link")).to_have_text("live")
                await expect(tab.locator("#notices .bad")).to_have_count(0)


async def test_a_batch_is_seen_at_work_and_cancelled_after_a_second_question(tmp_path: Path) -> None:
    gate = Gate()
    async with FakeWorker(gate).listening() as worker, a_life(tmp_path, worker) as (daemon, client):
        batch_id = await a_batch(client, lines=5)
        async with a_tab(f"{daemon.listener.base_url}/#/jobs") as tab:
            await tab.locator("#batches .state.running").wait_for()
            await tab.get_by_role("button", name="Cancel batch").click()
            await tab.get_by_role("button", name="Keep it").click()
            kept = (await got(client, f"/v1/batches/{batch_id}"))[1]["status"]
            await tab.get_by_role("button", name="Cancel batch").click()
            await tab.get_by_role("button", name="Cancel the batch").click()
            await tab.locator("#batches .state.cancelled").wait_for()
        gate.opened.set()
        _, batch = await got(client, f"/v1/batches/{batch_id}")
    assert kept == "in_progress"
    assert batch["status"] in ("cancelling", "cancelled")


async def test_a_batch_that_was_refused_says_which_line_is_wrong_and_that_none_was_sent(tmp_path: Path) -> None:
    broken = as_file(a_line("1")) + b"no line\n" + as_file(a_line("1"))
    async with FakeWorker().listening() as worker, a_life(tmp_path, worker) as (daemon, client):
        batch_id = await a_batch_of(client, broken)
        await until_ended(client, batch_id)
        async with a_tab(f"{daemon.listener.base_url}/#/jobs") as tab:
            row = tab.locator("#batches tbody tr")
            await expect(row.locator(".state")).to_have_text("failed")
            await expect(row).to_contain_text("line 2: This line is not valid JSON. And 1 more.")
            await expect(row).to_contain_text("none was sent")


async def test_a_batch_that_waits_says_until_when_and_why(tmp_path: Path) -> None:
    async with FakeWorker().listening() as worker:
        served = {"worker": [{"url": worker.url, "models": [MODEL], "region": "here"}]}
        async with a_daemon(tmp_path, served, speed=1.0) as (daemon, client):
            batch_id = await a_batch(client, lines=4)
            path = f"/api/v1/batches/{batch_id}/explain"
            told: dict[str, Any] = {}
            async with asyncio.timeout(PATIENCE_S):
                while told.get("phase") != "waiting":
                    _, told = await got(client, path)
            async with a_tab(f"{daemon.listener.base_url}/#/jobs") as tab:
                await presses(tab, "Explain batch")
                said = await tab.locator("#batch .facts").inner_text()
                await tab.locator("#batch .close").click()
                await expect(tab.get_by_role("button", name="Explain batch")).to_be_focused()
            unknown, _ = await got(client, "/api/v1/batches/batch-nobody/explain")
    assert told["waits_until"] < told["latest_start"] < told["deadline"]
    assert told["intensity"]["then_gco2e_per_kwh"] < told["intensity"]["now_gco2e_per_kwh"]
    assert told["lines"] == {"total": 4, "completed": 0, "failed": 0, "in_flight": 0}
    assert (told["region"], told["zone"], told["done_ratio"]) == ("here", "SUN", 0.0)
    assert told["forecast"]["feed"]
    assert "when the grid is expected at" in said
    assert "0 of 4 lines" in said.replace("\u00a0", " ")
    assert unknown == 404


async def test_models_and_workers_have_views_of_their_own(tmp_path: Path) -> None:
    gpus = {"devices": ["GPU-nobodys"]}
    async with FakeWorker().listening() as worker, a_life(tmp_path, worker, **gpus) as (daemon, client):
        await until_ended(client, await a_batch(client, lines=5))
        async with a_tab(f"{daemon.listener.base_url}/#/workers") as tab:
            views = tab.get_by_role("navigation", name="Views")
            workers = tab.locator("#workers tbody")
            for said in ("awake", "modelled: NVML: ", "5 requests"):  # it should be metered, and says why it is not
                await expect(workers).to_contain_text(said)
            await views.get_by_role("link", name="Batching").click()
            await expect(tab.locator("#batching tbody")).to_contain_text(re.compile("clean hour|enough were|waited"))
            await views.get_by_role("link", name="Savings").click()
            await expect(tab.locator("#savings")).to_contain_text("By tenant")
            await expect(views.locator("[aria-current=page]")).to_have_text("Savings")
