"""The emulators over a socket: credentials, tokens, and faults that need a memory."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession, encode_basic_auth

from simulations.feed_server import ALWAYS, Credentials, Faults
from tests.contracts.emulated_feeds import HOUR_S, NOON_S, Clock, Emulator, a_served_trace

TOKEN = {"auth-token": "any"}
LATEST = "/v3/carbon-intensity/latest"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(user, password)}


async def got(server: Emulator, path: str, **options: Any) -> tuple[int, Any]:
    """Status, and the JSON or text of the body."""
    async with ClientSession() as session, session.get(server.root + path, **options) as answer:
        return answer.status, await (answer.json() if answer.content_type == "application/json" else answer.text())


async def a_token(server: Emulator) -> dict[str, str]:
    _, payload = await got(server, "/login", headers=basic("ada", "secret"))
    return {"Authorization": f"Bearer {payload['token']}"}


async def test_a_token_of_watttime_dies_after_thirty_emulated_minutes() -> None:
    clock = Clock()
    async with a_served_trace(clock=clock) as server:
        bearer = await a_token(server)
        clock.now_s += 30 * 60 - 1
        assert (await got(server, "/v3/my-access", headers=bearer))[0] == 200
        clock.now_s += 1
        status, page = await got(server, "/v3/my-access", headers=bearer)
    assert status == 401
    assert page.startswith("<html>")


@pytest.mark.parametrize("headers", [{}, basic("ada", ""), basic("eve", "secret")])
async def test_a_wrong_login_is_answered_with_the_page_of_the_front_end(headers: dict[str, str]) -> None:
    wanted = Credentials(watttime_user="ada", watttime_password="secret")
    async with a_served_trace(credentials=wanted) as server:
        status, page = await got(server, "/login", headers=headers)
    assert status == 403
    assert "403 Forbidden" in page


async def test_electricity_maps_wants_a_token_unless_anonymous_callers_are_allowed() -> None:
    async with a_served_trace() as server:
        assert await got(server, LATEST, params={"zone": "DE"}) == (401, {"error": "Invalid auth-token"})
        assert (await got(server, LATEST, params={"zone": "DE"}, headers=basic("any", "")))[0] == 200
    async with a_served_trace(credentials=Credentials(allow_anonymous=True)) as server:
        assert (await got(server, LATEST, params={"zone": "DE"}))[0] == 200


async def test_the_zones_say_what_a_token_may_read_and_the_new_version_says_more() -> None:
    async with a_served_trace() as server:
        _, open_list = await got(server, "/v3/zones")
        _, own_list = await got(server, "/v3/zones", headers=TOKEN)
        _, new_list = await got(server, "/v4/zones", headers=TOKEN)
    assert open_list["DE"] == {"zoneName": "Germany"}
    assert own_list["DE"] == {"zoneName": "Germany", "access": ["*"]}
    assert new_list["DE"]["zoneKey"] == "DE"


async def test_a_plan_limit_names_the_zone_the_signal_and_the_temporality() -> None:
    async with a_served_trace(faults=Faults(out_of_scope=ALWAYS)) as server:
        status, payload = await got(server, "/v3/power-breakdown/past", params={"zone": "DE"}, headers=TOKEN)
    assert status == 401
    assert payload["error"] == "Request unauthorized for zoneKey=DE,requestType=past,dataType=power-breakdown."


async def test_a_frozen_latest_stands_still_while_forecasts_go_on() -> None:
    clock = Clock(NOON_S)
    async with a_served_trace(clock=clock, faults=Faults(frozen_latest=ALWAYS)) as server:
        _, first = await got(server, LATEST, params={"zone": "DE"}, headers=TOKEN)
        clock.now_s += 3 * HOUR_S
        _, later = await got(server, LATEST, params={"zone": "DE"}, headers=TOKEN)
        _, ahead = await got(server, "/v3/carbon-intensity/forecast", params={"zone": "DE"}, headers=TOKEN)
        server.feeds.set_faults(Faults())
        _, thawed = await got(server, LATEST, params={"zone": "DE"}, headers=TOKEN)
    assert later == first
    assert ahead["forecast"][0]["datetime"] == thawed["datetime"] == "2022-03-17T15:00:00.000Z"


async def test_the_same_replay_gives_the_same_answers() -> None:
    async with a_served_trace() as one, a_served_trace() as other:
        path = "/regional/intensity/2022-03-17T12:31Z/fw48h/postcode/SW1"
        assert await got(one, path) == await got(other, path)


async def test_the_optimizer_answers_over_http() -> None:
    body = {
        "duration": "PT2H",
        "startWindow": "2022-03-17T13:00:00Z",
        "endWindow": "2022-03-18T13:00:00Z",
        "locations": [[8.7, 50.1]],
        "optimizationMetric": "flow-traced_carbon_intensity",
    }
    async with a_served_trace() as server, ClientSession(headers=TOKEN) as session:
        async with session.post(f"{server.root}/beta/carbon-aware-optimizer", json=body) as answer:
            found = await answer.json()
        async with session.post(f"{server.root}/beta/carbon-aware-optimizer", data="no JSON") as answer:
            assert answer.status == 400
    assert found["optimalStartTime"] == "2022-03-18T00:00:00.000Z"
