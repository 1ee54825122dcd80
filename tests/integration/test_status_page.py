"""The status page over real sockets: its files and headers, what the API tells it, and what a browser makes of both."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from playwright.async_api import expect

from scheduler.config import Server
from scheduler.daemon.dashboard.page import POLICIES, Page, packaged_files
from scheduler.daemon.env import Env
from scheduler.daemon.http import make_app
from scheduler.daemon.metrics import Metrics
from scheduler.quantities import format_instant, parse_instant_s
from tests.browser import a_tab
from tests.builders import YEAR_2022_AT_S
from tests.daemons import PATIENCE_S, a_daemon, a_submission, got, posted, until_state

# Four hours of the grid in a second: the clean noon is three seconds away.
SPEED = 4 * 3600.0
KEY = "sk-a-key-of-the-test"
KEYED = Server(port=0, keys_sha256=(hashlib.sha256(KEY.encode()).hexdigest(),))
NASTY = "<img src=x onerror=\"document.title='taken over'\"> & 'co'"


@asynccontextmanager
async def a_page(server: Server | None = None) -> AsyncIterator[TestClient[Request, Application]]:
    app = make_app(server or Server(port=0), env=Env(), metrics=Metrics(), problems=list, policies=POLICIES)
    Page().add_routes(app)
    async with TestClient(TestServer(app)) as client:
        yield client


# -- files -------------------------------------------------------------------------------------------------------------


async def test_every_file_is_served_with_its_type_and_the_headers_that_bind_a_browser() -> None:
    types = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    async with a_page() as client:
        for name, file in packaged_files().items():
            response = await client.get("/" if name == "index.html" else f"/page/{name}")
            assert response.status == 200
            assert response.headers["Content-Type"] == f"{types[name.rpartition('.')[2]]}; charset=utf-8"
            assert await response.read() == file.body
            policy = response.headers["Content-Security-Policy"].split("; ")
            assert {"default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
            assert "unsafe" not in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    async with a_page() as client:
        first = await client.get("/page/app.js")
        assert first.headers["Cache-Control"] == "no-cache"
        again = await client.get("/page/app.js", headers={"If-None-Match": f'"other", {first.headers["ETag"]}'})
        assert (again.status, await again.read()) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
        assert "Content-Security-Policy" in again.headers
        assert (await client.get("/page/app.js", headers={"If-None-Match": '"other"'})).status == 200


@pytest.mark.parametrize(
    "path", ["/page/", "/page/nothing.js", "/page/index.html", "/page/..%2Fpage.py", "/page/a/app.js", "/index.html"]
)
async def test_other_paths_lead_nowhere(path: str) -> None:
    async with a_page() as client:
        response = await client.get(path)
        assert response.status == 404
        assert (await response.json())["error"]["type"] == "invalid_request_error"


async def test_the_shell_of_the_page_is_open_where_keys_are_needed() -> None:
    async with a_page(KEYED) as client:
        assert (await client.get("/")).status == 200
        assert (await client.get("/page/app.js")).status == 200
        assert (await client.get("/page2")).status == 401


# -- what the page asks ------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_the_status_counts_jobs_requests_and_workers_and_holds_the_account(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=SPEED) as (_, client):
        _, status = await got(client, "/api/v1/status")
        assert status["account"]["uses"] == 0
        assert status["jobs"]["waiting"] == 0

        _, waiting = await posted(client, "/api/v1/jobs", a_submission(within="16h"))
        _, status = await got(client, "/api/v1/status")
        assert status["jobs"] == {**dict.fromkeys(status["jobs"], 0), "waiting": 1}
        assert (status["requests"], status["workers"]) == (
            {"held": 0, "running": 0},
            {"configured": 0, "up": 0, "metering": []},
        )
        assert (status["problems"], status["policy"], status["speed"]) == ([], "carbon_aware", SPEED)
        assert 0 <= parse_instant_s(status["now"]) - YEAR_2022_AT_S < 86400

        await until_state(client, waiting["id"], "succeeded")
        account = await account_with_uses(client)
        assert account["savings_ratio"] > 0.1
        assert account["priced_ratio"] == 1


async def account_with_uses(client: ClientSession) -> Any:
    """The status's account once it is older than the one that was kept."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            _, status = await got(client, "/api/v1/status")
            if status["account"]["uses"]:
                return status["account"]
            await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_the_past_is_a_day_of_steps_without_a_hole_up_to_now(tmp_path: Path) -> None:
    async with a_daemon(tmp_path) as (_, client):
        _, past = await got(client, "/api/v1/intensity/past")

    (zone,) = past["zones"]
    assert zone["zone"] == "SUN"
    assert zone["points"][0]["start"] == past["since"]
    assert parse_instant_s(zone["points"][-1]["end"]) >= parse_instant_s(past["until"]) - 1
    assert all(before["end"] == after["start"] for before, after in pairwise(zone["points"]))
    assert all(point["gco2e_per_kwh"] > 0 for point in zone["points"])
    assert zone["realised_until"] <= past["until"]


@pytest.mark.slow
async def test_a_zone_that_nobody_knows_has_no_past(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, {"feed": []}) as (_, client):
        _, past = await got(client, "/api/v1/intensity/past")
    assert past["zones"] == [{"zone": "SUN", "realised_until": None, "points": []}]


@pytest.mark.slow
async def test_what_the_page_asks_needs_the_key_that_other_reads_need(tmp_path: Path) -> None:
    server = {"port": 0, "state_dir": str(tmp_path), "drain_s": 2, "keys_sha256": list(KEYED.keys_sha256)}
    async with a_daemon(tmp_path, {"server": server}) as (_, client):
        for path in ("/api/v1/status", "/api/v1/intensity/past"):
            assert (await got(client, path))[0] == 401
            async with client.get(path, headers={"Authorization": f"Bearer {KEY}"}) as response:
                assert response.status == 200
        async with client.get("/") as response:
            assert response.status == 200


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_browser_shows_the_numbers_the_jobs_and_the_grid_of_a_daemon(tmp_path: Path) -> None:
    # An hour a second: what is planned for the day after tomorrow is still to come when the browser has looked.
    epoch_s = YEAR_2022_AT_S + 9 * 3600
    async with a_daemon(tmp_path, speed=3600.0, epoch_s=epoch_s) as (daemon, client):
        _, first = await posted(client, "/api/v1/jobs", a_submission(within="7h", label="nightly-lora"))
        await until_state(client, first["id"], "succeeded")

        async with a_tab(daemon.listener.base_url) as tab:
            await tab.locator("#regions").wait_for()
            now_s = daemon.env.now_s()  # not before the browser is there: its start takes days of this clock
            later = {"earliest_start": format_instant(now_s + 36 * 3600), "deadline": format_instant(now_s + 54 * 3600)}
            assert (await posted(client, "/api/v1/jobs", a_submission(label=NASTY, within="", **later)))[0] == 201
            await tab.locator("#regions .bar.planned").first.wait_for()
            await tab.get_by_role("navigation", name="Views").get_by_role("link", name="Jobs").click()
            await tab.locator("#jobs tbody").wait_for()
            dom = await tab.content()
            await tab.get_by_role("link", name="Savings").click()
            await tab.get_by_role("button", name="Tenant").click()
            kept = await tab.get_by_role("table", name="Realised against planned by tenant").inner_text()

    assert "default" in kept
    assert "CO₂e avoided" in dom
    assert "modelled, none of it metered" in dom
    assert "runs 3,600 times real time" in dom
    assert "nightly-lora" in dom
    assert "succeeded" in dom
    assert "synthetic: a made-up grid" in dom
    assert 'class="bar planned"' in dom
    assert "cleanest window" in dom
    assert "<svg" in dom
    # The label is text in the table and in the chart, and has run nowhere.
    assert "&lt;img src=x onerror=" in dom
    assert '<img src="x"' not in dom
    assert "<title>Slacktide" in dom


@pytest.mark.slow
async def test_a_browser_is_asked_for_a_key_and_shows_no_figure_without_one(tmp_path: Path) -> None:
    server = {"port": 0, "state_dir": str(tmp_path), "drain_s": 2, "keys_sha256": list(KEYED.keys_sha256)}
    async with a_daemon(tmp_path, {"server": server}) as (daemon, _), a_tab(daemon.listener.base_url) as tab:
        await tab.locator("#key-form").wait_for()
        await expect(tab.get_by_label("This daemon asks for a key")).to_be_focused()
        await expect(tab.locator("#link")).to_have_text("asks for a key")
        await expect(tab.locator("#status")).to_be_hidden()
        assert "avoided" not in await tab.content()


@pytest.mark.slow
async def test_a_page_whose_daemon_does_not_answer_says_so() -> None:
    async with a_page() as client, a_tab(str(client.make_url("/"))) as tab:
        said = "The daemon does not answer: /api/v1/session answers 404."
        await expect(tab.locator("#notices")).to_contain_text(said)
        await expect(tab.locator("#status")).to_be_hidden()


@pytest.mark.slow
async def test_a_job_is_looked_into_and_cancelled_on_the_page(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (daemon, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission(label=NASTY, within="30h"))

        async with a_tab(f"{daemon.listener.base_url}/#/jobs") as tab:
            await tab.locator("#jobs tbody a").click()
            said = await tab.locator("#job .facts").inner_text()
            title = await tab.locator("#job-title").inner_text()
            address = await tab.evaluate("location.hash")
            await tab.get_by_role("button", name="Cancel this job").click()
            kept = (await got(client, f"/api/v1/jobs/{job['id']}"))[1]["state"]
            await tab.get_by_role("button", name="Cancel it for good").click()
            await tab.locator("#job .state.cancelled").wait_for()
            await tab.locator("#jobs .state.cancelled").wait_for()
            await tab.locator("#job .close").click()
            await expect(tab.locator("#job")).to_be_hidden()
            assert await tab.evaluate("location.hash") == "#/jobs"

        assert (await got(client, f"/api/v1/jobs/{job['id']}"))[1]["state"] == "cancelled"
    assert NASTY in title
    assert address == f"#job={job['id']}"
    assert "forecast" in said
    assert "it has to start by" in said
    assert kept == "waiting"  # the first click only asks


async def test_a_page_of_another_origin_cancels_nothing(tmp_path: Path) -> None:
    async with a_daemon(tmp_path, speed=1.0) as (_, client):
        _, job = await posted(client, "/api/v1/jobs", a_submission())
        status, refusal = await posted(client, f"/api/v1/jobs/{job['id']}/cancel", {}, Origin="http://evil.example")

        assert (status, refusal["error"]["code"]) == (403, "other_origin")
        assert (await got(client, f"/api/v1/jobs/{job['id']}"))[1]["state"] == "waiting"
