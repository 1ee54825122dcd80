"""The status page in a browser: it submits and cancels, changes while one looks, and survives the daemon's restart."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser import a_tab
from tests.daemons import a_daemon, a_submission, got, posted
from tests.integration.gateway_stand import FakeWorker, Gate
from tests.integration.test_batches_and_workers import a_batch, a_life, until_ended

pytestmark = pytest.mark.slow


async def test_a_job_is_appraised_then_submitted_and_opened(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client):
        async with a_tab(f"{daemon.listener.base_url}/#/jobs") as tab:
            await tab.get_by_role("button", name="Submit a job").click()
            await tab.get_by_label("Runs for").fill("soon")
            await tab.get_by_role("button", name="Show what it would save").click()
            refused = await tab.locator("#submit-said .notice").inner_text()
            await expect(tab.get_by_label("Runs for")).to_be_focused()
            await expect(tab.get_by_label("Runs for")).to_have_attribute("aria-invalid", "true")
            await tab.get_by_label("Runs for").fill("1h")
            await tab.get_by_label("seconds").fill("0.1")
            await tab.get_by_label("Name").fill("from-the-page")
            await tab.get_by_role("button", name="Show what it would save").click()
            appraised = await tab.locator("#submit-said .appraisal").inner_text()
            none_yet = (await got(client, "/api/v1/jobs"))[1]["data"]
            await tab.get_by_role("button", name="Submit it").click()
            await tab.locator("#job .facts").wait_for()
            await expect(tab.locator("#jobs tbody a")).to_have_text("from-the-page")
        _, listed = await got(client, "/api/v1/jobs")
    assert "duration" in refused
    assert "instead of" in appraised
    assert none_yet == []
    assert [(job["label"], job["duration_s"]) for job in listed["data"]] == [("from-the-page", 3600.0)]


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


async def test_models_and_workers_have_views_of_their_own(tmp_path: Path) -> None:
    gpus = {"devices": ["GPU-nobodys"]}
    async with FakeWorker().listening() as worker, a_life(tmp_path, worker, **gpus) as (daemon, client):
        await until_ended(client, await a_batch(client, lines=5))
        async with a_tab(f"{daemon.listener.base_url}/#/workers") as tab:
            views = tab.get_by_role("navigation", name="Views")
            workers = await tab.locator("#workers tbody").inner_text()
            await views.get_by_role("link", name="Batching").click()
            batching = await tab.locator("#batching tbody").inner_text()
            await views.get_by_role("link", name="Savings").click()
            await expect(tab.locator("#savings")).to_contain_text("By tenant")
            await expect(views.locator("[aria-current=page]")).to_have_text("Savings")
    assert "awake" in workers
    assert "modelled: NVML: " in workers  # it should be metered, and says why it is not
    assert "5 requests" in workers.replace("\u00a0", " ")
    assert "planned" in batching or "dense" in batching or "hold" in batching
