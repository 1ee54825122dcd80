"""Keys over real sockets: the first one, rotation, tenants' jobs, the audit log, sessions of the page."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import expect

from scheduler.config import Server
from scheduler.daemon.app import Daemon
from scheduler.daemon.audit import AuditLog
from scheduler.daemon.env import Env
from scheduler.daemon.guard import Guard
from scheduler.daemon.http import ExposedWithoutKeysError, Scope, make_app
from scheduler.daemon.listener import Listener
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.sessions import LIFE_S, MAX_SESSIONS, Sessions
from scheduler.keys import Keyring, bootstrap_key
from scheduler.store.sql import open_store
from scheduler.store.writer import InlineWriter
from tests.browser import a_tab
from tests.daemons import a_daemon, a_submission, until
from tests.stores import sqlite_store_url

pytestmark = pytest.mark.slow

ADMIN = "the-first-key-of-the-settings"


class Api:
    """`/api/v1` with a key, or with what else is in the headers."""

    def __init__(self, daemon: Daemon, client: aiohttp.ClientSession) -> None:
        self.daemon, self.client = daemon, client

    async def __call__(
        self, method: str, path: str, body: Any = None, *, key: str | None = ADMIN, **headers: str
    ) -> tuple[int, Any]:
        bearer = {} if key is None else {"Authorization": f"Bearer {key}"}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, f"/api/v1/{path}", json=body, headers=bearer | sent) as response:
            return response.status, None if response.status == 204 else await response.json()

    async def key(self, tenant: str | None, *scopes: str, by: str | None = ADMIN, **more: Any) -> str:
        status, made = await self("POST", "keys", {"tenant": tenant, "scopes": scopes, **more}, key=by)
        assert status == 201, made
        key: str = made["key"]
        return key


@asynccontextmanager
async def an_api(folder: Path, *, has_key: bool = True, **tables: Any) -> AsyncIterator[Api]:
    digests = [hashlib.sha256(ADMIN.encode()).hexdigest()] if has_key else []
    server = {"port": 0, "state_dir": str(folder), "drain_s": 2, "keys_sha256": digests, **tables.pop("server", {})}
    async with (
        a_daemon(folder, {"server": server, **tables}, speed=1.0) as (daemon, _),
        # Cookies only where a test sends them.
        aiohttp.ClientSession(daemon.listener.base_url, cookie_jar=aiohttp.DummyCookieJar()) as client,
    ):
        yield Api(daemon, client)


def id_of(key: str) -> str:
    return key[5:17]


def code_of(answer: Any) -> str:
    code: str = answer["error"]["code"]
    return code


# -- the first key -----------------------------------------------------------------------------------------------------


async def test_with_the_first_key_the_door_asks_for_keys_and_goes_on_to(tmp_path: Path) -> None:
    async with an_api(tmp_path, has_key=False) as api:
        assert (await api("GET", "jobs", key=None))[0] == 200
        for tenant, scopes in (("red", ["admin"]), (None, ["read"])):
            status, refused = await api("POST", "keys", {"tenant": tenant, "scopes": scopes}, key=None)
            assert (status, code_of(refused)) == (400, "first_key")
        first = await api.key(None, "admin", by=None)
        assert (await api("GET", "jobs", key=None))[0] == 401
        assert (await api("GET", "keys", key=first))[0] == 200
        await api("POST", f"keys/{id_of(first)}/revoke", key=first)
        assert code_of((await api("GET", "keys", key=first))[1]) == "revoked_api_key"
    # Nobody has a good key any more, and still the door is not open: the settings let their owner in again.
    async with an_api(tmp_path, has_key=False) as api:
        assert (await api("GET", "jobs", key=None))[0] == 401
    async with an_api(tmp_path) as api:
        assert [one["state"] for one in (await api("GET", "keys"))[1]["data"]] == ["revoked"]


async def test_others_are_listened_to_only_once_there_are_keys(tmp_path: Path) -> None:
    everywhere = Server(host="0.0.0.0", port=0)
    with pytest.raises(ExposedWithoutKeysError, match="slacktide keys create"):
        async with an_api(tmp_path / "bare", has_key=False, server={"host": everywhere.host}):
            pass
    Listener(web.Application(), everywhere, has_keys=True)
    async with an_api(tmp_path, has_key=False) as api:
        assert not api.daemon.guard.asks_for_keys
        await api.key(None, "admin", by=None)
        assert api.daemon.guard.asks_for_keys


# -- making and ending -------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once_and_rotated_with_an_overlap(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        old = await api.key("red", "read", "inference", expires="90d", name="ci")
        status, made = await api("POST", f"keys/{id_of(old)}/rotate", {"overlap": "2h"})
        _, listed = await api("GET", "keys")
        assert (status, made["scopes"], made["tenant"], made["name"]) == (201, ["inference", "read"], "red", "ci")
        assert made["expires_at"].startswith("2022-04-01T00:00")
        assert made["replaces"]["expires_at"].startswith("2022-01-01T02:00")
        assert made["replaces"]["replaced_by"] == made["id"]
        assert [one["id"] for one in listed["data"]] == [id_of(old), made["id"]]
        assert all("key" not in one for one in listed["data"])
        for key in (old, made["key"]):  # both, for two hours
            assert (await api("GET", "jobs", key=key))[0] == 200
        _, again = await api("POST", f"keys/{made['id']}/rotate", {"overlap": "0s"})
        assert code_of((await api("GET", "jobs", key=made["key"]))[1]) == "expired_api_key"
        assert code_of((await api("POST", f"keys/{made['id']}/rotate", {}))[1]) == "key_ended"
        assert (await api("GET", "jobs", key=again["key"]))[0] == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tenant": "red", "scopes": []}, "scopes"),
        ({"tenant": "red", "scopes": ["open"]}, "scopes"),
        ({"tenant": "red", "scopes": ["everything"]}, "scopes"),
        ({"tenant": "red"}, "scopes"),
        ({"tenant": "", "scopes": ["read"]}, "tenant"),
        ({"tenant": "a\nb", "scopes": ["read"]}, "tenant"),
        ({"tenant": "red", "scopes": ["read"], "expires": "soon"}, "expires"),
        ({"tenant": "red", "scopes": ["read"], "expires": "99y"}, "expires"),
        ({"tenant": "red", "scopes": ["read"], "name": "x" * 101}, "name"),
        ({"tenant": "red", "scopes": ["read"], "key_sha256": "0" * 64}, "key_sha256"),
    ],
)
async def test_a_wrong_field_of_a_new_key_is_named(tmp_path: Path, body: Any, param: str) -> None:
    async with an_api(tmp_path) as api:
        status, refused = await api("POST", "keys", body)
    assert status == 400
    assert param in (refused["error"]["param"] or refused["error"]["message"])


async def test_an_administrator_of_one_tenant_stays_in_it(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        boss, blue = await api.key("red", "admin"), await api.key("blue", "read")
        mine = await api.key("red", "read", by=boss)
        for tenant in ("blue", None):
            status, refused = await api("POST", "keys", {"tenant": tenant, "scopes": ["read"]}, key=boss)
            assert (status, code_of(refused)) == (403, "other_tenant")
        for path in (f"keys/{id_of(blue)}/revoke", f"keys/{id_of(blue)}/rotate", "keys/config-00000000/revoke"):
            assert (await api("POST", path, {}, key=boss))[0] == 404
        _, listed = await api("GET", "keys", key=boss)
        assert {one["id"] for one in listed["data"]} == {id_of(boss), id_of(mine)}
        _, noted = await api("GET", "audit", key=boss)
        assert {one["tenant"] for one in noted["data"]} == {"red"}
        status, refused = await api("POST", f"keys/{(await api('GET', 'session'))[1]['key']}/revoke")
        assert (status, code_of(refused)) == (409, "key_of_settings")


# -- tenants -----------------------------------------------------------------------------------------------------------


async def test_jobs_belong_to_the_tenant_of_the_key_that_submits_them(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        red, blue = await api.key("red", "jobs"), await api.key("blue", "jobs", "read")
        _, job = await api("POST", "jobs", a_submission(within="30h"), key=red)
        status, refused = await api("POST", "jobs", a_submission(tenant="blue"), key=red)
        assert (status, code_of(refused)) == (403, "other_tenant")
        assert job["tenant"] == "red"
        for method, path in (
            ("GET", ""),
            ("GET", "/explain"),
            ("GET", "/log"),
            ("GET", "/output"),
            ("POST", "/cancel"),
            ("POST", "/requeue"),
        ):
            status, refused = await api(method, f"jobs/{job['id']}{path}", key=blue)
            assert (status, code_of(refused)) == (404, "not_found")
        assert (await api("GET", "jobs", key=blue))[1]["data"] == []
        assert (await api("GET", "jobs?tenant=red", key=blue))[0] == 403
        assert (await api("GET", "plan", key=blue))[1]["placements"] == []
        assert (await api("GET", "status", key=blue))[1]["jobs"]["waiting"] == 0
        for key in (red, ADMIN):
            assert [one["id"] for one in (await api("GET", "jobs?tenant=red", key=key))[1]["data"]] == [job["id"]]
        assert len((await api("GET", "plan"))[1]["placements"]) == 1
        assert (await api("POST", f"jobs/{job['id']}/cancel", key=red))[1]["state"] == "cancelled"


async def test_metrics_of_all_tenants_are_for_keys_of_all_tenants(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        for tenant, status in (("red", 403), (None, 200)):
            bearer = {"Authorization": f"Bearer {await api.key(tenant, 'read')}"}
            async with api.client.get("/metrics", headers=bearer) as response:
                assert response.status == status


async def test_a_month_that_is_used_up_takes_no_more_jobs(tmp_path: Path) -> None:
    tenant = [{"name": "red", "gco2e_per_month": 0}, {"name": "blue", "requests_per_month": 0}]
    async with an_api(tmp_path, tenant=tenant) as api:
        status, refused = await api("POST", "jobs", a_submission(), key=await api.key("red", "jobs"))
        assert (status, code_of(refused)) == (429, "insufficient_quota")
        assert (await api("POST", "jobs", a_submission(), key=await api.key("blue", "jobs")))[0] == 201


# -- the audit log -----------------------------------------------------------------------------------------------------


async def test_the_log_says_who_did_what_with_which_result_and_nothing_of_strangers(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        red = await api.key("red", "jobs")
        _, job = await api("POST", "jobs", a_submission(within="30h"), key=red)
        await api("POST", f"jobs/{job['id']}/cancel", key=red)
        await api("POST", f"jobs/{job['id']}/cancel", key=red)
        await api("POST", "keys", {"tenant": "red", "scopes": ["admin"]}, key=red)
        await api("POST", "keys", {}, key="a-stranger")
        await api("GET", "jobs", key=red)
        _, noted = await api("GET", "audit?limit=9")
        _, first = await api("GET", "audit?limit=2")
        _, second = await api("GET", f"audit?limit=9&before={first['next_before']}")
    said = [(one["action"], one["target"], one["status"], one["code"]) for one in noted["data"]]
    assert said == [
        ("POST /api/v1/keys", "", 403, "missing_scope"),
        ("POST /api/v1/jobs/{id}/cancel", job["id"], 409, "conflict"),
        ("POST /api/v1/jobs/{id}/cancel", job["id"], 200, None),
        ("POST /api/v1/jobs", job["id"], 201, None),
        ("POST /api/v1/keys", id_of(red), 201, None),
    ]
    assert [one["key"] for one in noted["data"]][:4] == [id_of(red)] * 4
    assert noted["data"][4]["key"].startswith("config-")
    assert all(one["request"].startswith("req-") for one in noted["data"])
    assert first["data"] + second["data"] == noted["data"]


async def test_who_hangs_up_in_mid_change_is_in_the_log_all_the_same(tmp_path: Path) -> None:
    """Else a change could be made and the answer not waited for, so that nobody knows whose it was."""
    store = open_store(sqlite_store_url(tmp_path))
    env, server, entered = Env(), Server(port=0), asyncio.Event()
    guard = Guard(env, Keyring([bootstrap_key(hashlib.sha256(ADMIN.encode()).hexdigest())]))

    async def change(_: web.Request) -> web.Response:
        entered.set()
        await asyncio.Event().wait()
        return web.Response()

    app = make_app(
        server,
        env=env,
        metrics=Metrics(),
        problems=list,
        policies={"POST /jobs/{id}": Scope.TRAIN},
        guard=guard,
        audit=AuditLog(env, InlineWriter(store)),
    )
    app.router.add_post("/jobs/{id}", change)
    listener = Listener(app, server)
    await listener.start()
    async with aiohttp.ClientSession(listener.base_url, headers={"Authorization": f"Bearer {ADMIN}"}) as client:
        call = asyncio.create_task(client.post("/jobs/job-1"))
        await entered.wait()
        call.cancel()
        await until(lambda: bool(store.audit(limit=1)))
    await listener.stop()
    (entry,) = store.audit(limit=9)
    store.close()
    assert (entry.action, entry.target, entry.status, entry.code) == (
        "POST /jobs/{id}",
        "job-1",
        499,
        "client_left",
    )


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_a_session_ends_and_the_oldest_makes_room() -> None:
    sessions = Sessions()
    sessions.begin("a", "key", 0.0)
    assert sessions.key_id("a", LIFE_S - 0.1) == "key"
    assert sessions.key_id("a", LIFE_S) is None
    assert sessions.key_id("b", 0.0) is None
    for number in range(MAX_SESSIONS):
        sessions.begin(str(number), "key", 1.0)
    assert sessions.key_id("a", 1.0) is None
    assert sessions.key_id("0", 1.0) == "key"
    sessions.end("0")
    assert sessions.key_id("0", 1.0) is None


async def logged_in(api: Api, key: str, **headers: str) -> aiohttp.ClientResponse:
    async with api.client.post("/api/v1/session", json={"key": key}, headers=headers) as response:
        await response.read()
        return response


async def test_a_login_gives_a_cookie_that_only_this_sites_pages_send_and_no_script_reads(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        plain = await logged_in(api, ADMIN)
        behind_tls = await logged_in(api, ADMIN, **{"X-Forwarded-Proto": "https"})
        wrong = await logged_in(api, "a-stranger")
        elsewhere = await logged_in(api, ADMIN, Origin="http://evil.example")
    assert (plain.status, wrong.status, elsewhere.status) == (201, 401, 403)
    cookie = plain.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"))
    assert "Secure" not in cookie
    assert "Secure" in behind_tls.headers["Set-Cookie"]
    assert "Set-Cookie" not in wrong.headers
    assert plain.headers["Cache-Control"] == "no-store"


async def test_a_session_reads_and_changes_things_from_its_own_page_only(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        red = await api.key("red", "jobs", "read")
        _, job = await api("POST", "jobs", a_submission(within="30h"), key=red)
        cookie = {"Cookie": f"slacktide_session={(await logged_in(api, red)).cookies['slacktide_session'].value}"}
        cancel = f"jobs/{job['id']}/cancel"
        assert (await api("GET", "jobs", key=None, **cookie))[0] == 200
        assert (await api("GET", "session", key=None, **cookie))[1]["tenant"] == "red"
        for origin in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
            status, refused = await api("POST", cancel, key=None, **cookie, **origin)
            assert (status, code_of(refused)) == (403, "other_origin")
        own = {"Origin": str(api.daemon.listener.base_url)}
        assert (await api("POST", cancel, key=None, **cookie, **own))[1]["state"] == "cancelled"
        assert code_of((await api("GET", "keys", key=None, **cookie))[1]) == "missing_scope"

        await api("POST", f"keys/{id_of(red)}/revoke")
        assert code_of((await api("GET", "jobs", key=None, **cookie))[1]) == "revoked_api_key"


async def test_who_logs_out_is_nobody(tmp_path: Path) -> None:
    async with an_api(tmp_path) as api:
        cookie = {"Cookie": f"slacktide_session={(await logged_in(api, ADMIN)).cookies['slacktide_session'].value}"}
        assert (await api("DELETE", "session", key=None, **cookie))[0] == 204
        assert code_of((await api("GET", "jobs", key=None, **cookie))[1]) == "session_over"
        assert (await api("GET", "session", key=None, **cookie))[1]["key"] is None
    async with an_api(tmp_path / "open", has_key=False) as api:
        assert (await api("GET", "session", key=None))[1]["key"] == "anyone"


# -- in a browser ------------------------------------------------------------------------------------------------------


async def test_the_page_logs_in_shows_the_tenants_jobs_cancels_one_and_logs_out(tmp_path: Path) -> None:
    async with an_api(tmp_path / "state") as api:
        red = await api.key("red", "jobs", "read")
        await api("POST", "jobs", a_submission(label="of-blue", tenant="blue", within="30h"))
        _, job = await api("POST", "jobs", a_submission(label="of-red", within="30h"), key=red)

        async with a_tab(f"{api.daemon.listener.base_url}/#/jobs", is_attacked=True) as tab:

            async def log_in(key: str) -> None:
                await tab.get_by_label("This daemon asks for a key").fill(key)
                await tab.get_by_role("button", name="Show the status").click()

            await log_in(f"{red}x")
            refused = await tab.locator("#notices .bad").inner_text()
            await log_in(red)
            await tab.locator("#jobs tbody a").wait_for()
            shown = await tab.locator("#jobs").inner_text()
            cookies = await tab.evaluate("document.cookie + Object.keys(sessionStorage) + Object.keys(localStorage)")
            await tab.locator("#jobs").get_by_role("link", name="of-red").click()
            await tab.get_by_role("button", name="Cancel this job").click()
            await tab.get_by_role("button", name="Cancel it for good").click()
            await tab.locator("#job .state.cancelled").wait_for()
            await tab.locator("#job .close").click()
            injected = "const one = document.createElement('script'); one.textContent = 'window.taken = 1';"
            await tab.evaluate(f"() => {{ {injected} document.body.append(one); }}")
            taken = await tab.evaluate("window.taken === undefined")
            await tab.get_by_role("button", name="Log out").click()
            await expect(tab.locator("#key-form")).to_be_visible()
            await expect(tab.locator("#status")).to_be_hidden()

        _, ended = await api("GET", f"jobs/{job['id']}")
        _, noted = await api("GET", "audit")
    assert refused == "This key is not known here."
    assert "of-red" in shown
    assert "of-blue" not in shown
    assert cookies == ""
    assert taken
    assert ended["state"] == "cancelled"
    assert [one["key"] for one in noted["data"] if one["action"].endswith("cancel")] == [id_of(red)]
