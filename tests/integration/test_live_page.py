"""The status page in a browser: it submits and cancels, changes while one looks, and survives the daemon's restart."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.browser import Tab, a_browser, a_tab
from tests.daemons import a_daemon, a_submission, got, posted
from tests.integration.gateway_stand import FakeWorker, Gate
from tests.integration.test_batches_and_workers import a_batch, a_life, until_ended

pytestmark = pytest.mark.slow


async def clicks(tab: Tab, selector: str) -> None:
    await tab.until(f"document.querySelector({json.dumps(selector)}) !== null")
    await tab.says(f"document.querySelector({json.dumps(selector)}).click()")


async def types(tab: Tab, selector: str, text: str) -> None:
    """As a reader does, so that what listens for it hears of it."""
    field = f"document.querySelector({json.dumps(selector)})"
    await tab.says(f"{field}.value = {json.dumps(text)}; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))")


async def test_a_job_is_appraised_then_submitted_and_opened(tmp_path: Path) -> None:
    a_browser()
    async with a_daemon(tmp_path / "state", speed=1.0) as (daemon, client):
        async with a_tab(f"{daemon.listener.base_url}/#/jobs", tmp_path / "profile") as tab:
            await tab.until("document.querySelector('#submit-open')?.hidden === false")
            await clicks(tab, "#submit-open")
            await types(tab, "#submit-duration", "soon")
            await clicks(tab, "#submit-ask")
            refused = await tab.until("document.querySelector('#submit-said .notice')?.innerText")
            wrong = await tab.says("document.activeElement.id + document.activeElement.getAttribute('aria-invalid')")
            await types(tab, "#submit-duration", "1h")
            await types(tab, "[name='arguments.seconds']", "0.1")
            await types(tab, "#submit-label", "from-the-page")
            await clicks(tab, "#submit-ask")
            appraised = await tab.until("document.querySelector('#submit-said .appraisal')?.innerText")
            none_yet = (await got(client, "/api/v1/jobs"))[1]["data"]
            await clicks(tab, "#submit-go")
            await tab.until("document.querySelector('#job .facts') !== null")
            await tab.until("document.querySelector('#jobs tbody a')?.innerText === 'from-the-page'")
        _, listed = await got(client, "/api/v1/jobs")
    assert "duration" in refused
    assert wrong == "submit-durationtrue"
    assert "instead of" in appraised
    assert none_yet == []
    assert [(job["label"], job["duration_s"]) for job in listed["data"]] == [("from-the-page", 3600.0)]


async def test_what_changes_elsewhere_is_seen_without_a_reload(tmp_path: Path) -> None:
    a_browser()
    async with (
        a_daemon(tmp_path / "state", speed=1.0) as (daemon, client),
        a_tab(daemon.listener.base_url, tmp_path / "profile") as tab,
    ):
        await tab.until("document.querySelector('#open-jobs')?.innerText.includes('No job')")
        await tab.says("window.isTheSamePage = true")
        _, job = await posted(client, "/api/v1/jobs", a_submission(label="from-a-terminal", within="30h"))
        await tab.until("document.querySelector('#open-jobs .state.waiting') !== null")
        await tab.until("document.querySelector('#regions .bar.planned') !== null")
        await posted(client, f"/api/v1/jobs/{job['id']}/cancel", {})
        await tab.until("document.querySelector('#open-jobs')?.innerText.includes('No job')")
        assert await tab.says("window.isTheSamePage")


async def test_a_page_says_that_the_daemon_is_gone_and_goes_on_with_its_next_life(tmp_path: Path) -> None:
    a_browser()
    async with AsyncExitStack() as first_life:
        daemon, client = await first_life.enter_async_context(a_daemon(tmp_path / "state", speed=1.0))
        port = daemon.listener.port
        await posted(client, "/api/v1/jobs", a_submission(label="before", within="30h"))
        async with a_tab(daemon.listener.base_url, tmp_path / "profile") as tab:
            await tab.until("document.querySelector('#open-jobs')?.innerText.includes('before')")
            await first_life.aclose()
            silence = await tab.until("document.querySelector('#notices .bad')?.innerText")
            assert await tab.says("document.querySelector('#link').innerText.startsWith('silent for')")
            assert await tab.says("document.querySelector('#open-jobs').innerText.includes('before')")

            server = {"port": port, "state_dir": str(tmp_path / "state"), "drain_s": 2}
            async with a_daemon(tmp_path / "state", {"server": server}, speed=1.0) as (_, again):
                resumed = await tab.until("document.querySelector('#notices .good')?.innerText")
                await posted(again, "/api/v1/jobs", a_submission(label="after", within="30h"))
                await tab.until("document.querySelector('#open-jobs')?.innerText.includes('after')")
                assert await tab.says("document.querySelector('#link').innerText") == "live"
                assert await tab.says("document.querySelector('#notices .bad')") is None
    assert "The daemon does not answer" in silence
    assert "started anew" in resumed


async def test_a_batch_is_seen_at_work_and_cancelled_after_a_second_question(tmp_path: Path) -> None:
    a_browser()
    gate = Gate()
    async with FakeWorker(gate).listening() as worker, a_life(tmp_path / "state", worker) as (daemon, client):
        batch_id = await a_batch(client, lines=5)
        async with a_tab(f"{daemon.listener.base_url}/#/jobs", tmp_path / "profile") as tab:
            await tab.until("document.querySelector('#batches .state.running') !== null")
            await clicks(tab, "#batches button")
            await clicks(tab, ".ask .actions button:not(.danger)")
            kept = (await got(client, f"/v1/batches/{batch_id}"))[1]["status"]
            await clicks(tab, "#batches button")
            await clicks(tab, "#confirm-yes")
            await tab.until("document.querySelector('#batches .state.cancelled') !== null")
        gate.opened.set()
        _, batch = await got(client, f"/v1/batches/{batch_id}")
    assert kept == "in_progress"
    assert batch["status"] in ("cancelling", "cancelled")


async def test_models_and_workers_have_views_of_their_own(tmp_path: Path) -> None:
    a_browser()
    gpus = {"devices": ["GPU-nobodys"]}
    async with FakeWorker().listening() as worker, a_life(tmp_path / "state", worker, **gpus) as (daemon, client):
        await until_ended(client, await a_batch(client, lines=5))
        async with a_tab(f"{daemon.listener.base_url}/#/workers", tmp_path / "profile") as tab:
            workers = await tab.until("document.querySelector('#workers tbody')?.innerText")
            await clicks(tab, "#views a[href='#/batching']")
            batching = await tab.until("document.querySelector('#batching tbody')?.innerText")
            await clicks(tab, "#views a[href='#/savings']")
            await tab.until("document.querySelector('#savings')?.innerText.includes('By tenant')")
            current = await tab.says("document.querySelector('#views [aria-current=page]').innerText")
    assert "awake" in workers
    assert "modelled: NVML: " in workers  # it should be metered, and says why it is not
    assert "5 requests" in workers.replace("\u00a0", " ")
    assert "planned" in batching or "dense" in batching or "hold" in batching
    assert current == "Savings"
